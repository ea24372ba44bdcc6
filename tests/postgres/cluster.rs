//! Real PostgreSQL servers for tests, each with its data in a temporary folder: a [`Cluster`] and its standbys, a fresh
//! [`database::Database`] for each test, and a [`relay::Relay`] between program and database that can be cut.
//!
//! Everything here blocks its thread: most of it is short, but a test with a single-threaded runtime that waits for
//! its own tasks should call [`tokio::task::spawn_blocking`]. Needs Linux, as it reads `/proc`.

pub mod database;
mod processes;
pub mod programs;
pub mod relay;
pub mod replication;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use processes::{Server, Signal};
pub use programs::query;
use replication::Synchronous;
use tempfile::TempDir;

/// Where the data is, and what it survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// As durable as in production.
    Disk,
    /// Several times as fast. A power loss would take everything; [`Cluster::kill`] takes nothing that was committed.
    Memory,
}

impl Storage {
    const fn settings(self) -> &'static str {
        match self {
            Self::Disk => "",
            Self::Memory => "fsync = off\nfull_page_writes = off\n",
        }
    }
}

/// What every cluster is set to, standbys included.
const SETTINGS: &str = "
max_connections = 200
# Nothing outside the data folder, where a killed server would leave it.
dynamic_shared_memory_type = mmap
# A standby that does not answer is noticed soon, and comes back soon.
wal_sender_timeout = 2s
wal_receiver_timeout = 2s
wal_retrieve_retry_interval = 100ms
# What a paused standby may miss; and no more than that, where it is memory.
wal_keep_size = 128MB
max_wal_size = 128MB
";

/// No start and no stop takes as long.
const LIMIT: Duration = Duration::from_secs(60);

/// A PostgreSQL server with its data, primary or standby. Its superuser `postgres` needs no password. Both end with it.
pub struct Cluster {
    storage: Storage,
    folder: TempDir,
    port: u16,
    /// Absent while it is stopped.
    server: Mutex<Option<Server>>,
    /// The names under which its standbys connect.
    standbys: Mutex<Vec<(String, Synchronous)>>,
}

impl Cluster {
    pub fn start(storage: Storage) -> Self {
        Self::start_with(storage, "")
    }

    /// With more lines of `postgresql.conf`.
    pub fn start_with(storage: Storage, settings: &str) -> Self {
        let folder = programs::folder(storage);
        let data = data(&folder);
        let mut initdb = programs::program("initdb");
        initdb.args(["--username=postgres", "--auth=trust", "--locale=C", "--encoding=UTF8", "--no-sync"]);
        programs::output(initdb.arg("-D").arg(&data)).unwrap_or_else(|error| panic!("initdb: {error}"));
        append(&data.join("postgresql.conf"), &format!("{SETTINGS}{}{settings}\n", storage.settings()));
        Self::start_in(folder, storage)
    }

    /// Starts the server of a data folder on a free port.
    fn start_in(folder: TempDir, storage: Storage) -> Self {
        for _ in 0..20 {
            // Below the ports that systems give to clients: it is still free when the server is started again.
            let port = rand::random_range(20_000..32_000);
            match launch(&folder, port) {
                Ok(server) => {
                    let server = Mutex::new(Some(server));
                    return Self { storage, folder, port, server, standbys: Mutex::default() };
                }
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => panic!("PostgreSQL does not start: {log}"),
            }
        }
        panic!("no port is free");
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// An empty database, which lasts as long as the cluster.
    pub fn create_database(&self) -> String {
        database::create(&self.url("postgres"))
    }

    /// Runs SQL in the database `postgres`; rows as lines, with `|` between columns.
    pub fn query(&self, sql: &str) -> String {
        query(&self.url("postgres"), sql).unwrap_or_else(|error| panic!("{sql}: {error}\n{}", self.log()))
    }

    /// Asks until the answer is the expected one.
    pub fn wait_until(&self, sql: &str, expected: &str) {
        let from = Instant::now();
        loop {
            let found = self.query(sql);
            if found == expected {
                return;
            }
            assert!(from.elapsed() < LIMIT, "{sql}: {found}, not {expected}\n{}", self.log());
            std::thread::sleep(processes::PAUSE);
        }
    }

    pub fn log(&self) -> String {
        log(&self.folder)
    }

    /// Ends the server in order: clients are sent away, everything is written.
    pub fn stop(&self) {
        let mut server = self.take();
        if server.stop(Signal::INT, LIMIT).is_none() {
            server.kill();
            panic!("PostgreSQL does not stop: {}", self.log());
        }
    }

    /// Kills the server and all its processes, without a word to anybody.
    pub fn kill(&self) {
        self.take().kill();
        self.forget_the_killed();
    }

    /// Starts the server again, on the same port, with what it had written. Stops it before if it runs.
    pub fn restart(&self) {
        if self.is_running() {
            self.stop();
        }
        let server = launch(&self.folder, self.port);
        let server = server.unwrap_or_else(|log| panic!("PostgreSQL does not start again: {log}"));
        *self.server.lock().unwrap() = Some(server);
    }

    /// Stops all its processes where they stand: connections stay open, and nothing answers.
    pub fn pause(&self) {
        self.server.lock().unwrap().as_ref().expect("it runs").pause();
    }

    pub fn resume(&self) {
        self.server.lock().unwrap().as_ref().expect("it runs").resume();
    }

    /// Lets none of its files grow beyond so many bytes, as where the disk is full, until it is started again.
    pub fn limit_files(&self, bytes: &str) {
        self.server.lock().unwrap().as_ref().expect("it runs").limit_files(bytes);
    }

    fn is_running(&self) -> bool {
        self.server.lock().unwrap().is_some()
    }

    fn take(&self) -> Server {
        self.server.lock().unwrap().take().expect("it runs")
    }

    /// Removes what only an orderly stop removes: the shared memory, and the file that names the process.
    fn forget_the_killed(&self) {
        let file = data(&self.folder).join("postmaster.pid");
        let Ok(text) = std::fs::read_to_string(&file) else { return };
        // The key and the number of the shared memory.
        if let Some(number) = text.lines().nth(6).and_then(|line| line.split_whitespace().last()) {
            let _ = Command::new("ipcrm").args(["-m", number]).output();
        }
        let _ = std::fs::remove_file(file);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Ok(Some(mut server)) = self.server.get_mut().map(Option::take) else { return };
        server.resume();
        // An immediate shutdown: nobody wants the data any more, and an orderly one waits for standbys.
        if server.stop(Signal::QUIT, Duration::from_secs(5)).is_none() {
            server.kill();
            self.forget_the_killed();
        }
    }
}

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

fn log(folder: &TempDir) -> String {
    std::fs::read_to_string(folder.path().join("log")).unwrap_or_default()
}

fn append(file: &Path, text: &str) {
    File::options().append(true).open(file).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Starts the server, and waits until it answers.
///
/// # Errors
/// Its log, if it has ended instead.
fn launch(folder: &TempDir, port: u16) -> Result<Server, String> {
    let data = data(folder);
    let mut postgres = programs::program("postgres");
    postgres.arg("-D").arg(&data).args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k"]).arg(folder.path());
    let messages = File::create(folder.path().join("log")).unwrap();
    let mut server = Server::start(postgres.stdout(Stdio::null()).stderr(messages), folder.path());
    let from = Instant::now();
    loop {
        // Its first line is the process, its last the state.
        let file = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        let lines: Vec<&str> = file.lines().map(str::trim).collect();
        if lines.first() == Some(&server.id().to_string().as_str()) && lines.get(7) == Some(&"ready") {
            return Ok(server);
        }
        if server.has_ended() {
            return Err(log(folder));
        }
        if from.elapsed() > LIMIT {
            server.kill();
            panic!("PostgreSQL does not get ready: {}", log(folder));
        }
        std::thread::sleep(processes::PAUSE);
    }
}
