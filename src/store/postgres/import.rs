//! Copies an SQLite database into an empty PostgreSQL one: every row, with generations and the ledger's numbers, so
//! that nothing that was revoked comes back and every token goes on.

use std::path::Path;
use std::pin::pin;

use rusqlite::OpenFlags;
use serde::Serialize;
use tokio_postgres::Transaction;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use crate::store::postgres::address::Address;
use crate::store::postgres::connect::{Connected, connect};
use crate::store::postgres::migrate;
use crate::store::postgres::values::parameters;
use crate::store::sql::Value;
use crate::store::{Error, Result, sqlite};

/// Tables of which others' rows tell come first.
const TABLES: [&str; 26] = [
    "users",
    "sessions",
    "user_texts",
    "clients",
    "client_secrets",
    "client_changes",
    "client_texts",
    "jwt_spells",
    "banned_domains",
    "blocks",
    "grants",
    "families",
    "authorization_codes",
    "tokens",
    "revoked_tokens",
    "successor_keys",
    "ledger",
    "purges",
    "audit",
    "receipt_notes",
    "resource_servers",
    "confirmations",
    "earlier_resource_server_secrets",
    "scopes",
    "guard_instances",
    "signing_keys",
];
/// Both have one row: the new database's own is replaced.
const SINGLE: [&str; 2] = ["server", "drill"];
const IS_USED: &str = "SELECT EXISTS (SELECT 1 FROM users) OR EXISTS (SELECT 1 FROM ledger)";
/// Guards and servers go on from the ledger's numbers; rows that PostgreSQL numbers itself go on from theirs.
const NUMBERS: &str = "UPDATE head SET sequence = (SELECT coalesce(max(sequence), 0) FROM ledger), config = config + 1; \
    SELECT setval(pg_get_serial_sequence('audit', 'sequence'), coalesce(max(sequence), 1), max(sequence) IS NOT NULL) \
    FROM audit; \
    SELECT setval(pg_get_serial_sequence('successor_keys', 'id'), coalesce(max(id), 1), max(id) IS NOT NULL) \
    FROM successor_keys";

/// How many rows were copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copied {
    pub tables: usize,
    pub rows: u64,
    /// The sequence of the ledger's newest row.
    pub ledger: i64,
}

/// Copies a database that nobody has open. All of it is one transaction.
///
/// # Errors
/// [`Error::Unusable`] if the new database is not empty, or a value can't be stored there; nothing is copied then.
pub async fn import(file: &Path, address: &Address) -> Result<Copied> {
    sqlite::migrate::migrate(file).await?;
    migrate::migrate(address).await?;
    let Connected { mut client, .. } = connect(address).await?;
    let old = rusqlite::Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let transaction = client.transaction().await?;
    // Nobody else copies into it, or begins to use it, until the commit.
    transaction.batch_execute("LOCK TABLE users, ledger IN EXCLUSIVE MODE").await?;
    if transaction.query_one(IS_USED, &[]).await?.try_get(0)? {
        return Err(Error::Unusable("the database to copy to is not empty".to_owned()));
    }
    let mut rows = 0;
    for table in SINGLE.iter().chain(&TABLES) {
        let failed = |error: Error| Error::Unusable(format!("the table {table} can't be copied: {error}"));
        if SINGLE.contains(table) {
            transaction.execute(&format!("DELETE FROM {table}"), &[]).await?;
        }
        // The drill names its client, which comes later: it is copied last.
        if *table != "drill" {
            rows += copy(&old, &transaction, table).await.map_err(failed)?;
        }
    }
    rows += copy(&old, &transaction, "drill").await?;
    transaction.batch_execute(NUMBERS).await?;
    let ledger = transaction.query_one("SELECT sequence FROM head WHERE id = 1", &[]).await?.try_get(0)?;
    transaction.commit().await?;
    Ok(Copied { tables: SINGLE.len() + TABLES.len(), rows, ledger })
}

/// The columns of a table of the old database, with the types that they have in the new one.
async fn columns(
    old: &rusqlite::Connection,
    new: &Transaction<'_>,
    table: &str,
) -> Result<(String, Vec<Type>)> {
    let select = old.prepare(&format!("SELECT * FROM {table}"))?;
    let names: Vec<_> = select.column_names().iter().map(|name| format!("\"{name}\"")).collect();
    let names = names.join(", ");
    let known = new.prepare(&format!("SELECT {names} FROM {table}")).await?;
    Ok((names, known.columns().iter().map(|column| column.type_().clone()).collect()))
}

async fn copy(old: &rusqlite::Connection, new: &Transaction<'_>, table: &str) -> Result<u64> {
    let (names, types) = columns(old, new, table).await?;
    let sink = new.copy_in(&format!("COPY {table} ({names}) FROM STDIN BINARY")).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
    let mut select = old.prepare(&format!("SELECT {names} FROM {table}"))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let values = (0..types.len()).map(|column| Value::of_sqlite(row.get_ref(column)?));
        let values: Vec<_> = values.collect::<Result<_>>()?;
        let values: Vec<&(dyn ToSql + Sync)> = parameters(&values);
        writer.as_mut().write(&values).await?;
    }
    Ok(writer.as_mut().finish().await?)
}
