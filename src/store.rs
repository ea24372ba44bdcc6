//! All SQL. Reads are methods of [`Store`], writes of [`Tx`]: the type says what needs a transaction.
//!
//! There are three ways to the one SQLite file:
//! - [`Store::write`]: one thread does all writing, and commits the work of many requests at once.
//! - Look-ups by key for the protocol endpoints: a few connections that serve nothing else. A look-up takes
//!   microseconds, so it runs on the caller's thread.
//! - Pages: an ordinary pool of readers.

pub mod access_tokens;
pub mod audit;
pub mod authorization_codes;
pub mod banned_domains;
pub mod client_lists;
pub mod clients;
pub mod columns;
pub mod drill;
pub mod expired;
pub mod families;
pub mod feed;
pub mod grants;
pub mod guards;
pub mod ledger;
pub mod memory;
mod purge_statements;
pub mod purges;
pub mod readings;
pub mod receipts;
pub mod refresh_tokens;
pub mod resource_servers;
pub mod revocations;
pub mod revoked_tokens;
pub mod sessions;
pub mod signing_keys;
mod sql;
pub mod sqlite;
pub mod successor_keys;
pub mod texts;
pub mod tokens;
pub mod user_lists;
pub mod users;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    Sqlite, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
};
use tokio::sync::watch;

use crate::metrics::StoreMetrics;
use crate::model::by::By;
use crate::thread::PerThread;

use clients::CachedClients;
use memory::access_tokens::AccessTokenCache;
use memory::effects::Published;
use memory::versioned::Versioned;
use resource_servers::Registered;
use sqlite::lookup::Lookups;
pub use sqlite::writer::Tx;
use sqlite::writer::Writer;

/// Why the store did not do what it was asked. Absence is an `Option`, not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is locked, full, read-only, damaged or shutting down. Nothing was changed.
    #[error("the database did not answer: {0}")]
    Unavailable(String),
    /// Something with this name exists already.
    #[error("it exists already")]
    Exists,
    /// The file is a backup: what was revoked after it was made would work again.
    #[error(
        "{0} is a copy that rescind backup made, and nobody serves it as it is: rescind restore {0} ends what it \
         would bring back"
    )]
    Copy(String),
    /// The person who acts on a page may no longer do so. Nothing was changed.
    #[error("{0}")]
    Denied(Denial),
}

/// What has changed about a person since their request arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The session ended, or the account's status, its password or a generation has changed since it began.
    #[error("the session has ended")]
    SignedOut,
    /// The role is lower than the page asks for.
    #[error("the role does not allow it any more")]
    RoleLowered,
}

pub type Result<T> = std::result::Result<T, Error>;

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error().map(|e| e.extended_code) {
            Some(rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => {
                Self::Exists
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

const READERS: u32 = 4;
const BUSY: Duration = Duration::from_secs(5);

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    writer: Writer,
    lookups: Arc<Lookups>,
    pages: SqlitePool,
    registry: Arc<PerThread<Versioned<Registered>>>,
    cached_clients: Arc<PerThread<Versioned<CachedClients>>>,
    access_tokens: Arc<AccessTokenCache>,
    path: Arc<Path>,
    metrics: Arc<StoreMetrics>,
}

impl Store {
    /// Migrates the file to the newest schema and opens it. The caller must hold its [`sqlite::lock::DatabaseLock`].
    ///
    /// # Errors
    /// [`Error::Copy`] for a backup; when the file can't be read, written or migrated.
    pub async fn open(path: &Path) -> Result<Self> {
        if sqlite::copies::is_copy(path) {
            return Err(Error::Copy(path.display().to_string()));
        }
        Self::open_copy(path).await
    }

    /// The same for a file that may be a backup. Only for its restoration.
    ///
    /// # Errors
    /// When the file can't be read, written or migrated.
    pub async fn open_copy(path: &Path) -> Result<Self> {
        let path = &sqlite::lock::resolve(path);
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY)
            .foreign_keys(true)
            .pragma("trusted_schema", "OFF");
        sqlite::lock::create_private(path)?;
        migrate(options.clone()).await?;
        texts::complete(&mut rusqlite::Connection::open(path)?)?;
        let metrics = Arc::<StoreMetrics>::default();
        let writer = Writer::open(path, metrics.clone())?;
        let lookups = Arc::new(sqlite::lookup::open(path, metrics.clone())?);
        let pages = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(options.pragma("query_only", "ON"))
            .await?;
        Ok(Self {
            writer,
            lookups,
            pages,
            registry: Arc::default(),
            cached_clients: Arc::default(),
            access_tokens: Arc::default(),
            path: path.as_path().into(),
            metrics,
        })
    }

    /// Runs `work` in a write transaction and returns once it is durable.
    ///
    /// Work runs in the order of its arrival. If it returns an `Err`, all that it did is undone. If the commit fails,
    /// all is undone too, and the failure is returned. Work that has been queued runs to its end, even if the caller no
    /// longer waits. It may run twice: then all that the first run did has been undone.
    ///
    /// # Errors
    /// What `work` returned, or [`Error::Unavailable`].
    pub async fn write<T, E>(
        &self,
        work: impl Fn(&Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let began = Instant::now();
        let result = self.writer.write(work).await;
        self.metrics.write.note(began.elapsed());
        result
    }

    /// Runs `work` as an act of `by`, and checks in the same transaction that the person may still do it.
    ///
    /// A person's session and role are looked up when the head of a request arrives; its body may follow much later. So
    /// they are checked again here, for every act on a page.
    ///
    /// # Errors
    /// [`Error::Denied`] when the session has ended or the role is too low; else as [`Store::write`].
    pub async fn act<T, E>(
        &self,
        by: By,
        work: impl Fn(&Tx<'_>, &By) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.write(move |tx| {
            tx.check(&by)?;
            work(tx, &by)
        })
        .await
    }

    /// A connection for a page. Waits until one is free.
    async fn page(&self) -> Result<PoolConnection<Sqlite>> {
        let began = Instant::now();
        let connection = self.pages.acquire().await;
        self.metrics.page_wait.note(began.elapsed());
        Ok(connection?)
    }

    pub fn metrics(&self) -> &StoreMetrics {
        &self.metrics
    }

    /// Whether the database's path still leads to the file that was opened.
    pub fn is_in_place(&self) -> bool {
        self.writer.is_in_place()
    }

    /// Whether the lock file is still the one that was there when the database was opened.
    pub fn is_lock_in_place(&self) -> bool {
        self.writer.is_lock_in_place()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether something was revoked and is not purged yet.
    pub fn is_purging(&self) -> bool {
        self.published().dead.is_purging()
    }

    /// The sequence of the newest committed ledger row. Notifies of every new one.
    pub fn ledger_head(&self) -> watch::Receiver<i64> {
        self.published().ledger_head.subscribe()
    }

    /// The version of clients, resource servers and scopes. What is kept of them in memory is read again once it moves.
    fn version(&self) -> u64 {
        self.published().version()
    }

    /// Notifies when a client, a resource server or a scope has changed.
    pub fn version_moved(&self) -> watch::Receiver<u64> {
        self.published().version_moved()
    }

    fn published(&self) -> &Published {
        self.writer.published()
    }

    /// Waits for queued work, then closes the file.
    pub async fn close(&self) {
        self.writer.close().await;
        self.pages.close().await;
    }
}

/// The rows that can be read. A row that can't be read is logged and left out, so that the rest of a list is still
/// shown.
fn readable<'r, T: sqlx::FromRow<'r, SqliteRow>>(rows: &'r [SqliteRow]) -> Vec<T> {
    let read = |row| match T::from_row(row) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(row.kind = std::any::type_name::<T>(), error = %error, "store.unreadable_row");
            None
        }
    };
    rows.iter().filter_map(read).collect()
}

async fn migrate(options: SqliteConnectOptions) -> Result<()> {
    let options = options.create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePoolOptions::new().max_connections(1);
    #[cfg(feature = "fail-points")]
    let pool = pool.after_connect(|connection, _| {
        Box::pin(async move {
            let step = || {
                crate::fail::point("migration.step");
                true
            };
            connection.lock_handle().await?.set_progress_handler(10, step);
            Ok(())
        })
    });
    let pool = pool.connect_with(options).await?;
    sqlx::migrate!("migrations/sqlite").run(&pool).await?;
    crate::fail::point("migration.done");
    pool.close().await;
    Ok(())
}
