//! What commands print. The macros of the standard library panic where nobody reads it, or the disk is full.

use std::io::{ErrorKind, Write as _};

use clap::Args;
use serde_json::Value;

use crate::cli::failure::Failure;

/// How results are printed.
#[derive(Args, Clone, Copy, Default)]
pub struct Output {
    /// Print one JSON object and nothing else
    // Groups of commands have it, not each of their commands: so it is global, and shown last.
    #[arg(long, global = true, display_order = 900)]
    json: bool,
}

impl Output {
    pub const fn is_json(self) -> bool {
        self.json
    }
}

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
pub fn print_error(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints what a command answers: a line for each member, or one JSON object.
///
/// # Errors
/// As [`print()`].
pub fn answer(answer: &Value, output: Output) -> Result<(), Failure> {
    if output.json {
        return print(&format!("{answer}\n"));
    }
    let line = |(name, value): (&String, &Value)| match value {
        Value::String(text) => format!("{name}: {text}\n"),
        Value::Null => format!("{name}: none\n"),
        other => format!("{name}: {other}\n"),
    };
    let lines: String = answer.as_object().into_iter().flatten().map(line).collect();
    print(&lines)
}
