//! The server over HTTP: the real router on a database of its own, one file for each group of `routes.rs`.

mod authorizations;
mod authorize;
mod bad_input;
mod consent;
mod harness;
mod introspect;
mod metadata;
mod refresh;
mod revoke;
mod sign_in;
mod stock_clients;
mod token;
