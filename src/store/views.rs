//! Connections that keep their view of the database, for rows that never change.
//!
//! To begin and end a read transaction costs as much as to find a row in it, and after every commit a connection forgets
//! all the pages that it has read. An access token's row never changes, so an older view of it is as good as a new one, as
//! long as no row has left since; and what an older view does not have is looked for in a new one.
//!
//! Each view is of the tokens born at certain times, so that hardly two of them keep the same pages: unless it is taken, and
//! another stands in.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use crate::clock::Timestamp;
use crate::metrics::StoreMetrics;

use super::Result;
use super::lookup::open_reader;

const VIEWS: usize = 4;
/// Pages that one view keeps, in KiB: with four views, all inner pages of a table of two million tokens born over days, and
/// room for leaves that pass. Those come from the system's cache as fast as from one of our own, which would only push all else out of the
/// processor's.
const CACHE: i64 = 768;
/// Tokens born within so many milliseconds (18 hours) are of one view, and so is nearly every inner page above them.
const BLOCK: i64 = 1 << 26;

pub(super) struct Views {
    views: Vec<Mutex<View>>,
    /// Commits in which rows have left.
    departures: AtomicU64,
    metrics: Arc<StoreMetrics>,
}

struct View {
    connection: Connection,
    /// The departures that it is sure to have seen, while it is open.
    since: Option<u64>,
}

impl Views {
    pub(super) fn open(path: &Path, metrics: Arc<StoreMetrics>) -> Result<Self> {
        let open = || Ok(Mutex::new(View { connection: open_reader(path, CACHE)?, since: None }));
        let views = (0..VIEWS).map(|_| open()).collect::<Result<_>>()?;
        Ok(Self { views, departures: AtomicU64::new(0), metrics })
    }

    /// After a commit in which rows left, before anything is said about it.
    pub(super) fn rows_left(&self) {
        self.departures.fetch_add(1, Ordering::SeqCst);
    }

    /// The row of a token born then, if it is there now.
    pub(super) fn find<T>(
        &self,
        born: Timestamp,
        read: impl Fn(&Connection) -> rusqlite::Result<Option<T>>,
    ) -> Result<Option<T>> {
        let mut view = self.free(born);
        let departures = self.departures.load(Ordering::SeqCst);
        let found = view.find(departures, read);
        if found.is_err() {
            view.end();
        }
        Ok(found?)
    }

    /// Ends all views: the log begins anew only once nobody looks at an old part of it.
    pub(super) fn end(&self) {
        for view in &self.views {
            lock(view).end();
        }
    }

    fn free(&self, born: Timestamp) -> MutexGuard<'_, View> {
        let place = (born.millis() / BLOCK) as usize % VIEWS;
        let (others, its_own) = self.views.split_at(place);
        if let Some(free) = its_own.iter().chain(others).find_map(|view| view.try_lock().ok()) {
            return free;
        }
        self.metrics.lookup_waits.add(1);
        lock(&self.views[place])
    }
}

fn lock(view: &Mutex<View>) -> MutexGuard<'_, View> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

impl View {
    fn find<T>(
        &mut self,
        departures: u64,
        read: impl Fn(&Connection) -> rusqlite::Result<Option<T>>,
    ) -> rusqlite::Result<Option<T>> {
        if self.since == Some(departures)
            && let Some(found) = read(&self.connection)?
        {
            return Ok(Some(found));
        }
        self.end();
        self.connection.prepare_cached("BEGIN")?.execute([])?;
        // The view is of the first read, which comes later than the count of departures was taken.
        self.since = Some(departures);
        read(&self.connection)
    }

    fn end(&mut self) {
        self.since = None;
        // A view that can't be ended is none: some errors have ended it already.
        if !self.connection.is_autocommit() && self.connection.execute_batch("ROLLBACK").is_err() {
            tracing::warn!("store.view_not_ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::OptionalExtension as _;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn world() -> (tempfile::TempDir, Connection, Views) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("any.db");
        let writer = Connection::open(&path).unwrap();
        writer
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); \
                 INSERT INTO t VALUES (1, 'first');",
            )
            .unwrap();
        let views = Views::open(&path, Arc::default()).unwrap();
        (folder, writer, views)
    }

    fn find(views: &Views, id: i64) -> Option<String> {
        views
            .find(NOW, |c| c.query_row("SELECT x FROM t WHERE id = ?1", [id], |row| row.get(0)).optional())
            .unwrap()
    }

    #[test]
    fn what_comes_is_found_at_once_and_what_leaves_is_gone_once_it_is_said() {
        let (_folder, writer, views) = world();
        assert_eq!(find(&views, 1).as_deref(), Some("first"));
        writer.execute("INSERT INTO t VALUES (2, 'second')", []).unwrap();
        assert_eq!(find(&views, 2).as_deref(), Some("second"));
        writer.execute("DELETE FROM t WHERE id = 1", []).unwrap();
        assert_eq!(find(&views, 1).as_deref(), Some("first"), "the view was not kept");
        views.rows_left();
        assert_eq!(find(&views, 1), None);
        assert_eq!(find(&views, 2).as_deref(), Some("second"));
    }

    #[test]
    fn the_log_begins_anew_once_views_have_ended() {
        let (_folder, writer, views) = world();
        let checkpoint = || {
            let row = |row: &rusqlite::Row<'_>| Ok(row.get::<_, i64>(0)? == 0);
            writer.query_row("PRAGMA wal_checkpoint(RESTART)", [], row).unwrap()
        };
        writer.busy_timeout(std::time::Duration::ZERO).unwrap();
        find(&views, 1);
        writer.execute("INSERT INTO t VALUES (2, 'second')", []).unwrap();
        assert!(!checkpoint(), "nobody looks at the log");
        views.end();
        assert!(checkpoint());
        assert_eq!(find(&views, 2).as_deref(), Some("second"));
    }

    #[test]
    fn a_view_ends_with_an_error_and_the_next_one_works() {
        let (_folder, _writer, views) = world();
        assert!(views.find(NOW, |c| c.query_row("SELECT nothing", [], |_| Ok(Some(())))).is_err());
        assert_eq!(find(&views, 1).as_deref(), Some("first"));
    }

    #[test]
    fn who_finds_all_views_taken_waits_and_is_counted() {
        let (_folder, _writer, views) = world();
        let taken: Vec<_> = views.views.iter().map(lock).collect();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| find(&views, 1));
            while views.metrics.lookup_waits.get() == 0 {
                std::thread::yield_now();
            }
            drop(taken);
            assert!(waiting.join().unwrap().is_some());
        });
    }
}
