//! Connections that keep their view of the database, to find what is alive.
//!
//! To begin and end a read transaction costs as much as to find a row in it, and after every commit a connection forgets
//! all the pages that it has read. Nothing dies but by an act, which is written down, or with its row. So what lives in an
//! older view lives now, as long as nobody has acted and no row has left since; and what does not live there is looked for
//! in a new one.
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

/// Views at the most: threads beyond that share them.
const MOST: NonZeroUsize = NonZeroUsize::new(16).unwrap();
/// Pages that one view keeps, in KiB: the inner pages of a table of a million tokens, and room for leaves that pass. Those
/// come from the system's cache as fast as from one of our own, which would only push all else out of the processor's.
const CACHE: i64 = 1536;

pub(super) struct Views {
    views: Pool<View>,
    /// Commits after which an older view may say of something dead that it lives.
    outdatings: AtomicU64,
}

struct View {
    connection: Connection,
    /// The commits that it is sure to have seen, while it is open.
    since: Option<u64>,
}

impl Views {
    pub(super) fn open(path: &Path, metrics: Arc<StoreMetrics>) -> Result<Self> {
        let open = || Ok(View { connection: open_reader(path, CACHE)?, since: None });
        let views = Pool::open(thread::count().min(MOST), open, metrics)?;
        Ok(Self { views, outdatings: AtomicU64::new(0) })
    }

    /// After a commit that outdates what readers keep ([`super::Tx`]), before anything is said about it.
    pub(super) fn outdate(&self) {
        self.outdatings.fetch_add(1, Ordering::SeqCst);
    }

    /// How often that was.
    pub(super) fn outdatings(&self) -> u64 {
        self.outdatings.load(Ordering::SeqCst)
    }

    /// What is alive and found now. `read` may see an older view than this moment's, never one from before an act: what it
    /// does not find there it is asked for again in a new one.
    pub(super) fn find<T>(
        &self,
        read: impl Fn(&Connection) -> rusqlite::Result<Option<T>>,
    ) -> Result<Option<T>> {
        let mut view = self.views.take();
        let outdatings = self.outdatings();
        let found = view.find(outdatings, read);
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
        outdatings: u64,
        read: impl Fn(&Connection) -> rusqlite::Result<Option<T>>,
    ) -> rusqlite::Result<Option<T>> {
        if self.since == Some(outdatings)
            && let Some(found) = read(&self.connection)?
        {
            return Ok(Some(found));
        }
        self.end();
        self.connection.prepare_cached("BEGIN")?.execute([])?;
        // The view is of the first read, which comes later than the count was taken.
        self.since = Some(outdatings);
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
        views.outdate();
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
