//! The PostgreSQL engine: many servers on one database.
//!
//! - [`lane`]: one thread of this server commits the work of many requests at once, as the writer does on SQLite.
//! - [`batch`]: what that thread asks of the database at once.
//! - [`lookups`]: look-ups by key, many of them under way on one connection.
//! - [`tail`]: asks the database whether what is kept in memory is current, once for all requests of a thread that wait.
//! - [`guards`]: leases and confirmations, in batches.
//! - [`sign_in_budgets`]: failed sign-ins, counted by all servers together.
//! - [`session`]: a connection with a thread of its own, for transactions and for reads that take long.

pub mod address;
pub mod batch;
pub mod connect;
pub mod guards;
pub mod import;
mod issuer;
pub mod lane;
pub mod lookups;
pub mod migrate;
pub mod prepared;
pub mod primary;
pub mod session;
pub mod sign_in_budgets;
pub mod tail;
pub mod text;
pub mod values;
