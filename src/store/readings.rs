//! What metrics read from the database: few rows, found by indexes.

use crate::clock::Timestamp;
use crate::model::act::Act;

use super::sql::{Row, from_row, params};
use super::{Engine, Result, Store};

/// One reading counts at most 100,000 rows; the next one continues from there.
const ACTS: &str = "SELECT act, count(*) AS rows, max(sequence) AS upto FROM (SELECT act, sequence FROM ledger \
    WHERE sequence > ?1 ORDER BY sequence LIMIT 100000) AS newest GROUP BY act";
const PURGES: &str = "SELECT count(*), min(ledger_sequence) FROM (SELECT ledger_sequence FROM purges \
    WHERE finished_at IS NULL ORDER BY updated_at, ledger_sequence LIMIT 100000) AS unfinished";
const AT: &str = "SELECT at FROM ledger WHERE sequence = ?1";

/// Rows of one act, and the newest of them.
#[derive(Clone, Debug)]
pub struct ActCount {
    pub act: Act,
    pub rows: i64,
    pub upto: i64,
}

from_row! { ActCount: act, rows, upto }

impl Store {
    /// Ledger rows after the sequence `after`, by act.
    pub async fn acts_since(&self, after: i64) -> Result<Vec<ActCount>> {
        self.rows(ACTS, params![after]).await
    }

    /// How many purges are unfinished, and when the oldest of them was queued.
    pub async fn purge_backlog(&self) -> Result<(i64, Option<Timestamp>)> {
        let counts = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let counts = self.rows_read(PURGES, params![], counts).await?;
        let Some((count, Some(oldest))) = counts.into_iter().next() else { return Ok((0, None)) };
        let oldest: i64 = oldest;
        Ok((count, self.one(AT, params![oldest], |row| row.get(0)).await?))
    }

    /// Writes in the queue.
    pub fn queued_writes(&self) -> usize {
        match &self.engine {
            Engine::Sqlite(engine) => engine.writer.queue.waiting(),
            Engine::Postgres(engine) => engine.lane.waiting(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};
    use std::time::Duration;

    use super::*;
    use crate::metrics::{FeedMetrics, Metrics, Reading};
    use crate::store::pages::CONNECTIONS;

    #[tokio::test]
    async fn a_page_waits_when_all_connections_are_busy_and_the_wait_is_timed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("rescind.db")).await.unwrap();
        let waited = || {
            let text = Metrics::default().text(store.metrics(), &FeedMetrics::default(), &Reading::default());
            let sum = text.lines().find_map(|line| line.strip_prefix("rescind_page_wait_seconds_sum "));
            Duration::from_secs_f64(sum.unwrap().parse().unwrap())
        };
        let all_read = Arc::new(Barrier::new(CONNECTIONS + 1));
        for _ in 0..CONNECTIONS {
            let (store, all_read) = (store.clone(), all_read.clone());
            let read = async move { store.one_state(move |_| Ok(all_read.wait().is_leader())).await };
            tokio::spawn(read);
        }
        while store.busy_readers() < CONNECTIONS {
            tokio::task::yield_now().await;
        }
        let before = waited();
        let pause = Duration::from_millis(20);
        let free = async {
            tokio::time::sleep(pause).await;
            tokio::task::spawn_blocking(move || all_read.wait()).await.unwrap();
        };
        let (last, ()) = tokio::join!(store.one_state(|_| Ok(())), free);
        last.unwrap();
        assert!(waited() - before >= pause, "{:?}", waited());
        store.close().await;
    }
}
