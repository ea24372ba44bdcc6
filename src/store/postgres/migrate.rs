//! Brings the schema of a database to this version. All of it is one transaction: it is done whole or not at all, and
//! servers that start at the same time do it once.
//!
//! Servers of the version before go on meanwhile and afterwards, so migrations only add (docs/scaling.md).

use std::time::{Duration, Instant};

use sqlx::migrate::Migrator;
use tokio_postgres::{Client, Transaction};

use crate::fail;
use crate::store::postgres::address::Address;
use crate::store::postgres::connect::{Connected, connect, soon};
use crate::store::postgres::values::is_conflict;
use crate::store::{Error, Result};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// The oldest PostgreSQL that is supported, as it gives its own version.
const OLDEST: i64 = 150_000;
const VERSION: &str = "SELECT current_setting('server_version_num')::bigint";
/// Whether the schema holds tables, and whether they are ours.
const TABLES: &str = "SELECT count(*) > 0, count(*) FILTER (WHERE tablename = 'migrations') > 0 FROM pg_tables \
    WHERE schemaname = current_schema()";
/// A number that no other program is likely to lock.
const LOCK: &str = "SELECT pg_advisory_xact_lock(8246183901)";
const CREATE: &str = "CREATE TABLE migrations (version BIGINT PRIMARY KEY, checksum BYTEA NOT NULL)";
const DONE: &str = "SELECT version, checksum FROM migrations ORDER BY version";
const INSERT: &str = "INSERT INTO migrations (version, checksum) VALUES ($1, $2)";

/// A migration locks the tables that it changes. Whoever uses one of them waits behind a lock that waits for a long read:
/// so a lock is not waited for longer than this, and the whole is tried again.
const LOCK_AT_ONCE: &str = "SET LOCAL lock_timeout = 300";
const PAUSE: Duration = Duration::from_millis(300);
const LONGEST: Duration = Duration::from_secs(60);

/// # Errors
/// [`Error::Unusable`] when the server is too old, and when the database belongs to another program or to a newer
/// version of this one. Nothing has been changed then.
pub async fn migrate(address: &Address) -> Result<()> {
    let Connected { mut client, .. } = connect(address).await.map_err(Error::unreachable)?;
    // A pooler that shares connections gives this one the session of the first.
    connect(address).await.map_err(Error::unreachable)?;
    if number(&client, VERSION).await? < OLDEST {
        return Err(Error::Unusable("PostgreSQL 15 or newer is needed".to_owned()));
    }
    let began = Instant::now();
    loop {
        let transaction = client.transaction().await?;
        if run(&transaction).await? {
            soon(transaction.commit()).await?;
            fail::point("migration.done");
            return Ok(());
        }
        transaction.rollback().await?;
        if began.elapsed() > LONGEST {
            let why = "a migration can't lock a table that is in use all the time: start it again later";
            return Err(Error::Unusable(why.to_owned()));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn number(client: &Client, statement: &str) -> Result<i64> {
    Ok(soon(client.query_one(statement, &[])).await?.try_get(0)?)
}

/// `false` if a table is in use: then nothing was done.
async fn run(transaction: &Transaction<'_>) -> Result<bool> {
    transaction.batch_execute(LOCK).await?;
    let tables = soon(transaction.query_one(TABLES, &[])).await?;
    match (tables.try_get(0)?, tables.try_get(1)?) {
        (false, _) => {
            transaction.batch_execute(CREATE).await.map_err(|error| Error::unreachable(error.into()))?
        }
        (true, true) => {}
        (true, false) => {
            return Err(Error::Unusable("the database holds tables of another program".to_owned()));
        }
    }
    let done = soon(transaction.query(DONE, &[])).await?;
    let mut missing = MIGRATIONS.iter().peekable();
    for row in &done {
        let (version, checksum): (i64, &[u8]) = (row.try_get(0)?, row.try_get(1)?);
        let Some(known) = missing.next_if(|known| known.version == version) else {
            return Err(Error::Unusable(
                "the database was migrated by a newer version of rescind".to_owned(),
            ));
        };
        if *known.checksum != *checksum {
            return Err(Error::Unusable("the database was migrated by another program".to_owned()));
        }
    }
    transaction.batch_execute(LOCK_AT_ONCE).await?;
    for migration in missing {
        match transaction.batch_execute(migration.sql.as_str()).await {
            Err(error) if is_conflict(&error) => return Ok(false),
            executed => executed?,
        }
        fail::point("migration.step");
        transaction.execute(INSERT, &[&migration.version, &&*migration.checksum]).await?;
        fail::point("migration.step");
    }
    Ok(true)
}
