//! SQL of a test's own, in either database. Statements number their parameters as the store does: `?1`.

use std::error::Error;

use bytes::BytesMut;
use rusqlite::params_from_iter;
use rusqlite::types::{FromSql, Value, ValueRef};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, NoTls};

type Boxed = Box<dyn Error + Sync + Send>;

pub enum Connection {
    Sqlite(rusqlite::Connection),
    Postgres(Postgres),
}

impl Connection {
    pub fn sqlite(path: &std::path::Path) -> Self {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        Self::Sqlite(connection)
    }

    pub fn postgres(url: &str) -> Self {
        Self::Postgres(Postgres::open(url))
    }

    /// The number of rows that were inserted, updated or deleted.
    pub fn run(&self, sql: &str, values: &[Value]) -> usize {
        self.tries(sql, values).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same, where the database may refuse it.
    pub fn tries(&self, sql: &str, values: &[Value]) -> Result<usize, String> {
        match self {
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql).map_err(|error| error.to_string())?;
                statement.execute(params_from_iter(values)).map_err(|error| error.to_string())
            }
            Self::Postgres(session) => session.run(sql, values),
        }
    }

    /// Several statements, which stand or fall together.
    pub fn batch(&self, sql: &str) {
        match self {
            Self::Sqlite(connection) => connection.execute_batch(sql).unwrap(),
            Self::Postgres(session) => session.batch(sql),
        }
    }

    pub fn rows(&self, sql: &str, values: &[Value]) -> Vec<Vec<Value>> {
        match self {
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql).unwrap();
                let width = statement.column_count();
                let row = |row: &rusqlite::Row<'_>| (0..width).map(|place| row.get(place)).collect();
                statement.query_map(params_from_iter(values), row).unwrap().map(Result::unwrap).collect()
            }
            Self::Postgres(session) => session.rows(sql, values),
        }
    }

    /// The first row, if there is one.
    pub fn row(&self, sql: &str, values: &[Value]) -> Option<Vec<Value>> {
        self.rows(sql, values).into_iter().next()
    }

    /// The first column of every row.
    pub fn column<T: FromSql>(&self, sql: &str, values: &[Value]) -> Vec<T> {
        self.rows(sql, values).iter().map(|row| read(&row[0])).collect()
    }

    /// One value of one row.
    pub fn value<T: FromSql>(&self, sql: &str, values: &[Value]) -> T {
        read(&self.row(sql, values).unwrap_or_else(|| panic!("{sql}: no row"))[0])
    }

    /// Keeps everybody from committing until this connection ends.
    pub fn lock(&self) {
        self.batch(match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_) => "BEGIN; LOCK TABLE head, users, families IN EXCLUSIVE MODE",
        });
    }

    /// The names of all tables, but that of migrations.
    pub fn tables(&self) -> Vec<String> {
        let sql = match self {
            Self::Sqlite(_) => {
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
                 AND name <> '_sqlx_migrations' ORDER BY name"
            }
            Self::Postgres(_) => {
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' \
                 AND tablename <> 'migrations' ORDER BY tablename"
            }
        };
        self.column(sql, &[])
    }

    /// The columns of a table in their order, and whether each holds bytes.
    pub fn columns(&self, table: &str) -> Vec<(String, bool)> {
        let sql = match self {
            Self::Sqlite(_) => "SELECT name, type = 'BLOB' FROM pragma_table_info(?1)",
            Self::Postgres(_) => {
                "SELECT column_name::text, data_type = 'bytea' FROM information_schema.columns \
                 WHERE table_schema = 'public' AND table_name = ?1 ORDER BY ordinal_position"
            }
        };
        let rows = self.rows(sql, &[Value::from(table.to_owned())]);
        rows.iter().map(|row| (read(&row[0]), read(&row[1]))).collect()
    }

    /// Every row of a table, with all its columns, in no order.
    pub fn contents(&self, table: &str) -> Vec<Vec<Value>> {
        self.rows(&format!("SELECT * FROM {table}"), &[])
    }

    /// Lets rows refer to others that are not there, for as long as this connection lasts.
    pub fn ignore_references(&self) {
        self.batch(match self {
            Self::Sqlite(_) => "PRAGMA foreign_keys = OFF",
            Self::Postgres(_) => "SET session_replication_role = replica",
        });
    }

    /// Lets columns hold values that their checks refuse. On PostgreSQL, the checks are gone.
    pub fn ignore_checks(&self) {
        match self {
            Self::Sqlite(_) => self.batch("PRAGMA ignore_check_constraints = ON"),
            Self::Postgres(_) => {
                let checks = "SELECT conrelid::regclass::text, conname FROM pg_constraint \
                    WHERE contype = 'c' AND connamespace = 'public'::regnamespace";
                for check in self.rows(checks, &[]) {
                    let (table, name) = (read::<String>(&check[0]), read::<String>(&check[1]));
                    self.batch(&format!("ALTER TABLE {table} DROP CONSTRAINT {name}"));
                }
            }
        }
    }

    /// Adds to the ledger what `INSERT INTO ledger` of this text adds; its rows bring their numbers.
    pub fn adds_to_ledger(&self, insert: &str, values: &[Value]) -> usize {
        let rows = self.run(insert, values);
        if let Self::Postgres(_) = self {
            self.batch("UPDATE head SET sequence = (SELECT max(sequence) FROM ledger)");
        }
        rows
    }
}

pub fn read<T: FromSql>(value: &Value) -> T {
    T::column_result(ValueRef::from(value)).unwrap_or_else(|error| panic!("{value:?}: {error}"))
}

/// A connection that is used where tests are served too: it does its work on a thread of its own.
pub struct Postgres {
    client: Client,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl Postgres {
    fn open(url: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let connect = async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
            tokio::spawn(connection);
            client
        };
        let client = elsewhere(&runtime, connect);
        Self { client, runtime: Some(runtime) }
    }

    fn wait<T: Send>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>> + Send,
    ) -> Result<T, String> {
        let answer = elsewhere(self.runtime.as_ref().unwrap(), answer);
        answer.map_err(|error| error.source().map_or_else(|| error.to_string(), ToString::to_string))
    }

    fn run(&self, sql: &str, values: &[Value]) -> Result<usize, String> {
        let values = parameters(values);
        let rows = self.wait(async { self.client.execute_raw(&translated(sql), values).await })?;
        Ok(usize::try_from(rows).unwrap())
    }

    fn batch(&self, sql: &str) {
        self.wait(self.client.batch_execute(sql)).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    fn rows(&self, sql: &str, values: &[Value]) -> Vec<Vec<Value>> {
        let values = parameters(values);
        let asking = async {
            let values: Vec<_> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
            self.client.query(&translated(sql), &values).await
        };
        let rows = self.wait(asking).unwrap_or_else(|error| panic!("{sql}: {error}"));
        rows.iter().map(|row| (0..row.len()).map(|place| row.get::<_, Cell>(place).0).collect()).collect()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Blocks this thread, which may be one of another runtime.
fn elsewhere<T: Send>(runtime: &Runtime, work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| scope.spawn(|| runtime.block_on(work)).join()).unwrap()
}

fn translated(sql: &str) -> String {
    sql.replace('?', "$")
}

fn parameters(values: &[Value]) -> Vec<Cell> {
    values.iter().cloned().map(Cell).collect()
}

/// A value on its way from or to PostgreSQL.
#[derive(Debug)]
struct Cell(Value);

impl ToSql for Cell {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        match &self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Integer(number) if *kind == Type::INT4 => i32::try_from(*number)?.to_sql(kind, out),
            Value::Integer(number) => number.to_sql(kind, out),
            Value::Real(number) => number.to_sql(kind, out),
            Value::Text(text) => text.to_sql(kind, out),
            Value::Blob(bytes) => bytes.to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> tokio_postgres::types::FromSql<'a> for Cell {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Boxed> {
        Ok(Self(match *kind {
            Type::INT8 => Value::Integer(i64::from_sql(kind, raw)?),
            Type::INT4 => Value::Integer(i32::from_sql(kind, raw)?.into()),
            Type::BOOL => Value::Integer(bool::from_sql(kind, raw)?.into()),
            Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN => {
                Value::Text(std::str::from_utf8(raw)?.to_owned())
            }
            // Bytes, and what only PostgreSQL has.
            _ => Value::Blob(raw.to_owned()),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Boxed> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
