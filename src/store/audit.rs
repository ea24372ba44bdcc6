//! The `audit` table: acts that give power or change who has it, and end no credential. Rows never change.
//!
//! The reason that somebody gave for an act, and the address that it came from, are in `receipt_notes`.

use crate::model::audit::Record;
use crate::model::by::By;
use crate::model::id::{ReceiptId, UserId};

use super::sql::params;
use super::{Result, Tx};

const INSERT: &str = "INSERT INTO audit (receipt_id, at, act, actor_kind, actor_id, origin, object_kind, object_id, \
    grant_id, client_id, user_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
/// One note for each act, even if the act has several rows.
const INSERT_NOTE: &str = "INSERT INTO receipt_notes (receipt_id, reason, detail, address, actor_id) \
    VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (receipt_id) DO UPDATE SET detail = coalesce(excluded.detail, receipt_notes.detail)";
const ERASE_ADDRESSES: &str =
    "UPDATE receipt_notes SET address = NULL WHERE actor_id = ?1 AND address IS NOT NULL";

impl Tx<'_> {
    pub fn insert_audit(&self, record: &Record, by: &By) -> Result<()> {
        self.run(
            INSERT,
            params![
                record.receipt,
                by.at,
                record.event,
                by.actor.kind(),
                by.actor.id(),
                by.origin,
                record.object.kind(),
                record.object.id(),
                record.object.grant(),
                record.object.client(),
                record.object.user(),
            ],
        )?;
        self.insert_note(&record.receipt, by, record.detail.as_deref())
    }

    /// Stores the reason and the address of an act, and `detail` of what it changed.
    pub fn insert_note(&self, receipt: &ReceiptId, by: &By, detail: Option<&str>) -> Result<()> {
        if by.reason.is_none() && by.address.is_none() && detail.is_none() {
            return Ok(());
        }
        let address = by.address.map(|address| address.to_string());
        self.run_for_one(INSERT_NOTE, params![receipt, by.reason, detail, address, by.actor.id()])?;
        Ok(())
    }

    /// Erases the addresses that a person's acts came from.
    pub fn erase_addresses(&self, user: &UserId) -> Result<()> {
        self.run(ERASE_ADDRESSES, params![user])?;
        Ok(())
    }
}
