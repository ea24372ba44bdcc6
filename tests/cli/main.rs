//! The command line, by the real binary: exit codes, the lock, the socket, crashes and faults.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod commands;
mod demo;
mod drill;
mod faults;
mod feed;
mod files;
mod keys;
mod logs;
mod nginx;
mod output;
mod program;
mod proxies;
mod proxy;
mod registered;
mod restore;
mod settings;
mod shared;
mod sidecar;
mod sockets;
mod visitor;
