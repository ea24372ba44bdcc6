//! The `successor_keys` table: what successors of refresh tokens are derived from, while they may be repeated.
//!
//! A refresh takes a key that is younger than the grace, so the predecessor's window is over before the key is twice the
//! grace old. Then the key goes, and from there on a stolen database and a spent token together give nothing.

use std::time::Duration;

use rusqlite::{OptionalExtension, Row, params};

use crate::clock::Timestamp;
use crate::model::secret::{RefreshToken, SuccessorKey};

use super::{Result, Tx};

const NEWEST: &str =
    "SELECT key FROM successor_keys WHERE made_at > ?1 AND made_at <= ?2 ORDER BY id DESC LIMIT 1";
const INSERT: &str = "INSERT INTO successor_keys (key, made_at) VALUES (?1, ?2)";
/// Two or three as a rule; more where the clock is set back or requests come late.
const ALL: &str = "SELECT key FROM successor_keys ORDER BY id DESC LIMIT 100";
const FORGET: &str = "DELETE FROM successor_keys WHERE made_at <= ?1";

fn key(row: &Row<'_>) -> rusqlite::Result<SuccessorKey> {
    row.get(0).map(SuccessorKey::from_bytes)
}

impl Tx<'_> {
    /// What replaces a refresh token from now on; for `grace` it can be found again.
    pub fn derive_successor(
        &self,
        predecessor: &RefreshToken,
        grace: Duration,
        now: Timestamp,
    ) -> Result<RefreshToken> {
        if grace.is_zero() {
            return Ok(RefreshToken::generate(predecessor.born()));
        }
        // One from the future belongs to a clock that was set back: it would be used for longer than the grace.
        let young = params![now.minus(grace), now];
        let newest = self.connection.prepare_cached(NEWEST)?.query_row(young, key).optional()?;
        let key = match newest {
            Some(key) => key,
            None => {
                let key = SuccessorKey::generate();
                self.connection.prepare_cached(INSERT)?.execute(params![key.as_bytes(), now])?;
                key
            }
        };
        Ok(key.successor(predecessor))
    }

    /// What may have replaced a refresh token: one for each key that is left.
    pub(super) fn possible_successors(&self, predecessor: &RefreshToken) -> Result<Vec<RefreshToken>> {
        let mut keys = self.connection.prepare_cached(ALL)?;
        let successors = keys.query_map([], |row| Ok(key(row)?.successor(predecessor)))?;
        Ok(successors.collect::<rusqlite::Result<_>>()?)
    }

    /// Forgets the keys with which nothing can be repeated any more.
    pub fn forget_successor_keys(&self, grace: Duration, now: Timestamp) -> Result<()> {
        self.connection.prepare_cached(FORGET)?.execute([now.minus(grace * 2)])?;
        Ok(())
    }
}
