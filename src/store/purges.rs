//! The `purges` table, and the statements that remove dead and expired rows slice by slice.

use rusqlite::{OptionalExtension, params};

use crate::clock::Timestamp;
use crate::fail;
use crate::model::id::ReceiptId;

use super::copies::Voided;
use super::receipts::LedgerRow;
use super::revoked::{Below, Change};
use super::{Result, Store, Tx};

/// Rows of one table that a page counts at the most, so that no page takes long.
const MOST_COUNTED: i64 = 1_000_000;

const INSERT: &str = "INSERT INTO purges (ledger_sequence, step, access_tokens, refresh_tokens, authorization_codes, \
    families, sessions, updated_at) VALUES (?1, 'access_tokens', 0, 0, 0, 0, 0, ?2)";
const INSERT_FINISHED: &str = "INSERT INTO purges (ledger_sequence, step, access_tokens, refresh_tokens, \
    authorization_codes, families, sessions, updated_at, finished_at) VALUES (?1, 'done', ?2, 0, 0, 0, 0, ?3, ?3)";
const INSERT_TALLY: &str = "INSERT INTO purges (ledger_sequence, step, access_tokens, refresh_tokens, \
    authorization_codes, families, sessions, updated_at, finished_at) VALUES (?1, 'done', ?2, ?3, ?4, ?5, ?6, ?7, ?7)";
/// The one that has waited longest, so that a large purge does not hold up a small one.
pub(super) const NEXT: &str = "SELECT p.ledger_sequence, p.step, l.subject_kind, l.subject_id, l.generation FROM purges AS p \
    JOIN ledger AS l ON l.sequence = p.ledger_sequence WHERE p.finished_at IS NULL \
    ORDER BY p.updated_at, p.ledger_sequence LIMIT 1";

/// Deletions in one slice at the most, however little each finds: about two milliseconds.
const STEPS: usize = 64;

/// What removes rows of a table, and what counts them; ?3 bounds either.
struct Doomed {
    delete: &'static str,
    count: &'static str,
}

/// The rows of `$table` that `$doomed` selects by `$key`.
macro_rules! slice {
    ($table:literal, $key:literal, $doomed:expr) => {
        Doomed {
            delete: concat!("DELETE FROM ", $table, " WHERE ", $key, " IN (", $doomed, " LIMIT ?3)"),
            count: concat!("SELECT count(*) FROM (", $doomed, " LIMIT ?3)"),
        }
    };
}

/// Tokens and codes are found through their families: one index on each table serves every act.
macro_rules! through_families {
    ($table:literal, $families:literal) => {
        slice!(
            $table,
            "digest",
            concat!(
                "SELECT t.digest FROM families AS f JOIN ",
                $table,
                " AS t ON t.client_id = f.client_id ",
                "AND t.client_generation = f.client_generation AND t.family_id = f.id WHERE ",
                $families
            )
        )
    };
}

macro_rules! of_client {
    ($table:literal, $key:literal) => {
        slice!(
            $table,
            $key,
            concat!("SELECT ", $key, " FROM ", $table, " WHERE client_id = ?1 AND client_generation < ?2")
        )
    };
}

macro_rules! statements {
    ($families:literal) => {
        [
            through_families!("access_tokens", $families),
            through_families!("refresh_tokens", $families),
            through_families!("authorization_codes", $families),
            slice!("families", "id", concat!("SELECT f.id FROM families AS f WHERE ", $families)),
        ]
    };
}

static OF_FAMILY: [Doomed; 4] = statements!("f.id = ?1 AND f.status = 'closed'");
static OF_GRANT: [Doomed; 4] = statements!("f.grant_id = ?1");
static OF_USER: [Doomed; 4] = statements!("f.user_id = ?1 AND f.user_generation < ?2");
static OF_CLIENT: [Doomed; 4] = [
    of_client!("access_tokens", "digest"),
    of_client!("refresh_tokens", "digest"),
    of_client!("authorization_codes", "digest"),
    of_client!("families", "id"),
];
static SESSIONS_OF_USER: Doomed =
    slice!("sessions", "digest", "SELECT digest FROM sessions WHERE user_id = ?1 AND user_generation < ?2");

/// Adds a slice's rows to the tally and moves on once a step has nothing left.
macro_rules! progress {
    ($step:literal) => {
        concat!(
            "UPDATE purges SET ",
            $step,
            " = ",
            $step,
            " + ?2, step = ?3, updated_at = ?4, ",
            "finished_at = CASE WHEN ?3 = 'done' THEN ?4 END WHERE ledger_sequence = ?1"
        )
    };
}

/// Expired rows; of families, those whose last credential has expired.
macro_rules! expired {
    ($table:literal, $key:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE ",
            $key,
            " IN (SELECT ",
            $key,
            " FROM ",
            $table,
            " WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)"
        )
    };
}

const EXPIRED: [&str; 7] = [
    expired!("access_tokens", "digest"),
    expired!("refresh_tokens", "digest"),
    expired!("authorization_codes", "digest"),
    expired!("sessions", "digest"),
    expired!("families", "id"),
    expired!("client_secrets", "id"),
    expired!("revoked_tokens", "id"),
];
const UNSEAL: &str = "UPDATE refresh_tokens SET sealed = NULL WHERE digest IN (SELECT digest FROM refresh_tokens \
    WHERE sealed IS NOT NULL AND created_at <= ?1 ORDER BY created_at LIMIT ?2)";

/// What `store::plans` looks at.
#[cfg(test)]
pub(super) fn statements() -> impl Iterator<Item = &'static str> {
    let of_acts = [&OF_FAMILY, &OF_GRANT, &OF_USER, &OF_CLIENT].into_iter().flatten();
    let of_acts = of_acts.chain([&SESSIONS_OF_USER]).flat_map(|doomed| [doomed.delete, doomed.count]);
    of_acts.chain(EXPIRED).chain([NEXT, UNSEAL, progress!("families")])
}

/// What a purge removes, in this order: a family goes after all that is found through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    AccessTokens,
    RefreshTokens,
    AuthorizationCodes,
    Families,
    Sessions,
    Done,
}

impl Step {
    const ALL: [Self; 6] = [
        Self::AccessTokens,
        Self::RefreshTokens,
        Self::AuthorizationCodes,
        Self::Families,
        Self::Sessions,
        Self::Done,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::AccessTokens => "access_tokens",
            Self::RefreshTokens => "refresh_tokens",
            Self::AuthorizationCodes => "authorization_codes",
            Self::Families => "families",
            Self::Sessions => "sessions",
            Self::Done => "done",
        }
    }

    fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|step| step.as_str() == text).unwrap_or(Self::Done)
    }

    /// The step after this one, for the purge of a `subject`.
    fn next(self, subject: &str) -> Self {
        match self {
            Self::AccessTokens => Self::RefreshTokens,
            Self::RefreshTokens => Self::AuthorizationCodes,
            Self::AuthorizationCodes => Self::Families,
            Self::Families if subject == "user" => Self::Sessions,
            Self::Families | Self::Sessions | Self::Done => Self::Done,
        }
    }

    /// The deletion and its bookkeeping; `None` when there is nothing to delete.
    fn statements(self, subject: &str) -> Option<(&'static Doomed, &'static str)> {
        let doomed = match subject {
            "family" => &OF_FAMILY,
            "grant" => &OF_GRANT,
            "client" => &OF_CLIENT,
            "user" => &OF_USER,
            _ => return None,
        };
        match self {
            Self::AccessTokens => Some((&doomed[0], progress!("access_tokens"))),
            Self::RefreshTokens => Some((&doomed[1], progress!("refresh_tokens"))),
            Self::AuthorizationCodes => Some((&doomed[2], progress!("authorization_codes"))),
            Self::Families => Some((&doomed[3], progress!("families"))),
            Self::Sessions => Some((&SESSIONS_OF_USER, progress!("sessions"))),
            Self::Done => None,
        }
    }
}

const STATUS: &str = "SELECT l.sequence, l.receipt_id, l.act, l.subject_kind, l.subject_id, l.at, p.step, \
    p.access_tokens, p.refresh_tokens, p.authorization_codes, p.families, p.sessions FROM purges AS p \
    JOIN ledger AS l ON l.sequence = p.ledger_sequence WHERE p.finished_at IS NULL ORDER BY l.sequence LIMIT 1000";

/// A purge under way, and what it has taken so far.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Unfinished {
    pub sequence: i64,
    pub receipt_id: ReceiptId,
    pub act: String,
    pub subject_kind: String,
    pub subject_id: String,
    pub at: Timestamp,
    pub step: String,
    pub access_tokens: i64,
    pub refresh_tokens: i64,
    pub authorization_codes: i64,
    pub families: i64,
    pub sessions: i64,
}

impl Store {
    /// Purges under way, oldest first.
    pub async fn unfinished_purges(&self) -> Result<Vec<Unfinished>> {
        Ok(sqlx::query_as(STATUS).fetch_all(&mut *self.page().await?).await?)
    }
}

/// Whether anything was left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slice {
    Worked,
    Idle,
}

/// What a purge has still to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    pub rows: i64,
    /// Whether there is more than was counted.
    pub is_more: bool,
}

impl Store {
    /// Counts what the purge of a ledger row has still to take, up to a million rows of each table.
    pub async fn purge_left(&self, row: &LedgerRow) -> Result<Left> {
        let mut left = Left::default();
        if !row.is_purging() {
            return Ok(left);
        }
        let mut step = Step::parse(row.step.as_deref().unwrap_or_default());
        while let Some((doomed, _)) = step.statements(&row.subject_kind) {
            let count = sqlx::query_scalar(doomed.count)
                .bind(&row.subject_id)
                .bind(row.generation)
                .bind(MOST_COUNTED);
            let rows: i64 = count.fetch_one(&mut *self.page().await?).await?;
            left.rows += rows;
            left.is_more |= rows == MOST_COUNTED;
            step = step.next(&row.subject_kind);
        }
        Ok(left)
    }
}

impl Tx<'_> {
    /// Queues the removal of what a ledger row made dead.
    pub fn insert_purge(&self, ledger_sequence: i64, now: Timestamp) -> Result<()> {
        self.connection.prepare_cached(INSERT)?.execute(params![ledger_sequence, now])?;
        Ok(())
    }

    /// Notes a removal that the revocation itself has done: one access token.
    pub fn insert_finished_purge(
        &self,
        ledger_sequence: i64,
        access_tokens: i64,
        now: Timestamp,
    ) -> Result<()> {
        self.connection.prepare_cached(INSERT_FINISHED)?.execute(params![
            ledger_sequence,
            access_tokens,
            now
        ])?;
        Ok(())
    }

    /// Notes a removal of everything, which the act itself has done.
    pub fn insert_tally(&self, ledger_sequence: i64, voided: &Voided, now: Timestamp) -> Result<()> {
        let Voided { access_tokens, refresh_tokens, authorization_codes, families, sessions } = *voided;
        self.connection.prepare_cached(INSERT_TALLY)?.execute(params![
            ledger_sequence,
            access_tokens,
            refresh_tokens,
            authorization_codes,
            families,
            sessions,
            now
        ])?;
        Ok(())
    }

    /// Removes at most `rows` dead rows and notes the progress in the same transaction, so that
    /// the tally is exact wherever a crash falls.
    ///
    /// Small purges share a slice: at a commit for each of their steps, a storm of them would come
    /// in faster than it is worked off.
    pub fn purge_dead_slice(&self, rows: i64, now: Timestamp) -> Result<Slice> {
        let mut left = rows;
        let mut worked = Slice::Idle;
        for _ in 0..STEPS {
            let Some(deleted) = self.purge_step(left, now)? else { break };
            worked = Slice::Worked;
            left -= deleted;
            if left <= 0 {
                break;
            }
        }
        Ok(worked)
    }

    /// One deletion of the purge whose turn it is; `None` when no purge waits.
    fn purge_step(&self, rows: i64, now: Timestamp) -> Result<Option<i64>> {
        type Row = (i64, String, String, String, Option<i64>);
        let next: Option<Row> = self
            .connection
            .prepare_cached(NEXT)?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
            .optional()?;
        let Some((sequence, step, subject, id, generation)) = next else { return Ok(None) };
        let step = Step::parse(&step);
        let (doomed, bookkeeping) =
            step.statements(&subject).unwrap_or((&SESSIONS_OF_USER, progress!("sessions")));
        let deleted =
            self.connection.prepare_cached(doomed.delete)?.execute(params![&id, generation, rows])?;
        fail::point("purge.after_deletion");
        let deleted = i64::try_from(deleted).unwrap_or(i64::MAX);
        let after = if deleted < rows { step.next(&subject) } else { step };
        self.connection.prepare_cached(bookkeeping)?.execute(params![
            sequence,
            deleted,
            after.as_str(),
            now
        ])?;
        fail::point("purge.after_tally");
        if after == Step::Done {
            self.revoked.borrow_mut().push(Change::Purged(Below::new(id, generation)));
        }
        Ok(Some(deleted))
    }

    /// Removes at most `rows` expired rows of each table.
    ///
    /// A used code and a superseded refresh token stay until their own expiry: they prove a replay.
    pub fn purge_expired_slice(&self, rows: i64, now: Timestamp) -> Result<Slice> {
        let mut full = false;
        for statement in EXPIRED {
            let deleted = self.connection.prepare_cached(statement)?.execute(params![now, rows])?;
            full |= i64::try_from(deleted).is_ok_and(|deleted| deleted == rows);
        }
        Ok(if full { Slice::Worked } else { Slice::Idle })
    }

    /// Forgets the seals of tokens made up to `until`: their predecessors' window is over.
    pub fn forget_sealed_slice(&self, rows: i64, until: Timestamp) -> Result<Slice> {
        let forgotten = self.connection.prepare_cached(UNSEAL)?.execute(params![until, rows])?;
        Ok(if i64::try_from(forgotten).is_ok_and(|n| n == rows) { Slice::Worked } else { Slice::Idle })
    }
}
