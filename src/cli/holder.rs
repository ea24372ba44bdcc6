//! Who holds the database: a command runs here when nobody does, else in the server that does.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::net::UnixStream;

use crate::app::App;
use crate::cli::command::Command;
use crate::cli::failure::Failure;
use crate::cli::socket;
use crate::clock::Clock;
use crate::config::{Config, Database};
use crate::model::standby::Standby;
use crate::store::Store;
use crate::store::postgres::address::Address;
use crate::store::sqlite::lock::{Absent, DatabaseLock, resolve};

/// How long a command waits until it can have the database or reach the server.
pub const PATIENCE: Duration = Duration::from_secs(5);
pub const RETRY: Duration = Duration::from_millis(50);

pub enum Holder {
    /// Nobody else: this process has just taken the lock.
    Us(DatabaseLock),
    Server(UnixStream),
}

/// Reaches the server that holds the database, or takes it. The server is asked first: where it answers, no lost lock can
/// mislead. Another command, and a server that is just starting, hold it without listening: they are waited for.
///
/// # Errors
/// When neither could be done in five seconds, or the lock file can't be made.
pub async fn holder(database: &Path, absent: Absent) -> Result<Holder, Failure> {
    let attempts = async {
        loop {
            if let Ok(stream) = socket::connect(database).await {
                return Ok(Holder::Server(stream));
            }
            if let Some(lock) = DatabaseLock::acquire(database, absent)? {
                return Ok(Holder::Us(lock));
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    let shown = database.display();
    match tokio::time::timeout(PATIENCE, attempts).await {
        Ok(found) => found.map_err(|error: std::io::Error| Failure::refused(format!("{shown}: {error}"))),
        Err(_) => Err(Failure::refused(format!(
            "another process holds the database {shown}, and no server answers for it"
        ))),
    }
}

/// Connects to a database that needs no holder: several processes may use it at the same time.
///
/// # Errors
/// Exit code 2 if it can't be used as it is.
pub async fn connect(config: &Config, url: &str) -> Result<Store, Failure> {
    if config.key_file.is_none() {
        return Err(no_key_file());
    }
    Ok(Store::connect(&address("RESCIND_DATABASE_URL", url, config.standby)?).await?)
}

pub fn no_key_file() -> Failure {
    Failure::usage("RESCIND_KEY_FILE has to be set with a PostgreSQL database".to_owned())
}

/// The address that `name` gives.
///
/// # Errors
/// Exit code 2 if it is none.
pub fn address(name: &str, url: &str, standby: Standby) -> Result<Address, Failure> {
    Address::parse(url, standby).map_err(|why| Failure::usage(format!("{name} {why}")))
}

/// Runs a command on the database of `config`.
pub async fn run(config: Config, clock: Clock, command: Command) -> Result<Value, Failure> {
    match config.database.clone() {
        Database::Sqlite(file) => run_on_file(config, &file, clock, command).await,
        Database::Postgres(url) => {
            let store = connect(&config, &url).await?;
            execute(config, store, clock, command).await
        }
    }
}

async fn execute(config: Config, store: Store, clock: Clock, command: Command) -> Result<Value, Failure> {
    let app = App::new(config, store, clock).map_err(|error| Failure::refused(error.to_string()))?;
    let answer = command.execute(&app).await;
    app.store.close().await;
    answer
}

async fn run_on_file(config: Config, file: &Path, clock: Clock, command: Command) -> Result<Value, Failure> {
    let database = resolve(file);
    // An empty one made here would be backed up, and nothing would say that it is not the server's.
    if !command.may_be_first() && !std::fs::metadata(&database).is_ok_and(|file| file.len() > 0) {
        // A server whose file lost its name goes on with it.
        return match socket::connect(&database).await {
            Ok(stream) => socket::ask(stream, &command).await,
            Err(_) => {
                let shown = file.display();
                Err(Failure::not_found(&format!("database: {shown} (RESCIND_DATABASE_URL)")))
            }
        };
    }
    let absent = if command.may_be_first() { Absent::Create } else { Absent::Leave };
    let _lock = match holder(&database, absent).await? {
        Holder::Us(lock) => lock,
        Holder::Server(stream) => return socket::ask(stream, &command).await,
    };
    let store = Store::open(&database).await?;
    execute(config, store, clock, command).await
}
