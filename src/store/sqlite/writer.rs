//! The one writer: a thread that runs requests' work in order and makes it durable in groups.
//!
//! A durable commit costs hundreds of microseconds, most of it waiting for the disk. The statements of one request cost
//! a few. So all requests that queued up during the last commit share the next one.
//!
//! A failure undoes only what its own request did. If a request fails after it has written something, the whole group
//! runs again, each request in its own savepoint. Savepoints are not used from the beginning, because such failures are
//! rare and savepoints cost a tenth of the writer's time: SQLite copies every page that a request is the first to
//! touch.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::fail;
use crate::metrics::StoreMetrics;

use crate::store::jobs::{Job, Jobs, Outcome, Queue};
use crate::store::memory::effects::{Effects, Published};
use crate::store::sqlite::checkpoints::Checkpoints;
use crate::store::sqlite::lock::beside;
use crate::store::{BUSY, Result, Tx, sql};

#[derive(Clone)]
pub(in crate::store) struct Writer {
    pub(in crate::store) queue: Queue,
    published: Published,
    files: Arc<Files>,
}

impl Writer {
    pub(in crate::store) fn open(path: &Path, metrics: Arc<StoreMetrics>) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(128);
        // Otherwise a statement with a variable LIMIT is prepared again for each run.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA trusted_schema = OFF; PRAGMA journal_size_limit = 67108864;
             PRAGMA cache_size = -6144; PRAGMA wal_autocheckpoint = 65536;",
        )?;
        let checkpoints = Checkpoints::start(path)?;
        let files = Arc::new(Files::of(path)?);
        let published = Published::load(sql::Connection::Sqlite(&connection))?;
        let (watched, publishes) = (files.clone(), published.clone());
        let queue = Queue::start(move |jobs| {
            work_off(&connection, &watched, jobs, &publishes, &checkpoints, &metrics);
            checkpoints.stop();
            // A caller that waits for the end may need the file for itself.
            drop(connection);
        })?;
        Ok(Self { queue, published, files })
    }

    pub(in crate::store) fn published(&self) -> &Published {
        &self.published
    }

    pub(in crate::store) fn is_in_place(&self) -> bool {
        self.files.are_in_place()
    }

    pub(in crate::store) fn is_lock_in_place(&self) -> bool {
        self.files.is_lock_in_place()
    }
}

/// The identities of the files as they were opened.
struct Files {
    database: Vec<(PathBuf, Identity)>,
    /// `None` if there is no lock file, as in tests.
    lock: Option<(PathBuf, Identity)>,
}

/// A file's identity: its device's major and minor number, and its inode.
type Identity = (u32, u32, u64);

impl Files {
    fn of(database: &Path) -> Result<Self> {
        let identified = |path: PathBuf| identity(&path).map(|identity| (path, identity));
        // The log is beside the file itself, not beside a link to it.
        let files = std::fs::canonicalize(database).and_then(|database| {
            let mut log = database.clone().into_os_string();
            log.push("-wal");
            [database, log.into()].into_iter().map(identified).collect()
        });
        Ok(Self { database: files?, lock: identified(beside(database, "lock")).ok() })
    }

    /// Whether the paths of database and log still lead to these files. SQLite goes on with a file that was replaced or
    /// removed, and what it commits to it is lost after a restart.
    fn are_in_place(&self) -> bool {
        self.database.iter().all(is_in_place)
    }

    fn is_lock_in_place(&self) -> bool {
        self.lock.iter().all(is_in_place)
    }
}

fn is_in_place((path, opened): &(PathBuf, Identity)) -> bool {
    identity(path).is_ok_and(|found| found == *opened)
}

/// Does not ask for file times. Otherwise Linux gives each commit its own time, and a sync has to write that as well.
fn identity(path: &Path) -> std::io::Result<Identity> {
    let file = statx(CWD, path, AtFlags::empty(), StatxFlags::INO)?;
    Ok((file.stx_dev_major, file.stx_dev_minor, file.stx_ino))
}

fn begin<'c>(connection: &'c Connection, published: &'c Published) -> rusqlite::Result<Tx<'c>> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    Ok(Tx::new(sql::Connection::Sqlite(connection), published, *published.ledger_head.borrow()))
}

fn work_off(
    connection: &Connection,
    files: &Files,
    mut jobs: Jobs,
    published: &Published,
    checkpoints: &Checkpoints,
    metrics: &StoreMetrics,
) {
    let mut group = Vec::new();
    while jobs.take(&mut group) {
        metrics.groups.add(1);
        let failure = match commit(connection, files, published, &mut group) {
            Ok(effects) => {
                published.publish(effects);
                None
            }
            Err(error) => {
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) {
                    // Queued requests have waited for the same lock, so they fail too. If each group waited again, the
                    // last request would wait for minutes.
                    jobs.take_all(&mut group);
                }
                let why = error.to_string();
                tracing::error!(error = %why, requests = group.len(), "store.commit_failed");
                Some(why)
            }
        };
        for job in group.drain(..) {
            job.answer(failure.as_deref());
        }
        checkpoints.committed(connection, published.dead.is_purging());
    }
}

fn commit(
    connection: &Connection,
    files: &Files,
    published: &Published,
    group: &mut [Box<dyn Job>],
) -> rusqlite::Result<Effects> {
    // In case the last transaction could not be undone.
    roll_back(connection)?;
    let done = run_all(connection, published, group).and_then(|tx| {
        if !files.are_in_place() {
            return Err(rusqlite::Error::InvalidPath("the database file was replaced or removed".into()));
        }
        fail::point("writer.before_commit");
        connection.execute_batch("COMMIT")?;
        fail::point("writer.after_commit");
        Ok(tx.effects.into_inner())
    });
    if done.is_err() {
        roll_back(connection)?;
    }
    done
}

/// Does nothing without a transaction: after some faults (disk full, I/O) SQLite has undone it by itself.
fn roll_back(connection: &Connection) -> rusqlite::Result<()> {
    if connection.is_autocommit() { Ok(()) } else { connection.execute_batch("ROLLBACK") }
}

/// A transaction in which all of the group has run, and all that failed requests did has been undone.
fn run_all<'c>(
    connection: &'c Connection,
    published: &'c Published,
    group: &mut [Box<dyn Job>],
) -> rusqlite::Result<Tx<'c>> {
    let tx = begin(connection, published)?;
    if group.iter_mut().all(|job| leaves_nothing_to_undo(connection, &tx, job.as_mut())) {
        return Ok(tx);
    }
    roll_back(connection)?;
    let tx = begin(connection, published)?;
    for job in group {
        run_apart(connection, &tx, job.as_mut())?;
    }
    Ok(tx)
}

/// Whether a job succeeded, or failed before it had written anything.
fn leaves_nothing_to_undo(connection: &Connection, tx: &Tx<'_>, job: &mut dyn Job) -> bool {
    let before = connection.total_changes();
    let outcome = job.run(tx);
    !connection.is_autocommit() && (outcome == Outcome::Keep || connection.total_changes() == before)
}

fn run_apart(connection: &Connection, tx: &Tx<'_>, job: &mut dyn Job) -> rusqlite::Result<()> {
    let before = tx.effects.borrow().clone();
    connection.prepare_cached("SAVEPOINT request")?.execute([])?;
    if job.run(tx) == Outcome::Undo {
        tx.effects.replace(before);
        // If SQLite has undone the whole transaction, this fails, and with it the whole group.
        connection.prepare_cached("ROLLBACK TO request")?.execute([])?;
    }
    connection.prepare_cached("RELEASE request")?.execute([])?;
    Ok(())
}
