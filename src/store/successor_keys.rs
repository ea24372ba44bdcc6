//! The `successor_keys` table: salts of the keys that successors of refresh tokens are derived from.
//!
//! A refresh uses a key that is younger than the grace, so the predecessor's window is over before the key is twice the
//! grace old. Then its salt is deleted. A backup, and pages that SQLite has freed, may keep it, but it is useless
//! without the key file.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::model::secret::{RefreshToken, SuccessorSecret};

use super::sql::{Row, params};
use super::{Result, Tx};

const NEWEST: &str =
    "SELECT salt, made_at FROM successor_keys WHERE made_at > ?1 AND made_at <= ?2 ORDER BY id DESC LIMIT 1";
const INSERT: &str = "INSERT INTO successor_keys (salt, made_at) VALUES (?1, ?2)";
/// Usually two or three. More if the clock is set back or requests come late.
const ALL: &str = "SELECT salt FROM successor_keys ORDER BY id DESC LIMIT 100";
const FORGET: &str = "DELETE FROM successor_keys WHERE made_at <= ?1";

/// A row, which never changes.
#[derive(Clone, Copy)]
pub(super) struct SuccessorKey {
    salt: [u8; 32],
    made_at: Timestamp,
}

impl Tx<'_> {
    /// The token that replaces a refresh token. It can be derived again for `grace`.
    pub fn derive_successor(
        &self,
        predecessor: &RefreshToken,
        secret: &SuccessorSecret,
        grace: Duration,
        now: Timestamp,
    ) -> Result<RefreshToken> {
        if grace.is_zero() {
            return Ok(RefreshToken::generate(predecessor.born()));
        }
        let known = self.effects.borrow().successor_key.or(self.known_successor_key);
        // Not one from the future, which a clock that was set back leaves: it would be used for longer than the grace.
        let key = match known.filter(|key| now.minus(grace) < key.made_at && key.made_at <= now) {
            Some(key) => key,
            None => self.newest_successor_key(grace, now)?,
        };
        self.effects.borrow_mut().successor_key = Some(key);
        Ok(secret.key(&key.salt).successor(predecessor))
    }

    fn newest_successor_key(&self, grace: Duration, now: Timestamp) -> Result<SuccessorKey> {
        let key = |row: &Row<'_>| Ok(SuccessorKey { salt: row.get(0)?, made_at: row.get(1)? });
        if let Some(newest) = self.one(NEWEST, params![now.minus(grace), now], key)? {
            return Ok(newest);
        }
        let key = SuccessorKey { salt: rand::random(), made_at: now };
        self.run(INSERT, params![key.salt, key.made_at])?;
        Ok(key)
    }

    /// The tokens that may have replaced a refresh token: one for each key that is left.
    pub(super) fn possible_successors(
        &self,
        predecessor: &RefreshToken,
        secret: &SuccessorSecret,
    ) -> Result<Vec<RefreshToken>> {
        let successor = |row: &Row<'_>| {
            let salt: [u8; 32] = row.get(0)?;
            Ok(secret.key(&salt).successor(predecessor))
        };
        self.all(ALL, params![], successor)
    }

    /// Deletes the keys that no repetition needs any more.
    pub fn forget_successor_keys(&self, grace: Duration, now: Timestamp) -> Result<()> {
        self.run(FORGET, params![now.minus(grace * 2)])?;
        Ok(())
    }
}
