//! Faults underneath the store, in this process: statements and disk operations that fail, and power that goes.
//!
//! SQLite is made to fail from outside, by its own hooks, so the program under test is the ordinary one. Both hooks
//! are process-wide: what happens here happens in one test at a time ([`sqlite::alone`]).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod disk;
mod held_back;
mod line;
#[path = "../http"]
mod http {
    #[allow(dead_code, reason = "shared with the HTTP tests, which use all of it")]
    pub mod harness;
}
mod outcome;
mod power;
mod requests;
mod routes;
mod secrets;
mod sqlite;
