//! The tokens that a guard in a process of its own is given to check.

use rescind_guard::wire::Key;
use serde::{Deserialize, Serialize};

/// The argument that makes this program such a process.
pub const WORD: &str = "--verify";
pub const AUDIENCE: &str = "https://api.example";

#[derive(Serialize, Deserialize)]
pub struct Tokens {
    pub issuer: String,
    pub entries: u64,
    pub signed: Vec<TokensOfKey>,
    /// Dead once all entries were applied.
    pub revoked: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub struct TokensOfKey {
    pub key: Key,
    pub tokens: Vec<String>,
}
