//! The lock that whoever writes the database file holds for life.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Held while this process may write the database; the operating system lets go of it when the
/// process ends, however it ends.
#[derive(Debug)]
pub struct DatabaseLock {
    _file: File,
}

impl DatabaseLock {
    /// `None` while another process holds it.
    ///
    /// # Errors
    /// When the lock file can't be made beside the database.
    pub fn acquire(database: &Path) -> std::io::Result<Option<Self>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(beside(database, "lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// `rescind.db` → `rescind.db.lock`, beside the file itself: a link to it is no second database.
pub fn beside(database: &Path, extension: &str) -> PathBuf {
    let database = std::fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
    let mut name = database.into_os_string();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}
