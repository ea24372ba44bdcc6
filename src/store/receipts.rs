//! The ledger and the audit as people read them: receipts, histories, the admins' searches. With each row of the ledger
//! its purge.

use crate::clock::Timestamp;
use crate::model::id::{ClientId, GrantId, ReceiptId, ResourceServerId, UserId};
use crate::model::text::folded;

use super::{Result, Store, readable};

macro_rules! rows {
    ($rest:literal) => {
        concat!(
            "SELECT l.sequence, l.receipt_id, l.at, l.act, l.actor_kind, l.actor_id, a.username AS actor_name, ",
            "l.origin, l.subject_kind, l.subject_id, l.grant_id, l.client_id, c.name AS client_name, l.user_id, ",
            "u.username AS user_name, l.generation, n.reason, n.detail, n.address, 1 AS has_receipt, p.step, p.finished_at, ",
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

/// Rows of the audit in the same columns: nothing died, so there is no purge and no receipt.
macro_rules! audit_rows {
    ($rest:literal) => {
        concat!(
            "SELECT l.sequence, l.receipt_id, l.at, l.act, l.actor_kind, l.actor_id, a.username AS actor_name, ",
            "l.origin, l.object_kind AS subject_kind, l.object_id AS subject_id, l.grant_id, l.client_id, ",
            "c.name AS client_name, l.user_id, u.username AS user_name, NULL AS generation, n.reason, n.detail, ",
            "n.address, 0 AS has_receipt, NULL AS step, NULL AS finished_at, 0 AS access_tokens, 0 AS refresh_tokens, ",
            "0 AS authorization_codes, 0 AS families, 0 AS sessions FROM audit AS l ",
            "LEFT JOIN users AS a ON a.id = l.actor_id LEFT JOIN clients AS c ON c.id = l.client_id ",
            "LEFT JOIN users AS u ON u.id = l.user_id LEFT JOIN receipt_notes AS n ON n.receipt_id = l.receipt_id WHERE ",
            $rest
        )
    };
}

/// Those concerned: who did it, the user, the app's owner, and whoever had authorized the app.
const FOR_VIEWER: &str = rows!(
    "l.receipt_id = ?1 AND (l.actor_id = ?2 OR l.user_id = ?2 OR c.owner_id = ?2 AND l.subject_kind = 'client' \
    OR l.subject_kind = 'client' AND EXISTS (SELECT 1 FROM grants AS g WHERE g.client_id = l.client_id \
    AND g.user_id = ?2 AND g.first_authorized_at <= l.at)) ORDER BY l.sequence LIMIT 500"
);
const FOR_ADMIN: &str = rows!("l.receipt_id = ?1 ORDER BY l.sequence LIMIT 500");
/// The index by user leaves single tokens out, and is used only where that is said.
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
/// ?1: rows before this sequence; ?2: an id or a user's name, or empty; ?3: an act or empty; ?5: part of an app's
/// name, folded.
/// A drill's rounds are there for whoever looks for them.
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
/// Rows of one history.
const NEWEST: usize = 50;

/// What `store::sqlite::plans` looks at.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    FOR_VIEWER,
    FOR_ADMIN,
    OF_GRANT,
    OF_CLIENT,
    OF_USER,
    SEARCH,
    AUDIT_OF_GRANT,
    AUDIT_OF_CLIENT,
    AUDIT_OF_USER,
    AUDIT_OF_RESOURCE_SERVER,
    SEARCH_AUDIT,
];

/// One row of the ledger or the audit with the names of those in it, and what its purge has taken so far.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct LedgerRow {
    pub sequence: i64,
    pub receipt_id: ReceiptId,
    pub at: Timestamp,
    pub act: String,
    pub actor_kind: String,
    pub actor_id: Option<String>,
    pub actor_name: Option<String>,
    pub origin: String,
    pub subject_kind: String,
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
    /// Where the request came from; for admins, and for whoever acted.
    pub address: Option<String>,
    /// Whether it ended something, so that `/receipts/{id}` says what.
    pub has_receipt: bool,
    /// The purge's step; `None` where the act left nothing to purge.
    pub step: Option<String>,
    pub finished_at: Option<Timestamp>,
    pub access_tokens: i64,
    pub refresh_tokens: i64,
    pub authorization_codes: i64,
    pub families: i64,
    pub sessions: i64,
}

impl LedgerRow {
    /// Of two histories, newest first, the newest rows of both.
    fn newest_of(ledger: Vec<Self>, audit: Vec<Self>) -> Vec<Self> {
        let mut rows = ledger;
        rows.extend(audit);
        rows.sort_by_key(|row| std::cmp::Reverse(row.at));
        rows.truncate(NEWEST);
        rows
    }

    /// Whether the purge still has something to take.
    pub fn is_purging(&self) -> bool {
        self.step.is_some() && self.finished_at.is_none()
    }
}

/// The two records of acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Book {
    /// What ended something.
    Ledger,
    /// What gave power or changed who has it.
    Audit,
}

/// What an admin looks for in the ledger or the audit; empty texts stand for all.
#[derive(Clone, Debug)]
pub struct LedgerSearch {
    /// Only rows before this sequence: the key that pages are turned by.
    pub before: i64,
    pub text: String,
    pub act: String,
    pub rows: i64,
}

impl Store {
    /// The rows of a receipt that concern `viewer`; none where nothing does.
    pub async fn receipt(&self, receipt: &ReceiptId, viewer: &UserId) -> Result<Vec<LedgerRow>> {
        let query = sqlx::query(FOR_VIEWER).bind(receipt).bind(viewer);
        Ok(readable(&query.fetch_all(&mut *self.page().await?).await?))
    }

    /// All rows of a receipt, for admins.
    pub async fn whole_receipt(&self, receipt: &ReceiptId) -> Result<Vec<LedgerRow>> {
        let query = sqlx::query(FOR_ADMIN).bind(receipt);
        Ok(readable(&query.fetch_all(&mut *self.page().await?).await?))
    }

    /// What happened to a grant of `user`'s, newest first: to itself, to its app and to the account.
    pub async fn grant_history(
        &self,
        grant: &GrantId,
        user: &UserId,
        client: &ClientId,
        since: Timestamp,
    ) -> Result<Vec<LedgerRow>> {
        let mut page = self.page().await?;
        let ledger = sqlx::query(OF_GRANT).bind(grant).bind(user).bind(client).bind(since);
        let ledger = ledger.fetch_all(&mut *page).await?;
        let audit = sqlx::query(AUDIT_OF_GRANT).bind(grant).bind(user).fetch_all(&mut *page).await?;
        Ok(LedgerRow::newest_of(readable(&ledger), readable(&audit)))
    }

    async fn history(&self, [ledger, audit]: [&'static str; 2], id: &str) -> Result<Vec<LedgerRow>> {
        let mut page = self.page().await?;
        let ledger = sqlx::query(ledger).bind(id).fetch_all(&mut *page).await?;
        let audit = sqlx::query(audit).bind(id).fetch_all(&mut *page).await?;
        Ok(LedgerRow::newest_of(readable(&ledger), readable(&audit)))
    }

    /// What happened to a resource server, newest first.
    pub async fn resource_server_history(&self, id: &ResourceServerId) -> Result<Vec<LedgerRow>> {
        let query = sqlx::query(AUDIT_OF_RESOURCE_SERVER).bind(id);
        Ok(readable(&query.fetch_all(&mut *self.page().await?).await?))
    }

    /// What happened to an app as a whole, newest first.
    pub async fn client_history(&self, client: &ClientId) -> Result<Vec<LedgerRow>> {
        self.history([OF_CLIENT, AUDIT_OF_CLIENT], client.as_str()).await
    }

    /// What happened to an account and its apps' access, newest first.
    pub async fn user_history(&self, user: &UserId) -> Result<Vec<LedgerRow>> {
        self.history([OF_USER, AUDIT_OF_USER], user.as_str()).await
    }

    /// The ledger or the audit, newest first.
    pub async fn search_ledger(&self, book: Book, search: &LedgerSearch) -> Result<Vec<LedgerRow>> {
        let statement = match book {
            Book::Ledger => SEARCH,
            Book::Audit => SEARCH_AUDIT,
        };
        let query = sqlx::query(statement).bind(search.before).bind(&search.text).bind(&search.act);
        let query = query.bind(search.rows).bind(folded(&search.text));
        Ok(readable(&query.fetch_all(&mut *self.page().await?).await?))
    }
}
