//! Connections that keep their view of the database, for rows that never change.
//!
//! To begin and end a read transaction costs as much as to find a row in it, and after every commit a connection forgets
//! all the pages that it has read. An access token's row never changes, so an older view of it is as good as a new one, as
//! long as no row has left since; and what an older view does not have is looked for in a new one.
//!
//! Each thread has a view of its own; another stands in while it is taken.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;

use crate::metrics::StoreMetrics;
use crate::thread;

use super::Result;
use super::lookup::{Pool, open_reader};

const MOST: NonZeroUsize = NonZeroUsize::new(16).unwrap();
/// Pages that one view keeps, in KiB: the inner pages of a table of a million tokens, and room for leaves that pass. Those
/// come from the system's cache as fast as from one of our own, which would only push all else out of the processor's.
const CACHE: i64 = 1536;

pub(super) struct Views {
    views: Pool<View>,
    /// Commits in which rows have left.
    departures: AtomicU64,
}

struct View {
    connection: Connection,
    /// The departures that it is sure to have seen, while it is open.
    since: Option<u64>,
}

impl Views {
    pub(super) fn open(path: &Path, metrics: Arc<StoreMetrics>) -> Result<Self> {
        let open = || Ok(View { connection: open_reader(path, CACHE)?, since: None });
        let views = Pool::open(thread::count().min(MOST), open, metrics)?;
        Ok(Self { views, departures: AtomicU64::new(0) })
    }

    /// After a commit in which rows left, before anything is said about it.
    pub(super) fn rows_left(&self) {
        self.departures.fetch_add(1, Ordering::SeqCst);
    }

    /// A token's row, if it is there now.
    pub(super) fn find<T>(
        &self,
        read: impl Fn(&Connection) -> rusqlite::Result<Option<T>>,
    ) -> Result<Option<T>> {
        let mut view = self.views.take();
        let departures = self.departures.load(Ordering::SeqCst);
        let found = view.find(departures, read);
        if found.is_err() {
            view.end();
        }
        Ok(found?)
    }

    /// Ends all views: the log begins anew only once nobody looks at an old part of it.
    pub(super) fn end(&self) {
        for mut view in self.views.each() {
            view.end();
        }
    }
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
            .find(|c| c.query_row("SELECT x FROM t WHERE id = ?1", [id], |row| row.get(0)).optional())
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
        assert!(views.find(|c| c.query_row("SELECT nothing", [], |_| Ok(Some(())))).is_err());
        assert_eq!(find(&views, 1).as_deref(), Some("first"));
    }
}
