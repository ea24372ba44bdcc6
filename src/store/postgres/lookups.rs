//! Look-ups by key: few connections, on which many statements are under way at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_postgres::{Client, Statement};

use crate::store::Result;
use crate::store::postgres::address::Address;
use crate::store::postgres::connect::{connect, soon};
use crate::store::postgres::text::translated;
use crate::store::postgres::values::parameters;
use crate::store::sql::Value;
use crate::thread::PerThread;

struct Connection {
    client: Client,
    prepared: Mutex<HashMap<&'static str, Statement>>,
}

impl Connection {
    fn known(&self) -> MutexGuard<'_, HashMap<&'static str, Statement>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn prepared(&self, statement: &'static str) -> Result<Statement> {
        if let Some(prepared) = self.known().get(statement) {
            return Ok(prepared.clone());
        }
        let prepared = soon(self.client.prepare(&translated(statement))).await?;
        self.known().insert(statement, prepared.clone());
        Ok(prepared)
    }
}

/// A connection for each thread that serves requests, opened when it is first needed and again when it was lost.
pub struct Lookups {
    address: Address,
    connections: PerThread<Mutex<Option<Arc<Connection>>>>,
}

impl Lookups {
    pub fn new(address: Address) -> Self {
        Self { address, connections: PerThread::default() }
    }

    async fn connection(&self) -> Result<Arc<Connection>> {
        let place = self.connections.own();
        let held = || place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = held().as_ref().filter(|held| !held.client.is_closed()) {
            return Ok(connection.clone());
        }
        let client = connect(&self.address).await?.client;
        let connection = Arc::new(Connection { client, prepared: Mutex::default() });
        *held() = Some(connection.clone());
        Ok(connection)
    }

    pub async fn rows(
        &self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<tokio_postgres::Row>> {
        let connection = self.connection().await?;
        let prepared = connection.prepared(statement).await?;
        soon(connection.client.query(&prepared, &parameters(values))).await
    }

    /// Nothing is read on these connections from now on.
    pub fn close(&self) {
        for place in self.connections.iter() {
            place.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}
