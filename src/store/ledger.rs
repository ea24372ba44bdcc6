//! The `ledger` table: what was revoked, by whom, in which order. It also says what admins gave back, and role changes
//! (`Act::ends_something` tells them apart). Rows never change.

use rusqlite::params;

use crate::model::act::Entry;
use crate::model::by::By;
use crate::model::resource_server::Audiences;

use super::{Result, Tx};

const INSERT: &str = "INSERT INTO ledger (receipt_id, at, act, actor_kind, actor_id, origin, subject_kind, subject_id, \
    grant_id, client_id, user_id, generation, audiences) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

impl Tx<'_> {
    /// Records an act that takes nothing away. No guard is told of it.
    pub fn record_act(&self, entry: &Entry, by: &By) -> Result<()> {
        debug_assert!(!entry.act.ends_something(), "{:?} belongs to Tx::revoke", entry.act);
        self.insert_ledger(entry, &Audiences::NOBODY, by).map(drop)
    }

    /// Appends a row, which is also the feed's entry for these audiences. Its sequence is published after the commit.
    pub(super) fn insert_ledger(&self, entry: &Entry, audiences: &Audiences, by: &By) -> Result<i64> {
        self.run(
            INSERT,
            params![
                entry.receipt,
                by.at,
                entry.act,
                by.actor.kind(),
                by.actor.id(),
                by.origin,
                entry.subject.kind(),
                entry.subject.id(),
                entry.grant,
                entry.client,
                entry.user,
                entry.subject.generation(),
                audiences,
            ],
        )?;
        let sequence = self.connection.last_insert_rowid();
        self.effects.borrow_mut().ledger_head = Some(sequence);
        self.insert_note(&entry.receipt, by, None)?;
        Ok(sequence)
    }
}
