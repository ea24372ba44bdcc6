//! `rescind restore`: puts a backup in the place of the database, in one go.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::exposed;
use crate::cli::failure::Failure;
use crate::cli::holder::{self, Holder, PATIENCE, RETRY, holder};
use crate::cli::print::{Output, print_error};
use crate::clock::{Clock, Timestamp};
use crate::config::{Config, Database};
use crate::service::keys::Keys;
use crate::service::ledger_file;
use crate::service::restore::{Restored, Since, restore};
use crate::store::Store;
use crate::store::postgres::primary::connections;
use crate::store::sqlite::copies;
use crate::store::sqlite::lock::{Absent, beside, resolve};
use crate::text::t;

#[derive(clap::Args)]
pub struct Options {
    /// What `rescind backup` wrote; it stays as it is
    #[arg(required_unless_present = "in_place")]
    file: Option<PathBuf>,
    /// End everything that was given before in the PostgreSQL database, which may lack what was done last: a standby became
    /// its primary, or its own tools restored a backup. All apps are suspended until an admin reinstates them
    #[arg(long, conflicts_with_all = ["file", "ledger", "replace"])]
    in_place: bool,
    /// What `rescind ledger export` wrote last: what was done since the backup is done again. Without it
    /// all apps are suspended until an admin reinstates them
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// Put it in the place of the database that is there, which is kept under another name
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    pub output: Output,
}

/// Restores `options.file` as the database of `config`.
///
/// # Errors
/// With the exit code; then the database that was there is there.
pub async fn run(config: Config, clock: Clock, options: Options) -> Result<Value, Failure> {
    let (file, backup) = match (&config.database, &options.file) {
        (Database::Postgres(url), None) => return run_in_place(&config, url, &clock).await,
        (Database::Sqlite(file), Some(backup)) => (file, backup),
        (Database::Sqlite(_), None) => {
            return Err(Failure::usage("--in-place is for a PostgreSQL database".to_owned()));
        }
        (Database::Postgres(_), Some(_)) => {
            return Err(Failure::usage(
                "a PostgreSQL database is restored by its own tools; after that, run rescind restore --in-place"
                    .to_owned(),
            ));
        }
    };
    // A link goes on leading to it.
    let database = resolve(file);
    let _lock = match holder(&database, Absent::Leave).await? {
        Holder::Us(lock) => lock,
        Holder::Server(_) => {
            return Err(Failure::refused("a server holds the database: stop it first".to_owned()));
        }
    };
    if !backup.exists() {
        return Err(Failure::not_found("backup"));
    }
    for (file, mode) in exposed::readable_by_others(std::slice::from_ref(backup)) {
        let why = "it holds password hashes and addresses";
        print_error(&format!("rescind: warning: others can read {} ({mode:04o}): {why}", file.display()));
    }
    // A copy in the database's place is there to be restored.
    if database.exists() && !copies::is_copy(&database) && !options.replace {
        return Err(Failure::refused(format!(
            "{} exists: to put the backup in its place, export its ledger if it can still be read (rescind ledger \
             export FILE), then give --ledger FILE --replace; it is kept under another name",
            database.display()
        )));
    }
    let (since, compared) = match &options.ledger {
        Some(file) => read_ledger(file, &database)?,
        None => (Since::Unknown { reason: t("restored-suspended") }, None),
    };
    let now = clock.now();
    let folder = database.parent().unwrap_or(Path::new("/"));
    let new_file = tempfile::Builder::new().prefix(".rescind-restore").tempfile_in(folder);
    let new_file = new_file.with_context(|| format!("{}", folder.display()))?.into_temp_path();
    let key_file = config.key_file.clone().unwrap_or_else(|| beside(file, "key"));
    let keys = Keys::new(key_file, config.keys);
    let restored = prepare_copy(backup, &new_file, &keys, since, now).await?;
    copies::settle(&new_file)?;
    let kept = set_aside(&database, now)?;
    new_file.persist(&database).with_context(|| format!("{}", database.display()))?;
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).context("the database's folder")?;
    Ok(json!({
        "receipt": restored.receipt, "replayed": restored.replayed, "suspended": restored.suspended,
        "passwords_to_set": restored.locked, "voided": restored.voided, "kept": kept,
        "compared": compared,
    }))
}

/// What is to be done again. And whether it was compared with the database that is there; `None` if none is there.
fn read_ledger(file: &Path, database: &Path) -> Result<(Since, Option<bool>), Failure> {
    let ledger = ledger_file::read(file);
    let ledger = ledger.map_err(|error| Failure::refused(format!("--ledger {error}")))?;
    let mut compared = None;
    if database.exists() && !copies::is_copy(database) {
        // What can't be read any more is what the ledger is for.
        let taken_away = copies::taken_away(database).ok();
        compared = Some(taken_away.is_some());
        let covered = ledger.covers(&taken_away.unwrap_or_default());
        covered.map_err(|unfit| Failure::refused(format!("--ledger {}: {unfit}", file.display())))?;
    }
    Ok((Since::Ledger(ledger), compared))
}

/// Ends everything in a PostgreSQL database. Servers refuse it until then if they know that it lacks something.
async fn run_in_place(config: &Config, url: &str, clock: &Clock) -> Result<Value, Failure> {
    let Some(key_file) = config.key_file.clone() else { return Err(holder::no_key_file()) };
    let address = holder::address("RESCIND_DATABASE_URL", url, config.standby)?.to_restore();
    let from = Instant::now();
    while connections(&address).await? > 0 {
        if from.elapsed() >= PATIENCE {
            let why = "servers are connected to the database: stop all of them first";
            return Err(Failure::refused(why.to_owned()));
        }
        tokio::time::sleep(RETRY).await;
    }
    let store = Store::connect(&address).await?;
    let since = Since::Unknown { reason: t("restored-suspended") };
    let restored = restore(&store, &Keys::new(key_file, config.keys), since, clock.now()).await;
    store.close().await;
    let restored = restored.map_err(|error| Failure::refused(error.to_string()))?;
    Ok(json!({ "receipt": restored.receipt, "suspended": restored.suspended }))
}

/// Makes of the backup, in a file of its own, what may be served.
async fn prepare_copy(
    backup: &Path,
    new_file: &Path,
    keys: &Keys,
    since: Since,
    now: Timestamp,
) -> Result<Restored, Failure> {
    copies::copy(backup, new_file)
        .map_err(|error| Failure::refused(format!("{}: {error}", backup.display())))?;
    let store = Store::open_copy(new_file).await?;
    let restored = restore(&store, keys, since, now).await;
    store.close().await;
    restored.map_err(|error| Failure::refused(error.to_string()))
}

/// Moves the database that is there, and its log, to another name.
fn set_aside(database: &Path, now: Timestamp) -> Result<Option<PathBuf>, Failure> {
    if !database.exists() {
        return Ok(None);
    }
    let with = |end: &str| {
        let mut name = database.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let aside = format!(".replaced-{}", now.millis());
    for end in ["-wal", "-shm", ""] {
        let from = with(end);
        if from.exists() {
            let to = with(&format!("{aside}{end}"));
            std::fs::rename(&from, &to).with_context(|| format!("{}", from.display()))?;
        }
    }
    Ok(Some(with(&aside)))
}
