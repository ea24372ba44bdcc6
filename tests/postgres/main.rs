//! PostgreSQL: the servers that tests use are durable, replicated, and break as they should; several servers of Rescind on
//! one database.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod bad_databases;
#[allow(dead_code, reason = "other suites make their databases with it")]
mod cluster;
mod databases;
mod failover;
mod guards;
mod line;
mod moving;
mod node;
mod nodes;
#[path = "../cli/program.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line, which use all of it")]
mod program;
mod restoring;
mod script;
mod servers;
mod sign_ins;
mod standbys;
mod stopped;
mod upgrades;
#[path = "../cli/visitor.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line, which use all of it")]
mod visitor;
#[path = "../guard/line.rs"]
#[allow(dead_code, reason = "shared with the guard's tests, which use all of it")]
mod wire;
