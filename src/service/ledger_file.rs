//! The ledger as a file: JSON lines between a first and a last one, by which a file that was cut short is known.

use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::store::copies::ExportedRow;
use crate::store::{self, Store};

const VERSION: u32 = 1;
/// Rows that are read at a time.
const PAGE: i64 = 5_000;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("{path}: {error}")]
    File { path: PathBuf, error: std::io::Error },
    #[error("{path}, line {line}: {what}")]
    Line { path: PathBuf, line: usize, what: String },
}

#[derive(Serialize, Deserialize)]
struct First {
    rescind_ledger: u32,
}

#[derive(Serialize, Deserialize)]
struct Last {
    rows: usize,
}

/// Writes the whole ledger to `to`, which may not exist, and says how many rows it has. The file appears
/// whole or not at all.
///
/// # Errors
/// When it can't be read or written.
pub async fn export(store: &Store, to: &Path) -> Result<usize, Error> {
    let fault = |error| Error::File { path: to.to_owned(), error };
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Nobody else can read a new temporary file; it goes if anything fails.
    let file = tempfile::Builder::new().prefix(".rescind-ledger").tempfile_in(folder).map_err(fault)?;
    let mut out = BufWriter::new(file);
    let mut line = |value: serde_json::Result<String>| -> std::io::Result<()> { writeln!(out, "{}", value?) };
    line(serde_json::to_string(&First { rescind_ledger: VERSION })).map_err(fault)?;
    let (mut after, mut rows) = (0, 0);
    loop {
        let page = store.ledger_after(after, PAGE).await?;
        for row in &page {
            line(serde_json::to_string(row)).map_err(fault)?;
        }
        let Some(last) = page.last() else { break };
        after = last.sequence;
        rows += page.len();
    }
    line(serde_json::to_string(&Last { rows })).map_err(fault)?;
    let file = out.into_inner().map_err(|error| fault(error.into_error()))?;
    file.as_file().sync_all().map_err(fault)?;
    file.persist_noclobber(to).map_err(|error| fault(error.error))?;
    Ok(rows)
}

/// The rows that [`export`] wrote.
///
/// # Errors
/// Which line is not as it should be: nothing may be passed over that took something away.
pub fn read(path: &Path) -> Result<Vec<ExportedRow>, Error> {
    let fault = |error| Error::File { path: path.to_owned(), error };
    let wrong = |line: usize, what: String| Error::Line { path: path.to_owned(), line, what };
    let lines = BufReader::new(std::fs::File::open(path).map_err(fault)?).lines();
    let lines = lines.collect::<std::io::Result<Vec<_>>>().map_err(fault)?;
    let first: Option<First> = lines.first().and_then(|line| serde_json::from_str(line).ok());
    match first {
        Some(First { rescind_ledger: VERSION }) => {}
        Some(_) => return Err(wrong(1, "a newer version of rescind wrote this".to_owned())),
        None => return Err(wrong(1, "rescind ledger export has not written this".to_owned())),
    }
    let last: Option<Last> = lines.last().and_then(|line| serde_json::from_str(line).ok());
    let between = lines.get(1..lines.len() - 1).unwrap_or_default();
    if last.is_none_or(|last| last.rows != between.len()) {
        return Err(wrong(lines.len(), "the file was cut short".to_owned()));
    }
    let row = |(place, line): (usize, &String)| {
        serde_json::from_str(line).map_err(|error| wrong(place + 2, error.to_string()))
    };
    between.iter().enumerate().map(row).collect()
}
