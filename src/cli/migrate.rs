//! `rescind migrate`.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::cli::holder::{Holder, address, holder};
use crate::cli::print::Output;
use crate::config::{Config, Database};
use crate::store::postgres::import::import;
use crate::store::sqlite::lock::{Absent, resolve};

#[derive(Args)]
pub struct Options {
    /// The empty database to copy to: postgres://…
    #[arg(long)]
    to: String,
    #[command(flatten)]
    pub output: Output,
}

/// Copies the SQLite database of `config`, which no server may have open, into a PostgreSQL one.
///
/// # Errors
/// With the exit code; nothing has been copied then.
pub async fn run(config: Config, options: Options) -> Result<Value, Failure> {
    let Database::Sqlite(file) = &config.database else {
        let why = "RESCIND_DATABASE_URL names the database to copy from, which has to be sqlite://…";
        return Err(Failure::usage(why.to_owned()));
    };
    let to = address("--to", &options.to, config.standby)?;
    let database = resolve(file);
    if !std::fs::metadata(&database).is_ok_and(|file| file.len() > 0) {
        return Err(Failure::not_found(&format!("database: {} (RESCIND_DATABASE_URL)", file.display())));
    }
    let _lock = match holder(&database, Absent::Leave).await? {
        Holder::Us(lock) => lock,
        Holder::Server(_) => {
            return Err(Failure::refused("a server holds the database: stop it first".to_owned()));
        }
    };
    let copied = import(&database, &to).await?;
    Ok(json!({ "tables": copied.tables, "rows": copied.rows, "ledger": copied.ledger }))
}
