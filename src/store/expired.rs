//! Deletes what has expired, slice by slice.

use crate::clock::Timestamp;
use crate::model::act::{ACCEPTED_AFTER_EXPIRY, RETENTION};

use super::purges::Slice;
use super::sql::params;
use super::{Result, Tx};

/// Tokens and codes. What another server is writing waits for the next time. A revocation finds most of them through their families.
const EXPIRED_OF_FAMILIES: [&str; 2] = [
    "DELETE FROM tokens WHERE place /*sqlite*/IN/*end*/ /*postgres = ANY (ARRAY*/ (SELECT place \
        FROM tokens WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2 /*postgres FOR UPDATE SKIP LOCKED)*/)",
    "DELETE FROM authorization_codes WHERE digest /*sqlite*/IN/*end*/ /*postgres = ANY (ARRAY*/ (SELECT digest \
        FROM authorization_codes WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2 /*postgres FOR UPDATE SKIP LOCKED)*/)",
];
/// Families of which every credential has expired.
const EXPIRED_FAMILIES: &str = "DELETE FROM families WHERE id /*sqlite*/IN/*end*/ /*postgres = ANY (ARRAY*/ (SELECT id \
    FROM families WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2 /*postgres FOR UPDATE SKIP LOCKED)*/)";
const EXPIRED_APART: [&str; 3] = [
    "DELETE FROM sessions WHERE digest /*sqlite*/IN/*end*/ /*postgres = ANY (ARRAY*/ (SELECT digest \
        FROM sessions WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2 /*postgres FOR UPDATE SKIP LOCKED)*/)",
    "DELETE FROM client_secrets WHERE id /*sqlite*/IN/*end*/ /*postgres = ANY (ARRAY*/ (SELECT id \
        FROM client_secrets WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2 /*postgres FOR UPDATE SKIP LOCKED)*/)",
    "DELETE FROM earlier_resource_server_secrets WHERE digest /*sqlite*/IN/*end*/ /*postgres = ANY (ARRAY*/ (SELECT digest \
        FROM earlier_resource_server_secrets WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2 /*postgres FOR UPDATE SKIP LOCKED)*/)",
];
/// These rows stay for a while after the expiry: a guard may still accept the JWT then, and longer if a clock is set
/// back.
const EXPIRED_REVOCATIONS: &str = "DELETE FROM revoked_tokens WHERE id /*sqlite*/IN/*end*/ /*postgres = ANY (ARRAY*/ (SELECT id \
    FROM revoked_tokens WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2 /*postgres FOR UPDATE SKIP LOCKED)*/)";

impl Tx<'_> {
    /// Deletes at most `rows` expired rows of each table.
    ///
    /// A used code and a superseded refresh token stay until their own expiry, because they prove a replay. A family
    /// stays while it has expired tokens or codes: if the clock is set back, they are live again, and a revocation has
    /// to find them. It also stays while a guard may still accept one of its JWTs, so that it can be closed.
    pub fn purge_expired_slice(&self, rows: i64, now: Timestamp) -> Result<Slice> {
        let takes_all = |statement: &'static str, until: Timestamp| -> Result<bool> {
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
        done &= self.delete_whole_budgets(rows, now)?;
        Ok(if done { Slice::Idle } else { Slice::Worked })
    }
}
