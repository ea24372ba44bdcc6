//! The locks that the process which writes the database holds as long as it runs.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// The longest chain of symbolic links, as in Linux.
const LINKS: usize = 40;

/// Held while this process may write the database. The operating system releases it when the process ends, however it
/// ends.
///
/// There are two locks. The lock file protects the database's name: it works even if the database is absent or was
/// replaced. The lock on the database itself works even if the lock file was removed, and for a file with several
/// names.
#[derive(Debug)]
pub struct DatabaseLock {
    _name: File,
    /// `None` if there was no database. SQLite's own locks are of another kind, but closing this file would end them.
    /// So it has to outlive the store.
    _database: Option<File>,
}

/// What to do if there is no database.
#[derive(Clone, Copy, Debug)]
pub enum Absent {
    /// Create an empty one that only its owner can read.
    Create,
    Leave,
}

impl DatabaseLock {
    /// `None` while another process holds one of the two.
    ///
    /// # Errors
    /// When the lock file can't be created beside the database, or the database can't be opened.
    pub fn acquire(database: &Path, absent: Absent) -> std::io::Result<Option<Self>> {
        let database = resolve(database);
        let Some(name) = lock_name(&beside(&database, "lock"))? else { return Ok(None) };
        if matches!(absent, Absent::Create) {
            create_private(&database)?;
        }
        let file = match File::open(&database) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Some(Self { _name: name, _database: None }));
            }
            Err(error) => return Err(error),
        };
        Ok(try_lock(&file)?.then(|| Self { _name: name, _database: Some(file) }))
    }
}

fn lock_name(path: &Path) -> std::io::Result<Option<File>> {
    loop {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)?;
        if !try_lock(&file)? {
            return Ok(None);
        }
        // The file may have been removed or replaced since it was opened.
        if is_at(&file, path)? {
            return Ok(Some(file));
        }
    }
}

fn try_lock(file: &File) -> std::io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn is_at(file: &File, path: &Path) -> std::io::Result<bool> {
    let locked = file.metadata()?;
    let is_same = |found: std::fs::Metadata| (found.dev(), found.ino()) == (locked.dev(), locked.ino());
    Ok(std::fs::symlink_metadata(path).is_ok_and(is_same))
}

/// Creates the file so that only its owner can read it: it will hold password hashes and addresses. SQLite gives the
/// files beside it the same mode.
pub fn create_private(path: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        // It was not opened. Closing it would drop locks that this process holds on it.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// `rescind.db` → `rescind.db.lock`, beside the file itself, because a link to it is not a second database.
pub fn beside(database: &Path, extension: &str) -> PathBuf {
    let mut name = resolve(database).into_os_string();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

/// The path of the file at the end of all links, even if the file does not exist yet.
pub fn resolve(path: &Path) -> PathBuf {
    let follow = || {
        let mut path = std::path::absolute(path).ok()?;
        for _ in 0..LINKS {
            let folder = std::fs::canonicalize(path.parent()?).ok()?;
            let file = folder.join(path.file_name()?);
            match std::fs::read_link(&file) {
                Ok(target) => path = folder.join(target),
                Err(_) => return Some(file),
            }
        }
        None
    };
    // Opening it says what is wrong.
    follow().unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn is_free(database: &Path) -> bool {
        DatabaseLock::acquire(database, Absent::Leave).unwrap().is_some()
    }

    #[test]
    fn one_process_holds_a_database_under_all_of_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let database = at("rescind.db");
        symlink("rescind.db", at("link.db")).unwrap();
        symlink(at("link.db"), at("second-link.db")).unwrap();
        let lock = DatabaseLock::acquire(&at("second-link.db"), Absent::Create).unwrap().unwrap();
        std::fs::hard_link(&database, at("hard-link.db")).unwrap();
        for name in ["rescind.db", "link.db", "second-link.db", "hard-link.db", "./rescind.db"] {
            assert!(!is_free(&at(name)), "{name}");
        }
        let mode = std::fs::metadata(&database).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "made through a link that led nowhere");
        std::fs::remove_file(at("rescind.db.lock")).unwrap();
        assert!(!is_free(&database), "its lock file was removed");
        drop(lock);
        assert!(is_free(&database));
    }

    #[test]
    fn a_database_that_was_replaced_is_held_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("rescind.db");
        let lock = DatabaseLock::acquire(&database, Absent::Create).unwrap().unwrap();
        std::fs::remove_file(&database).unwrap();
        assert!(!is_free(&database));
        assert!(!database.exists(), "nothing was made");
        std::fs::write(&database, "another").unwrap();
        assert!(!is_free(&database));
        drop(lock);
    }

    #[test]
    fn links_in_a_circle_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("rescind.db");
        symlink("rescind.db", &database).unwrap();
        assert!(DatabaseLock::acquire(&database, Absent::Create).is_err());
    }
}
