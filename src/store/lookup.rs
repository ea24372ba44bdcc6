//! Connections for look-ups by key: microseconds each, so the caller's thread does them itself.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags};

use crate::metrics::StoreMetrics;

use super::{Result, Store};

const CONNECTIONS: usize = 4;
const CACHE: i64 = 16 * 1024;

pub(super) struct Lookups {
    connections: Vec<Mutex<Connection>>,
    metrics: Arc<StoreMetrics>,
}

impl Lookups {
    pub(super) fn open(path: &Path, metrics: Arc<StoreMetrics>) -> Result<Self> {
        let connections =
            (0..CONNECTIONS).map(|_| open_reader(path, CACHE).map(Mutex::new)).collect::<Result<_>>()?;
        Ok(Self { connections, metrics })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        for connection in &self.connections {
            if let Ok(free) = connection.try_lock() {
                return free;
            }
        }
        self.metrics.lookup_waits.add(1);
        self.connections[0].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that only reads, and keeps so many KiB of what it has read.
pub(super) fn open_reader(path: &Path, cache: i64) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_millis(100))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;")?;
    connection.pragma_update(None, "cache_size", -cache)?;
    Ok(connection)
}

impl Store {
    /// Runs one look-up. `read` takes at most a few rows by key.
    pub(super) fn lookup<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        Ok(read(&self.lookups.connection())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_all_connections_taken_waits_and_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("any.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE any (id INTEGER)").unwrap();
        let metrics = Arc::<StoreMetrics>::default();
        let lookups = Lookups::open(&path, metrics.clone()).unwrap();
        let taken: Vec<_> = (0..CONNECTIONS).map(|_| lookups.connection()).collect();
        assert_eq!(metrics.lookup_waits.get(), 0);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| lookups.connection().is_autocommit());
            while metrics.lookup_waits.get() == 0 {
                std::thread::yield_now();
            }
            drop(taken);
            assert!(waiting.join().unwrap());
        });
        assert_eq!(metrics.lookup_waits.get(), 1);
    }
}
