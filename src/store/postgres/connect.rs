//! Opening a PostgreSQL database: its address, its schema, and connections to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::poll_fn;
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

use crate::store::{Error, Result};

/// How long a connection may take to be there, and a statement to be answered.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// The oldest PostgreSQL that is supported, as it gives its own version.
const OLDEST: i64 = 150_000;
/// Plans are made once: with values they would be made anew for each execution. Compiling a plan takes longer than any
/// statement here.
const OPTIONS: &str =
    "-c plan_cache_mode=force_generic_plan -c jit=off -c idle_in_transaction_session_timeout=60s";

/// The address of a database.
#[derive(Clone)]
pub struct Address {
    url: Arc<str>,
    config: Config,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        out.write_str("Address(..)")
    }
}

impl Address {
    /// # Errors
    /// What is wrong with the URL.
    pub fn parse(url: &str) -> std::result::Result<Self, String> {
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
        })?;
        if config.get_hosts().is_empty() || config.get_dbname().is_none() {
            return Err("names no host or no database".to_owned());
        }
        config.application_name("rescind").connect_timeout(PATIENCE).options(OPTIONS);
        config.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
        Ok(Self { url: url.into(), config })
    }

    /// What may be shown of it: no password.
    pub fn shown(&self) -> String {
        let hosts: Vec<_> = self.config.get_hosts().iter().map(|host| format!("{host:?}")).collect();
        format!("{} at {}", self.config.get_dbname().unwrap_or_default(), hosts.join(", "))
    }
}

/// A connection, and whether the server has said something on it that nobody asked for.
pub struct Connected {
    pub client: Client,
    /// PostgreSQL reports a commit as done, with a warning, when its wait for the standby was cancelled.
    pub noticed: Arc<AtomicBool>,
}

/// Connects, and keeps the connection going in a task of this runtime.
pub async fn connect(address: &Address) -> Result<Connected> {
    let (client, mut connection) = address.config.connect(NoTls).await?;
    let noticed = Arc::new(AtomicBool::new(false));
    let notices = noticed.clone();
    tokio::spawn(async move {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            match message {
                Ok(AsyncMessage::Notice(_)) => notices.store(true, Ordering::SeqCst),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    });
    Ok(Connected { client, noticed })
}

/// The same, with a limit of time.
pub async fn connect_soon(address: &Address) -> Result<Connected> {
    soon(connect(address)).await
}

/// What `answer` becomes within [`PATIENCE`].
pub async fn soon<T, E>(answer: impl Future<Output = std::result::Result<T, E>>) -> Result<T>
where
    Error: From<E>,
{
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Error::Unavailable("the database does not answer in time".to_owned())),
    }
}

/// Brings the schema of the database to this version.
///
/// # Errors
/// When the database can't be reached, is too old or belongs to another program; nothing has been changed then.
pub async fn migrate(address: &Address) -> Result<()> {
    let Connected { client, .. } = connect_soon(address).await?;
    let version = client.query_one("SELECT current_setting('server_version_num')::bigint", &[]).await?;
    if version.get::<_, i64>(0) < OLDEST {
        return Err(Error::Unusable("PostgreSQL 15 or newer is needed".to_owned()));
    }
    let tables = "SELECT count(*), count(*) FILTER (WHERE tablename = '_sqlx_migrations') FROM pg_tables \
        WHERE schemaname = current_schema()";
    let tables = client.query_one(tables, &[]).await?;
    if tables.get::<_, i64>(0) > 0 && tables.get::<_, i64>(1) == 0 {
        return Err(Error::Unusable("the database holds tables of another program".to_owned()));
    }
    let options: PgConnectOptions = address.url.parse()?;
    let pool =
        PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE).connect_with(options).await?;
    let migrated = sqlx::migrate!("migrations/postgres").run(&pool).await;
    pool.close().await;
    migrated.map_err(|error| match error {
        MigrateError::VersionMissing(_) => {
            Error::Unusable("the database was migrated by a newer version of rescind".to_owned())
        }
        MigrateError::VersionMismatch(_) => {
            Error::Unusable("the database holds tables of another program".to_owned())
        }
        error => Error::from(error),
    })
}
