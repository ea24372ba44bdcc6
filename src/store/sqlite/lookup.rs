//! Connections for look-ups by key. A look-up takes microseconds, so the caller's thread does it itself.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags};

use crate::metrics::StoreMetrics;
use crate::thread::PerThread;

use crate::store::pages::Reader;
use crate::store::{Result, sql};

const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(4).unwrap();
/// The size of a connection's page cache, in KiB.
const CACHE: i64 = 16 * 1024;

/// A pool. Each thread takes its own member, or another one while its own is in use.
pub(in crate::store) struct Pool<T> {
    members: PerThread<Mutex<T>>,
    metrics: Arc<StoreMetrics>,
}

impl<T> Pool<T> {
    pub(in crate::store) fn open(
        many: NonZeroUsize,
        member: impl Fn() -> Result<T>,
        metrics: Arc<StoreMetrics>,
    ) -> Result<Self> {
        Ok(Self { members: PerThread::several(many, || member().map(Mutex::new))?, metrics })
    }

    pub(in crate::store) fn take(&self) -> MutexGuard<'_, T> {
        let own = self.members.own();
        if let Some(free) =
            std::iter::once(own).chain(self.members.iter()).find_map(|one| one.try_lock().ok())
        {
            return free;
        }
        self.metrics.lookup_waits.add(1);
        lock(own)
    }
}

fn lock<T>(member: &Mutex<T>) -> MutexGuard<'_, T> {
    member.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(in crate::store) type Lookups = Pool<Connection>;

pub(in crate::store) fn open(path: &Path, metrics: Arc<StoreMetrics>) -> Result<Lookups> {
    Pool::open(CONNECTIONS, || open_reader(path), metrics)
}

/// A connection that only reads.
pub(in crate::store) fn open_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_millis(100))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;")?;
    connection.pragma_update(None, "cache_size", -CACHE)?;
    Ok(connection)
}

impl Reader for Connection {
    fn is_sound(&self) -> bool {
        self.is_autocommit()
    }

    fn one_state<T>(&self, read: impl FnOnce(sql::Connection<'_>) -> Result<T>) -> Result<T> {
        let transaction = self.unchecked_transaction()?;
        let done = read(sql::Connection::Sqlite(&transaction));
        transaction.rollback()?;
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_waits_when_all_connections_are_busy_and_the_wait_is_counted() {
        let metrics = Arc::<StoreMetrics>::default();
        let pool = Pool::open(CONNECTIONS, || Ok(()), metrics.clone()).unwrap();
        let taken: Vec<_> = (0..4).map(|_| pool.take()).collect();
        assert_eq!(metrics.lookup_waits.get(), 0);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| *pool.take());
            while metrics.lookup_waits.get() == 0 {
                std::thread::yield_now();
            }
            drop(taken);
            waiting.join().unwrap();
        });
        assert_eq!(metrics.lookup_waits.get(), 1);
    }

    #[test]
    fn a_thread_takes_the_connection_with_its_number_if_it_is_free() {
        let opened = std::cell::Cell::new(0);
        let number = || Ok(opened.replace(opened.get() + 1));
        let pool = Pool::open(CONNECTIONS, number, Arc::default()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                crate::thread::set_number(5);
                let own = pool.take();
                assert_eq!((*own, *pool.take()), (1, 0));
                drop(own);
                assert_eq!(*pool.take(), 1);
            });
        });
        assert_eq!(*pool.take(), 0);
    }
}
