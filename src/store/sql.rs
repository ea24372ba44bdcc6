//! The calls that every table's file makes. A statement is prepared once for each connection.

use rusqlite::{Connection, OptionalExtension as _, Params, Row};

use super::{Result, Tx};

/// Calls on a connection, for look-ups.
pub(super) trait Sql {
    /// The first row, if there is one.
    fn one<T>(
        &self,
        statement: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>>;

    /// The row of a statement that always has one. No row is an error.
    fn only<T>(
        &self,
        statement: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T>;

    fn all<T>(
        &self,
        statement: &str,
        values: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>>;

    /// Whether there is a row.
    fn any(&self, statement: &str, values: impl Params) -> rusqlite::Result<bool>;

    /// The number of rows that were inserted, updated or deleted.
    fn run(&self, statement: &str, values: impl Params) -> rusqlite::Result<usize>;
}

impl Sql for Connection {
    fn one<T>(
        &self,
        statement: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.only(statement, values, read).optional()
    }

    fn only<T>(
        &self,
        statement: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.prepare_cached(statement)?.query_row(values, read)
    }

    fn all<T>(
        &self,
        statement: &str,
        values: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.prepare_cached(statement)?.query_map(values, read)?.collect()
    }

    fn any(&self, statement: &str, values: impl Params) -> rusqlite::Result<bool> {
        self.prepare_cached(statement)?.exists(values)
    }

    fn run(&self, statement: &str, values: impl Params) -> rusqlite::Result<usize> {
        self.prepare_cached(statement)?.execute(values)
    }
}

/// The same in a write transaction.
impl Tx<'_> {
    pub(super) fn one<T>(
        &self,
        statement: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.connection.one(statement, values, read)?)
    }

    pub(super) fn only<T>(
        &self,
        statement: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        Ok(self.connection.only(statement, values, read)?)
    }

    pub(super) fn all<T>(
        &self,
        statement: &str,
        values: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        Ok(self.connection.all(statement, values, read)?)
    }

    pub(super) fn any(&self, statement: &str, values: impl Params) -> Result<bool> {
        Ok(self.connection.any(statement, values)?)
    }

    pub(super) fn run(&self, statement: &str, values: impl Params) -> Result<usize> {
        Ok(self.connection.run(statement, values)?)
    }
}
