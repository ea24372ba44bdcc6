//! The binary: commands that run to their end, and servers that run on.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A database's folder, and the commands on it.
pub struct Place {
    pub folder: tempfile::TempDir,
    /// Settings of all programs besides the usual ones.
    settings: Vec<(&'static str, String)>,
}

/// How a command ended.
pub struct Ended {
    pub exit: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// The one JSON object on standard output.
    pub fn json(&self) -> Value {
        assert_eq!(self.exit, 0, "{}", self.err);
        assert_eq!(self.out.trim().lines().count(), 1, "one line: {:?}", self.out);
        let value: Value = serde_json::from_str(&self.out).unwrap();
        assert!(value.is_object());
        value
    }
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), settings: Vec::new() }
    }

    #[allow(dead_code, reason = "only tests with several servers have settings in common")]
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.settings.push((name, value.into()));
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("rescind.db")
    }

    pub fn beside(&self, extension: &str) -> PathBuf {
        self.folder.path().join(format!("rescind.db.{extension}"))
    }

    /// The binary with the settings of this place and no others.
    pub fn program(&self, arguments: &[&str]) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_rescind"));
        self.settle(&mut program);
        program.args(arguments);
        program
    }

    fn settle(&self, program: &mut Command) {
        program
            .env_clear()
            .env("RESCIND_DATABASE_URL", format!("sqlite://{}", self.database().display()))
            .env("RESCIND_LISTEN", "127.0.0.1:0")
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, "")
    }

    /// Runs a command that reads `input`.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child = self.program(arguments).stdin(Stdio::piped()).spawn().unwrap();
        // An error means that the command did not want to read it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Ended {
            exit: output.status.code().expect("not killed by a signal"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub fn serve(&self) -> Server {
        Server::start(self.program(&["serve"]))
    }

    /// A server that logs all it can.
    pub fn serve_talkative(&self) -> Server {
        let mut program = self.program(&["serve"]);
        program.env("RUST_LOG", "trace");
        Server::start(program)
    }

    /// The server, listening where it listened before.
    pub fn serve_at(&self, address: &str) -> Server {
        let mut program = self.program(&["serve"]);
        program.env("RESCIND_LISTEN", address);
        Server::start(program)
    }

    /// The sidecar of the resource server whose `id` and `secret` these are, with more `settings`.
    pub fn guard(&self, api: &(String, String), server: &str, settings: &[(&str, &str)]) -> Server {
        Server::start_saying(self.guard_program(api, server, settings), "guard.started")
    }

    pub fn guard_program(
        &self,
        (id, secret): &(String, String),
        server: &str,
        settings: &[(&str, &str)],
    ) -> Command {
        let mut program = self.program(&["guard"]);
        program
            .env_remove("RESCIND_DATABASE_URL")
            .env("RESCIND_GUARD_LISTEN", "127.0.0.1:0")
            .env("RESCIND_GUARD_SERVER", format!("http://{server}"))
            .env("RESCIND_GUARD_ID", id)
            .env("RESCIND_GUARD_SECRET", secret)
            .env("RESCIND_GUARD_AUDIENCE", "urn:photos")
            .envs(settings.iter().copied());
        program
    }

    /// A server that a full disk (a limit on file sizes) does not kill by a signal.
    pub fn serve_limited(&self) -> Server {
        let mut program = Command::new("sh");
        self.settle(&mut program);
        program.args(["-c", "trap '' XFSZ; exec \"$0\" serve", env!("CARGO_BIN_EXE_rescind")]);
        Server::start(program)
    }
}

/// A running server.
pub struct Server {
    pub child: Child,
    pub address: String,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Waits for the line that says where it listens.
    pub fn start(program: Command) -> Self {
        Self::start_saying(program, "server.started")
    }

    /// The same for a program that says it in other words.
    pub fn start_saying(mut program: Command, started: &'static str) -> Self {
        let mut child = program.env("RESCIND_LOG", "json").spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (found, address) = mpsc::channel();
        let (lines, kept) = (BufReader::new(child.stderr.take().unwrap()).lines(), log.clone());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.contains(started) {
                    let line: Value = serde_json::from_str(&line).unwrap();
                    let _ = found.send(line["fields"]["address"].as_str().unwrap().to_owned());
                }
                kept.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        let address = address.recv_timeout(Duration::from_secs(30));
        let address = address.unwrap_or_else(|_| panic!("it did not start: {}", log.lock().unwrap()));
        Self { child, address, log }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// As power loss would end it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; the exit code, and how long it took.
    pub fn stop(mut self) -> (Option<i32>, Duration) {
        let from = Instant::now();
        self.signal("-TERM");
        let mut rest = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), from.elapsed())
    }

    /// Lets no file grow beyond `bytes`, or lifts that limit again.
    pub fn limit_files(&self, bytes: &str) {
        let pid = self.child.id().to_string();
        let limit = format!("--fsize={bytes}:unlimited");
        let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
