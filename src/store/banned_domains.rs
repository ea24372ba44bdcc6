//! The `banned_domains` table: hosts that banned apps sent people to.

use rusqlite::{Connection, params};

use crate::clock::Timestamp;
use crate::model::client::RedirectUri;
use crate::model::id::ClientId;

use super::sql::Sql as _;
use super::{Result, Store, Tx};

const INSERT: &str =
    "INSERT INTO banned_domains (domain, client_id, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
const IS_BANNED: &str = "SELECT 1 FROM banned_domains WHERE domain = ?1";

fn is_banned(connection: &Connection, uri: &RedirectUri) -> rusqlite::Result<bool> {
    for domain in uri.bannable_domains() {
        if connection.any(IS_BANNED, [domain])? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Store {
    /// Whether the address leads to a domain that a banned app sent people to.
    pub fn is_banned(&self, uri: &RedirectUri) -> Result<bool> {
        self.lookup(|c| is_banned(c, uri))
    }
}

impl Tx<'_> {
    pub fn ban_domain(&self, domain: &str, because_of: &ClientId, now: Timestamp) -> Result<()> {
        self.run(INSERT, params![domain, because_of, now])?;
        Ok(())
    }

    /// Whether the address leads to a domain that a banned app sent people to.
    pub fn is_banned(&self, uri: &RedirectUri) -> Result<bool> {
        Ok(is_banned(self.connection, uri)?)
    }
}
