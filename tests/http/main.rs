//! The server over HTTP: the real router on a database of its own, one file for each group of `routes.rs`.

mod admin;
mod admin_users;
mod authorizations;
mod authorize;
mod bad_input;
mod consent;
mod developer;
mod developer_acts;
mod drill;
mod feed;
mod guards;
mod harness;
mod introspect;
mod jwks;
mod jwt;
mod ledger;
mod metadata;
mod operations;
mod receipts;
mod refresh;
mod resource;
mod revoke;
mod roles;
mod sign_in;
mod stock_clients;
mod token;
