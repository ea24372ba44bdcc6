//! PostgreSQL: the servers that tests use are durable, replicated, and break as they should; several servers of Rescind on
//! one database.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod bad_databases;
#[allow(dead_code, reason = "other suites make their databases with it")]
mod cluster;
mod databases;
mod failover;
mod line;
mod moving;
mod node;
mod nodes;
mod servers;
mod standbys;
