//! Moves pages from the log (WAL) into the database file, on its own thread.
//!
//! A commit only appends to the log. Moving its pages means many small writes all over the file, and waiting for the
//! disk: a tenth of a second when there are many. All requests would wait if the writer did that. So this thread moves
//! pages while the writer goes on. Once few are left, the writer moves them between two commits, because the log starts
//! over only when all of its pages have been moved.
//!
//! SQLite syncs the database file only when all pages have been moved, and then the writer would wait for the disk
//! after all. So this thread syncs the file earlier.

use std::fmt::Display;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::store::{BUSY, Result};

/// Pages in the log before they are moved. The more are moved at once, the less each costs the disk.
const MANY: i64 = 1_000;
/// Pages in the log before it is made to start over. That takes many small moves beside the commits of that time.
const LONG: i64 = 8_000;
/// Replaces both while something is purged. A slice fills the log with pages that are next to each other, and requests
/// that wait for the disk behind them should not wait long.
const WHILE_PURGING: i64 = 500;
/// At most about this many pages are left for the writer to move, and at most [`UNSYNCED`] moved pages for it to sync:
/// some milliseconds.
const FEW: i64 = 64;
const UNSYNCED: i64 = 500;
/// Each pass moves what the writer has added during the one before.
const PASSES: usize = 8;

/// Counts the pages in the log and those already moved, and moves nothing.
const LOOK: &str = "PRAGMA wal_checkpoint(NOOP)";
/// Moves what no reader needs, and waits for nobody.
const MOVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// The writer's side.
pub(in crate::store) struct Checkpoints {
    committed: SyncSender<()>,
    state: Arc<State>,
    thread: JoinHandle<()>,
}

/// What the writer and the thread tell each other.
#[derive(Default)]
struct State {
    is_purging: AtomicBool,
    /// Whether so few pages are left that the writer should move them.
    is_nearly_done: AtomicBool,
}

impl Checkpoints {
    pub(in crate::store) fn start(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -64;")?;
        // A connection does not know that there is a log before its first read.
        connection.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
        let (committed, commits) = sync_channel(1);
        let state = Arc::<State>::default();
        let mover =
            Mover { connection, file: ManuallyDrop::new(File::open(path)?), synced: 0, state: state.clone() };
        let thread =
            std::thread::Builder::new().name("checkpoints".to_owned()).spawn(move || mover.run(&commits))?;
        Ok(Self { committed, state, thread })
    }

    /// Called after a commit on `connection`, between two transactions.
    pub(in crate::store) fn committed(&self, connection: &Connection, is_purging: bool) {
        self.state.is_purging.store(is_purging, Ordering::Relaxed);
        if self.state.is_nearly_done.swap(false, Ordering::Relaxed) {
            note(Log::after(connection, MOVE));
        }
        // If the channel is full, the thread will look anyway.
        let _ = self.committed.try_send(());
    }

    /// Waits until the thread has moved what it is moving.
    pub(in crate::store) fn stop(self) {
        drop(self.committed);
        let _ = self.thread.join();
    }
}

/// The thread's side.
struct Mover {
    connection: Connection,
    /// The database. It stays open: when a process closes a file, it loses all its locks on that file, SQLite's too.
    file: ManuallyDrop<File>,
    /// The number of pages of the log that are moved and synced.
    synced: i64,
    state: Arc<State>,
}

impl Mover {
    fn run(mut self, commits: &Receiver<()>) {
        while commits.recv().is_ok() {
            note(self.look_after());
        }
    }

    fn look_after(&mut self) -> Result<()> {
        let is_purging = self.state.is_purging.load(Ordering::Relaxed);
        let (many, long) = if is_purging { (WHILE_PURGING, WHILE_PURGING) } else { (MANY, LONG) };
        let log = Log::after(&self.connection, LOOK)?;
        if log.moved < self.synced {
            // The log has started over.
            self.synced = 0;
        }
        if log.left() < many {
            return Ok(());
        }
        if log.pages < long {
            self.move_pages()?;
            return Ok(());
        }
        for _ in 0..PASSES {
            let moved = self.move_pages()?.moved;
            if moved - self.synced > UNSYNCED {
                self.file.sync_data()?;
                self.synced = moved;
            } else if Log::after(&self.connection, LOOK)?.left() <= FEW {
                self.state.is_nearly_done.store(true, Ordering::Relaxed);
                break;
            }
        }
        Ok(())
    }

    fn move_pages(&self) -> rusqlite::Result<Log> {
        Log::after(&self.connection, MOVE)
    }
}

/// The number of pages in the log, and how many of them were moved.
struct Log {
    pages: i64,
    moved: i64,
}

impl Log {
    fn after(connection: &Connection, checkpoint: &str) -> rusqlite::Result<Self> {
        connection.query_row(checkpoint, [], |row| Ok(Self { pages: row.get(1)?, moved: row.get(2)? }))
    }

    const fn left(&self) -> i64 {
        self.pages - self.moved
    }
}

fn note<T, E: Display>(moved: std::result::Result<T, E>) {
    if let Err(error) = moved {
        tracing::warn!(error = %error, "store.checkpoint_failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_is_new_enough_for_a_checkpoint_beside_a_writer() {
        // Up to 3.51.2 the log could start over during a checkpoint of another connection, and lose pages.
        assert!(rusqlite::version_number() >= 3_051_003);
    }

    #[test]
    fn the_log_is_checkpointed_beside_the_writer_and_then_starts_again() {
        let (longest, moved_early) = begins_anew(false);
        assert!((LONG..10 * LONG).contains(&longest), "{longest} pages");
        assert!(moved_early >= MANY);
    }

    #[test]
    fn the_log_stays_shorter_during_a_purge() {
        let (longest, _) = begins_anew(true);
        assert!((WHILE_PURGING..LONG).contains(&longest));
    }

    /// The most pages that the log had, and how many of them were moved while it was shorter than [`LONG`].
    fn begins_anew(is_purging: bool) -> (i64, i64) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let writer = Connection::open(&path).unwrap();
        writer
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x BLOB NOT NULL)",
            )
            .unwrap();
        let reader = Connection::open(&path).unwrap();
        let checkpoints = Checkpoints::start(&path).unwrap();
        let commit = |pages: i64| {
            let rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
                INSERT INTO t SELECT zeroblob(4000) FROM n";
            writer.execute(rows, [pages]).unwrap();
            checkpoints.committed(&writer, is_purging);
            if is_purging {
                // Like the pause between the slices of a purge.
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        };
        let look = || Log::after(&writer, LOOK).unwrap();
        commit(WHILE_PURGING / 2);
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(look().moved, 0, "a short log is left alone");
        // Commits go on until one of them finds the log shorter than before.
        let (mut longest, mut moved_early) = (0, 0);
        for _ in 0..10_000 {
            commit(100);
            // A reader uses the table all the time.
            reader.query_row("SELECT 1 FROM t LIMIT 1", [], |_| Ok(())).unwrap();
            let Log { pages, moved } = look();
            if pages < longest {
                checkpoints.stop();
                return (longest, moved_early);
            }
            longest = pages;
            if pages < LONG {
                moved_early = moved;
            }
        }
        panic!("the log has {longest} pages, and never began anew");
    }
}
