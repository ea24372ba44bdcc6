//! A modelled disk: what was synced stays, and of what was written since, any sectors may be lost at power loss.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use rand::RngExt as _;
use rusqlite::ffi::SQLITE_OK;

/// What disks write whole or not at all.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
pub enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate { size: usize },
}

impl Change {
    pub fn write(at: i64, bytes: &[u8]) -> Self {
        Self::Write { at: usize::try_from(at).unwrap(), bytes: bytes.to_owned() }
    }

    pub fn truncation(size: i64) -> Self {
        Self::Truncate { size: usize::try_from(size).unwrap() }
    }

    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => {
                let end = at + bytes.len();
                to.resize(to.len().max(end), 0);
                to[*at..end].copy_from_slice(bytes);
            }
            Self::Truncate { size } => to.truncate(*size),
        }
    }

    /// The parts of which each may reach the disk without the others.
    fn sectors(&self) -> Vec<Self> {
        let Self::Write { at, bytes } = self else { return vec![self.clone()] };
        let mut sectors = Vec::new();
        let (mut at, mut bytes) = (*at, bytes.as_slice());
        while !bytes.is_empty() {
            let (sector, rest) = bytes.split_at((SECTOR - at % SECTOR).min(bytes.len()));
            sectors.push(Self::Write { at, bytes: sector.to_owned() });
            (at, bytes) = (at + sector.len(), rest);
        }
        sectors
    }
}

#[derive(Clone, Debug, Default)]
struct File {
    synced: Vec<u8>,
    since: Vec<Change>,
}

/// Files by path, while a test keeps a record of them.
static DISK: Mutex<Option<BTreeMap<String, File>>> = Mutex::new(None);

fn disk() -> MutexGuard<'static, Option<BTreeMap<String, File>>> {
    DISK.lock().unwrap()
}

/// Forgets everything and records from now on; files that are opened then must be new.
pub fn records() {
    *disk() = Some(BTreeMap::new());
}

pub fn forgets() {
    *disk() = None;
}

pub fn opened(path: &str) {
    if let Some(files) = disk().as_mut() {
        files.entry(path.to_owned()).or_default();
    }
}

/// At once and for good: SQLite syncs the folder where that matters.
pub fn deleted(path: &str) {
    if let Some(files) = disk().as_mut() {
        files.remove(path);
    }
}

/// Does it, and records it if it was done.
pub fn changes(path: Option<&str>, what: impl FnOnce() -> Change, does: impl FnOnce() -> c_int) -> c_int {
    let mut disk = disk();
    let done = does();
    if let Some(file) = disk.as_mut().zip(path).and_then(|(files, path)| files.get_mut(path))
        && done == SQLITE_OK
    {
        file.since.push(what());
    }
    done
}

pub fn synced(path: Option<&str>) {
    if disk().is_some() {
        // Disks take their time, and power may go meanwhile.
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    if let Some(file) = disk().as_mut().zip(path).and_then(|(files, path)| files.get_mut(path)) {
        for change in std::mem::take(&mut file.since) {
            change.apply(&mut file.synced);
        }
    }
}

/// The disk at one moment.
#[derive(Clone, Debug)]
pub struct Moment(BTreeMap<String, File>);

impl Moment {
    pub fn now() -> Self {
        Self(disk().clone().unwrap())
    }

    /// Sectors that were written and not synced.
    pub fn at_stake(&self) -> usize {
        self.0.values().flat_map(|file| &file.since).map(|change| change.sectors().len()).sum()
    }

    /// What power loss leaves, as files in `folder`: each sector at stake survives with this chance.
    pub fn leaves(&self, chance: f64, folder: &Path) {
        for (path, file) in &self.0 {
            let mut bytes = file.synced.clone();
            for sector in file.since.iter().flat_map(Change::sectors) {
                if rand::rng().random_bool(chance) {
                    sector.apply(&mut bytes);
                }
            }
            std::fs::write(folder.join(Path::new(path).file_name().unwrap()), bytes).unwrap();
        }
    }
}
