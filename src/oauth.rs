//! The protocol endpoints, one file each.

pub mod authorize;
pub mod client_auth;
pub mod error;
pub mod form;
pub mod introspect;
pub mod jwks;
pub mod metadata;
pub mod resource;
pub mod revoke;
pub mod token;
