//! The statements that a connection has prepared.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_postgres::{Client, Error, Statement};

use crate::store::postgres::text::translated;

#[derive(Default)]
pub struct Prepared(Mutex<HashMap<&'static str, Statement>>);

impl Prepared {
    fn known(&self) -> MutexGuard<'_, HashMap<&'static str, Statement>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prepares a statement when it is first asked for.
    ///
    /// # Errors
    /// When PostgreSQL refuses it, or the connection is lost.
    pub async fn get(&self, client: &Client, statement: &'static str) -> Result<Statement, Error> {
        if let Some(prepared) = self.known().get(statement) {
            return Ok(prepared.clone());
        }
        let prepared = client.prepare(&translated(statement)).await?;
        self.known().insert(statement, prepared.clone());
        Ok(prepared)
    }
}
