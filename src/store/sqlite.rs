//! The engine room of SQLite: one process that writes one file, which it holds under a lock.

pub(super) mod checkpoints;
pub mod copies;
pub mod lock;
pub(super) mod lookup;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod statements;
pub mod writer;
