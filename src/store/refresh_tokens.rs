//! The `refresh_tokens` table.

use rusqlite::{OptionalExtension, params};

use crate::clock::Timestamp;
use crate::model::id::{ClientId, FamilyId};
use crate::model::secret::{Digest, SealedSuccessor};

use super::authorization_codes::Exchanged;
use super::live::live;
use super::{Result, Tx};

const INSERT: &str = "INSERT INTO refresh_tokens (digest, family_id, grant_id, client_id, user_id, server_generation, \
    client_generation, user_generation, scope, predecessor_digest, created_at, expires_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
const SUPERSEDE: &str = concat!(
    "UPDATE refresh_tokens SET superseded_at = ?3, sealed_successor = ?4 WHERE digest = ?1 AND client_id = ?2 ",
    "AND superseded_at IS NULL AND expires_at > ?3 AND ",
    live!("refresh_tokens"),
    " RETURNING family_id, grant_id, client_id, user_id, server_generation, client_generation, user_generation, scope, ",
    "predecessor_digest"
);
const CLOSE_WINDOW: &str = "UPDATE refresh_tokens SET sealed_successor = NULL WHERE digest = ?1";
const REPEATED: &str = concat!(
    "SELECT family_id, grant_id, client_id, user_id, server_generation, client_generation, user_generation, scope, ",
    "sealed_successor FROM refresh_tokens WHERE digest = ?1 AND client_id = ?2 AND superseded_at > ?3 ",
    "AND sealed_successor IS NOT NULL AND expires_at > ?4 AND ",
    live!("refresh_tokens")
);
const REUSED: &str = "SELECT family_id FROM refresh_tokens WHERE digest = ?1 AND client_id = ?2 \
    AND superseded_at IS NOT NULL";
const OWNER: &str = "SELECT client_id, family_id FROM refresh_tokens WHERE digest = ?1";

/// What `store::plans` looks at.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[SUPERSEDE, CLOSE_WINDOW, REPEATED, REUSED, OWNER];

impl Tx<'_> {
    pub fn insert_refresh_token(
        &self,
        token: &Digest,
        of: &Exchanged,
        predecessor: Option<&Digest>,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<()> {
        let Exchanged { stamp, scope } = of;
        self.connection.prepare_cached(INSERT)?.execute(params![
            token,
            stamp.family,
            stamp.grant,
            stamp.client,
            stamp.user,
            stamp.generations.server,
            stamp.generations.client,
            stamp.generations.user,
            scope,
            predecessor,
            now,
            expires_at,
        ])?;
        Ok(())
    }

    /// Rotates a refresh token away. `None` unless it is its client's, live, and not yet superseded.
    ///
    /// Its own predecessor's window closes with this: from now on that one is proof of reuse.
    pub fn supersede_refresh_token(
        &self,
        token: &Digest,
        client: &ClientId,
        sealed: &SealedSuccessor,
        now: Timestamp,
    ) -> Result<Option<Exchanged>> {
        let superseded = self
            .connection
            .prepare_cached(SUPERSEDE)?
            .query_row(params![token, client, now, sealed.as_bytes()], |row| {
                Ok((Exchanged::from_row(row)?, row.get::<_, Option<Digest>>(8)?))
            })
            .optional()?;
        let Some((exchanged, predecessor)) = superseded else { return Ok(None) };
        if let Some(predecessor) = predecessor {
            self.connection.prepare_cached(CLOSE_WINDOW)?.execute([predecessor])?;
        }
        Ok(Some(exchanged))
    }

    /// The sealed successor of a token that was superseded after `since` and may be repeated.
    pub fn repeatable_refresh_token(
        &self,
        token: &Digest,
        client: &ClientId,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Option<(Exchanged, SealedSuccessor)>> {
        Ok(self
            .connection
            .prepare_cached(REPEATED)?
            .query_row(params![token, client, since, now], |row| {
                Ok((Exchanged::from_row(row)?, SealedSuccessor::from_bytes(row.get(8)?)))
            })
            .optional()?)
    }

    /// The family of a superseded token, if `client` is its own.
    pub fn superseded_token_family(&self, token: &Digest, client: &ClientId) -> Result<Option<FamilyId>> {
        Ok(self
            .connection
            .prepare_cached(REUSED)?
            .query_row(params![token, client], |row| row.get(0))
            .optional()?)
    }

    pub fn refresh_token_owner(&self, token: &Digest) -> Result<Option<(ClientId, FamilyId)>> {
        Ok(self
            .connection
            .prepare_cached(OWNER)?
            .query_row([token], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?)
    }
}
