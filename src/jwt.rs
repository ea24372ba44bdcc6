//! JWT access tokens (RFC 9068): keys that sign, claims, tokens. Without a database.

pub mod claims;
pub mod key;
pub mod key_file;
pub mod signature_cache;
pub mod statement;
pub mod token;
