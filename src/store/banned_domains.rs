//! The `banned_domains` table: hosts that banned apps sent people to.

use crate::clock::Timestamp;
use crate::model::client::RedirectUri;
use crate::model::id::ClientId;

use super::sql::params;
use super::{Result, Store, Tx};

const INSERT: &str =
    "INSERT INTO banned_domains (domain, client_id, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
const IS_BANNED: &str = "SELECT 1 FROM banned_domains WHERE domain = ?1";

impl Store {
    /// Whether the address leads to a domain that a banned app sent people to.
    pub async fn is_banned(&self, uri: &RedirectUri) -> Result<bool> {
        for domain in uri.bannable_domains() {
            if self.any(IS_BANNED, params![domain]).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Tx<'_> {
    pub fn ban_domain(&self, domain: &str, because_of: &ClientId, now: Timestamp) -> Result<()> {
        self.run(INSERT, params![domain, because_of, now])?;
        Ok(())
    }

    /// Whether the address leads to a domain that a banned app sent people to.
    pub fn is_banned(&self, uri: &RedirectUri) -> Result<bool> {
        for domain in uri.bannable_domains() {
            if self.any(IS_BANNED, params![domain])? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
