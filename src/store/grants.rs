//! The `grants` table: users' standing authorizations of clients.

use crate::clock::Timestamp;
use crate::model::client::{AppName, ClientStatus, RedirectUris, TokenFormat};
use crate::model::grant::GrantStatus;
use crate::model::id::{ClientId, GrantId, UserId};
use crate::model::resource_server::Audiences;
use crate::model::scope::Scope;
use crate::model::stamp::Generations;

use super::sql::{Row, from_row, params};
use super::{Result, Store, Tx};

macro_rules! current {
    ($lock:literal) => {
        concat!(
            "SELECT s.generation, c.generation, u.generation FROM server AS s, clients AS c, users AS u ",
            "WHERE s.id = 1 AND c.id = ?1 AND c.status = 'active' AND u.id = ?2 AND u.status = 'active'",
            $lock
        )
    };
}

const CURRENT: &str = current!("");
/// It locks the user as `Tx::lock_user` does, in the same statement.
const CURRENT_LOCKED: &str = current!(" /*postgres FOR NO KEY UPDATE OF u*/");
const OPEN: &str = "SELECT id, scope, server_generation, client_generation, user_generation, authorized_at, audiences \
    FROM grants WHERE client_id = ?1 AND user_id = ?2 AND status = 'open'";
/// In the ledger's order: `ended_at` may go back with the clock, and two grants may end in the same millisecond.
const LAST_ENDED: &str = "SELECT g.id FROM grants AS g JOIN ledger AS l ON l.grant_id = g.id \
    WHERE g.client_id = ?1 AND g.user_id = ?2 AND g.status = 'ended' AND l.subject_kind = 'grant' \
    ORDER BY l.sequence DESC LIMIT 1";
const HAS_ENDED: &str =
    "SELECT 1 FROM grants WHERE id = ?1 AND client_id = ?2 AND user_id = ?3 AND status = 'ended'";
const INSERT: &str = "INSERT INTO grants (id, user_id, client_id, scope, status, generation, server_generation, \
    client_generation, user_generation, first_authorized_at, authorized_at, audiences) \
    VALUES (?1, ?2, ?3, ?4, 'open', 1, ?5, ?6, ?7, ?8, ?8, ?9) ON CONFLICT DO NOTHING";
const RENEW: &str = "UPDATE grants SET scope = ?2, server_generation = ?3, client_generation = ?4, \
    user_generation = ?5, authorized_at = ?6, audiences = ?7 WHERE id = ?1 AND status = 'open'";
const END: &str = "UPDATE grants SET status = 'ended', ended_at = ?2 WHERE id = ?1 AND status = 'open' \
    RETURNING client_id, user_id";
const OPEN_OF_USER: &str = "SELECT id FROM grants WHERE user_id = ?1 AND status = 'open' ORDER BY id";
const CLIENT_OF: &str = "SELECT client_id FROM grants WHERE id = ?1 AND user_id = ?2";
const AUDIENCES: &str = "SELECT audiences FROM grants WHERE id = ?1";
const TERMS: &str = "SELECT generation, scope FROM grants WHERE id = ?1";
const OWNER: &str = "SELECT user_id FROM grants WHERE id = ?1";

/// One row for each grant: the app, and what can still be live under it.
macro_rules! card {
    ($where:literal) => {
        concat!(
            "SELECT g.id, g.client_id, g.scope, g.status AS grant_status, g.ended_at, g.first_authorized_at, g.authorized_at, ",
            "g.last_used_at, c.name, c.publisher, c.token_format, c.redirect_uris, c.status AS client_status, ",
            "c.status_at AS client_status_at, c.status_reason AS client_status_reason, ",
            "g.client_generation = c.generation AND g.user_generation = u.generation ",
            "AND g.server_generation = s.generation AS is_current, ",
            "(SELECT count(*) FROM families AS f WHERE f.grant_id = g.id AND f.status = 'open' AND f.expires_at > ?2 ",
            "AND f.client_generation = c.generation AND f.user_generation = u.generation ",
            "AND f.server_generation = s.generation) AS devices, ",
            "(SELECT count(*) FROM families AS f JOIN /*postgres LATERAL (SELECT t.expires_at FROM*/ tokens AS t ",
            "/*sqlite*/ON/*end*/ /*postgres WHERE*/ ",
            "t.place >= f.created_at * 2097152 AND t.place < f.created_at * 2097152 + 1048576 ",
            "AND t.family_id = substr(f.id, 5) /*postgres OFFSET 0) AS t ON true*/",
            " WHERE f.grant_id = g.id AND f.status = 'open' AND t.expires_at > ?2 ",
            "AND f.client_generation = c.generation AND f.user_generation = u.generation ",
            "AND f.server_generation = s.generation) AS tokens ",
            "FROM grants AS g JOIN clients AS c ON c.id = g.client_id JOIN users AS u ON u.id = g.user_id ",
            "JOIN server AS s ON s.id = 1 WHERE g.user_id = ?1 AND ",
            $where
        )
    };
}

const CARDS: &str = card!("g.status = 'open' ORDER BY g.id DESC LIMIT 500");
const ENDED_CARDS: &str = card!("g.status = 'ended' ORDER BY g.ended_at DESC NULLS LAST, g.id LIMIT 100");
const CARD: &str = card!("g.id = ?3");
const LAST_CONSENT: &str = "SELECT max(authorized_at) FROM grants WHERE user_id = ?1 AND client_id = ?2";
const OPEN_WITH: &str = "SELECT id FROM grants WHERE user_id = ?1 AND client_id = ?2 AND status = 'open'";

/// A grant, as its owner sees it.
#[derive(Clone, Debug)]
pub struct GrantCard {
    pub id: GrantId,
    pub client_id: ClientId,
    pub scope: Scope,
    pub status: GrantStatus,
    pub first_authorized_at: Timestamp,
    pub authorized_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
    pub name: AppName,
    pub publisher: String,
    pub token_format: TokenFormat,
    pub redirect_uris: RedirectUris,
    pub client_status: ClientStatus,
    /// Whether the consent still stands; if not, the app has to ask again.
    pub is_current: bool,
    pub devices: i64,
    pub tokens: i64,
}

from_row! { GrantCard: id, client_id, scope, first_authorized_at, authorized_at, last_used_at, name, publisher,
token_format, redirect_uris, is_current, devices, tokens; status, client_status }

impl GrantCard {
    /// Whether its access tokens can be counted: JWTs have no row.
    pub fn has_countable_tokens(&self) -> bool {
        self.token_format == TokenFormat::Opaque || self.tokens > 0
    }
}

/// An open grant, with the generations of its consent.
pub struct OpenGrant {
    pub id: GrantId,
    pub scope: Scope,
    pub generations: Generations,
    pub authorized_at: Timestamp,
    /// All audiences that it ever had.
    pub audiences: Audiences,
}

/// What a consent allows, and where.
pub struct Consented<'a> {
    pub scope: &'a Scope,
    pub audiences: &'a Audiences,
    pub generations: Generations,
}

/// From three columns, of which the first has this number.
fn generations(row: &Row<'_>, first: usize) -> Result<Generations> {
    Ok(Generations { server: row.get(first)?, client: row.get(first + 1)?, user: row.get(first + 2)? })
}

impl OpenGrant {
    fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            scope: row.get(1)?,
            generations: generations(row, 2)?,
            authorized_at: row.get(5)?,
            audiences: row.get(6)?,
        })
    }
}

impl Store {
    /// The current generations, or `None` if the client or the user may not act.
    pub async fn generations(&self, client: &ClientId, user: &UserId) -> Result<Option<Generations>> {
        self.one(CURRENT, params![client, user], |row| generations(row, 0)).await
    }

    pub async fn open_grant(&self, client: &ClientId, user: &UserId) -> Result<Option<OpenGrant>> {
        self.one(OPEN, params![client, user], OpenGrant::read).await
    }

    /// All audiences that a grant ever had.
    pub async fn grant_audiences(&self, id: &GrantId) -> Result<Audiences> {
        let known = self.one(AUDIENCES, params![id], |row| row.get(0)).await?;
        Ok(known.unwrap_or(Audiences::Everyone))
    }

    pub async fn last_ended_grant(&self, client: &ClientId, user: &UserId) -> Result<Option<GrantId>> {
        self.one(LAST_ENDED, params![client, user], |row| row.get(0)).await
    }

    /// When the user last authorized the client, whether or not that grant is still open.
    pub async fn last_consent(&self, client: &ClientId, user: &UserId) -> Result<Option<Timestamp>> {
        self.only(LAST_CONSENT, params![user, client], |row| row.get(0)).await
    }

    /// A user's open grants, newest first.
    pub async fn grant_cards(&self, owner: &UserId, now: Timestamp) -> Result<Vec<GrantCard>> {
        self.rows(CARDS, params![owner, now]).await
    }

    /// A user's ended grants, newest end first.
    pub async fn ended_grant_cards(&self, owner: &UserId, now: Timestamp) -> Result<Vec<GrantCard>> {
        self.rows(ENDED_CARDS, params![owner, now]).await
    }

    pub async fn grant_card(
        &self,
        id: &GrantId,
        owner: &UserId,
        now: Timestamp,
    ) -> Result<Option<GrantCard>> {
        self.row(CARD, params![owner, now, id]).await
    }

    pub async fn open_grant_with(&self, owner: &UserId, client: &ClientId) -> Result<Option<GrantId>> {
        self.one(OPEN_WITH, params![owner, client], |row| row.get(0)).await
    }
}

impl Tx<'_> {
    /// The current generations, or `None` if the client or the user may not act. Until the commit, no other server
    /// changes the user or the user's grants.
    pub fn generations(&self, client: &ClientId, user: &UserId) -> Result<Option<Generations>> {
        self.one(CURRENT_LOCKED, params![client, user], |row| generations(row, 0))
    }

    pub fn open_grant(&self, client: &ClientId, user: &UserId) -> Result<Option<OpenGrant>> {
        self.one(OPEN, params![client, user], OpenGrant::read)
    }

    pub fn last_ended_grant(&self, client: &ClientId, user: &UserId) -> Result<Option<GrantId>> {
        // A request that shares the commit may have ended it.
        for grant in self.unnumbered_grants() {
            if self.any(HAS_ENDED, params![grant, client, user])? {
                return Ok(Some(grant));
            }
        }
        self.one(LAST_ENDED, params![client, user], |row| row.get(0))
    }

    /// `false` if they have an open grant already.
    pub fn insert_grant(
        &self,
        id: &GrantId,
        user: &UserId,
        client: &ClientId,
        consented: &Consented<'_>,
        now: Timestamp,
    ) -> Result<bool> {
        let Consented { scope, audiences, generations: at } = consented;
        let columns = params![id, user, client, scope, at.server, at.client, at.user, now, audiences];
        Ok(self.run(INSERT, columns)? == 1)
    }

    /// A new consent to an open grant. `false` if it has ended.
    pub fn renew_grant(&self, id: &GrantId, consented: &Consented<'_>, now: Timestamp) -> Result<bool> {
        let Consented { scope, audiences, generations: at } = consented;
        let rows = self.run(RENEW, params![id, scope, at.server, at.client, at.user, now, audiences])?;
        Ok(rows == 1)
    }

    /// Returns whose it was. `None` if it is not open.
    pub(super) fn end_grant(&self, id: &GrantId, now: Timestamp) -> Result<Option<(ClientId, UserId)>> {
        self.one(END, params![id, now], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    pub fn open_grants_of(&self, owner: &UserId) -> Result<Vec<GrantId>> {
        self.all(OPEN_OF_USER, params![owner], |row| row.get(0))
    }

    /// All audiences that a grant ever had.
    pub(super) fn grant_audiences(&self, id: &GrantId) -> Result<Audiences> {
        let known = self.one(AUDIENCES, params![id], |row| row.get(0))?;
        Ok(known.unwrap_or(Audiences::Everyone))
    }

    /// The client of a grant, open or ended. `None` unless the grant is the owner's.
    pub fn grant_client(&self, id: &GrantId, owner: &UserId) -> Result<Option<ClientId>> {
        self.one(CLIENT_OF, params![id, owner], |row| row.get(0))
    }

    /// The generation and the scope of a grant, from one read of its row.
    pub fn grant_terms(&self, grant: &GrantId) -> Result<Option<(i64, Scope)>> {
        self.one(TERMS, params![grant], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Whose grant it is, open or ended.
    pub fn grant_owner(&self, id: &GrantId) -> Result<Option<UserId>> {
        self.one(OWNER, params![id], |row| row.get(0))
    }
}
