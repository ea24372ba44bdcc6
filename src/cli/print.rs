//! What commands print. The macros of the standard library panic where nobody reads it, or the disk is full.

use std::io::{ErrorKind, Write as _};

use crate::cli::command::Failure;

/// Prints a whole text. A reader that has gone away wanted no more, so that is no failure.
///
/// # Errors
/// When standard output can't be written, such as on a full disk.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::refused(format!(
            "the command has run, but its answer can't be written to standard output: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Prints a line on standard error. If that fails, nobody can be told.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
