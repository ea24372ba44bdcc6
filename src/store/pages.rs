//! Reads that may take longer than a look-up: they run on threads of their own, with few connections.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::metrics::StoreMetrics;

use super::sql::Connection;
use super::{BUSY, Engine, Error, Result, Store};

/// Reads at the same time. Others wait.
pub(super) const CONNECTIONS: usize = 4;

/// A connection of such a read.
pub(super) trait Reader: Send + 'static {
    /// Whether it can be used for another read.
    fn is_sound(&self) -> bool;

    /// Runs a read that sees one state of the database from its beginning to its end.
    fn one_state<T>(&self, read: impl FnOnce(Connection<'_>) -> Result<T>) -> Result<T>;
}

/// A pool of connections, which are opened when they are first needed.
pub(super) struct Pages<C> {
    open: Box<dyn Fn() -> Result<C> + Send + Sync>,
    turns: Semaphore,
    free: Mutex<Vec<C>>,
    metrics: Arc<StoreMetrics>,
}

impl<C: Reader> Pages<C> {
    pub(super) fn new(
        open: impl Fn() -> Result<C> + Send + Sync + 'static,
        metrics: Arc<StoreMetrics>,
    ) -> Arc<Self> {
        let turns = Semaphore::new(CONNECTIONS);
        Arc::new(Self { open: Box::new(open), turns, free: Mutex::default(), metrics })
    }

    fn free(&self) -> MutexGuard<'_, Vec<C>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections in use.
    pub(super) fn busy(&self) -> usize {
        CONNECTIONS - self.turns.available_permits()
    }

    /// Nothing is read from now on.
    pub(super) fn close(&self) {
        self.turns.close();
        self.free().clear();
    }

    async fn read<T: Send + 'static>(
        self: Arc<Self>,
        read: impl FnOnce(&C) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let began = Instant::now();
        let turn = tokio::time::timeout(BUSY, self.turns.acquire()).await;
        self.metrics.page_wait.note(began.elapsed());
        let unavailable = |why: &str| Error::Unavailable(why.to_owned());
        let turn = turn
            .map_err(|_| unavailable("too many pages are being read"))?
            .map_err(|_| unavailable("the server is stopping"))?;
        // The thread gives it back: it goes on when the caller no longer waits.
        turn.forget();
        let read = move || {
            let free = self.free().pop();
            let done = free.map_or_else(|| (self.open)(), Ok).and_then(|connection| {
                let done = read(&connection);
                if connection.is_sound() && !self.turns.is_closed() {
                    self.free().push(connection);
                }
                done
            });
            self.turns.add_permits(1);
            done
        };
        tokio::task::spawn_blocking(read).await.map_err(|error| Error::Unavailable(error.to_string()))?
    }
}

impl Store {
    /// Runs a read that sees one state of the database from its beginning to its end. It may take long.
    pub(super) async fn one_state<T: Send + 'static>(
        &self,
        read: impl FnOnce(Connection<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.engine {
            Engine::Sqlite(engine) => {
                engine.pages.clone().read(|connection| connection.one_state(read)).await
            }
            Engine::Postgres(engine) => engine.long.clone().read(|session| session.one_state(read)).await,
        }
    }

    /// Connections in use by pages.
    pub fn busy_readers(&self) -> usize {
        match &self.engine {
            Engine::Sqlite(engine) => engine.pages.busy(),
            Engine::Postgres(engine) => engine.long.busy(),
        }
    }
}
