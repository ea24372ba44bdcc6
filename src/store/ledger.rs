//! The `ledger` table: what was revoked, by whom, in which order. It also says what admins gave back, and role changes
//! (`Act::ends_something` tells them apart). Rows never change.
//!
//! The sequence is the order of commits: guards take all rows after the last one that they have. On SQLite there is one
//! writer, so a row is numbered when it is inserted. On PostgreSQL other servers write too. There the rows wait for the
//! end of the transaction, and are numbered by the row `head`, which stays locked until the commit.

use crate::clock::Timestamp;
use crate::fail;
use crate::model::act::{Entry, SubjectKind};
use crate::model::by::By;
use crate::model::id::GrantId;
use crate::model::resource_server::Audiences;

use super::purges::DeletedRows;
use super::sql::{Connection, Value, params};
use super::{Result, Tx};

const INSERT: &str = "INSERT INTO ledger (sequence, receipt_id, at, act, actor_kind, actor_id, origin, subject_kind, \
    subject_id, grant_id, client_id, user_id, generation, audiences) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) RETURNING sequence";

/// What a ledger row leaves to the purge.
#[derive(Clone, Copy)]
pub(super) enum Leaves {
    Nothing,
    DeadRows,
    /// Everything was deleted with the act.
    Deleted(DeletedRows),
}

/// A row without its number.
#[derive(Clone)]
pub(super) struct Unnumbered {
    columns: Vec<Value<'static>>,
    /// The grant that the act ended.
    ended: Option<GrantId>,
    leaves: Leaves,
    at: Timestamp,
}

impl Unnumbered {
    fn new(entry: &Entry, audiences: &Audiences, leaves: Leaves, by: &By) -> Self {
        let columns = params![
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
        ]
        .iter()
        .cloned()
        .map(Value::into_owned)
        .collect();
        let ended = entry.grant.clone().filter(|_| entry.subject.kind() == SubjectKind::Grant);
        Self { columns, ended, leaves, at: by.at }
    }
}

impl Tx<'_> {
    /// Records an act that takes nothing away. No guard is told of it.
    pub fn record_act(&self, entry: &Entry, by: &By) -> Result<()> {
        debug_assert!(!entry.act.ends_something(), "{:?} belongs to Tx::revoke", entry.act);
        self.insert_ledger(entry, &Audiences::NOBODY, Leaves::Nothing, by)
    }

    /// Appends a row, which is also the feed's entry for these audiences, and queues its purge. Its sequence is published
    /// after the commit.
    pub(super) fn insert_ledger(
        &self,
        entry: &Entry,
        audiences: &Audiences,
        leaves: Leaves,
        by: &By,
    ) -> Result<()> {
        let row = Unnumbered::new(entry, audiences, leaves, by);
        match self.connection() {
            Connection::Sqlite(_) => {
                let sequence = self.insert_numbered(&row, None)?;
                self.effects.borrow_mut().ledger_head = Some(sequence);
            }
            Connection::Postgres(_) => self.effects.borrow_mut().unnumbered.push(row),
        }
        self.insert_note(&entry.receipt, by, None)
    }

    /// Grants that ended in this transaction and whose rows are not in the table yet, the last one first.
    pub(super) fn unnumbered_grants(&self) -> Vec<GrantId> {
        self.effects.borrow().unnumbered.iter().rev().filter_map(|row| row.ended.clone()).collect()
    }

    pub(super) fn insert_numbered(&self, row: &Unnumbered, sequence: Option<i64>) -> Result<i64> {
        let mut columns = vec![sequence.map_or(Value::Null, Value::from)];
        columns.extend(row.columns.iter().cloned());
        let sequence = match sequence {
            Some(sequence) if self.defer(INSERT, &columns) => sequence,
            _ => self.only(INSERT, &columns, |row| row.get(0))?,
        };
        fail::point("revoke.after_ledger");
        match &row.leaves {
            Leaves::Nothing => {}
            Leaves::DeadRows => self.insert_purge(sequence, row.at)?,
            Leaves::Deleted(rows) => self.insert_finished_purge(sequence, rows, row.at)?,
        }
        Ok(sequence)
    }
}
