//! The `ledger` table: what was revoked, by whom, in which order. Rows never change.

use rusqlite::params;

use crate::model::act::{By, Entry};
use crate::model::id::ReceiptId;

use super::{Result, Tx};

const INSERT: &str = "INSERT INTO ledger (receipt_id, at, act, actor_kind, actor_id, origin, subject_kind, subject_id, \
    grant_id, client_id, user_id, generation) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
    RETURNING sequence";

const INSERT_NOTE: &str = "INSERT INTO receipt_notes (receipt_id, reason) VALUES (?1, ?2)";
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

    /// What somebody wrote about an act, for those who may read it.
    pub fn insert_receipt_note(&self, receipt: &ReceiptId, reason: &str) -> Result<()> {
        self.connection.prepare_cached(INSERT_NOTE)?.execute(params![receipt, reason])?;
        Ok(())
    }
}
