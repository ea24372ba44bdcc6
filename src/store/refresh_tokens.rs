//! The `refresh_tokens` table.

use rusqlite::{OptionalExtension, params};

use crate::clock::Timestamp;
use crate::model::id::{ClientId, FamilyId};
use crate::model::secret::{Digest, SealedSuccessor};

use super::authorization_codes::Exchanged;
use super::live::live;
use super::{Result, Tx};

const INSERT: &str = "INSERT INTO refresh_tokens (digest, family_id, grant_id, client_id, user_id, server_generation, \
    client_generation, user_generation, scope, sealed, created_at, expires_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
const SUPERSEDE: &str = concat!(
    "UPDATE refresh_tokens SET superseded_at = ?3, successor_digest = ?4 WHERE digest = ?1 AND client_id = ?2 ",
    "AND superseded_at IS NULL AND expires_at > ?3 AND ",
    live!("refresh_tokens")
);
const EXCHANGED: &str = "SELECT family_id, grant_id, client_id, user_id, server_generation, client_generation, \
    user_generation, scope FROM refresh_tokens WHERE digest = ?1";
/// While nobody has refreshed with the successor: from then on, the predecessor is proof of reuse.
const REPEATED: &str = concat!(
    "SELECT t.family_id, t.grant_id, t.client_id, t.user_id, t.server_generation, t.client_generation, ",
    "t.user_generation, t.scope, n.sealed FROM refresh_tokens AS t JOIN refresh_tokens AS n ",
    "ON n.digest = t.successor_digest WHERE t.digest = ?1 AND t.client_id = ?2 AND t.superseded_at > ?3 ",
    "AND n.superseded_at IS NULL AND n.sealed IS NOT NULL AND t.expires_at > ?4 AND ",
    live!("t")
);
const REUSED: &str = "SELECT family_id FROM refresh_tokens WHERE digest = ?1 AND client_id = ?2 \
    AND superseded_at IS NOT NULL";
const OWNER: &str = "SELECT client_id, family_id FROM refresh_tokens WHERE digest = ?1";

/// What `store::plans` looks at.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[SUPERSEDE, EXCHANGED, REPEATED, REUSED, OWNER];

impl Tx<'_> {
    /// `sealed` is the token itself, sealed under its predecessor.
    pub fn insert_refresh_token(
        &self,
        token: &Digest,
        of: &Exchanged,
        sealed: Option<&SealedSuccessor>,
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
            sealed.map(SealedSuccessor::as_bytes),
            now,
            expires_at,
        ])?;
        Ok(())
    }

    /// Rotates a refresh token away. `None` unless it is its client's, live, and not yet superseded.
    pub fn supersede_refresh_token(
        &self,
        token: &Digest,
        client: &ClientId,
        successor: &Digest,
        now: Timestamp,
    ) -> Result<Option<Exchanged>> {
        // Not by RETURNING, for which SQLite makes a table: that costs more than the rest of a refresh.
        let rows =
            self.connection.prepare_cached(SUPERSEDE)?.execute(params![token, client, now, successor])?;
        let exchanged = || self.connection.prepare_cached(EXCHANGED)?.query_row([token], Exchanged::from_row);
        Ok((rows == 1).then(exchanged).transpose()?)
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
