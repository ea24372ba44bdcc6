//! What a group of requests asks of the database at once, so that it takes one round trip and not one for each request:
//! the look-ups that they begin with, and statements that can wait until the end of the transaction.

use std::cell::{Cell, RefCell};

use futures_util::future::try_join_all;
use tokio_postgres::{Client, Error, Row};

use crate::store::postgres::prepared::Prepared;
use crate::store::postgres::values::parameters;
use crate::store::sql::{Lookup, Value};

struct Deferred {
    statement: &'static str,
    values: Vec<Value<'static>>,
}

/// Of one transaction.
#[derive(Default)]
pub struct Batch {
    is_open: Cell<bool>,
    found: RefCell<Vec<(Lookup, Vec<Row>)>>,
    deferred: RefCell<Vec<Deferred>>,
}

impl Batch {
    /// Statements may be deferred from now on.
    pub fn open(&self) {
        self.close();
        self.is_open.set(true);
    }

    /// Forgets what was found and what was deferred. Nothing is deferred from now on.
    pub fn close(&self) {
        self.is_open.set(false);
        self.found.take();
        self.deferred.take();
    }

    /// Runs the look-ups. A look-up that is there twice is run once: the second request has to see what the first one
    /// did.
    pub async fn look_up(
        &self,
        client: &Client,
        prepared: &Prepared,
        mut lookups: Vec<Lookup>,
    ) -> Result<(), Error> {
        // Rows are locked in the same order by all servers.
        lookups.sort();
        lookups.dedup();
        let rows = lookups.iter().map(async |Lookup { statement, values }| {
            let statement = prepared.get(client, statement).await?;
            client.query(&statement, &parameters(values)).await
        });
        let rows = try_join_all(rows).await?;
        self.found.replace(lookups.into_iter().zip(rows).collect());
        Ok(())
    }

    /// The rows of a look-up, for the first request that asks.
    pub fn take(&self, statement: &'static str, values: &[Value<'_>]) -> Option<Vec<Row>> {
        let mut found = self.found.borrow_mut();
        let is_asked = |(lookup, _): &(Lookup, _)| (lookup.statement, &*lookup.values) == (statement, values);
        let place = found.iter().position(is_asked)?;
        Some(found.swap_remove(place).1)
    }

    /// `false` if the statement has to be run at once.
    pub fn defer(&self, statement: &'static str, values: &[Value<'_>]) -> bool {
        if self.is_open.get() {
            let values = values.iter().cloned().map(Value::into_owned).collect();
            self.deferred.borrow_mut().push(Deferred { statement, values });
        }
        self.is_open.get()
    }

    pub fn has_deferred(&self) -> bool {
        !self.deferred.borrow().is_empty()
    }

    /// Runs what was deferred, in its order. `false` if a statement did not change exactly one row.
    pub async fn run_deferred(&self, client: &Client, prepared: &Prepared) -> Result<bool, Error> {
        let deferred = self.deferred.take();
        let changed = deferred.iter().map(async |Deferred { statement, values }| {
            let statement = prepared.get(client, statement).await?;
            client.execute(&statement, &parameters(values)).await
        });
        Ok(try_join_all(changed).await?.iter().all(|rows| *rows == 1))
    }
}
