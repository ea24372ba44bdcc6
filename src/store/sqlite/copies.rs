//! Copies of the database: backups, exported ledgers, and the new history that a restored copy begins.

use std::path::{Path, PathBuf};

use rusqlite::OpenFlags;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::model::id::ClientId;

use crate::store::postgres::primary::ACCEPT;
use crate::store::purges::DeletedRows;
use crate::store::sql::{Connection, FromRow as _, from_row, params};
use crate::store::{Error, Result, Store, Tx};

const MARK: &str = "PRAGMA journal_mode = OFF; UPDATE server SET is_copy = 1";
const IS_COPY: &str = "SELECT is_copy FROM server WHERE id = 1";
const IS_OURS: &str = "SELECT generation FROM server WHERE id = 1";
const LEDGER_AFTER: &str = "SELECT l.sequence, l.receipt_id, l.at, l.act, l.actor_kind, l.actor_id, l.origin, \
    l.subject_kind, l.subject_id, l.grant_id, l.client_id, l.user_id, l.generation, l.audiences, n.reason, n.detail \
    FROM ledger AS l LEFT JOIN receipt_notes AS n ON n.receipt_id = l.receipt_id \
    WHERE l.sequence > ?1 ORDER BY l.sequence LIMIT ?2";
const HAS: &str = "SELECT 1 FROM ledger WHERE receipt_id = ?1 AND subject_kind = ?2 AND subject_id = ?3";
/// Restorations are left out: each new restoration ends everything again.
const TAKEN_AWAY: &str = "SELECT sequence, receipt_id, subject_kind, subject_id FROM ledger \
    WHERE act <> 'database_restored' ORDER BY sequence";
const INSERT: &str = "INSERT INTO ledger (receipt_id, at, act, actor_kind, actor_id, origin, subject_kind, subject_id, \
    grant_id, client_id, user_id, generation, audiences) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) RETURNING sequence";
const INSERT_NOTE: &str =
    "INSERT INTO receipt_notes (receipt_id, reason, detail) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
/// Both jump to the current time, because another history of this database may have counted further by now.
const BEGIN: &str = "UPDATE server SET generation = CASE WHEN generation + 1 > ?1 THEN generation + 1 ELSE ?1 END, \
    incarnation = CASE WHEN incarnation + 1 > ?2 THEN incarnation + 1 ELSE ?2 END, is_copy = 0 WHERE id = 1 RETURNING generation";
const ACTIVE_CLIENTS: &str = "SELECT id FROM clients WHERE status = 'active' ORDER BY id";
const VOID: [&str; 5] = [
    "DELETE FROM tokens WHERE place / 1048576 % 2 = 0",
    "DELETE FROM tokens WHERE place / 1048576 % 2 = 1",
    "DELETE FROM authorization_codes",
    "DELETE FROM families",
    "DELETE FROM sessions",
];

/// The same in parts that take milliseconds.
const VOID_SOME: [&str; 5] = [
    "DELETE FROM tokens WHERE place IN (SELECT place FROM tokens WHERE place / 1048576 % 2 = 0 LIMIT 5000)",
    "DELETE FROM tokens WHERE place IN (SELECT place FROM tokens WHERE place / 1048576 % 2 = 1 LIMIT 5000)",
    "DELETE FROM authorization_codes WHERE digest IN (SELECT digest FROM authorization_codes LIMIT 5000)",
    "DELETE FROM families WHERE id IN (SELECT id FROM families AS f WHERE NOT EXISTS \
        (SELECT 1 FROM authorization_codes AS c WHERE c.family_id = f.id) LIMIT 5000)",
    "DELETE FROM sessions WHERE digest IN (SELECT digest FROM sessions LIMIT 5000)",
];

/// A row of the ledger as an exported file has it, with the note about its act.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExportedRow {
    pub sequence: i64,
    pub receipt_id: String,
    pub at: i64,
    pub act: String,
    pub actor_kind: String,
    pub actor_id: Option<String>,
    pub origin: String,
    pub subject_kind: String,
    pub subject_id: String,
    pub grant_id: Option<String>,
    pub client_id: Option<String>,
    pub user_id: Option<String>,
    pub generation: Option<i64>,
    pub audiences: Option<String>,
    pub reason: Option<String>,
    /// What the act changed. Earlier versions wrote it as the reason.
    #[serde(default)]
    pub detail: Option<String>,
}

from_row! { ExportedRow: sequence, receipt_id, at, act, actor_kind, actor_id, origin, subject_kind, subject_id, grant_id,
client_id, user_id, generation, audiences, reason, detail }

/// What identifies a row of the ledger: its sequence, its receipt and its subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LedgerKey {
    pub sequence: i64,
    pub receipt_id: String,
    pub subject_kind: String,
    pub subject_id: String,
}

impl From<&ExportedRow> for LedgerKey {
    fn from(row: &ExportedRow) -> Self {
        Self {
            sequence: row.sequence,
            receipt_id: row.receipt_id.clone(),
            subject_kind: row.subject_kind.clone(),
            subject_id: row.subject_id.clone(),
        }
    }
}

fn at_path(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::Unavailable(format!("{}: {error}", path.display()))
}

fn reader(path: &Path) -> Result<rusqlite::Connection> {
    Ok(rusqlite::Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?)
}

/// Whether `rescind backup` has written `path`. `false` for a file that is no database of Rescind: opening it later
/// says what is wrong.
pub fn is_copy(path: &Path) -> bool {
    let marked =
        |connection: rusqlite::Connection| connection.query_row(IS_COPY, [], |row| row.get::<_, i64>(0)).ok();
    reader(path).ok().and_then(marked) == Some(1)
}

/// All ledger rows of the database at `path` but restorations, whichever version wrote it.
///
/// # Errors
/// When it can't be read.
pub fn taken_away(path: &Path) -> Result<Vec<LedgerKey>> {
    let database = reader(path)?;
    let mut statement = database.prepare(TAKEN_AWAY)?;
    let row = |row: &rusqlite::Row<'_>| {
        Ok(LedgerKey {
            sequence: row.get(0)?,
            receipt_id: row.get(1)?,
            subject_kind: row.get(2)?,
            subject_id: row.get(3)?,
        })
    };
    Ok(statement.query_map([], row)?.collect::<rusqlite::Result<_>>()?)
}

/// Writes all that the database at `from` holds into the empty file `to`. Tables and indexes are written from scratch.
///
/// # Errors
/// When one of the files can't be used. To SQLite an empty file is a database, so a backup that was truncated to
/// nothing would become a server without people and apps: it is refused here.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let from = reader(from)?;
    if from.query_row(IS_OURS, [], |row| row.get::<_, i64>(0)).is_err() {
        return Err(Error::Unavailable("it is no database of Rescind".to_owned()));
    }
    from.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
    Ok(())
}

/// A database of PostgreSQL is backed up by its own tools.
fn not_a_file() -> Error {
    Error::Unusable("only an SQLite database can be backed up so: use PostgreSQL's own tools".to_owned())
}

/// Moves all of a database that nobody has open into its one file, and syncs it to disk.
///
/// # Errors
/// When the disk fails.
pub fn settle(path: &Path) -> Result<()> {
    let connection = rusqlite::Connection::open(path)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
    drop(connection);
    if mode != "delete" {
        return Err(Error::Unavailable(format!("{}: it is still open", path.display())));
    }
    std::fs::File::open(path).and_then(|file| file.sync_all()).map_err(at_path(path))
}

impl Store {
    /// Writes a consistent copy of the whole database to `to`, while reads and writes go on. `to` may not exist yet.
    /// The copy is marked as one, and appears whole or not at all.
    ///
    /// # Errors
    /// `Exists` if there is such a file; when the copy can't be written.
    pub async fn backup(&self, to: PathBuf) -> Result<()> {
        let from = self.path().ok_or_else(not_a_file)?.to_owned();
        let write = move || -> Result<()> {
            if to.exists() {
                return Err(Error::Exists);
            }
            let folder =
                to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            // Nobody else can read a new temporary file. It is deleted if anything fails.
            let file = tempfile::Builder::new().prefix(".rescind-backup").tempfile_in(folder);
            let file = file.map_err(at_path(&to))?;
            copy(&from, file.path())?;
            rusqlite::Connection::open(file.path())?.execute_batch(MARK)?;
            file.as_file().sync_all().map_err(at_path(&to))?;
            file.persist_noclobber(&to).map_err(|error| at_path(&to)(error.error))?;
            std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(at_path(&to))
        };
        tokio::task::spawn_blocking(write).await.map_err(|error| Error::Unavailable(error.to_string()))?
    }

    /// Rows of the ledger after a sequence, oldest first.
    pub async fn ledger_after(&self, sequence: i64, rows: i64) -> Result<Vec<ExportedRow>> {
        self.rows_read(LEDGER_AFTER, params![sequence, rows], ExportedRow::from_row).await
    }
}

impl Tx<'_> {
    /// Whether the ledger holds this row, whatever sequence it has here.
    pub fn ledger_has(&self, row: &ExportedRow) -> Result<bool> {
        self.any(HAS, params![row.receipt_id, row.subject_kind, row.subject_id])
    }

    /// Appends a row of another history of this database, with the generation that its act has here.
    pub fn insert_exported(&self, row: &ExportedRow, generation: Option<i64>) -> Result<()> {
        let sequence = self.only(
            INSERT,
            params![
                row.receipt_id,
                row.at,
                row.act,
                row.actor_kind,
                row.actor_id,
                row.origin,
                row.subject_kind,
                row.subject_id,
                row.grant_id,
                row.client_id,
                row.user_id,
                generation,
                row.audiences,
            ],
            |row| row.get(0),
        )?;
        self.effects.borrow_mut().ledger_head = Some(sequence);
        if row.reason.is_some() || row.detail.is_some() {
            self.run(INSERT_NOTE, params![row.receipt_id, row.reason, row.detail])?;
        }
        Ok(())
    }

    /// Begins another history: all that was minted in any other is dead, and guards start over. Returns the server's
    /// new generation.
    pub(in crate::store) fn begin_history(&self, now: Timestamp) -> Result<i64> {
        if let Connection::Postgres(_) = self.connection() {
            self.run(ACCEPT, params![])?;
        }
        self.only(BEGIN, params![now.seconds(), now.millis()], |row| row.get(0))
    }

    /// Deletes every code, token, family and session. For a database that nobody serves yet.
    pub(in crate::store) fn void_all(&self) -> Result<DeletedRows> {
        self.void(&VOID)
    }

    /// Some of these.
    pub fn void_some(&self) -> Result<DeletedRows> {
        self.void(&VOID_SOME)
    }

    fn void(&self, statements: &[&'static str; 5]) -> Result<DeletedRows> {
        let mut rows = [0; 5];
        for (rows, statement) in rows.iter_mut().zip(statements) {
            *rows = self.delete(statement, params![])?;
        }
        let [access_tokens, refresh_tokens, authorization_codes, families, sessions] = rows;
        Ok(DeletedRows { access_tokens, refresh_tokens, authorization_codes, families, sessions })
    }

    pub fn active_clients(&self) -> Result<Vec<ClientId>> {
        self.all(ACTIVE_CLIENTS, params![], |row| row.get(0))
    }
}
