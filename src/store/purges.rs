//! The `purges` table, and the deletion of dead rows slice by slice.
//!
//! On PostgreSQL, another transaction may have read that something is live, and insert what depends on it after the
//! revocation's commit. A purge that ended before would leave such rows, with nothing that covers them. So it begins only
//! when these transactions are over:
//! 1. Every transaction that may insert something gets its number before it reads anything.
//! 2. A slice that began after the revocation's commit notes its own number in `waits_for`: all those are below it.
//! 3. Rows are deleted once no transaction below it is running.

use std::ops::Range;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::fail;
use crate::model::act::{Act, SubjectKind};
use crate::model::id::{FamilyId, ReceiptId};
use crate::model::purge::{Purge, PurgeStep};
use crate::model::secret::Digest;

use super::memory::dead::Change;
use super::purge_statements::{
    AUTHORIZATION_CODES, DELETE_FAMILY, DeadFamiliesSql, DeadRowsSql, FamilyRowsSql, OF_CLIENT, OF_FAMILY,
    OF_GRANT, OF_USER, SESSIONS_OF_USER, TOKENS, TOKENS_OF_CLIENT,
};
use super::sql::{Connection, Value, from_row, params};
use super::tokens::Kind;
use super::{Result, Store, Tx, feed, tokens};

/// A page counts at most this many rows of one table, so that no page takes long.
const MOST_COUNTED: i64 = 1_000_000;

const INSERT: &str = "INSERT INTO purges (ledger_sequence, step, access_tokens, refresh_tokens, authorization_codes, \
    families, sessions, updated_at) VALUES (?1, 'families', 0, 0, 0, 0, 0, ?2)";
const INSERT_FINISHED: &str = "INSERT INTO purges (ledger_sequence, step, access_tokens, refresh_tokens, \
    authorization_codes, families, sessions, updated_at, finished_at) VALUES (?1, 'done', ?2, ?3, ?4, ?5, ?6, ?7, ?7)";
/// The purge that has waited longest, so that a large purge does not hold up a small one.
pub(super) const NEXT: &str = "SELECT p.ledger_sequence, p.step, l.subject_kind, l.subject_id, l.generation, \
    /*sqlite*/1/*end*/ /*postgres coalesce(p.waits_for <= pg_snapshot_xmin(pg_current_snapshot()), false)*/ FROM purges AS p \
    JOIN ledger AS l ON l.sequence = p.ledger_sequence WHERE p.finished_at IS NULL \
    ORDER BY p.updated_at, p.ledger_sequence LIMIT 1 /*postgres FOR UPDATE OF p SKIP LOCKED*/";

/// At most this many deletions in one slice, even if each finds few rows: about two milliseconds.
const STEPS: usize = 64;

/// Adds a slice's rows to the counts, and sets the next step once this one has nothing left.
const PROGRESS: &str = "UPDATE purges SET access_tokens = access_tokens + ?2, refresh_tokens = refresh_tokens + ?3, \
    authorization_codes = authorization_codes + ?4, families = families + ?5, sessions = sessions + ?6, step = ?7, \
    updated_at = ?8, finished_at = CASE WHEN ?7 = 'done' THEN CAST(?8 AS BIGINT) END WHERE ledger_sequence = ?1";

/// On PostgreSQL, lets a purge wait for the transaction's own number, if that is above all that matter. ?3 is the sequence
/// up to which ledger rows were committed before the transaction began. Returns whether the purge begins to wait.
const WAIT: &str = "UPDATE purges SET updated_at = ?2 /*postgres , waits_for = coalesce(waits_for, \
    CASE WHEN ledger_sequence <= ?3 THEN pg_current_xact_id() END)*/ WHERE ledger_sequence = ?1 \
    RETURNING /*sqlite*/0/*end*/ /*postgres coalesce(waits_for = pg_current_xact_id(), false)*/";

impl PurgeStep {
    /// The step after this one, for the purge of a `subject`.
    const fn next(self, subject: SubjectKind) -> Self {
        match (self, subject) {
            (Self::Families, SubjectKind::Client) => Self::ClientTokens,
            (Self::Families, SubjectKind::User) => Self::Sessions,
            _ => Self::Done,
        }
    }

    fn counts(self, subject: SubjectKind) -> &'static [&'static str] {
        match self {
            Self::Families => dead_families(subject).map_or(&[], |families| &families.counts),
            Self::ClientTokens => std::slice::from_ref(&TOKENS_OF_CLIENT.count),
            Self::Sessions => std::slice::from_ref(&SESSIONS_OF_USER.count),
            Self::Done => &[],
        }
    }
}

/// `None` for what has no families to purge: a single token, and the server, whose act deletes everything itself.
const fn dead_families(subject: SubjectKind) -> Option<&'static DeadFamiliesSql> {
    match subject {
        SubjectKind::Family => Some(&OF_FAMILY),
        SubjectKind::Grant => Some(&OF_GRANT),
        SubjectKind::Client => Some(&OF_CLIENT),
        SubjectKind::User => Some(&OF_USER),
        _ => None,
    }
}

/// How many rows were deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct DeletedRows {
    pub access_tokens: i64,
    pub refresh_tokens: i64,
    pub authorization_codes: i64,
    pub families: i64,
    pub sessions: i64,
}

from_row! { DeletedRows: access_tokens, refresh_tokens, authorization_codes, families, sessions }

impl DeletedRows {
    pub const fn rows(&self) -> i64 {
        self.access_tokens + self.refresh_tokens + self.authorization_codes + self.families + self.sessions
    }
}

const STATUS: &str = "SELECT l.sequence, l.receipt_id, l.act, l.subject_id, l.at, p.step, \
    p.access_tokens, p.refresh_tokens, p.authorization_codes, p.families, p.sessions \
    FROM purges AS p /*sqlite*/INDEXED BY purges_in_turn/*end*/ JOIN ledger AS l ON l.sequence = p.ledger_sequence \
    WHERE p.finished_at IS NULL ORDER BY p.ledger_sequence LIMIT 1000";

/// A running or queued purge, and what it has deleted so far.
#[derive(Clone, Debug)]
pub struct Unfinished {
    pub sequence: i64,
    pub receipt_id: ReceiptId,
    pub act: Act,
    pub subject_id: String,
    pub at: Timestamp,
    pub step: PurgeStep,
    pub deleted: DeletedRows,
}

from_row! { Unfinished: sequence, receipt_id, act, subject_id, at, step; deleted }

impl Store {
    /// Running and queued purges, oldest first.
    pub async fn unfinished_purges(&self) -> Result<Vec<Unfinished>> {
        self.rows(STATUS, params![]).await
    }
}

/// Whether there was anything to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slice {
    Worked,
    Idle,
}

/// The purge whose turn it is.
struct Next {
    sequence: i64,
    step: PurgeStep,
    subject: SubjectKind,
    id: String,
    generation: Option<i64>,
    /// Whether nothing dead can appear any more.
    may_begin: bool,
}

enum Step {
    Worked {
        deleted: i64,
    },
    /// It has nothing to do until other transactions are over.
    Waits,
}

/// What a purge still has to delete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    pub rows: i64,
    /// Whether there is more than was counted.
    pub is_more: bool,
}

impl Store {
    /// Counts the rows of this subject that a purge still has to delete, up to a million of each table. `generation` is
    /// the one that the revocation began: only rows under lower ones count.
    pub async fn purge_left(
        &self,
        purge: Purge,
        subject: SubjectKind,
        id: &str,
        generation: Option<i64>,
    ) -> Result<Remaining> {
        let mut left = Remaining::default();
        let Purge::Running { mut step } = purge else { return Ok(left) };
        while step != PurgeStep::Done {
            for &count in step.counts(subject) {
                let count: Vec<i64> =
                    self.rows_read(count, params![id, generation, MOST_COUNTED], |row| row.get(0)).await?;
                let rows: i64 = count.into_iter().sum();
                left.rows += rows;
                left.is_more |= rows == MOST_COUNTED;
            }
            step = step.next(subject);
        }
        Ok(left)
    }
}

impl Tx<'_> {
    /// The number of deleted rows.
    pub(super) fn delete(&self, statement: &'static str, which: &[Value<'_>]) -> Result<i64> {
        let rows = self.run(statement, which)?;
        Ok(i64::try_from(rows).unwrap_or(i64::MAX))
    }

    /// Queues the purge of what a ledger row revoked.
    pub(super) fn insert_purge(&self, ledger_sequence: i64, now: Timestamp) -> Result<()> {
        self.run_for_one(INSERT, params![ledger_sequence, now])?;
        Ok(())
    }

    /// Notes the purge of what the act itself has deleted.
    pub(super) fn insert_finished_purge(
        &self,
        ledger_sequence: i64,
        deleted: &DeletedRows,
        now: Timestamp,
    ) -> Result<()> {
        let DeletedRows { access_tokens, refresh_tokens, authorization_codes, families, sessions } = *deleted;
        self.run_for_one(
            INSERT_FINISHED,
            params![
                ledger_sequence,
                access_tokens,
                refresh_tokens,
                authorization_codes,
                families,
                sessions,
                now
            ],
        )?;
        Ok(())
    }

    /// Deletes at most `rows` dead rows, and notes the progress in the same transaction, so that the counts are exact
    /// even after a crash.
    ///
    /// Small purges share a slice. With one commit for each of their steps, many purges could be queued faster than
    /// they are done.
    pub fn purge_dead_slice(&self, rows: i64, now: Timestamp) -> Result<Slice> {
        let mut left = rows;
        let mut worked = Slice::Idle;
        let mut first_waiting = None;
        for _ in 0..STEPS {
            let Some(next) = self.next_purge()? else { break };
            // All purges that are left wait.
            if first_waiting == Some(next.sequence) {
                break;
            }
            let sequence = next.sequence;
            match self.purge_step(next, left, now)? {
                Step::Waits => first_waiting = first_waiting.or(Some(sequence)),
                Step::Worked { deleted } => {
                    worked = Slice::Worked;
                    left -= deleted;
                }
            }
            if left <= 0 {
                break;
            }
        }
        Ok(worked)
    }

    fn next_purge(&self) -> Result<Option<Next>> {
        self.one(NEXT, params![], |row| {
            Ok(Next {
                sequence: row.get(0)?,
                step: row.get(1)?,
                subject: row.get(2)?,
                id: row.get(3)?,
                generation: row.get(4)?,
                may_begin: row.get(5)?,
            })
        })
    }

    fn purge_step(&self, next: Next, rows: i64, now: Timestamp) -> Result<Step> {
        let Next { sequence, step, subject, id, generation, may_begin } = next;
        if !may_begin {
            let begins_to_wait: bool =
                self.only(WAIT, params![sequence, now, self.began_after], |row| row.get(0))?;
            return Ok(if begins_to_wait { Step::Worked { deleted: 0 } } else { Step::Waits });
        }
        let take = |doomed: &DeadRowsSql| self.delete(doomed.delete, params![id, generation, rows]);
        let tally = match step {
            PurgeStep::Families => self.take_families(subject, &id, generation, rows)?,
            PurgeStep::ClientTokens => {
                DeletedRows { access_tokens: take(&TOKENS_OF_CLIENT)?, ..DeletedRows::default() }
            }
            PurgeStep::Sessions => {
                DeletedRows { sessions: take(&SESSIONS_OF_USER)?, ..DeletedRows::default() }
            }
            PurgeStep::Done => DeletedRows::default(),
        };
        fail::point("purge.after_deletion");
        let deleted = tally.rows();
        let is_done = deleted < rows && !self.skipped_rows(step, &id, generation)?;
        let after = if is_done { step.next(subject) } else { step };
        let DeletedRows { access_tokens, refresh_tokens, authorization_codes, families, sessions } = tally;
        self.run(
            PROGRESS,
            params![
                sequence,
                access_tokens,
                refresh_tokens,
                authorization_codes,
                families,
                sessions,
                after,
                now
            ],
        )?;
        fail::point("purge.after_tally");
        if after == PurgeStep::Done {
            let subject = self.dead.hash_subject(&feed::subject(subject, id, generation));
            self.effects.borrow_mut().dead.push(Change::Purged(subject, now));
        }
        // Otherwise only rows are left that another transaction has locked.
        let worked = after != step || deleted > 0;
        Ok(if worked { Step::Worked { deleted } } else { Step::Waits })
    }

    /// Whether a step has left rows that another transaction has locked.
    fn skipped_rows(&self, step: PurgeStep, id: &str, generation: Option<i64>) -> Result<bool> {
        if matches!(self.connection(), Connection::Sqlite(_)) || step != PurgeStep::ClientTokens {
            return Ok(false);
        }
        let left: i64 =
            self.only(TOKENS_OF_CLIENT.count, params![id, generation, 1_i64], |row| row.get(0))?;
        Ok(left > 0)
    }

    /// Deletes dead families one after another, each with all its rows. Deletes fewer than `rows` rows only if none is
    /// left.
    fn take_families(
        &self,
        subject: SubjectKind,
        id: &str,
        generation: Option<i64>,
        rows: i64,
    ) -> Result<DeletedRows> {
        let mut tally = DeletedRows::default();
        let Some(families) = dead_families(subject) else { return Ok(tally) };
        while tally.rows() < rows {
            let next = self.one(families.next, params![id, generation, 1_i64], |row| row.get::<FamilyId>(0));
            let Some(family) = next? else { break };
            let born = family.born();
            let take = |of: &FamilyRowsSql, keys: Range<Value<'_>>, taken: &DeletedRows| {
                self.take_of_family(of, &keys, &family, rows - taken.rows())
            };
            let places = |kind| {
                let Range { start, end } = tokens::places(born, kind);
                Value::from(start)..Value::from(end)
            };
            tally.access_tokens += take(&TOKENS, places(Kind::Access), &tally)?;
            tally.refresh_tokens += take(&TOKENS, places(Kind::Refresh), &tally)?;
            let beginning = |born| Value::Blob(Digest::beginning(born).to_vec().into());
            let digests = beginning(born)..beginning(born.plus(Duration::from_millis(1)));
            tally.authorization_codes += take(&AUTHORIZATION_CODES, digests, &tally)?;
            if tally.rows() < rows {
                tally.families += self.delete(DELETE_FAMILY, params![&family])?;
            }
        }
        Ok(tally)
    }

    /// Deletes at most `rows` rows of a family with these keys.
    fn take_of_family(
        &self,
        of: &FamilyRowsSql,
        keys: &Range<Value<'_>>,
        family: &FamilyId,
        rows: i64,
    ) -> Result<i64> {
        let Range { start, end } = keys;
        let bound =
            self.one(of.bound, params![start, end, family, rows], |row| row.get::<Value<'static>>(0))?;
        self.delete(of.delete, params![start, bound.as_ref().unwrap_or(end), family])
    }
}
