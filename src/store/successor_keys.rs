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
    "SELECT salt FROM successor_keys WHERE made_at > ?1 AND made_at <= ?2 ORDER BY id DESC LIMIT 1";
const INSERT: &str = "INSERT INTO successor_keys (salt, made_at) VALUES (?1, ?2)";
/// Usually two or three. More if the clock is set back or requests come late.
const ALL: &str = "SELECT salt FROM successor_keys ORDER BY id DESC LIMIT 100";
const FORGET: &str = "DELETE FROM successor_keys WHERE made_at <= ?1";

fn salt(row: &Row<'_>) -> Result<[u8; 32]> {
    row.get(0)
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
        // Not one from the future, which a clock that was set back leaves: it would be used for longer than the grace.
        let newest = self.one(NEWEST, params![now.minus(grace), now], salt)?;
        let salt = match newest {
            Some(salt) => salt,
            None => {
                let salt = rand::random();
                self.run(INSERT, params![salt, now])?;
                salt
            }
        };
        Ok(secret.key(&salt).successor(predecessor))
    }

    /// The tokens that may have replaced a refresh token: one for each key that is left.
    pub(super) fn possible_successors(
        &self,
        predecessor: &RefreshToken,
        secret: &SuccessorSecret,
    ) -> Result<Vec<RefreshToken>> {
        self.all(ALL, params![], |row| Ok(secret.key(&salt(row)?).successor(predecessor)))
    }

    /// Deletes the keys that no repetition needs any more.
    pub fn forget_successor_keys(&self, grace: Duration, now: Timestamp) -> Result<()> {
        self.run(FORGET, params![now.minus(grace * 2)])?;
        Ok(())
    }
}
