//! What has expired leaves, slice by slice.

use rusqlite::params;

use crate::clock::Timestamp;
use crate::model::act::{ACCEPTED_AFTER_EXPIRY, RETENTION};

use super::purges::Slice;
use super::{Result, Tx};

/// Expired rows; of families, those whose last credential has expired.
macro_rules! expired {
    ($table:literal, $key:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE ",
            $key,
            " IN (SELECT ",
            $key,
            " FROM ",
            $table,
            " WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)"
        )
    };
}

/// What is found through families.
const EXPIRED_OF_FAMILIES: [&str; 2] =
    [expired!("tokens", "place"), expired!("authorization_codes", "digest")];
const EXPIRED_FAMILIES: &str = expired!("families", "id");
const EXPIRED_APART: [&str; 3] = [
    expired!("sessions", "digest"),
    expired!("client_secrets", "id"),
    expired!("earlier_resource_server_secrets", "digest"),
];
/// A guard may accept a JWT for a while after its expiry, and longer if a clock is set back.
const EXPIRED_REVOCATIONS: &str = expired!("revoked_tokens", "id");

/// What `store::sqlite::plans` looks at.
#[cfg(test)]
pub(super) fn statements() -> impl Iterator<Item = &'static str> {
    let expired = EXPIRED_OF_FAMILIES.into_iter().chain(EXPIRED_APART);
    expired.chain([EXPIRED_FAMILIES, EXPIRED_REVOCATIONS])
}

impl Tx<'_> {
    /// Removes at most `rows` expired rows of each table.
    ///
    /// A used code and a superseded refresh token stay until their own expiry: they prove a replay. A family stays while
    /// anything that has expired is found through it: a clock that is set back would make that live again, and no
    /// revocation could find it. It also stays while a guard may still accept a JWT of it, so that it can be closed.
    pub fn purge_expired_slice(&self, rows: i64, now: Timestamp) -> Result<Slice> {
        let takes_all = |statement: &str, until: Timestamp| -> Result<bool> {
            Ok(self.delete(statement, params![until, rows])? < rows)
        };
        let mut done = true;
        self.effects.borrow_mut().expired = Some(now);
        for statement in EXPIRED_OF_FAMILIES {
            done &= takes_all(statement, now)?;
        }
        if done {
            done &= takes_all(EXPIRED_FAMILIES, now.minus(ACCEPTED_AFTER_EXPIRY))?;
        }
        for statement in EXPIRED_APART {
            done &= takes_all(statement, now)?;
        }
        done &= takes_all(EXPIRED_REVOCATIONS, now.minus(RETENTION))?;
        Ok(if done { Slice::Idle } else { Slice::Worked })
    }
}
