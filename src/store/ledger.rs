//! The `ledger` table: what was revoked, by whom, in which order. Rows never change.

use rusqlite::params;

use crate::clock::Timestamp;
use crate::model::act::{By, Entry};
use crate::model::id::{GrantId, ReceiptId, UserId};

use super::{Result, Store, Tx};

const INSERT: &str = "INSERT INTO ledger (receipt_id, at, act, actor_kind, actor_id, origin, subject_kind, subject_id, \
    grant_id, client_id, user_id, generation) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
    RETURNING sequence";

const OF_RECEIPT: &str = "SELECT l.at, c.name AS client FROM ledger AS l \
    LEFT JOIN clients AS c ON c.id = l.client_id WHERE l.receipt_id = ?1 AND l.user_id = ?2 \
    ORDER BY l.sequence LIMIT 500";
const OF_GRANT: &str =
    "SELECT at, act FROM ledger WHERE grant_id = ?1 AND user_id = ?2 ORDER BY sequence DESC LIMIT 50";

/// What `store::plans` looks at.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[OF_RECEIPT, OF_GRANT];

/// One thing that an act of a user ended.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ReceiptRow {
    pub at: Timestamp,
    pub client: Option<String>,
}

/// One act that concerned a grant.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct HistoryRow {
    pub at: Timestamp,
    pub act: String,
}

impl Store {
    /// What one act ended of `user`'s.
    pub async fn receipt_rows(&self, receipt: &ReceiptId, user: &UserId) -> Result<Vec<ReceiptRow>> {
        Ok(sqlx::query_as(OF_RECEIPT).bind(receipt).bind(user).fetch_all(&self.pages).await?)
    }

    /// What happened to a grant of `user`'s, newest first.
    pub async fn grant_history(&self, grant: &GrantId, user: &UserId) -> Result<Vec<HistoryRow>> {
        Ok(sqlx::query_as(OF_GRANT).bind(grant).bind(user).fetch_all(&self.pages).await?)
    }
}

impl Tx<'_> {
    /// Appends a row; its sequence is announced once the transaction has been committed.
    pub fn insert_ledger(&self, entry: &Entry, by: &By) -> Result<i64> {
        let sequence = self.connection.prepare_cached(INSERT)?.query_row(
            params![
                entry.receipt,
                by.at,
                entry.act.as_str(),
                by.actor.kind(),
                by.actor.id(),
                by.origin.as_str(),
                entry.subject.kind(),
                entry.subject.id(),
                entry.grant,
                entry.client,
                entry.user,
                entry.subject.generation(),
            ],
            |row| row.get(0),
        )?;
        self.ledger_head.set(sequence);
        Ok(sequence)
    }
}
