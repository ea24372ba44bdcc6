//! Moves what the log holds into the database file, on a thread of its own.
//!
//! A commit only appends to the log. Moving its pages means writing all over the file and waiting for
//! the disk, for a tenth of a second when there are many: the writer would hold up everybody. So this
//! thread moves them while the writer goes on. Once few are left, the writer moves those between two
//! commits, since the log begins anew only when all have been moved.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::views::Views;
use super::{BUSY, Error, Result};

/// Pages in the log before they are moved.
const MANY: i64 = 500;
/// Pages that the writer moves itself: one or two milliseconds.
const FEW: i64 = 64;
/// Each pass finds what the writer has added during the one before.
const PASSES: usize = 8;

/// Counts the pages in the log and those already moved, and moves nothing.
const LOOK: &str = "PRAGMA wal_checkpoint(NOOP)";
/// Moves what no reader holds up, and waits for nobody.
const MOVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// The writer's side.
pub(super) struct Checkpoints {
    committed: SyncSender<()>,
    is_nearly_done: Arc<AtomicBool>,
    views: Arc<Views>,
    thread: JoinHandle<()>,
}

impl Checkpoints {
    pub(super) fn start(path: &Path, views: Arc<Views>) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -64;")?;
        // Before its first read a connection does not know that there is a log.
        connection.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
        let (committed, commits) = sync_channel(1);
        let is_nearly_done = Arc::<AtomicBool>::default();
        let (nearly_done, looking) = (is_nearly_done.clone(), views.clone());
        let thread = std::thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(move || run(&connection, &commits, &nearly_done, &looking))
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Self { committed, is_nearly_done, views, thread })
    }

    /// After a commit on `connection`, between two transactions.
    pub(super) fn committed(&self, connection: &Connection) {
        if self.is_nearly_done.swap(false, Ordering::Relaxed) {
            self.views.end();
            note(left(connection, MOVE));
            // Views of what was moved hold up the log no more; those of before do.
            self.views.end();
        }
        // Full means that it will look anyway.
        let _ = self.committed.try_send(());
    }

    /// Waits for what is being moved.
    pub(super) fn stop(self) {
        drop(self.committed);
        let _ = self.thread.join();
    }
}

fn run(connection: &Connection, commits: &Receiver<()>, is_nearly_done: &AtomicBool, views: &Views) {
    while commits.recv().is_ok() {
        let moved = left(connection, LOOK).and_then(|left| {
            if left >= MANY && move_most(connection, views)? {
                is_nearly_done.store(true, Ordering::Relaxed);
            }
            Ok(())
        });
        note(moved);
    }
}

/// Whether only few pages are left.
fn move_most(connection: &Connection, views: &Views) -> rusqlite::Result<bool> {
    views.end();
    for _ in 0..PASSES {
        left(connection, MOVE)?;
        if left(connection, LOOK)? <= FEW {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Pages of the log that are still to be moved, after `checkpoint`.
fn left(connection: &Connection, checkpoint: &str) -> rusqlite::Result<i64> {
    connection.query_row(checkpoint, [], |row| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?))
}

fn note<T>(moved: rusqlite::Result<T>) {
    if let Err(error) = moved {
        tracing::warn!(error = %error, "store.checkpoint_failed");
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::Timestamp;

    use super::*;

    /// Pages in the log, and of these moved.
    fn log(connection: &Connection) -> (i64, i64) {
        connection.query_row(LOOK, [], |row| Ok((row.get(1)?, row.get(2)?))).unwrap()
    }

    #[test]
    fn sqlite_is_new_enough_for_a_checkpoint_beside_a_writer() {
        // Up to 3.51.2 the log could begin anew under a checkpoint of another connection, and lose what it held.
        assert!(rusqlite::version_number() >= 3_051_003);
    }

    #[test]
    fn a_long_log_is_moved_beside_the_writer_and_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let writer = Connection::open(&path).unwrap();
        writer
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x BLOB NOT NULL)",
            )
            .unwrap();
        let views = Arc::new(Views::open(&path, Arc::default()).unwrap());
        let checkpoints = Checkpoints::start(&path, views.clone()).unwrap();
        let commit = |pages: i64| {
            let rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
                INSERT INTO t SELECT zeroblob(4000) FROM n";
            writer.execute(rows, [pages]).unwrap();
            checkpoints.committed(&writer);
        };
        commit(MANY / 2);
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(log(&writer).1, 0, "a short log is left alone");
        // Commits go on until the log is shorter than one of them has made it.
        let mut longest = 0;
        for _ in 0..10_000 {
            commit(10);
            // Somebody looks at the table all the time.
            views
                .find(Timestamp::from_millis(1), |c| {
                    c.query_row("SELECT 1 FROM t LIMIT 1", [], |_| Ok(Some(())))
                })
                .unwrap();
            let (pages, _) = log(&writer);
            if pages < longest {
                checkpoints.stop();
                return;
            }
            longest = pages;
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("the log has {longest} pages, and never began anew");
    }
}
