//! The `banned_domains` table: hosts that banned apps sent people to.

use crate::clock::Timestamp;
use crate::model::client::{Client, RedirectUri};

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
    /// Bans the domains that a banned app sent people to: registrations that use them are refused.
    pub fn ban_domains_of(&self, banned: &Client, now: Timestamp) -> Result<()> {
        for domain in banned.redirect_uris.remote_domains() {
            self.run(INSERT, params![domain, banned.id, now])?;
        }
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
