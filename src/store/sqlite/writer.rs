//! The one writer: a thread that runs requests' work in order and makes it durable in groups.
//!
//! A durable commit costs hundreds of microseconds, most of it waiting for the disk. The statements of one request cost
//! a few. So all requests that queued up during the last commit share the next one.
//!
//! A failure undoes only what its own request did. If a request fails after it has written something, the whole group
//! runs again, each request in its own savepoint. Savepoints are not used from the beginning, because such failures are
//! rare and savepoints cost a tenth of the writer's time: SQLite copies every page that a request is the first to
//! touch.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use tokio::sync::{mpsc, oneshot, watch};

use crate::fail;
use crate::metrics::StoreMetrics;

use crate::store::memory::dead::DeadSet;
use crate::store::memory::effects::{Effects, Published};
use crate::store::sqlite::checkpoints::Checkpoints;
use crate::store::sqlite::lock::beside;
use crate::store::{BUSY, Error, Result};

/// At most this many requests share one commit.
const GROUP: usize = 64;
/// The size of the queue. Further requests wait for a place in it.
const QUEUE: usize = 1024;

/// One write transaction. The tables' writes are its methods.
///
/// The work of a request may run twice. All that the first run did has been undone then.
pub struct Tx<'c> {
    pub(in crate::store) connection: &'c Connection,
    /// As of the last commit.
    pub(in crate::store) dead: &'c DeadSet,
    /// What is published if this is committed.
    pub(in crate::store) effects: RefCell<Effects>,
}

impl Tx<'_> {
    /// Must be called when a client, a resource server or a scope changes: caches of these are read again after the
    /// commit.
    pub(in crate::store) fn version_moves(&self) {
        self.effects.borrow_mut().moves_version = true;
    }
}

type Queue = mpsc::Sender<Box<dyn Job>>;

#[derive(Clone)]
pub(in crate::store) struct Writer {
    queue: Arc<std::sync::RwLock<Option<Queue>>>,
    ended: watch::Receiver<bool>,
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
        let head: i64 =
            connection.query_row("SELECT coalesce(max(sequence), 0) FROM ledger", [], |row| row.get(0))?;
        let keys_version: i64 =
            connection.query_row(crate::store::signing_keys::VERSION, [], |row| row.get(0))?;
        let files = Arc::new(Files::of(path)?);
        let watched = files.clone();
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (ending, ended) = watch::channel(false);
        let published = Published::new(DeadSet::load(&connection)?, head, keys_version);
        let publishes = published.clone();
        std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
            work_off(&connection, &watched, jobs, &publishes, &checkpoints, &metrics);
            checkpoints.stop();
            // A caller that waits for the end may need the file for itself.
            drop(connection);
            ending.send_replace(true);
        })?;
        let queue = Arc::new(std::sync::RwLock::new(Some(queue)));
        Ok(Self { queue, ended, published, files })
    }

    pub(in crate::store) async fn write<T, E>(
        &self,
        work: impl Fn(&Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let closed = || E::from(Error::Unavailable("the server is stopping".to_owned()));
        let queue = self.queue.read().ok().and_then(|queue| queue.clone()).ok_or_else(closed)?;
        let (answer, answered) = oneshot::channel();
        let place = tokio::time::timeout(BUSY, queue.reserve_owned())
            .await
            .map_err(|_| E::from(Error::Unavailable("too many writes are waiting".to_owned())))?
            .map_err(|_| closed())?;
        place.send(Box::new(Request { work, result: None, answer }));
        answered.await.unwrap_or_else(|_| Err(closed()))
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

    /// Writes in the queue.
    pub(in crate::store) fn queued(&self) -> usize {
        let queue = self.queue.read().ok().and_then(|queue| queue.clone());
        queue.map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    pub(in crate::store) async fn close(&self) {
        if let Ok(mut queue) = self.queue.write() {
            queue.take();
        }
        let mut ended = self.ended.clone();
        // An error means that the thread has ended already.
        let _ = tokio::time::timeout(Duration::from_secs(10), ended.wait_for(|ended| *ended)).await;
    }
}

trait Job: Send {
    /// Returns whether to keep what it did. May run again after that was undone.
    fn run(&mut self, tx: &Tx<'_>) -> Outcome;
    fn answer(self: Box<Self>, failure: Option<&str>);
}

#[derive(PartialEq, Eq)]
enum Outcome {
    Keep,
    Undo,
}

struct Request<F, T, E> {
    work: F,
    result: Option<std::result::Result<T, E>>,
    answer: oneshot::Sender<std::result::Result<T, E>>,
}

impl<F, T, E> Job for Request<F, T, E>
where
    F: Fn(&Tx<'_>) -> std::result::Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn run(&mut self, tx: &Tx<'_>) -> Outcome {
        let result = catch_unwind(AssertUnwindSafe(|| (self.work)(tx)))
            .unwrap_or_else(|_| Err(Error::Unavailable("a write panicked".to_owned()).into()));
        let outcome = if result.is_ok() { Outcome::Keep } else { Outcome::Undo };
        self.result = Some(result);
        outcome
    }

    fn answer(mut self: Box<Self>, failure: Option<&str>) {
        let result = match (failure, self.result.take()) {
            (None, Some(result)) => result,
            // A refusal is not returned either: its reason may be what another request of the group did.
            (Some(why), _) => Err(Error::Unavailable(why.to_owned()).into()),
            (None, None) => Err(Error::Unavailable("the write did not run".to_owned()).into()),
        };
        // An error means that the caller no longer waits.
        let _ = self.answer.send(result);
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
    Ok(Tx { connection, dead: &published.dead, effects: RefCell::default() })
}

fn work_off(
    connection: &Connection,
    files: &Files,
    mut jobs: mpsc::Receiver<Box<dyn Job>>,
    published: &Published,
    checkpoints: &Checkpoints,
    metrics: &StoreMetrics,
) {
    let mut group = Vec::with_capacity(GROUP);
    while jobs.blocking_recv_many(&mut group, GROUP) > 0 {
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
                    while let Ok(job) = jobs.try_recv() {
                        group.push(job);
                    }
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
    if group.iter_mut().all(|job| leaves_nothing_to_undo(&tx, job.as_mut())) {
        return Ok(tx);
    }
    roll_back(connection)?;
    let tx = begin(connection, published)?;
    for job in group {
        run_apart(&tx, job.as_mut())?;
    }
    Ok(tx)
}

/// Whether a job succeeded, or failed before it had written anything.
fn leaves_nothing_to_undo(tx: &Tx<'_>, job: &mut dyn Job) -> bool {
    let before = tx.connection.total_changes();
    let outcome = job.run(tx);
    !tx.connection.is_autocommit() && (outcome == Outcome::Keep || tx.connection.total_changes() == before)
}

fn run_apart(tx: &Tx<'_>, job: &mut dyn Job) -> rusqlite::Result<()> {
    let connection = tx.connection;
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
