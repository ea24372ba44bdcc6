//! The SQLite engine: one process writes one file, and holds a lock on it.

pub(super) mod checkpoints;
pub mod copies;
pub mod lock;
pub(super) mod lookup;
pub mod migrate;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod statements;
pub mod writer;
