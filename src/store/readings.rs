//! What metrics ask of the database: little, and by indexes.

use crate::clock::Timestamp;

use super::{Result, Store};

/// Rows counted in one reading at the most; the next one goes on from there.
const ACTS: &str = "SELECT act, count(*) AS rows, max(sequence) AS upto FROM (SELECT act, sequence FROM ledger \
    WHERE sequence > ?1 ORDER BY sequence LIMIT 100000) GROUP BY act";
const PURGES: &str = "SELECT count(*), min(ledger_sequence) FROM (SELECT ledger_sequence FROM purges \
    WHERE finished_at IS NULL ORDER BY updated_at, ledger_sequence LIMIT 100000)";
const AT: &str = "SELECT at FROM ledger WHERE sequence = ?1";

/// What `store::plans` looks at.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[ACTS, PURGES, AT];

/// Rows of one act, and the newest of them.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ActCount {
    pub act: String,
    pub rows: i64,
    pub upto: i64,
}

impl Store {
    /// Ledger rows after the sequence `after`, by act.
    pub async fn acts_since(&self, after: i64) -> Result<Vec<ActCount>> {
        Ok(sqlx::query_as(ACTS).bind(after).fetch_all(&self.pages).await?)
    }

    /// How many purges are unfinished, and when the oldest of them was queued.
    pub async fn purge_backlog(&self) -> Result<(i64, Option<Timestamp>)> {
        let (count, oldest): (i64, Option<i64>) = sqlx::query_as(PURGES).fetch_one(&self.pages).await?;
        let Some(oldest) = oldest else { return Ok((count, None)) };
        Ok((count, sqlx::query_scalar(AT).bind(oldest).fetch_optional(&self.pages).await?))
    }

    /// Writes that wait for their turn.
    pub fn queued_writes(&self) -> usize {
        self.writer.queued()
    }

    /// Connections that pages hold.
    pub fn busy_readers(&self) -> usize {
        usize::try_from(self.pages.size()).unwrap_or(usize::MAX).saturating_sub(self.pages.num_idle())
    }
}
