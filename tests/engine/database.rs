//! A fresh database for each test: SQLite, or PostgreSQL if `RESCIND_TEST_ENGINE` is `postgres`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rescind::clock::Clock;
use rescind::model::standby::Standby;
use rescind::service::purge;
use rescind::store::Store;
use rescind::store::postgres::address::Address;
use rescind::store::postgres::migrate::migrate;
use rescind::store::sqlite::lock::beside;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use url::Url;

use super::connection::Connection;
use super::postgres::cluster::database as shared;
use super::postgres::cluster::relay::Relay;

/// The database that others are copies of: it holds the schema and nothing else.
const TEMPLATE: &str = "rescind_template";

pub fn is_postgres() -> bool {
    match std::env::var("RESCIND_TEST_ENGINE").as_deref() {
        Ok("postgres") => true,
        Ok("sqlite") | Err(_) => false,
        Ok(other) => panic!("RESCIND_TEST_ENGINE is {other}, and neither sqlite nor postgres"),
    }
}

/// Whether a test has to be left out on PostgreSQL, and why.
pub fn skips_on_postgres(why: &str) -> bool {
    if is_postgres() {
        eprintln!("skipped on PostgreSQL: {why}");
    }
    is_postgres()
}

/// The tables of one test, and a folder of its own.
pub struct Database {
    postgres: Option<shared::Database>,
    /// By which the program reaches it, if not directly.
    line: Option<Relay>,
    folder: TempDir,
}

impl Database {
    pub fn new() -> Self {
        Self::of(is_postgres().then(migrated))
    }

    fn of(postgres: Option<shared::Database>) -> Self {
        Self { postgres, line: None, folder: tempfile::tempdir().unwrap() }
    }

    /// On PostgreSQL, with a line to it that can be cut.
    pub fn on_a_line() -> Self {
        let database = Self::new();
        let port = Url::parse(&database.url()).unwrap().port().unwrap();
        Self { line: Some(Relay::to_port(port)), ..database }
    }

    pub fn line(&self) -> &Relay {
        self.line.as_ref().expect("a database on a line")
    }

    /// For a program to make its tables there. With SQLite a new one has none either.
    pub fn without_tables() -> Self {
        Self::of(is_postgres().then(shared::shared_database))
    }

    /// What this one holds, in another one. No store may have this one open.
    pub fn copied(&self) -> Self {
        let copy = Self::of(self.postgres.as_ref().map(shared::Database::copied));
        if self.postgres.is_none() {
            self.connect().run("VACUUM INTO ?1", &[copy.path().display().to_string().into()]);
        }
        std::fs::copy(self.key_file(), copy.key_file()).unwrap();
        copy
    }

    pub async fn open(&self) -> Store {
        match &self.postgres {
            Some(_) => Store::connect(&Address::parse(&self.url(), Standby::Any).unwrap()).await.unwrap(),
            None => Store::open(&self.path()).await.unwrap(),
        }
    }

    /// A connection beside the store's, as another program would have one.
    pub fn connect(&self) -> Connection {
        match &self.postgres {
            Some(database) => Connection::postgres(&database.url),
            None => Connection::sqlite(&self.path()),
        }
    }

    /// `RESCIND_DATABASE_URL`
    pub fn url(&self) -> String {
        match &self.postgres {
            Some(database) => {
                let url = database.url.clone();
                self.line.as_ref().map_or(url.clone(), |line| line.url(&url))
            }
            None => format!("sqlite://{}", self.path().display()),
        }
    }

    /// `RESCIND_KEY_FILE`
    pub fn key_file(&self) -> PathBuf {
        beside(&self.path(), "key")
    }

    /// The file of SQLite.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("rescind.db")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Purges until nothing dead is left. On PostgreSQL a purge waits for older transactions of the whole database server, those of
/// other tests included.
#[allow(dead_code, reason = "not every suite purges")]
pub async fn catch_up(store: &Store, clock: &Clock, grace: Duration) -> rescind::store::Result<()> {
    for _ in 0..500 {
        purge::catch_up(store, clock, grace).await?;
        if store.unfinished_purges().await?.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A copy of the template, which is faster than a migration. The first test makes the template.
fn migrated() -> shared::Database {
    let server = shared::Server::shared();
    if let Some(database) = server.copy_of(TEMPLATE) {
        return database;
    }
    // One test makes it, and the others wait.
    let lock = Connection::postgres(&server.url);
    lock.batch("SELECT pg_advisory_lock(1)");
    if let Some(database) = server.copy_of(TEMPLATE) {
        return database;
    }
    let template = server.create();
    // On a runtime that ends then, and closes its connections: nobody may have the template open.
    let address = Address::parse(&template, Standby::Any).unwrap();
    let migrating = move || Runtime::new().unwrap().block_on(migrate(&address)).unwrap();
    std::thread::spawn(migrating).join().unwrap();
    server.rename(&template, TEMPLATE);
    server.copy_of(TEMPLATE).unwrap()
}
