//! JWT access tokens (RFC 9068): keys that sign, claims, tokens. No database here.

pub mod claims;
pub mod key;
pub mod key_file;
pub mod signature_cache;
pub mod statement;
pub mod token;
