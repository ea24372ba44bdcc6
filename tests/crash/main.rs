//! Crashes of the real binary: killed with SIGKILL at the labelled points of `src/fail.rs`, then started again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

#[allow(dead_code, reason = "each suite that has it uses some of it")]
#[path = "../engine"]
mod engine {
    pub mod connection;
    pub mod database;
    #[path = "../postgres"]
    pub mod postgres {
        pub mod cluster;
    }
}
mod killing;
mod migration;
mod minting;
#[path = "../cli/program.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line, which use all of it")]
mod program;
mod purging;
mod revoking;
#[path = "../cli/visitor.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line, which use all of it")]
mod visitor;
