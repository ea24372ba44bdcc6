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
use crate::store::postgres::connect::{Connected, PATIENCE, connect};
use crate::store::postgres::prepared::Prepared;
use crate::store::postgres::values::{is_conflict, parameters};
use crate::store::sql::{Connection, Row, Value};
use crate::store::{Error, Result};

pub struct Session {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    client: Client,
    noticed: Arc<AtomicBool>,
    prepared: Prepared,
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

    fn prepared(&self, statement: &'static str) -> Result<Statement> {
        self.wait(self.prepared.get(&self.client, statement))
    }

    /// Begins, ends or marks a transaction.
    pub fn control(&self, statement: &str) -> Result<()> {
        if statement.starts_with("BEGIN") || statement.starts_with("ROLLBACK") {
            self.trouble.set(Trouble::None);
        }
        self.wait(self.client.batch_execute(statement))
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
        let prepared = self.prepared(statement)?;
        let rows = self.wait(self.client.query(&prepared, &parameters(values)))?;
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
        let prepared = self.prepared(statement)?;
        let rows = self.wait(self.client.query_raw(&prepared, parameters(values)))?;
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = self.wait(rows.try_next())? {
            read(&Row::Postgres(&row))?;
        }
        Ok(())
    }

    pub fn run(&self, statement: &'static str, values: &[Value<'_>]) -> Result<usize> {
        let prepared = self.prepared(statement)?;
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
