//! The ledger as a file of JSON lines. The first line says which history it is of and how far it reaches, the last line
//! has the number of rows. So a file that is truncated, ends too early or belongs to another database is recognised.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::store::sqlite::copies::{ExportedRow, LedgerKey};
use crate::store::{self, Store};

const VERSION: u32 = 2;
/// The number of rows that one query reads.
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

/// Why an exported ledger does not say all that was done since a backup.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("it is of another database than the backup, or a restoration lies between the two")]
    Foreign,
    #[error("it ends at row {reaches}, and the backup has row {sequence}: it is older than the backup")]
    Older { reaches: i64, sequence: i64 },
    #[error("its row {0} is not the backup's: it is of another history")]
    Differs(i64),
    #[error(
        "it lacks {rows} of the ledger of the database that would be replaced, of which the first is row {first}: \
         give what rescind ledger export writes now"
    )]
    Behind { rows: usize, first: i64 },
}

/// The part of the first line that is the same in every version of the format.
#[derive(Deserialize)]
struct Version {
    rescind_ledger: u32,
}

#[derive(Serialize, Deserialize)]
struct First {
    rescind_ledger: u32,
    incarnation: u64,
    /// The sequence of the newest row, or 0 if there is none.
    reaches: i64,
    made_at: i64,
}

/// What [`export`] wrote: all rows of one history, oldest first.
#[derive(Debug)]
pub struct Exported {
    pub incarnation: u64,
    pub rows: Vec<ExportedRow>,
}

impl Exported {
    fn reaches(&self) -> i64 {
        self.rows.last().map_or(0, |row| row.sequence)
    }

    /// Checks that it continues the ledger of `backup`: it is of the same history, and has all rows of the backup.
    ///
    /// # Errors
    /// Why it does not continue it.
    pub async fn continues(&self, backup: &Store) -> Result<(), Unfit> {
        if self.incarnation != backup.feed_tip().await?.incarnation {
            return Err(Unfit::Foreign);
        }
        let mut after = 0;
        loop {
            let page = backup.ledger_after(after, PAGE).await?;
            for row in &page {
                let sequence = row.sequence;
                if sequence > self.reaches() {
                    return Err(Unfit::Older { reaches: self.reaches(), sequence });
                }
                let place = self.rows.binary_search_by_key(&sequence, |row| row.sequence);
                let same = place.ok().and_then(|place| self.rows.get(place));
                if same.is_none_or(|same| LedgerKey::from(same) != LedgerKey::from(row)) {
                    return Err(Unfit::Differs(sequence));
                }
            }
            let Some(last) = page.last() else { return Ok(()) };
            after = last.sequence;
        }
    }

    /// Checks that it has all `rows` of a database that is about to be replaced.
    ///
    /// # Errors
    /// `Behind`: what it lacks.
    pub fn covers(&self, rows: &[LedgerKey]) -> Result<(), Unfit> {
        // Without sequences: that database may have been restored from an earlier backup, and then it has its own.
        let held: HashSet<_> = self.rows.iter().map(|row| LedgerKey { sequence: 0, ..row.into() }).collect();
        let lacks = |row: &&LedgerKey| !held.contains(&LedgerKey { sequence: 0, ..(*row).clone() });
        let mut lacking = rows.iter().filter(lacks);
        match lacking.next() {
            Some(first) => Err(Unfit::Behind { rows: 1 + lacking.count(), first: first.sequence }),
            None => Ok(()),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Last {
    rows: usize,
}

/// Writes the whole ledger to `to`, which may not exist yet, and returns the number of rows. The file appears whole or
/// not at all.
///
/// # Errors
/// When it can't be read or written.
pub async fn export(store: &Store, to: &Path, now: Timestamp) -> Result<usize, Error> {
    let fault = |error| Error::File { path: to.to_owned(), error };
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Nobody else can read a new temporary file. It is deleted if anything fails.
    let file = tempfile::Builder::new().prefix(".rescind-ledger").tempfile_in(folder).map_err(fault)?;
    let mut out = BufWriter::new(file);
    let mut line = |value: serde_json::Result<String>| -> std::io::Result<()> { writeln!(out, "{}", value?) };
    let tip = store.feed_tip().await?;
    let (incarnation, reaches) = (tip.incarnation, tip.sequence);
    let first = First { rescind_ledger: VERSION, incarnation, reaches, made_at: now.millis() };
    line(serde_json::to_string(&first)).map_err(fault)?;
    let (mut after, mut rows) = (0, 0);
    loop {
        let mut page = store.ledger_after(after, PAGE).await?;
        page.retain(|row| row.sequence <= reaches);
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

/// Reads what [`export`] wrote.
///
/// # Errors
/// Which line is wrong. No row may be skipped, because it may have taken something away.
pub fn read(path: &Path) -> Result<Exported, Error> {
    let fault = |error| Error::File { path: path.to_owned(), error };
    let wrong = |line: usize, what: String| Error::Line { path: path.to_owned(), line, what };
    let lines = BufReader::new(std::fs::File::open(path).map_err(fault)?).lines();
    let lines = lines.collect::<std::io::Result<Vec<_>>>().map_err(fault)?;
    let first = lines.first().map(String::as_str).unwrap_or_default();
    match serde_json::from_str(first) {
        Ok(Version { rescind_ledger: VERSION }) => {}
        Ok(Version { rescind_ledger: 0..VERSION }) => {
            return Err(wrong(
                1,
                "an older version of rescind wrote this, without saying of which database".to_owned(),
            ));
        }
        Ok(_) => return Err(wrong(1, "a newer version of rescind wrote this".to_owned())),
        Err(_) => return Err(wrong(1, "rescind ledger export has not written this".to_owned())),
    }
    let first: First = serde_json::from_str(first).map_err(|error| wrong(1, error.to_string()))?;
    let last: Option<Last> = lines.last().and_then(|line| serde_json::from_str(line).ok());
    let between = lines.get(1..lines.len() - 1).unwrap_or_default();
    if last.is_none_or(|last| last.rows != between.len()) {
        return Err(wrong(lines.len(), "the file was cut short".to_owned()));
    }
    let row = |(place, line): (usize, &String)| {
        serde_json::from_str(line).map_err(|error| wrong(place + 2, error.to_string()))
    };
    let rows = between.iter().enumerate().map(row).collect::<Result<Vec<ExportedRow>, _>>()?;
    if let Some(place) = rows.windows(2).position(|two| matches!(two, [a, b] if a.sequence >= b.sequence)) {
        return Err(wrong(place + 3, "the row is out of order".to_owned()));
    }
    let exported = Exported { incarnation: first.incarnation, rows };
    if exported.reaches() != first.reaches {
        let what = format!("the file was cut short: it says that it reaches row {}", first.reaches);
        return Err(wrong(lines.len(), what));
    }
    Ok(exported)
}
