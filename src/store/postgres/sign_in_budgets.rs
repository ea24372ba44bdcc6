//! The `sign_in_budgets` table, in which several servers on PostgreSQL count failed sign-ins together.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::clock::Timestamp;
use crate::model::budget::Budget;
use crate::store::sql::{Connection, params};
use crate::store::{Result, Store, Tx};

/// Locks the rows in the order of their keys, and makes those that are missing.
const LOCK: &str = "INSERT INTO sign_in_budgets AS b (key, whole_at) SELECT x.key, ?2 \
    FROM jsonb_to_recordset(CAST(CAST(?1 AS TEXT) AS JSONB)) AS x (key TEXT) ORDER BY x.key \
    ON CONFLICT (key) DO UPDATE SET whole_at = b.whole_at RETURNING b.key, b.whole_at";
const MOVE: &str = "UPDATE sign_in_budgets AS b SET whole_at = greatest(b.whole_at, ?2) + x.step \
    FROM jsonb_to_recordset(CAST(CAST(?1 AS TEXT) AS JSONB)) AS x (key TEXT, step BIGINT) WHERE b.key = x.key";
const NOTE: &str = "INSERT INTO sign_in_budgets (key, whole_at) VALUES (?1, ?2) \
    ON CONFLICT (key) DO UPDATE SET whole_at = excluded.whole_at";
const IS_NOTED: &str = "SELECT 1 FROM sign_in_budgets WHERE key = ?1 AND whole_at > ?2";
const DELETE_WHOLE: &str = "DELETE FROM sign_in_budgets WHERE key = ANY (ARRAY (SELECT key FROM sign_in_budgets \
    WHERE whole_at <= ?1 ORDER BY whole_at LIMIT ?2 FOR UPDATE SKIP LOCKED))";

#[derive(Clone, Debug)]
pub struct SharedBudget {
    /// A digest of what is counted.
    pub key: String,
    pub budget: Budget,
}

fn array(budgets: &[SharedBudget], direction: i64) -> String {
    let step = |budget: &SharedBudget| {
        direction.saturating_mul(i64::try_from(budget.budget.interval.as_millis()).unwrap_or(i64::MAX))
    };
    let row = |budget: &SharedBudget| json!({ "key": budget.key, "step": step(budget) });
    Json::Array(budgets.iter().map(row).collect()).to_string()
}

impl Store {
    /// Whether what [`Tx::note_sign_in`] noted under this key still counts.
    pub async fn is_sign_in_noted(&self, key: &str, now: Timestamp) -> Result<bool> {
        self.any(IS_NOTED, params![key, now]).await
    }
}

impl Tx<'_> {
    /// Takes an attempt from each budget, or, if one is used up, from none: then it says how long that lasts.
    pub fn take_attempt(&self, budgets: &[SharedBudget], now: Timestamp) -> Result<Duration> {
        let steps = array(budgets, 1);
        let mut wait = Duration::ZERO;
        self.each(LOCK, params![steps, now], |row| {
            let (key, whole_at): (String, Timestamp) = (row.get(0)?, row.get(1)?);
            let budget = budgets.iter().find(|budget| budget.key == key);
            wait = wait.max(budget.map_or(Duration::ZERO, |shared| shared.budget.wait(whole_at, now)));
            Ok(())
        })?;
        if wait.is_zero() {
            self.run(MOVE, params![steps, now])?;
        }
        Ok(wait)
    }

    pub fn give_attempt_back(&self, budgets: &[SharedBudget], now: Timestamp) -> Result<()> {
        self.run(MOVE, params![array(budgets, -1), now])?;
        Ok(())
    }

    /// Notes until when a successful sign-in counts.
    pub fn note_sign_in(&self, key: &str, until: Timestamp) -> Result<()> {
        self.run(NOTE, params![key, until])?;
        Ok(())
    }

    /// Deletes budgets that are full again, and what no longer counts.
    pub(in crate::store) fn delete_whole_budgets(&self, rows: i64, now: Timestamp) -> Result<bool> {
        let Connection::Postgres(_) = self.connection() else { return Ok(true) };
        Ok(self.delete(DELETE_WHOLE, params![now, rows])? < rows)
    }
}
