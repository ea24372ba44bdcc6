//! All SQL. Reads are methods of [`Store`], writes of [`Tx`]: the type says what needs a transaction.
//!
//! There are three ways to a database:
//! - [`Store::write`]: one thread does all writing, and commits the work of many requests at once.
//! - Look-ups by key for the protocol endpoints, on connections that serve nothing else.
//! - Pages, which may take longer.
//!
//! Tables' files know neither database: they call what `sql` offers. [`sqlite`] and [`postgres`] are the engines.

pub mod access_tokens;
pub mod acts;
pub mod audit;
pub mod authorization_codes;
pub mod banned_domains;
pub mod client_lists;
pub mod clients;
pub mod columns;
pub mod drill;
mod error;
pub mod expired;
pub mod families;
pub mod feed;
pub mod grants;
pub mod guards;
pub mod held;
mod jobs;
pub mod ledger;
mod locks;
pub mod memory;
mod pages;
pub mod postgres;
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
mod tx;
pub mod user_lists;
pub mod users;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::metrics::StoreMetrics;
use crate::thread::PerThread;

use clients::CachedClients;
pub use error::{Denial, Error, Result};
use jobs::Queue;
use memory::access_tokens::AccessTokenCache;
use memory::effects::Published;
use memory::versioned::Versioned;
use pages::Pages;
use postgres::address::Address;
use postgres::session::Session;
use postgres::tail::Tail;
use resource_servers::Registered;
pub use sql::Lookup;
use sqlite::writer::Writer;
pub use tx::Tx;

const BUSY: Duration = Duration::from_secs(5);

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    engine: Engine,
    published: Published,
    registry: Arc<PerThread<Versioned<Registered>>>,
    cached_clients: Arc<PerThread<Versioned<CachedClients>>>,
    access_tokens: Arc<AccessTokenCache>,
    metrics: Arc<StoreMetrics>,
}

/// The two databases. What is the same for both is in the tables' files.
#[derive(Clone)]
enum Engine {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

#[derive(Clone)]
struct Sqlite {
    writer: Writer,
    lookups: Arc<sqlite::lookup::Lookups>,
    pages: Arc<Pages<rusqlite::Connection>>,
    path: Arc<Path>,
}

#[derive(Clone)]
struct Postgres {
    lane: Queue,
    lookups: Arc<postgres::lookups::Lookups>,
    /// On connections of their own, so that no look-up waits for a page.
    pages: Arc<postgres::lookups::Lookups>,
    long: Arc<Pages<Session>>,
    tail: Tail,
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
        sqlite::lock::create_private(path)?;
        sqlite::migrate::migrate(path).await?;
        texts::complete(&mut rusqlite::Connection::open(path)?)?;
        let metrics = Arc::<StoreMetrics>::default();
        let writer = Writer::open(path, metrics.clone())?;
        let published = writer.published().clone();
        let reads: PathBuf = path.clone();
        let engine = Sqlite {
            writer,
            lookups: Arc::new(sqlite::lookup::open(path, metrics.clone())?),
            pages: Pages::new(move || sqlite::lookup::open_reader(&reads), metrics.clone()),
            path: path.as_path().into(),
        };
        Ok(Self::with(Engine::Sqlite(engine), published, Arc::default(), metrics))
    }

    /// Migrates a PostgreSQL database to the newest schema and connects to it. Other servers may use it as well.
    ///
    /// # Errors
    /// [`Error::Unusable`] for an older PostgreSQL and another program's database; when it can't be reached.
    pub async fn connect(address: &Address) -> Result<Self> {
        postgres::migrate::migrate(address).await?;
        let metrics = Arc::<StoreMetrics>::default();
        let sessions = address.clone();
        let long = Pages::new(move || Session::open(&sessions), metrics.clone());
        let access_tokens = Arc::<AccessTokenCache>::default();
        let (published, tail) = Tail::start(address.clone(), access_tokens.clone(), metrics.clone()).await?;
        let engine = Postgres {
            lane: postgres::lane::start(address.clone(), published.clone(), tail.clone(), metrics.clone())?,
            lookups: Arc::new(postgres::lookups::Lookups::new(address.clone())),
            pages: Arc::new(postgres::lookups::Lookups::new(address.clone())),
            long,
            tail,
        };
        Ok(Self::with(Engine::Postgres(engine), published, access_tokens, metrics))
    }

    fn with(
        engine: Engine,
        published: Published,
        access_tokens: Arc<AccessTokenCache>,
        metrics: Arc<StoreMetrics>,
    ) -> Self {
        Self {
            engine,
            published,
            registry: Arc::default(),
            cached_clients: Arc::default(),
            access_tokens,
            metrics,
        }
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
        self.write_after(None, work).await
    }

    /// The same for work that begins with a look-up, which is faster if it is known before the work runs.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn write_after<T, E>(
        &self,
        first_lookup: Option<Lookup>,
        work: impl Fn(&Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let began = Instant::now();
        let queue = match &self.engine {
            Engine::Sqlite(engine) => &engine.writer.queue,
            Engine::Postgres(engine) => &engine.lane,
        };
        let result = queue.write(first_lookup, work).await;
        self.metrics.write.note(began.elapsed());
        result
    }

    pub fn metrics(&self) -> &StoreMetrics {
        &self.metrics
    }

    /// Whether the database's path still leads to the file that was opened.
    pub fn is_in_place(&self) -> bool {
        match &self.engine {
            Engine::Sqlite(engine) => engine.writer.is_in_place(),
            Engine::Postgres(_) => true,
        }
    }

    /// Whether the lock file is still the one that was there when the database was opened.
    pub fn is_lock_in_place(&self) -> bool {
        match &self.engine {
            Engine::Sqlite(engine) => engine.writer.is_lock_in_place(),
            Engine::Postgres(_) => true,
        }
    }

    /// Whether other servers may use the database too.
    pub const fn is_shared(&self) -> bool {
        matches!(self.engine, Engine::Postgres(_))
    }

    /// The file of an SQLite database.
    pub fn path(&self) -> Option<&Path> {
        match &self.engine {
            Engine::Sqlite(engine) => Some(&engine.path),
            Engine::Postgres(_) => None,
        }
    }

    /// Waits until what is kept in memory is no older than this call. On SQLite it never is: this process alone
    /// writes.
    ///
    /// # Errors
    /// When the database can't be asked.
    pub async fn current(&self) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(engine) => engine.tail.current().await,
        }
    }

    /// Whether something was revoked and is not purged yet.
    pub fn is_purging(&self) -> bool {
        self.published.dead.is_purging()
    }

    /// The sequence of the newest committed ledger row. Notifies of every new one.
    pub fn ledger_head(&self) -> watch::Receiver<i64> {
        self.published.ledger_head.subscribe()
    }

    /// The version of clients, resource servers, scopes and signing keys. What is kept of them in memory is read again
    /// once it moves.
    async fn version(&self) -> Result<u64> {
        self.current().await?;
        Ok(self.published.version())
    }

    /// Notifies when a client, a resource server, a scope or a signing key has changed.
    pub fn version_moved(&self) -> watch::Receiver<u64> {
        self.published.version_moved()
    }

    /// Waits for queued work, then closes the database.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite(engine) => {
                engine.writer.queue.close().await;
                engine.pages.close();
            }
            Engine::Postgres(engine) => {
                engine.lane.close().await;
                engine.tail.close();
                engine.long.close();
                engine.lookups.close();
                engine.pages.close();
            }
        }
    }
}
