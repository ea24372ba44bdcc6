//! Refresh tokens, in the `tokens` table.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::model::id::{ClientId, FamilyId};
use crate::model::secret::{Digest, RefreshToken, SuccessorSecret};

use super::authorization_codes::Exchanged;
use super::sql::{Lookup, Row, params};
use super::tokens::{self, Kind, TokenColumns, Unprefixed, first_place, stored_digest};
use super::{Result, Tx};

const SHOWN: &str = "SELECT family_id, grant_id, client_id, user_id, server_generation, client_generation, user_generation, scope, \
     grant_generation, kept_until, expires_at, superseded_at, place FROM tokens WHERE place >= ?1 AND place < ?1 \
     + 8 AND digest = ?2 /*postgres FOR UPDATE*/";
/// Keeps what proves a reuse: client, family, and until when.
const SUPERSEDE: &str = "UPDATE tokens SET superseded_at = ?2, grant_id = NULL, user_id = NULL, scope = NULL, kept_until = NULL \
    WHERE place = ?1 AND superseded_at IS NULL";
const OWNER: &str =
    "SELECT client_id, family_id FROM tokens WHERE place >= ?1 AND place < ?1 + 8 AND digest = ?2";

/// The state of a refresh token that its own client shows.
enum Shown {
    Current { token: Current, is_live: bool },
    Superseded { family: FamilyId, at: Timestamp, has_expired: bool },
}

/// A refresh token that nobody has exchanged.
pub struct Current {
    pub exchanged: Exchanged,
    place: i64,
}

/// What it means when a client shows its superseded token again.
pub enum Repetition {
    /// An answer was lost, or two requests ran in parallel: the client gets this successor again.
    Repeatable(Exchanged, RefreshToken),
    /// The window is over, or the successor has been used, has expired or was revoked.
    Reuse(FamilyId),
    /// Within the window, but no key that is left derives a stored successor. It proves nothing.
    Unknown,
}

/// What [`Tx::current_refresh_token`] looks up.
pub fn shown_refresh_token(token: &Digest) -> Lookup {
    Lookup::new(SHOWN, params![first_place(token, Kind::Refresh), stored_digest(token)])
}

impl Tx<'_> {
    pub fn insert_refresh_token(&self, token: &Digest, of: &Exchanged, expires_at: Timestamp) -> Result<()> {
        let columns = TokenColumns {
            scope: &of.scope,
            audiences: None,
            kept_until: Some(of.kept_until),
            created_at: None,
            expires_at,
        };
        self.insert_token(token, Kind::Refresh, of, &columns)
    }

    fn shown_refresh_token(
        &self,
        token: &Digest,
        client: &ClientId,
        now: Timestamp,
    ) -> Result<Option<Shown>> {
        let shown = |row: &Row<'_>| {
            let stamp = tokens::stamp(row)?;
            if stamp.client != *client {
                return Ok(None);
            }
            let has_expired = row.get::<Timestamp>(10)? <= now;
            if let Some(at) = row.get(11)? {
                return Ok(stamp.family.map(|family| Shown::Superseded { family, at, has_expired }));
            }
            let exchanged = Exchanged::read(stamp, row)?;
            let is_live = !has_expired && !self.is_dead(&exchanged.stamp, Some(exchanged.grant_generation));
            let token = Current { exchanged, place: row.get(12)? };
            Ok(Some(Shown::Current { token, is_live }))
        };
        let Lookup { statement, values } = shown_refresh_token(token);
        Ok(self.one(statement, &values, shown)?.flatten())
    }

    /// `None` unless it is the client's, live, and not yet superseded.
    pub fn current_refresh_token(
        &self,
        token: &Digest,
        client: &ClientId,
        now: Timestamp,
    ) -> Result<Option<Current>> {
        Ok(match self.shown_refresh_token(token, client, now)? {
            Some(Shown::Current { token, is_live: true }) => Some(token),
            _ => None,
        })
    }

    /// Marks a refresh token as superseded. `false` if it is already.
    pub fn supersede_refresh_token(&self, token: &Current, now: Timestamp) -> Result<bool> {
        self.run_for_one(SUPERSEDE, params![token.place, now])
    }

    /// What it means that `client` shows a superseded token again, within `grace` or later. `None` unless the token is
    /// superseded and the client's.
    pub fn repeated_refresh_token(
        &self,
        token: &RefreshToken,
        client: &ClientId,
        secret: &SuccessorSecret,
        grace: Duration,
        now: Timestamp,
    ) -> Result<Option<Repetition>> {
        let Some(Shown::Superseded { family, at, has_expired }) =
            self.shown_refresh_token(&token.digest(), client, now)?
        else {
            return Ok(None);
        };
        if has_expired || grace.is_zero() || at <= now.minus(grace) {
            return Ok(Some(Repetition::Reuse(family)));
        }
        for successor in self.possible_successors(token, secret)? {
            match self.shown_refresh_token(&successor.digest(), client, now)? {
                Some(Shown::Current { token, is_live: true }) => {
                    return Ok(Some(Repetition::Repeatable(token.exchanged, successor)));
                }
                // Once the successor was used or is dead, its predecessor proves a reuse.
                Some(Shown::Current { .. } | Shown::Superseded { .. }) => {
                    return Ok(Some(Repetition::Reuse(family)));
                }
                None => {}
            }
        }
        Ok(Some(Repetition::Unknown))
    }

    pub fn refresh_token_owner(&self, token: &Digest) -> Result<Option<(ClientId, FamilyId)>> {
        self.one(OWNER, params![first_place(token, Kind::Refresh), stored_digest(token)], |row| {
            let (Unprefixed(client), Unprefixed(family)) = (row.get(0)?, row.get(1)?);
            Ok((client, family))
        })
    }
}
