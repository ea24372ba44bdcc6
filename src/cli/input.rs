//! What a command takes from the process that it was typed in.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;

/// The first line of standard input.
///
/// # Errors
/// When it can't be read, or is no text.
pub fn line_from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(64 * 1024)
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage(format!("standard input: {error}")))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// The path of FILE from anywhere: the server may run in another folder.
///
/// # Errors
/// When this process's own folder can't be told.
pub fn absolute(file: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(file).map_err(|error| Failure::usage(format!("FILE {}: {error}", file.display())))
}
