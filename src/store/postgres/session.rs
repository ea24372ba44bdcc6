//! A connection with statements that wait for their answers: for transactions, and for reads that take long. It belongs
//! to a thread that serves no requests.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::TryStreamExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Statement};

use crate::store::pages::Reader;
use crate::store::postgres::address::Address;
use crate::store::postgres::batch::Batch;
use crate::store::postgres::connect::{Connected, PATIENCE, connect};
use crate::store::postgres::prepared::Prepared;
use crate::store::postgres::values::{is_conflict, parameters};
use crate::store::sql::{Connection, Lookup, Row, Value};
use crate::store::{Error, Result};

pub struct Session {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    client: Client,
    noticed: Arc<AtomicBool>,
    prepared: Prepared,
    batch: Batch,
    /// Statements that have changed something.
    changes: Cell<u64>,
    /// The worst that has happened since the transaction began.
    trouble: Cell<Trouble>,
}

/// What an error means for a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    None,
    /// A statement failed: everything of the transaction has to be undone.
    Failed,
    /// It lost against another transaction, and may succeed if it runs once more.
    Conflict,
    /// The connection is not to be used any more.
    Lost,
}

impl Session {
    pub fn open(address: &Address) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let Connected { client, noticed } = runtime.block_on(connect(address))?;
        Ok(Self {
            runtime: Some(runtime),
            client,
            noticed,
            prepared: Prepared::default(),
            batch: Batch::default(),
            changes: Cell::new(0),
            trouble: Cell::new(Trouble::None),
        })
    }

    pub fn changes(&self) -> u64 {
        self.changes.get()
    }

    pub fn trouble(&self) -> Trouble {
        if self.client.is_closed() { Trouble::Lost } else { self.trouble.get() }
    }

    /// Waits for an answer, and notes what its failure means.
    fn wait<T>(
        &self,
        answer: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        let Some(runtime) = &self.runtime else {
            return Err(Error::Unavailable("the connection is closed".to_owned()));
        };
        let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, answer).await });
        let (trouble, error) = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if is_conflict(&error) => (Trouble::Conflict, error.into()),
            Ok(Err(error)) if error.is_closed() || error.as_db_error().is_none() => {
                (Trouble::Lost, error.into())
            }
            Ok(Err(error)) => (Trouble::Failed, error.into()),
            // What it did is not known, and its answer may come later.
            Err(_) => (Trouble::Lost, Error::Unavailable("the database does not answer in time".to_owned())),
        };
        self.trouble.set(self.trouble.get().max(trouble));
        Err(error)
    }

    /// The statement, once what was deferred before it has been run.
    fn ready(&self, statement: &'static str) -> Result<Statement> {
        self.run_deferred()?;
        self.wait(self.prepared.get(&self.client, statement))
    }

    /// Begins, ends or marks a transaction.
    pub fn control(&self, statement: &str) -> Result<()> {
        if statement.starts_with("BEGIN") || statement.starts_with("ROLLBACK") {
            self.trouble.set(Trouble::None);
            self.batch.close();
        }
        self.wait(self.client.batch_execute(statement))
    }

    /// Begins the transaction of a group, in which statements may be deferred, and reads what its requests begin with.
    pub fn begin_group(&self, statement: &str, lookups: Vec<Lookup>) -> Result<()> {
        self.trouble.set(Trouble::None);
        self.batch.open();
        let lookups = self.batch.look_up(&self.client, &self.prepared, lookups);
        self.wait(async { tokio::try_join!(self.client.batch_execute(statement), lookups) }).map(|_| ())
    }

    pub fn defer(&self, statement: &'static str, values: &[Value<'_>]) -> bool {
        let is_deferred = self.batch.defer(statement, values);
        self.changes.set(self.changes.get() + u64::from(is_deferred));
        is_deferred
    }

    /// Runs what was deferred.
    ///
    /// # Errors
    /// When PostgreSQL refuses it, and when a statement did not change its one row.
    pub fn run_deferred(&self) -> Result<()> {
        if self.batch.has_deferred() && !self.wait(self.batch.run_deferred(&self.client, &self.prepared))? {
            self.trouble.set(self.trouble.get().max(Trouble::Conflict));
            return Err(Error::Unavailable("a row that was to change was not there".to_owned()));
        }
        Ok(())
    }

    /// # Errors
    /// Also when PostgreSQL has anything to say about the commit: it may not have reached the standby.
    pub fn commit(&self) -> Result<()> {
        self.noticed.store(false, Ordering::SeqCst);
        self.control("COMMIT")?;
        if self.noticed.load(Ordering::SeqCst) {
            self.trouble.set(Trouble::Lost);
            return Err(Error::Unavailable("the commit may not have reached the standby".to_owned()));
        }
        Ok(())
    }

    pub fn one<T>(
        &self,
        statement: &'static str,
        values: &[Value<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let rows = match self.batch.take(statement, values) {
            Some(rows) => rows,
            None => {
                let prepared = self.ready(statement)?;
                self.wait(self.client.query(&prepared, &parameters(values)))?
            }
        };
        if !rows.is_empty() && !statement.starts_with("SELECT") {
            self.changes.set(self.changes.get() + 1);
        }
        rows.first().map(|row| read(&Row::Postgres(row))).transpose()
    }

    pub fn each(
        &self,
        statement: &'static str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        let prepared = self.ready(statement)?;
        let rows = self.wait(self.client.query_raw(&prepared, parameters(values)))?;
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = self.wait(rows.try_next())? {
            read(&Row::Postgres(&row))?;
        }
        Ok(())
    }

    pub fn run(&self, statement: &'static str, values: &[Value<'_>]) -> Result<usize> {
        let prepared = self.ready(statement)?;
        let rows = self.wait(self.client.execute(&prepared, &parameters(values)))?;
        if rows > 0 {
            self.changes.set(self.changes.get() + 1);
        }
        Ok(usize::try_from(rows).unwrap_or(usize::MAX))
    }
}

impl Reader for Session {
    fn is_sound(&self) -> bool {
        self.trouble() != Trouble::Lost
    }

    fn one_state<T>(&self, read: impl FnOnce(Connection<'_>) -> Result<T>) -> Result<T> {
        self.control("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        let done = read(Connection::Postgres(self));
        self.control("ROLLBACK")?;
        done
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A runtime may not be dropped where requests are served, unless it does not wait for its tasks.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
