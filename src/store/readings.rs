//! What metrics read from the database: few rows, found by indexes.

use crate::clock::Timestamp;
use crate::model::act::Act;

use super::{Result, Store, readable};

/// One reading counts at most 100,000 rows; the next one continues from there.
const ACTS: &str = "SELECT act, count(*) AS rows, max(sequence) AS upto FROM (SELECT act, sequence FROM ledger \
    WHERE sequence > ?1 ORDER BY sequence LIMIT 100000) GROUP BY act";
const PURGES: &str = "SELECT count(*), min(ledger_sequence) FROM (SELECT ledger_sequence FROM purges \
    WHERE finished_at IS NULL ORDER BY updated_at, ledger_sequence LIMIT 100000)";
const AT: &str = "SELECT at FROM ledger WHERE sequence = ?1";

/// Rows of one act, and the newest of them.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ActCount {
    pub act: Act,
    pub rows: i64,
    pub upto: i64,
}

impl Store {
    /// Ledger rows after the sequence `after`, by act.
    pub async fn acts_since(&self, after: i64) -> Result<Vec<ActCount>> {
        let rows = sqlx::query(ACTS).bind(after).fetch_all(&mut *self.page().await?).await?;
        Ok(readable(&rows))
    }

    /// How many purges are unfinished, and when the oldest of them was queued.
    pub async fn purge_backlog(&self) -> Result<(i64, Option<Timestamp>)> {
        let (count, oldest): (i64, Option<i64>) =
            sqlx::query_as(PURGES).fetch_one(&mut *self.page().await?).await?;
        let Some(oldest) = oldest else { return Ok((count, None)) };
        Ok((count, sqlx::query_scalar(AT).bind(oldest).fetch_optional(&mut *self.page().await?).await?))
    }

    /// Writes in the queue.
    pub fn queued_writes(&self) -> usize {
        self.writer.queued()
    }

    /// Connections in use by pages.
    pub fn busy_readers(&self) -> usize {
        usize::try_from(self.pages.size()).unwrap_or(usize::MAX).saturating_sub(self.pages.num_idle())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::{FeedMetrics, Metrics, Reading};

    #[tokio::test]
    async fn a_page_that_finds_all_connections_taken_waits_and_is_timed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("rescind.db")).await.unwrap();
        let waited = || {
            let text = Metrics::default().text(store.metrics(), &FeedMetrics::default(), &Reading::default());
            let sum = text.lines().find_map(|line| line.strip_prefix("rescind_page_wait_seconds_sum "));
            Duration::from_secs_f64(sum.unwrap().parse().unwrap())
        };
        let mut taken = Vec::new();
        for _ in 0..super::super::READERS {
            taken.push(store.page().await.unwrap());
        }
        assert_eq!(store.busy_readers(), 4);
        let before = waited();
        let pause = Duration::from_millis(20);
        let free = async {
            tokio::time::sleep(pause).await;
            drop(taken);
        };
        let (last, ()) = tokio::join!(store.page(), free);
        drop(last.unwrap());
        assert!(waited() - before >= pause, "{:?}", waited());
        store.close().await;
    }
}
