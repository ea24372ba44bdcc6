//! The `ledger` table: what was revoked, by whom, in which order. Rows never change.

use rusqlite::{OptionalExtension, params};

use crate::model::act::{Act, Entry, Subject};
use crate::model::by::By;
use crate::model::canary;
use crate::model::resource_server::Audiences;

use super::revoked::{Below, Change};
use super::{Result, Tx};

const INSERT: &str = "INSERT INTO ledger (receipt_id, at, act, actor_kind, actor_id, origin, subject_kind, subject_id, \
    grant_id, client_id, user_id, generation, audiences) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
const AUDIENCES_OF_GRANT: &str = "SELECT audiences FROM grants WHERE id = ?1";

impl Tx<'_> {
    /// Appends a row; its sequence is announced once the transaction has been committed.
    ///
    /// It is also the feed's entry: for every audience that the grant ever had; for all where a
    /// client, a user or the server is concerned, or nobody knows; for none if nothing ended. A drill
    /// concerns those alone that its tokens were for.
    pub fn insert_ledger(&self, entry: &Entry, by: &By) -> Result<i64> {
        let audiences = match (&entry.subject, &entry.grant) {
            _ if !entry.act.ends_something() => Audiences::NOBODY,
            _ if entry.act == Act::CanaryRevoked => Audiences::Only(vec![canary::AUDIENCE.to_owned()]),
            (Subject::Token(_) | Subject::Family(_) | Subject::Grant(_), Some(grant)) => {
                let mut statement = self.connection.prepare_cached(AUDIENCES_OF_GRANT)?;
                let known: Option<Option<String>> =
                    statement.query_row([grant], |row| row.get(0)).optional()?;
                Audiences::from_column(known.flatten().as_deref())
            }
            _ => Audiences::Everyone,
        };
        self.insert_ledger_for(&audiences, entry, by)
    }

    /// The same, where the caller knows whom it concerns.
    pub fn insert_ledger_for(&self, audiences: &Audiences, entry: &Entry, by: &By) -> Result<i64> {
        self.connection.prepare_cached(INSERT)?.execute(params![
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
            audiences.to_column(),
        ])?;
        let sequence = self.connection.last_insert_rowid();
        self.ledger_head.set(sequence);
        self.outdates.set(true);
        if entry.act.ends_something() {
            self.revoked.borrow_mut().extend(Below::of(&entry.subject).map(Change::Revoked));
        }
        self.insert_note(&entry.receipt, by, None)?;
        Ok(sequence)
    }
}
