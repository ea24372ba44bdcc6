//! The processes of a server: the postmaster, and its children, which have process groups of their own.

use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

/// How long to sleep between two looks at what others do.
pub const PAUSE: Duration = Duration::from_millis(10);

pub fn send(process: u32, signal: Signal) {
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

/// Stops the server where it stands. Connections stay, and nothing answers.
pub fn pause(postmaster: u32) {
    // The postmaster first: then no child is added.
    send(postmaster, Signal::STOP);
    children(postmaster).into_iter().for_each(|child| send(child, Signal::STOP));
}

pub fn resume(postmaster: u32) {
    children(postmaster).into_iter().for_each(|child| send(child, Signal::CONT));
    send(postmaster, Signal::CONT);
}

/// Kills the server and waits until all of it is gone.
pub fn kill(mut postmaster: Child) {
    send(postmaster.id(), Signal::STOP);
    let children = children(postmaster.id());
    children.iter().for_each(|child| send(*child, Signal::KILL));
    postmaster.kill().unwrap();
    postmaster.wait().unwrap();
    // A zombie has let go of everything; not every container has a process that collects them.
    while children.iter().any(|child| state(*child).is_some_and(|(state, _)| !"ZX".contains(state))) {
        std::thread::sleep(PAUSE);
    }
}

/// Waits for the process to end, but not longer than `limit`.
pub fn wait(process: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let from = Instant::now();
    loop {
        let ended = process.try_wait().unwrap();
        if ended.is_some() || from.elapsed() >= limit {
            return ended;
        }
        std::thread::sleep(PAUSE);
    }
}
