//! The verbs: everything that changes state, each in one transaction.

pub mod account;
pub mod audit;
pub mod authorize;
pub mod counts;
pub mod drill;
pub mod feed;
pub mod guards;
pub mod hand_over;
pub mod issue;
pub mod issue_context;
pub mod keys;
pub mod last_used;
pub mod leases;
pub mod ledger_file;
pub mod moderate;
pub mod purge;
pub mod readings;
pub mod register;
pub mod resource_servers;
pub mod restore;
pub mod revoke;
pub mod shared_guards;
pub mod sign_in;
pub mod sign_in_limit;
pub mod snapshots;
pub mod streams;
