//! What a group of requests asks of the database at once, so that it takes one round trip and not one for each request:
//! the look-ups that they begin with, and statements that can wait until the end of the transaction.

use std::cell::{Cell, RefCell};

use futures_util::future::try_join_all;
use tokio_postgres::{Client, Error, Row};

use crate::store::postgres::prepared::Prepared;
use crate::store::postgres::text::of_rows;
use crate::store::postgres::values::parameters;
use crate::store::sql::{Lookup, Value};

/// A statement, and the values for each time that it is to be run.
struct Deferred {
    statement: &'static str,
    runs: Vec<Vec<Value<'static>>>,
}

impl Deferred {
    /// Runs that take one statement: of insertions one, two, four … rows, so that few statements have to be prepared.
    fn portions(&self) -> Vec<&[Vec<Value<'static>>]> {
        let is_insertion = of_rows(self.statement, 1).is_some();
        let (mut left, mut portions) = (&*self.runs, Vec::new());
        while let Some(most) = left.len().checked_ilog2() {
            let (portion, rest) = left.split_at(if is_insertion { 1 << most } else { 1 });
            portions.push(portion);
            left = rest;
        }
        portions
    }
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
        if !self.is_open.get() {
            return false;
        }
        let values = values.iter().cloned().map(Value::into_owned).collect();
        let mut deferred = self.deferred.borrow_mut();
        match deferred.iter_mut().find(|deferred| deferred.statement == statement) {
            Some(deferred) => deferred.runs.push(values),
            None => deferred.push(Deferred { statement, runs: vec![values] }),
        }
        true
    }

    pub fn has_deferred(&self) -> bool {
        !self.deferred.borrow().is_empty()
    }

    /// Runs what was deferred: the statements in the order in which each was first deferred. `false` if one did not
    /// change exactly one row each time.
    pub async fn run_deferred(&self, client: &Client, prepared: &Prepared) -> Result<bool, Error> {
        let deferred = self.deferred.take();
        let portions = deferred.iter().flat_map(|deferred| {
            deferred.portions().into_iter().map(|portion| (deferred.statement, portion))
        });
        let changed = portions.map(async |(statement, portion)| {
            let statement = prepared.get_for(client, statement, portion.len()).await?;
            let rows = client.execute(&statement, &parameters(portion.iter().flatten())).await?;
            Ok(usize::try_from(rows) == Ok(portion.len()))
        });
        Ok(try_join_all(changed).await?.into_iter().all(|is_whole| is_whole))
    }
}
