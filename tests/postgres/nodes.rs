//! Two servers on one database, whose requests meet.
//!
//! Nobody arranges an order inside a server: two requests start at the same moment, many times.

mod accounts;
mod actors;
mod apps;
mod credentials;
mod world;
