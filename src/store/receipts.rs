//! The ledger and the audit as people read them: receipts, histories and admins' searches. Each row of the ledger comes
//! with its purge.

use crate::clock::Timestamp;
use crate::model::act::{Act, SubjectKind};
use crate::model::audit::Event;
use crate::model::by::{Actor, Origin};
use crate::model::id::{ClientId, GrantId, ReceiptId, ResourceServerId, UserId};
use crate::model::purge::Purge;
use crate::model::text::folded;

use super::purges::DeletedRows;
use super::sql::{FromRow, Row, from_row, params, readable};
use super::{Result, Store};

macro_rules! rows {
    ($rest:literal) => {
        concat!(
            "SELECT l.sequence, l.receipt_id, l.at, l.act, l.actor_kind, l.actor_id, a.username AS actor_name, ",
            "l.origin, l.subject_kind, l.subject_id, l.grant_id, l.client_id, c.name AS client_name, l.user_id, ",
            "u.username AS user_name, l.generation, n.reason, n.detail, n.address, CAST(0 AS BIGINT) AS is_audit, ",
            "p.step, p.finished_at, ",
            "coalesce(p.access_tokens, 0) AS access_tokens, coalesce(p.refresh_tokens, 0) AS refresh_tokens, ",
            "coalesce(p.authorization_codes, 0) AS authorization_codes, coalesce(p.families, 0) AS families, ",
            "coalesce(p.sessions, 0) AS sessions FROM ledger AS l ",
            "LEFT JOIN users AS a ON a.id = l.actor_id LEFT JOIN clients AS c ON c.id = l.client_id ",
            "LEFT JOIN users AS u ON u.id = l.user_id LEFT JOIN receipt_notes AS n ON n.receipt_id = l.receipt_id ",
            "LEFT JOIN purges AS p ON p.ledger_sequence = l.sequence WHERE ",
            $rest
        )
    };
}

/// Rows of the audit in the same columns. They revoke nothing, so they have no purge and no receipt page.
macro_rules! audit_rows {
    ($rest:literal) => {
        concat!(
            "SELECT l.sequence, l.receipt_id, l.at, l.act, l.actor_kind, l.actor_id, a.username AS actor_name, ",
            "l.origin, l.object_kind AS subject_kind, l.object_id AS subject_id, l.grant_id, l.client_id, ",
            "c.name AS client_name, l.user_id, u.username AS user_name, CAST(NULL AS BIGINT) AS generation, n.reason, n.detail, ",
            "n.address, CAST(1 AS BIGINT) AS is_audit, NULL AS step, CAST(NULL AS BIGINT) AS finished_at, ",
            "CAST(0 AS BIGINT) AS access_tokens, CAST(0 AS BIGINT) AS refresh_tokens, ",
            "CAST(0 AS BIGINT) AS authorization_codes, CAST(0 AS BIGINT) AS families, CAST(0 AS BIGINT) AS sessions FROM audit AS l ",
            "LEFT JOIN users AS a ON a.id = l.actor_id LEFT JOIN clients AS c ON c.id = l.client_id ",
            "LEFT JOIN users AS u ON u.id = l.user_id LEFT JOIN receipt_notes AS n ON n.receipt_id = l.receipt_id WHERE ",
            $rest
        )
    };
}

/// Rows that concern a viewer: the viewer did it, or is the user. If the app as a whole is the subject, they also
/// concern the app's owner and users who had authorized it by then.
const FOR_VIEWER: &str = rows!(
    "l.receipt_id = ?1 AND (l.actor_id = ?2 OR l.user_id = ?2 OR c.owner_id = ?2 AND l.subject_kind = 'client' \
    OR l.subject_kind = 'client' AND EXISTS (SELECT 1 FROM grants AS g WHERE g.client_id = l.client_id \
    AND g.user_id = ?2 AND g.first_authorized_at <= l.at)) ORDER BY l.sequence LIMIT 500"
);
const FOR_ADMIN: &str = rows!("l.receipt_id = ?1 ORDER BY l.sequence LIMIT 500");
/// The index by user leaves single tokens out. SQLite uses it only if the statement leaves them out too.
const OF_GRANT: &str = rows!(
    "(l.grant_id = ?1 AND l.user_id = ?2 OR l.subject_kind = 'client' AND l.client_id = ?3 AND l.at >= ?4 \
    OR l.subject_kind = 'user' AND l.subject_kind <> 'token' AND l.user_id = ?2 AND l.at >= ?4) ORDER BY l.sequence DESC LIMIT 50"
);
const OF_CLIENT: &str =
    rows!("l.client_id = ?1 AND l.subject_kind = 'client' ORDER BY l.sequence DESC LIMIT 50");
const OF_USER: &str = rows!("l.user_id = ?1 AND l.subject_kind <> 'token' ORDER BY l.sequence DESC LIMIT 50");
const AUDIT_OF_GRANT: &str =
    audit_rows!("l.grant_id = ?1 AND l.user_id = ?2 ORDER BY l.sequence DESC LIMIT 50");
const AUDIT_OF_CLIENT: &str =
    audit_rows!("l.client_id = ?1 AND l.object_kind = 'client' ORDER BY l.sequence DESC LIMIT 50");
const AUDIT_OF_USER: &str = audit_rows!("l.user_id = ?1 ORDER BY l.sequence DESC LIMIT 50");
const AUDIT_OF_RESOURCE_SERVER: &str = audit_rows!(
    "l.object_id = ?1 AND l.object_kind IN ('key', 'resource_server') ORDER BY l.sequence DESC LIMIT 50"
);
/// ?1: rows before this sequence; ?2: an id or a user's name, or empty; ?3: an act or empty; ?4: the most rows; ?5:
/// part of an app's name, folded. A drill's rounds are shown only in a search for a text or for this act.
const SEARCH: &str = rows!(
    "l.sequence < ?1 AND (?2 = '' OR l.receipt_id = ?2 OR l.subject_id = ?2 OR l.client_id = ?2 OR l.user_id = ?2 \
    OR l.grant_id = ?2 OR l.actor_id = ?2 OR u.username = lower(?2) OR a.username = lower(?2) \
    OR ?5 <> '' AND instr((SELECT t.folded_name FROM client_texts AS t WHERE t.client_id = l.client_id), ?5) > 0) AND (l.act = ?3 OR ?3 = '' AND (?2 <> '' OR l.act <> 'canary_revoked')) \
    ORDER BY l.sequence DESC LIMIT ?4"
);

const SEARCH_AUDIT: &str = audit_rows!(
    "l.sequence < ?1 AND (?2 = '' OR l.receipt_id = ?2 OR l.object_id = ?2 OR l.client_id = ?2 OR l.user_id = ?2 \
    OR l.grant_id = ?2 OR l.actor_id = ?2 OR u.username = lower(?2) OR a.username = lower(?2) \
    OR ?5 <> '' AND instr((SELECT t.folded_name FROM client_texts AS t WHERE t.client_id = l.client_id), ?5) > 0) AND (l.act = ?3 OR ?3 = '') \
    ORDER BY l.sequence DESC LIMIT ?4"
);
/// Rows in a history.
const NEWEST: usize = 50;

/// What was done, according to a row of the ledger or of the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Ledger(Act),
    Audit(Event),
}

impl Action {
    /// All actions that `book` can have rows of.
    pub fn all(book: Book) -> Vec<Self> {
        match book {
            Book::Ledger => Act::ALL.iter().copied().map(Self::Ledger).collect(),
            Book::Audit => Event::ALL.iter().copied().map(Self::Audit).collect(),
        }
    }

    pub fn parse(book: Book, text: &str) -> Option<Self> {
        match book {
            Book::Ledger => Act::parse(text).map(Self::Ledger),
            Book::Audit => Event::parse(text).map(Self::Audit),
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ledger(act) => act.as_str(),
            Self::Audit(event) => event.as_str(),
        }
    }
}

/// From the columns `act` and `is_audit`.
impl FromRow for Action {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        if row.get("is_audit")? { row.get("act").map(Self::Audit) } else { row.get("act").map(Self::Ledger) }
    }
}

/// A row of the ledger or the audit, with the names of the people and apps in it, and how many rows its purge has
/// deleted so far.
#[derive(Clone, Debug)]
pub struct LedgerRow {
    pub sequence: i64,
    pub receipt_id: ReceiptId,
    pub at: Timestamp,
    pub action: Action,
    pub actor: Actor,
    pub actor_name: Option<String>,
    pub origin: Origin,
    pub subject_kind: SubjectKind,
    pub subject_id: String,
    pub grant_id: Option<GrantId>,
    pub client_id: Option<ClientId>,
    pub client_name: Option<String>,
    pub user_id: Option<UserId>,
    pub user_name: Option<String>,
    pub generation: Option<i64>,
    pub reason: Option<String>,
    /// What the act changed.
    pub detail: Option<String>,
    /// Where the request came from. Shown to admins, and to the person who acted.
    pub address: Option<String>,
    pub purge: Purge,
    pub deleted: DeletedRows,
}

from_row! { LedgerRow: sequence, receipt_id, at, actor_name, origin, subject_kind, subject_id, grant_id, client_id,
client_name, user_id, user_name, generation, reason, detail, address; action, actor, purge, deleted }

impl LedgerRow {
    /// The newest rows of two histories, newest first.
    fn newest_of(ledger: Vec<Self>, audit: Vec<Self>) -> Vec<Self> {
        let mut rows = ledger;
        rows.extend(audit);
        rows.sort_by_key(|row| std::cmp::Reverse(row.at));
        rows.truncate(NEWEST);
        rows
    }

    /// Whether only one device was signed out; the app keeps its access.
    pub fn is_device_sign_out(&self) -> bool {
        self.action == Action::Ledger(Act::DeviceSignedOut)
    }

    /// Whether `/receipts/{id}` shows it.
    pub const fn has_receipt(&self) -> bool {
        matches!(self.action, Action::Ledger(_))
    }

    /// Whether the purge is not finished.
    pub const fn is_purging(&self) -> bool {
        matches!(self.purge, Purge::Running { .. })
    }
}

/// The two records of acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Book {
    /// What ended something, what admins gave back, and role changes.
    Ledger,
    /// What gave power, or changed who has it.
    Audit,
}

/// What an admin looks for in the ledger or the audit. An empty text and `None` mean all.
#[derive(Clone, Debug)]
pub struct LedgerSearch {
    pub book: Book,
    /// Only rows before this sequence, for paging.
    pub before: i64,
    pub text: String,
    pub action: Option<Action>,
}

/// Some rows of a book, newest first.
#[derive(Clone, Debug)]
pub struct LedgerPage {
    pub rows: Vec<LedgerRow>,
    /// [`LedgerSearch::before`] of the next page. `None` if there is none.
    pub next: Option<i64>,
}

impl Store {
    /// The rows of a receipt that concern `viewer`.
    pub async fn receipt(&self, receipt: &ReceiptId, viewer: &UserId) -> Result<Vec<LedgerRow>> {
        self.rows(FOR_VIEWER, params![receipt, viewer]).await
    }

    /// All rows of a receipt, for admins.
    pub async fn whole_receipt(&self, receipt: &ReceiptId) -> Result<Vec<LedgerRow>> {
        self.rows(FOR_ADMIN, params![receipt]).await
    }

    /// What happened to a user's grant, its app and the account, newest first.
    pub async fn grant_history(
        &self,
        grant: &GrantId,
        user: &UserId,
        client: &ClientId,
        since: Timestamp,
    ) -> Result<Vec<LedgerRow>> {
        let ledger = self.rows(OF_GRANT, params![grant, user, client, since]).await?;
        let audit = self.rows(AUDIT_OF_GRANT, params![grant, user]).await?;
        Ok(LedgerRow::newest_of(ledger, audit))
    }

    async fn history(&self, [ledger, audit]: [&'static str; 2], id: &str) -> Result<Vec<LedgerRow>> {
        let ledger = self.rows(ledger, params![id]).await?;
        Ok(LedgerRow::newest_of(ledger, self.rows(audit, params![id]).await?))
    }

    /// What happened to a resource server, newest first.
    pub async fn resource_server_history(&self, id: &ResourceServerId) -> Result<Vec<LedgerRow>> {
        self.rows(AUDIT_OF_RESOURCE_SERVER, params![id]).await
    }

    /// What happened to an app as a whole, newest first.
    pub async fn client_history(&self, client: &ClientId) -> Result<Vec<LedgerRow>> {
        self.history([OF_CLIENT, AUDIT_OF_CLIENT], client.as_str()).await
    }

    /// What happened to an account and its apps' access, newest first.
    pub async fn user_history(&self, user: &UserId) -> Result<Vec<LedgerRow>> {
        self.history([OF_USER, AUDIT_OF_USER], user.as_str()).await
    }

    /// The ledger or the audit, newest first, at most `rows` at a time.
    pub async fn search_ledger(&self, search: &LedgerSearch, rows: usize) -> Result<LedgerPage> {
        let statement = match search.book {
            Book::Ledger => SEARCH,
            Book::Audit => SEARCH_AUDIT,
        };
        let act = search.action.map_or("", Action::as_str);
        // One more row than asked for tells whether there is a next page.
        let limit = i64::try_from(rows.saturating_add(1)).unwrap_or(i64::MAX);
        let folded = folded(&search.text);
        let values = params![search.before, search.text, act, limit, folded];
        let row = |row: &Row<'_>| Ok((row.get::<i64>("sequence")?, readable(row)?));
        let mut found = self.rows_read(statement, values, row).await?;
        let has_more = found.len() > rows;
        found.truncate(rows);
        // Before unreadable rows are left out, so that they don't end the list.
        let next = found.last().filter(|_| has_more).map(|(sequence, _)| *sequence);
        Ok(LedgerPage { rows: found.into_iter().filter_map(|(_, row)| row).collect(), next })
    }
}
