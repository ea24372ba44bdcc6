//! Warns about files that hold secrets and that others can read.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::store::sqlite::lock::beside;

/// The files of the server: the database and what lies beside it under its name, the key file, and files of secrets.
pub fn server_files(config: &Config, database: Option<&Path>) -> Vec<PathBuf> {
    let mut files = config.secret_files.clone();
    files.extend(config.key_file.clone());
    let Some(database) = database else { return files };
    files.push(beside(database, "key"));
    let (Some(folder), Some(name)) = (database.parent(), database.file_name()) else { return files };
    let is_of_database = |file: &PathBuf| {
        let file = file.file_name().map(|name| name.as_encoded_bytes());
        file.is_some_and(|file| file.starts_with(name.as_encoded_bytes()))
    };
    let beside = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.extend(beside.map(|entry| entry.path()).filter(is_of_database));
    files.sort();
    files.dedup();
    files
}

/// Those of `files` that group or others can read, with their modes.
pub fn readable_by_others(files: &[PathBuf]) -> Vec<(&Path, u32)> {
    files
        .iter()
        .filter_map(|file| Some((file.as_path(), mode(file)?)))
        .filter(|(_, mode)| mode & 0o044 != 0)
        .collect()
}

/// Of a regular file. The supervisor answers for what it passed: systemd adds an access list, which looks like the right of
/// a group.
fn mode(file: &Path) -> Option<u32> {
    let passed = std::env::var_os("CREDENTIALS_DIRECTORY");
    if passed.is_some_and(|folder| file.starts_with(folder)) {
        return None;
    }
    let metadata = std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file)?;
    Some(metadata.permissions().mode() & 0o777)
}

/// Logs a line for each.
pub fn warn(files: &[PathBuf]) {
    for (file, mode) in readable_by_others(files) {
        let (path, mode) = (file.display(), format!("{mode:04o}"));
        tracing::warn!(%path, mode, "file.others_can_read");
    }
}
