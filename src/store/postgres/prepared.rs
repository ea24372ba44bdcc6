//! The statements that a connection has prepared.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_postgres::{Client, Error, Statement};

use crate::store::postgres::text::{of_rows, translated};

/// By their text, and the number of rows that they insert at once.
#[derive(Default)]
pub struct Prepared(Mutex<HashMap<(&'static str, usize), Statement>>);

impl Prepared {
    fn known(&self) -> MutexGuard<'_, HashMap<(&'static str, usize), Statement>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prepares a statement when it is first asked for.
    ///
    /// # Errors
    /// When PostgreSQL refuses it, or the connection is lost.
    pub async fn get(&self, client: &Client, statement: &'static str) -> Result<Statement, Error> {
        self.get_for(client, statement, 1).await
    }

    /// The same for a statement that inserts several rows at once ([`of_rows`]).
    ///
    /// # Errors
    /// As [`Prepared::get`].
    pub async fn get_for(
        &self,
        client: &Client,
        statement: &'static str,
        rows: usize,
    ) -> Result<Statement, Error> {
        if let Some(prepared) = self.known().get(&(statement, rows)) {
            return Ok(prepared.clone());
        }
        let text = if rows == 1 { None } else { of_rows(statement, rows) };
        let prepared = client.prepare(&translated(text.as_deref().unwrap_or(statement))).await?;
        self.known().insert((statement, rows), prepared.clone());
        Ok(prepared)
    }
}
