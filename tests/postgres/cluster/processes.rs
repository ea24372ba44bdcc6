//! The processes of a server: the postmaster, and its children, which have process groups of their own.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use super::programs::as_server_user;

/// How long to sleep between two looks at what others do.
pub const PAUSE: Duration = Duration::from_millis(10);

/// Ends the server and removes its folder when the test process is killed, which closes its input.
const WATCHER: &str = "trap '' INT TERM HUP; cat >/dev/null; kill -QUIT $0; n=0
    while kill -0 $0 && [ $n -lt 100 ]; do n=$((n + 1)); sleep 0.1; done; rm -rf \"$1\"";

/// A server that does not outlive the test process.
pub struct Server {
    postmaster: Child,
    watcher: Child,
}

impl Server {
    pub fn start(postgres: &mut Command, folder: &Path) -> Self {
        let postmaster = postgres.spawn().unwrap();
        let mut watcher = Command::new("sh");
        watcher.args(["-c", WATCHER, &postmaster.id().to_string()]).arg(folder);
        // What is sent to the process group of the test is not for the watcher.
        watcher.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { postmaster, watcher: watcher.spawn().unwrap() }
    }

    pub fn id(&self) -> u32 {
        self.postmaster.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.postmaster.try_wait().unwrap().is_some()
    }

    /// Stops the server where it stands. Connections stay, and nothing answers.
    pub fn pause(&self) {
        // The postmaster first: then no child is added.
        send(self.id(), Signal::STOP);
        children(self.id()).into_iter().for_each(|child| send(child, Signal::STOP));
    }

    pub fn resume(&self) {
        children(self.id()).into_iter().for_each(|child| send(child, Signal::CONT));
        send(self.id(), Signal::CONT);
    }

    /// A limit on the size of files for all its processes. Writes beyond it fail, as PostgreSQL ignores the signal.
    pub fn limit_files(&self, bytes: &str) {
        let limit = format!("--fsize={bytes}:unlimited");
        for process in children(self.id()).into_iter().chain([self.id()]) {
            // One that has ended by itself needs no limit.
            let mut prlimit = as_server_user(Path::new("prlimit"));
            let _ = prlimit.args(["--pid", &process.to_string(), &limit]).status();
        }
    }

    /// Asks the server to end. How it ended, or `None` if it did not within `limit`.
    pub fn stop(&mut self, signal: Signal, limit: Duration) -> Option<ExitStatus> {
        send(self.id(), signal);
        let from = Instant::now();
        loop {
            let ended = self.postmaster.try_wait().unwrap();
            if ended.is_some() || from.elapsed() >= limit {
                return ended;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Kills the server and waits until all of it is gone.
    pub fn kill(&mut self) {
        send(self.id(), Signal::STOP);
        let children = children(self.id());
        children.iter().for_each(|child| send(*child, Signal::KILL));
        self.postmaster.kill().unwrap();
        self.postmaster.wait().unwrap();
        // A zombie has let go of everything; not every container has a process that collects them.
        while children.iter().any(|child| state(*child).is_some_and(|(state, _)| !"ZX".contains(state))) {
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The watcher first: it must not find another process under the same number.
        let _ = (self.watcher.kill(), self.watcher.wait());
        let _ = (self.postmaster.kill(), self.postmaster.wait());
    }
}

fn send(process: u32, signal: Signal) {
    let process = Pid::from_raw(process.cast_signed()).unwrap();
    // A process that has ended by itself needs no signal.
    let _ = kill_process(process, signal);
}

/// State and parent of a process, from `/proc`.
fn state(process: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in front may hold anything, parentheses too.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn children(of: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap();
    let processes = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    processes.filter(|process| state(*process).is_some_and(|(_, parent)| parent == of)).collect()
}
