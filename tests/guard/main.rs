//! The real guard against the real server, over TCP: restarts, proxies that lie, wires that break, clocks that jump.
//!
//! Freshness runs on a clock that these tests move, so that nothing here depends on how quick the machine is.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod answers;
#[path = "../cli"]
mod cli {
    #[allow(dead_code, reason = "shared with the tests of the command line, which use all of it")]
    pub mod program;
}
mod crowd;
mod events;
#[path = "../http"]
mod http {
    #[allow(dead_code, reason = "shared with the HTTP tests, which use all of it")]
    pub mod harness;
}
mod keys;
mod leeway;
mod line;
mod middle;
mod opaque;
mod restart;
mod slow;
mod snapshots;
mod stage;
mod staleness;
mod watch;
