//! Look-ups by key: few connections, on which many statements are under way at the same time.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_postgres::Client;

use crate::store::Result;
use crate::store::postgres::address::Address;
use crate::store::postgres::connect::{connect, soon};
use crate::store::postgres::prepared::Prepared;
use crate::store::postgres::values::parameters;
use crate::store::sql::Value;
use crate::thread::PerThread;

struct Connection {
    client: Client,
    prepared: Prepared,
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
        let connection = Arc::new(Connection { client, prepared: Prepared::default() });
        *held() = Some(connection.clone());
        Ok(connection)
    }

    pub async fn rows(
        &self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<tokio_postgres::Row>> {
        let connection = self.connection().await?;
        let prepared = soon(connection.prepared.get(&connection.client, statement)).await?;
        soon(connection.client.query(&prepared, &parameters(values))).await
    }

    /// Nothing is read on these connections from now on.
    pub fn close(&self) {
        for place in self.connections.iter() {
            place.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}
