//! The one writer: a thread that runs requests' work in order and makes it durable in groups.
//!
//! A durable commit costs hundreds of microseconds, most of it waiting for the disk; the statements
//! of one request cost a few. So whatever has queued up while the last commit ran shares the next
//! one. A failure undoes what its request did and nobody else: whoever fails after it has written something makes the
//! group start again, each request in a savepoint of its own. That is rare, and savepoints cost a tenth of the writer's
//! time: SQLite copies every page that a request is the first to touch.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use tokio::sync::{mpsc, oneshot, watch};

use crate::fail;
use crate::metrics::StoreMetrics;

use super::checkpoints::Checkpoints;
use super::lock::beside;
use super::recent_tokens::{Departures, RecentTokens};
use super::revoked::{Change, Revoked};
use super::views::Views;
use super::{BUSY, Error, Result};

/// Requests that share one commit at the most.
const GROUP: usize = 64;
/// Requests that wait at the most; more than these wait for a place.
const QUEUE: usize = 1024;

/// Statements of one write transaction; writes of the tables are its methods.
///
/// Work on it may run twice, the second time as if there had been no first.
pub struct Tx<'c> {
    pub(super) connection: &'c Connection,
    pub(super) ledger_head: Cell<i64>,
    /// As the last commit left it.
    pub(super) known: &'c Revoked,
    /// What this transaction adds to it and takes out.
    pub(super) revoked: RefCell<Vec<Change>>,
    /// Whether rows left, an act was written down, or a client changed: whatever could change an answer that readers keep
    /// (`super::views`, `super::clients`).
    pub(super) outdates: Cell<bool>,
    /// Whether a resource server or a scope was registered.
    pub(super) registry_moved: Cell<bool>,
    pub(super) keys_version: Cell<i64>,
}

type Queue = mpsc::Sender<Box<dyn Job>>;

#[derive(Clone)]
pub(super) struct Writer {
    queue: Arc<std::sync::RwLock<Option<Queue>>>,
    ended: watch::Receiver<bool>,
    head: watch::Receiver<i64>,
    keys_version: watch::Receiver<i64>,
    registry_version: Arc<AtomicU64>,
    /// The same number, for those who wait until it moves.
    registry_moved: watch::Sender<u64>,
    files: Arc<Files>,
    revoked: Arc<Revoked>,
}

impl Writer {
    pub(super) fn open(
        path: &Path,
        metrics: Arc<StoreMetrics>,
        views: Arc<Views>,
        recent_tokens: Arc<RecentTokens>,
    ) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(128);
        // Otherwise a statement with a variable LIMIT is prepared anew each time that it is run.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA trusted_schema = OFF; PRAGMA journal_size_limit = 67108864;
             PRAGMA cache_size = -6144; PRAGMA wal_autocheckpoint = 65536;",
        )?;
        let departures = Departures::watch(&connection)?;
        let checkpoints = Checkpoints::start(path, views.clone())?;
        let head: i64 =
            connection.query_row("SELECT coalesce(max(sequence), 0) FROM ledger", [], |row| row.get(0))?;
        let keys_version: i64 = connection.query_row(super::signing_keys::VERSION, [], |row| row.get(0))?;
        let files = Arc::new(Files::of(path)?);
        let watched = files.clone();
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (head_moving, head) = watch::channel(head);
        let (keys_moving, keys_version) = watch::channel(keys_version);
        let (ending, ended) = watch::channel(false);
        let registry_version = Arc::new(AtomicU64::new(1));
        let registry_moved = watch::Sender::new(1);
        let revoked = Arc::new(Revoked::load(&connection)?);
        let announce = Announce {
            views,
            departures,
            recent_tokens,
            revoked: revoked.clone(),
            registry_version: registry_version.clone(),
            registry_moved: registry_moved.clone(),
            head: head_moving,
            keys_version: keys_moving,
        };
        std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
            work_off(&connection, &watched, jobs, &announce, &checkpoints, &metrics);
            checkpoints.stop();
            // Whoever waits for the end may need the file for themselves.
            drop((announce, connection));
            ending.send_replace(true);
        })?;
        let queue = Arc::new(std::sync::RwLock::new(Some(queue)));
        Ok(Self { queue, ended, head, keys_version, registry_version, registry_moved, files, revoked })
    }

    pub(super) async fn write<T, E>(
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

    /// Moves after a commit that changed resource servers or scopes, and before its answer.
    pub(super) fn registry_version(&self) -> u64 {
        self.registry_version.load(Ordering::SeqCst)
    }

    /// Moves with [`Self::registry_version`].
    pub(super) fn registry_moved(&self) -> watch::Receiver<u64> {
        self.registry_moved.subscribe()
    }

    pub(super) fn revoked(&self) -> &Revoked {
        &self.revoked
    }

    pub(super) fn is_in_place(&self) -> bool {
        self.files.are_in_place()
    }

    pub(super) fn is_lock_in_place(&self) -> bool {
        self.files.is_lock_in_place()
    }

    /// Writes that wait for their turn.
    pub(super) fn queued(&self) -> usize {
        let queue = self.queue.read().ok().and_then(|queue| queue.clone());
        queue.map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    pub(super) fn ledger_head(&self) -> watch::Receiver<i64> {
        self.head.clone()
    }

    pub(super) fn keys_version_now(&self) -> i64 {
        *self.keys_version.borrow()
    }

    pub(super) fn keys_version(&self) -> watch::Receiver<i64> {
        self.keys_version.clone()
    }

    pub(super) async fn close(&self) {
        if let Ok(mut queue) = self.queue.write() {
            queue.take();
        }
        let mut ended = self.ended.clone();
        // An error means that the thread is gone already.
        let _ = tokio::time::timeout(Duration::from_secs(10), ended.wait_for(|ended| *ended)).await;
    }
}

trait Job: Send {
    /// Whether what it did shall stand. Runs again after what it did was undone.
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
            // A refusal does not stand either: it may rest on what another request of the group did.
            (Some(why), _) => Err(Error::Unavailable(why.to_owned()).into()),
            (None, None) => Err(Error::Unavailable("the write did not run".to_owned()).into()),
        };
        // An error means that nobody waits any more, which changes nothing.
        let _ = self.answer.send(result);
    }
}

/// The database and its log, as they were opened.
struct Files {
    database: Vec<(PathBuf, Identity)>,
    /// `None` if nobody has locked it, as in tests.
    lock: Option<(PathBuf, Identity)>,
}

/// Of a file: its device's numbers, and its own there.
type Identity = (u32, u32, u64);

impl Files {
    fn of(database: &Path) -> Result<Self> {
        let identified = |path: PathBuf| identity(&path).map(|identity| (path, identity));
        // The log stands beside the file itself, not beside a link to it.
        let files = std::fs::canonicalize(database).and_then(|database| {
            let mut log = database.clone().into_os_string();
            log.push("-wal");
            [database, log.into()].into_iter().map(identified).collect()
        });
        Ok(Self { database: files?, lock: identified(beside(database, "lock")).ok() })
    }

    /// Whether both are still what their names stand for. SQLite goes on with a file that was
    /// replaced or removed, and what it then commits is gone after a restart.
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

/// Asks for no times: Linux would then give each commit a time of its own, and a sync would have to write that as well.
fn identity(path: &Path) -> std::io::Result<Identity> {
    let file = statx(CWD, path, AtFlags::empty(), StatxFlags::INO)?;
    Ok((file.stx_dev_major, file.stx_dev_minor, file.stx_ino))
}

/// What the world hears after a commit, before whoever asked for it gets an answer.
struct Announce {
    views: Arc<Views>,
    departures: Departures,
    recent_tokens: Arc<RecentTokens>,
    revoked: Arc<Revoked>,
    registry_version: Arc<AtomicU64>,
    /// The same number, for those who wait until it moves.
    registry_moved: watch::Sender<u64>,
    head: watch::Sender<i64>,
    keys_version: watch::Sender<i64>,
}

impl Announce {
    fn begin<'c>(&'c self, connection: &'c Connection) -> rusqlite::Result<Tx<'c>> {
        // Of a transaction that was undone, too.
        self.forget_departed(false);
        connection.execute_batch("BEGIN IMMEDIATE")?;
        Ok(Tx {
            connection,
            ledger_head: Cell::new(*self.head.borrow()),
            known: &self.revoked,
            revoked: RefCell::default(),
            outdates: Cell::new(false),
            registry_moved: Cell::new(false),
            keys_version: Cell::new(*self.keys_version.borrow()),
        })
    }

    /// Ends views, if anything outdates them, before tokens are forgotten: who then finds none remembered reads a view that
    /// is new. The other way round they could read an old one, and remember what they read there.
    fn forget_departed(&self, outdates: bool) {
        let departed: Vec<_> = self.departures.take().collect();
        if outdates || !departed.is_empty() {
            self.views.outdate();
        }
        for born in departed {
            self.recent_tokens.forget(born);
        }
    }

    fn committed(&self, tx: Tx<'_>) {
        // First: what was revoked leaves memory once its rows have left, and nothing older may bring them back.
        self.forget_departed(tx.outdates.get());
        self.revoked.apply(tx.revoked.into_inner());
        if tx.registry_moved.get() {
            let before = self.registry_version.fetch_add(1, Ordering::SeqCst);
            self.registry_moved.send_replace(before + 1);
        }
        for (newest, announced) in [(&tx.ledger_head, &self.head), (&tx.keys_version, &self.keys_version)] {
            let newest = newest.get();
            announced.send_if_modified(|announced| std::mem::replace(announced, newest) != newest);
        }
    }
}

fn work_off(
    connection: &Connection,
    files: &Files,
    mut jobs: mpsc::Receiver<Box<dyn Job>>,
    announce: &Announce,
    checkpoints: &Checkpoints,
    metrics: &StoreMetrics,
) {
    let mut group = Vec::with_capacity(GROUP);
    while jobs.blocking_recv_many(&mut group, GROUP) > 0 {
        metrics.groups.add(1);
        let failure = match commit(connection, files, announce, &mut group) {
            Ok(tx) => {
                announce.committed(tx);
                None
            }
            Err(error) => {
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) {
                    // They have waited for the same lock: group after group, the last would wait for minutes.
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
        checkpoints.committed(connection, !announce.revoked.is_empty());
    }
}

fn commit<'c>(
    connection: &'c Connection,
    files: &Files,
    announce: &'c Announce,
    group: &mut [Box<dyn Job>],
) -> rusqlite::Result<Tx<'c>> {
    // Left over when the last transaction could not even be undone.
    roll_back(connection)?;
    let done = run_all(connection, announce, group).and_then(|tx| {
        if !files.are_in_place() {
            return Err(rusqlite::Error::InvalidPath("the database file was replaced or removed".into()));
        }
        fail::point("writer.before_commit");
        connection.execute_batch("COMMIT")?;
        fail::point("writer.after_commit");
        Ok(tx)
    });
    if done.is_err() {
        roll_back(connection)?;
    }
    done
}

/// After some faults (disk full, I/O) SQLite has undone the whole transaction by itself.
fn roll_back(connection: &Connection) -> rusqlite::Result<()> {
    if connection.is_autocommit() { Ok(()) } else { connection.execute_batch("ROLLBACK") }
}

/// A transaction in which all of the group has run, and nothing stands of those that failed.
fn run_all<'c>(
    connection: &'c Connection,
    announce: &'c Announce,
    group: &mut [Box<dyn Job>],
) -> rusqlite::Result<Tx<'c>> {
    let tx = announce.begin(connection)?;
    if group.iter_mut().all(|job| leaves_nothing_to_undo(&tx, job.as_mut())) {
        return Ok(tx);
    }
    roll_back(connection)?;
    let tx = announce.begin(connection)?;
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
    let (head, keys_version) = (tx.ledger_head.get(), tx.keys_version.get());
    let changes = tx.revoked.borrow().len();
    connection.prepare_cached("SAVEPOINT request")?.execute([])?;
    if job.run(tx) == Outcome::Undo {
        tx.ledger_head.set(head);
        tx.keys_version.set(keys_version);
        tx.revoked.borrow_mut().truncate(changes);
        // Where SQLite has undone the whole transaction, this fails, and so does everything in the group.
        connection.prepare_cached("ROLLBACK TO request")?.execute([])?;
    }
    connection.prepare_cached("RELEASE request")?.execute([])?;
    Ok(())
}
