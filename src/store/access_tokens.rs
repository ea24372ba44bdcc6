//! Opaque access tokens, in the `tokens` table.

use crate::clock::Timestamp;
use crate::model::id::{ClientId, GrantId, UserId};
use crate::model::resource_server::AudienceSet;
use crate::model::scope::Scope;
use crate::model::secret::Digest;
use crate::model::stamp::Stamp;

use super::authorization_codes::Exchanged;
use super::sql::{Lookup, Row, params};
use super::tokens::{self, Kind, TokenColumns, Unprefixed, first_place, stored_digest};
use super::{Result, Store, Tx};

const INSERT_FOR_CLIENT: &str = "INSERT INTO tokens (place, digest, client_id, server_generation, client_generation, \
    scope, audience, created_at, expires_at) \
    SELECT ?1, ?2, substr(c.id, 5), s.generation, c.generation, ?4, ?5, ?6, ?7 FROM clients AS c, server AS s \
    WHERE s.id = 1 AND c.id = ?3 AND c.status = 'active' ON CONFLICT (place) DO NOTHING";
const FACTS: &str = "SELECT family_id, grant_id, client_id, user_id, server_generation, client_generation, user_generation, scope, \
     audience, created_at, expires_at, grant_generation FROM tokens WHERE place >= ?1 AND place < ?1 + 8 AND \
     digest = ?2";
const OWNED: &str = "SELECT client_id, grant_id, user_id, audience FROM tokens WHERE place >= ?1 AND place < ?1 + 8 \
    AND digest = ?2 /*postgres FOR UPDATE*/";
const DELETE: &str = "DELETE FROM tokens WHERE place >= ?1 AND place < ?1 + 8 AND digest = ?2";

/// A token as it was minted. None of this ever changes.
pub struct AccessTokenFacts {
    /// Its public name, the `jti` of RFC 7519 §4.1.7.
    pub id: String,
    pub stamp: Stamp,
    /// What its grant's generation was; `None` without a grant.
    pub grant_generation: Option<i64>,
    pub scope: Scope,
    pub audiences: AudienceSet,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

impl AccessTokenFacts {
    fn read(token: &Digest, row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: token.token_id(),
            stamp: tokens::stamp(row)?,
            scope: row.get(7)?,
            audiences: row.get(8)?,
            created_at: row.get(9)?,
            expires_at: row.get(10)?,
            grant_generation: row.get(11)?,
        })
    }
}

/// What [`Tx::owned_access_token`] looks up.
pub fn owned_access_token(token: &Digest) -> Lookup {
    Lookup::new(OWNED, params![first_place(token, Kind::Access), stored_digest(token)])
}

impl Store {
    /// A live token: it has not expired, and neither the token nor anything that it depends on was revoked. Its row may
    /// be gone already if its facts are cached (`super::memory::dead` says why that is enough).
    pub async fn live_access_token(
        &self,
        token: &Digest,
        now: Timestamp,
    ) -> Result<Option<AccessTokenFacts>> {
        let Some(facts) = self.access_token_facts(token, now).await? else { return Ok(None) };
        Ok(if self.is_dead(&facts).await? { None } else { Some(facts) })
    }

    /// A token that has not expired, whether or not it was revoked.
    pub(super) async fn access_token_facts(
        &self,
        token: &Digest,
        now: Timestamp,
    ) -> Result<Option<AccessTokenFacts>> {
        let facts = match self.access_tokens.get(token) {
            Some(facts) => facts,
            None => {
                let first = first_place(token, Kind::Access);
                let facts = |row: &Row<'_>| AccessTokenFacts::read(token, row);
                let found = Box::pin(self.one(FACTS, params![first, stored_digest(token)], facts)).await?;
                let Some(facts) = found else { return Ok(None) };
                self.access_tokens.insert(token, &facts);
                facts
            }
        };
        let has_expired = facts.expires_at <= self.no_earlier_than_deletions(now);
        Ok((!has_expired).then_some(facts))
    }
}

/// What an access token allows, where and until when.
pub struct Allowance<'a> {
    pub scope: &'a Scope,
    pub audiences: &'a AudienceSet,
    pub expires_at: Timestamp,
}

/// Whose token it is, and where it is accepted.
pub struct OwnedToken {
    pub client: ClientId,
    pub grant: Option<GrantId>,
    pub user: Option<UserId>,
    pub audiences: AudienceSet,
}

impl Tx<'_> {
    pub fn insert_access_token(
        &self,
        token: &Digest,
        of: &Exchanged,
        allows: &Allowance<'_>,
        now: Timestamp,
    ) -> Result<()> {
        let columns = TokenColumns {
            scope: allows.scope,
            audiences: Some(allows.audiences),
            kept_until: None,
            created_at: Some(now),
            expires_at: allows.expires_at,
        };
        self.insert_token(token, Kind::Access, of, &columns)
    }

    /// For client_credentials. One statement checks the client's status and stamps the token with the current
    /// generations. `false` if the client may not act.
    pub fn insert_client_access_token(
        &self,
        token: &Digest,
        client: &ClientId,
        allows: &Allowance<'_>,
        now: Timestamp,
    ) -> Result<bool> {
        let Allowance { scope, audiences, expires_at } = allows;
        let place = first_place(token, Kind::Access);
        self.insert_in_place(
            INSERT_FOR_CLIENT,
            params![place, stored_digest(token), client, scope, audiences, now, expires_at],
        )
    }

    pub fn owned_access_token(&self, token: &Digest) -> Result<Option<OwnedToken>> {
        let owned = |row: &Row<'_>| {
            let Unprefixed(client) = row.get(0)?;
            Ok(OwnedToken {
                client,
                grant: tokens::optional_id(row, 1)?,
                user: tokens::optional_id(row, 2)?,
                audiences: row.get(3)?,
            })
        };
        let Lookup { statement, values } = owned_access_token(token);
        self.one(statement, &values, owned)
    }

    /// For whoever has looked the token up in this transaction. `false` if there was no such token.
    pub(super) fn delete_access_token(&self, token: &Digest) -> Result<bool> {
        self.run_for_one(DELETE, params![first_place(token, Kind::Access), stored_digest(token)])
    }
}
