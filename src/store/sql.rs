//! The calls that every table's file makes. A statement is prepared once for each connection.
//!
//! In a transaction and in a long read, they are methods of [`Connection`]. Outside, they are methods of [`Store`]: one
//! statement by key (`one`, `all` …), or the rows of a page, which may take longer (`rows`, `row`).

use std::borrow::Cow;
use std::fmt::Display;

use rusqlite::types::{ToSqlOutput, ValueRef};

use super::postgres::session::Session;
use super::{Engine, Error, Result, Store};

/// A value as a database has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value<'a> {
    Null,
    Integer(i64),
    Text(Cow<'a, str>),
    Blob(Cow<'a, [u8]>),
}

impl Value<'_> {
    pub(super) fn integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn blob(&self) -> Option<&[u8]> {
        if let Self::Blob(bytes) = self { Some(bytes) } else { None }
    }

    /// # Errors
    /// `Unreadable` for a text that is not UTF-8, and for a number with a fraction.
    pub(super) fn of_sqlite(value: ValueRef<'_>) -> Result<Value<'_>> {
        match value {
            ValueRef::Null => Ok(Value::Null),
            ValueRef::Integer(number) => Ok(Value::Integer(number)),
            ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Value::from(text)),
                Err(error) => Err(Error::Unreadable(error.to_string())),
            },
            ValueRef::Blob(bytes) => Ok(Value::from(bytes)),
            ValueRef::Real(number) => Err(Error::Unreadable(format!("{number} is not a whole number"))),
        }
    }

    pub(super) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(number),
            Self::Text(text) => Value::Text(text.into_owned().into()),
            Self::Blob(bytes) => Value::Blob(bytes.into_owned().into()),
        }
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Blob(bytes.into())
    }
}

impl ToColumn for Value<'_> {
    fn to_column(&self) -> Value<'_> {
        self.clone()
    }
}

impl FromColumn for Value<'static> {
    fn from_column(value: &Value<'_>) -> Option<Self> {
        Some(value.clone().into_owned())
    }
}

/// Types that are written to one column.
pub trait ToColumn {
    fn to_column(&self) -> Value<'_>;
}

/// Types that are read from one column.
pub trait FromColumn: Sized {
    /// `None` if the value means nothing in this type.
    fn from_column(value: &Value<'_>) -> Option<Self>;
}

/// Types that are read from the columns of a row, by their names.
pub trait FromRow: Sized {
    fn from_row(row: &Row<'_>) -> Result<Self>;
}

/// A type whose fields are in columns of their names. After a semicolon: fields that are made of several columns.
macro_rules! from_row {
    ($type:ident: $($field:ident),+ $(; $($part:ident),+)?) => {
        impl $crate::store::sql::FromRow for $type {
            fn from_row(row: &$crate::store::sql::Row<'_>) -> $crate::store::Result<Self> {
                Ok(Self {
                    $($field: row.get(stringify!($field))?,)+
                    $($($part: $crate::store::sql::FromRow::from_row(row)?,)+)?
                })
            }
        }
    };
}
pub(super) use from_row;

/// A statement's values, in the order of its parameters.
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::store::sql::ToColumn::to_column(&$value)),*] };
}
pub(super) use params;

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// A row that a statement found.
pub enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

/// What a column is named by: its number or its name.
pub trait Place: rusqlite::RowIndex + tokio_postgres::row::RowIndex + Display + Copy {}

impl<T: rusqlite::RowIndex + tokio_postgres::row::RowIndex + Display + Copy> Place for T {}

impl Row<'_> {
    /// # Errors
    /// `Unreadable` if the column has another type, or a value that means nothing.
    pub(super) fn get<T: FromColumn>(&self, column: impl Place) -> Result<T> {
        let value = match self {
            Self::Sqlite(row) => Value::of_sqlite(row.get_ref(column)?).ok(),
            Self::Postgres(row) => row.try_get::<_, Value<'_>>(column).ok(),
        };
        value.and_then(|value| T::from_column(&value)).ok_or_else(|| {
            Error::Unreadable(format!("column {column} is not a {}", std::any::type_name::<T>()))
        })
    }

    /// A text of a row that an earlier version wrote. NULL is read as an empty text, and bytes that are not UTF-8 are
    /// replaced.
    pub(super) fn lossy(&self, column: usize) -> Result<String> {
        let Self::Sqlite(row) = self else { return self.get(column) };
        let bytes = row.get_ref(column)?.as_bytes_or_null().ok().flatten().unwrap_or_default();
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// A look-up that a request's work begins with. PostgreSQL is asked for those of many requests at once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lookup {
    pub(super) statement: &'static str,
    pub(super) values: Vec<Value<'static>>,
}

impl Lookup {
    pub(super) fn new(statement: &'static str, values: &[Value<'_>]) -> Self {
        Self { statement, values: values.iter().cloned().map(Value::into_owned).collect() }
    }
}

/// A connection to the database, with or without a transaction.
#[derive(Clone, Copy)]
pub enum Connection<'c> {
    Sqlite(&'c rusqlite::Connection),
    Postgres(&'c Session),
}

impl Connection<'_> {
    /// The first row, if there is one.
    pub(super) fn one<T>(
        self,
        statement: &'static str,
        values: &[Value<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        match self {
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(statement)?;
                let mut rows = statement.query(rusqlite::params_from_iter(values))?;
                rows.next()?.map(|row| read(&Row::Sqlite(row))).transpose()
            }
            Self::Postgres(session) => session.one(statement, values, read),
        }
    }

    /// The row of a statement that always has one. No row is an error.
    pub(super) fn only<T>(
        self,
        statement: &'static str,
        values: &[Value<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<T> {
        self.one(statement, values, read)?.ok_or_else(row_is_missing)
    }

    pub(super) fn all<T>(
        self,
        statement: &'static str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        self.each(statement, values, |row| {
            found.push(read(row)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// Calls `read` with one row after another.
    pub(super) fn each(
        self,
        statement: &'static str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        match self {
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(statement)?;
                let mut rows = statement.query(rusqlite::params_from_iter(values))?;
                while let Some(row) = rows.next()? {
                    read(&Row::Sqlite(row))?;
                }
                Ok(())
            }
            Self::Postgres(session) => session.each(statement, values, read),
        }
    }

    /// Whether there is a row.
    pub(super) fn any(self, statement: &'static str, values: &[Value<'_>]) -> Result<bool> {
        Ok(self.one(statement, values, |_| Ok(()))?.is_some())
    }

    /// Leaves a statement for later, where that is faster: it is run at the end of the transaction, or before the next
    /// one that is not left for later. It has to change exactly one row; otherwise the transaction is undone, and its
    /// requests run one by one. `false` if the statement is to be run at once.
    pub(super) fn defer(self, statement: &'static str, values: &[Value<'_>]) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(session) => session.defer(statement, values),
        }
    }

    /// Changes a row that is known to be there, or inserts one, perhaps later. `false` if it was not there after all.
    pub(super) fn run_for_one(self, statement: &'static str, values: &[Value<'_>]) -> Result<bool> {
        Ok(self.defer(statement, values) || self.run(statement, values)? == 1)
    }

    /// The number of rows that were inserted, updated or deleted.
    pub(super) fn run(self, statement: &'static str, values: &[Value<'_>]) -> Result<usize> {
        match self {
            Self::Sqlite(connection) => {
                Ok(connection.prepare_cached(statement)?.execute(rusqlite::params_from_iter(values))?)
            }
            Self::Postgres(session) => session.run(statement, values),
        }
    }
}

fn row_is_missing() -> Error {
    Error::Unreadable("a row is missing".to_owned())
}

impl Store {
    /// The first row, if there is one. For look-ups by key.
    pub(super) async fn one<T>(
        &self,
        statement: &'static str,
        values: &[Value<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        match &self.engine {
            Engine::Sqlite(engine) => Connection::Sqlite(&engine.lookups.take()).one(statement, values, read),
            Engine::Postgres(engine) => {
                let rows = engine.lookups.rows(statement, values).await?;
                rows.first().map(|row| read(&Row::Postgres(row))).transpose()
            }
        }
    }

    /// The row of a statement that always has one. No row is an error.
    pub(super) async fn only<T>(
        &self,
        statement: &'static str,
        values: &[Value<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<T> {
        self.one(statement, values, read).await?.ok_or_else(row_is_missing)
    }

    /// Few rows, by key.
    pub(super) async fn all<T>(
        &self,
        statement: &'static str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        match &self.engine {
            Engine::Sqlite(engine) => Connection::Sqlite(&engine.lookups.take()).all(statement, values, read),
            Engine::Postgres(engine) => {
                let rows = engine.lookups.rows(statement, values).await?;
                rows.iter().map(|row| read(&Row::Postgres(row))).collect()
            }
        }
    }

    /// Whether there is a row.
    pub(super) async fn any(&self, statement: &'static str, values: &[Value<'_>]) -> Result<bool> {
        Ok(self.one(statement, values, |_| Ok(())).await?.is_some())
    }

    /// Rows for a page. A row that can't be read is logged and left out, so that the rest of the list is still shown.
    pub(super) async fn rows<T: FromRow + Send + 'static>(
        &self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<T>> {
        let rows = self.rows_read(statement, values, readable).await?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// A row for a page.
    pub(super) async fn row<T: FromRow + Send + 'static>(
        &self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<T>> {
        Ok(self.rows_read(statement, values, T::from_row).await?.into_iter().next())
    }

    pub(super) async fn rows_read<T: Send + 'static>(
        &self,
        statement: &'static str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T> + Send + 'static,
    ) -> Result<Vec<T>> {
        match &self.engine {
            Engine::Sqlite(_) => {
                let values: Vec<_> = values.iter().cloned().map(Value::into_owned).collect();
                self.one_state(move |connection| connection.all(statement, &values, read)).await
            }
            Engine::Postgres(engine) => {
                let rows = engine.pages.rows(statement, values).await?;
                rows.iter().map(|row| read(&Row::Postgres(row))).collect()
            }
        }
    }
}

/// `None` for a row that can't be read, which is logged.
pub(super) fn readable<T: FromRow>(row: &Row<'_>) -> Result<Option<T>> {
    logged(T::from_row(row))
}

/// `None` instead of an error about what a row says.
pub(super) fn logged<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Err(Error::Unreadable(error)) => {
            tracing::error!(row.kind = std::any::type_name::<T>(), error = %error, "store.unreadable_row");
            Ok(None)
        }
        read => read.map(Some),
    }
}
