//! Validates access tokens of a Rescind server at a resource server.

pub mod wire;
