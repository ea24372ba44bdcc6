//! The `revoked_tokens` table: JWT access tokens that were revoked one by one. A row stays until no guard can accept
//! the token.

use crate::clock::Timestamp;
use crate::model::id::ClientId;

use super::sql::params;
use super::{Result, Tx};

const INSERT: &str = "INSERT INTO revoked_tokens (id, client_id, expires_at) VALUES (?1, ?2, ?3) \
    ON CONFLICT DO NOTHING";
const IS_REVOKED: &str = "SELECT 1 FROM revoked_tokens WHERE id = ?1";
const COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM revoked_tokens \
    WHERE client_id = ?1 AND expires_at > ?2 LIMIT ?3) AS found";

impl Tx<'_> {
    /// `false` if it is revoked already.
    pub(super) fn insert_revoked_token(
        &self,
        id: &str,
        client: &ClientId,
        expires_at: Timestamp,
    ) -> Result<bool> {
        Ok(self.run(INSERT, params![id, client, expires_at])? == 1)
    }

    pub fn is_revoked_token(&self, id: &str) -> Result<bool> {
        self.any(IS_REVOKED, params![id])
    }

    /// How many of a client's JWTs were revoked one by one and expire after `since`, counted up to `most`.
    pub fn count_revoked_tokens(&self, client: &ClientId, since: Timestamp, most: i64) -> Result<i64> {
        self.only(COUNT, params![client, since, most], |row| row.get(0))
    }
}
