//! PostgreSQL's programs: where they are, and the user who may run them.

use std::ffi::OsStr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use tempfile::TempDir;

use super::Storage;

const OLDEST: u32 = 15;

/// A file system in memory.
const MEMORY: &str = "/dev/shm";

/// In the PATH, or where Debian installs it, which is in nobody's PATH.
static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).collect::<Vec<_>>();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut versions: Vec<u32> =
        debian.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable();
    let of_debian =
        versions.iter().rev().map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")));
    // In the PATH there may be links to some of them: the others are where the links lead.
    let servers = in_path.into_iter().chain(of_debian).map(|folder| folder.join("postgres").canonicalize());
    let is_new_enough = |postgres: &PathBuf| version(postgres).is_some_and(|found| found >= OLDEST);
    let found =
        servers.flatten().find(is_new_enough).and_then(|postgres| Some(postgres.parent()?.to_owned()));
    found.unwrap_or_else(|| panic!("PostgreSQL {OLDEST} or newer is missing: scripts/test.sh installs it"))
});

/// PostgreSQL refuses to run as root, who uses the user and group that its package made.
static SERVER_USER: LazyLock<Option<(u32, u32)>> = LazyLock::new(|| {
    let number = |option: &str| {
        let output = Command::new("id").args([option, "postgres"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().expect("a user named postgres")
    };
    rustix::process::geteuid().is_root().then(|| (number("-u"), number("-g")))
});

/// The major version, as `postgres (PostgreSQL) 15.14` says it.
fn version(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let number = text.split("(PostgreSQL) ").nth(1)?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// One of PostgreSQL's programs, as a user that may run it.
pub fn program(name: &str) -> Command {
    as_server_user(&PROGRAMS.join(name))
}

/// Any program, as the user that owns the servers' processes.
pub fn as_server_user(path: &Path) -> Command {
    let mut program = Command::new(path);
    if let Some((user, group)) = *SERVER_USER {
        program.uid(user).gid(group);
    }
    // The folder of the tests may be closed to that user.
    program.current_dir("/").stdin(Stdio::null());
    program
}

/// Runs it to its end, and gives what it wrote; or, if it failed, what it complained about.
pub fn output(program: &mut Command) -> Result<String, String> {
    let Output { status, stdout, stderr } = program.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
    if status.success() { Ok(text(stdout)) } else { Err(text(stderr)) }
}

/// A temporary folder in which PostgreSQL can write.
pub fn folder(storage: Storage) -> TempDir {
    let in_memory = storage == Storage::Memory && has_room(MEMORY);
    let folder = if in_memory { tempfile::tempdir_in(MEMORY) } else { tempfile::tempdir() }.unwrap();
    if let Some((user, group)) = *SERVER_USER {
        chown(folder.path(), Some(user), Some(group)).unwrap();
    }
    folder
}

/// Whether there is room for some servers. A container may have next to none.
fn has_room(folder: &str) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|room| room.f_bavail * room.f_frsize >= 2 << 30)
}

/// Runs SQL in the database of the URL; rows as lines, with `|` between columns.
///
/// # Errors
/// What the server or the connection complained about.
pub fn query(url: &str, sql: &str) -> Result<String, String> {
    let options = ["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql].map(OsStr::new);
    output(program("psql").args(options).env("PGCONNECT_TIMEOUT", "10"))
}
