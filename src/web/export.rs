//! The ledger for other programs: CSV that no spreadsheet takes for formulas, and JSON.

use serde::Serialize;

use crate::clock::iso;
use crate::store::receipts::{Book, LedgerRow};

/// What the ledger can be exported as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Json,
}

/// A row of the ledger, with the names of those in it and what its purge has taken.
#[derive(Debug, Serialize)]
struct Record<'r> {
    sequence: i64,
    receipt_id: &'r str,
    at: String,
    act: &'r str,
    actor_kind: &'r str,
    actor_id: Option<&'r str>,
    actor_name: Option<&'r str>,
    origin: &'r str,
    subject_kind: &'r str,
    subject_id: &'r str,
    grant_id: Option<&'r str>,
    client_id: Option<&'r str>,
    client_name: Option<&'r str>,
    user_id: Option<&'r str>,
    user_name: Option<&'r str>,
    generation: Option<i64>,
    reason: Option<&'r str>,
    access_tokens_deleted: i64,
    refresh_tokens_deleted: i64,
    authorization_codes_deleted: i64,
    families_deleted: i64,
    sessions_deleted: i64,
    purged_at: Option<String>,
    detail: Option<&'r str>,
    address: Option<&'r str>,
}

const COLUMNS: &str = "sequence,receipt_id,at,act,actor_kind,actor_id,actor_name,origin,subject_kind,subject_id,grant_id,\
    client_id,client_name,user_id,user_name,generation,reason,access_tokens_deleted,refresh_tokens_deleted,\
    authorization_codes_deleted,families_deleted,sessions_deleted,purged_at,detail,address\r\n";

impl<'r> Record<'r> {
    fn new(row: &'r LedgerRow) -> Self {
        Self {
            sequence: row.sequence,
            receipt_id: row.receipt_id.as_str(),
            at: iso(row.at),
            act: row.action.as_str(),
            actor_kind: row.actor.kind(),
            actor_id: row.actor.id(),
            actor_name: row.actor_name.as_deref(),
            origin: row.origin.as_str(),
            subject_kind: row.subject_kind.as_str(),
            subject_id: &row.subject_id,
            grant_id: row.grant_id.as_ref().map(|id| id.as_str()),
            client_id: row.client_id.as_ref().map(|id| id.as_str()),
            client_name: row.client_name.as_deref(),
            user_id: row.user_id.as_ref().map(|id| id.as_str()),
            user_name: row.user_name.as_deref(),
            generation: row.generation,
            reason: row.reason.as_deref(),
            access_tokens_deleted: row.deleted.access_tokens,
            refresh_tokens_deleted: row.deleted.refresh_tokens,
            authorization_codes_deleted: row.deleted.authorization_codes,
            families_deleted: row.deleted.families,
            sessions_deleted: row.deleted.sessions,
            purged_at: row.purge.finished_at().map(iso),
            detail: row.detail.as_deref(),
            address: row.address.as_deref(),
        }
    }

    /// A line of [`COLUMNS`].
    fn csv(&self) -> String {
        let number = |number: i64| number.to_string();
        let text = |text: &str| cell(text);
        let maybe = |text: Option<&str>| cell(text.unwrap_or_default());
        let cells = [
            number(self.sequence),
            text(self.receipt_id),
            text(&self.at),
            text(self.act),
            text(self.actor_kind),
            maybe(self.actor_id),
            maybe(self.actor_name),
            text(self.origin),
            text(self.subject_kind),
            text(self.subject_id),
            maybe(self.grant_id),
            maybe(self.client_id),
            maybe(self.client_name),
            maybe(self.user_id),
            maybe(self.user_name),
            self.generation.map(number).unwrap_or_default(),
            maybe(self.reason),
            number(self.access_tokens_deleted),
            number(self.refresh_tokens_deleted),
            number(self.authorization_codes_deleted),
            number(self.families_deleted),
            number(self.sessions_deleted),
            maybe(self.purged_at.as_deref()),
            maybe(self.detail),
            maybe(self.address),
        ];
        cells.join(",") + "\r\n"
    }
}

/// A cell in quotes (RFC 4180 §2). What a spreadsheet would take for a formula gets an apostrophe in front.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

impl Format {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
        }
    }

    pub const fn disposition(self, book: Book) -> &'static str {
        match (self, book) {
            (Self::Csv, Book::Ledger) => "attachment; filename=\"ledger.csv\"",
            (Self::Json, Book::Ledger) => "attachment; filename=\"ledger.json\"",
            (Self::Csv, Book::Audit) => "attachment; filename=\"audit.csv\"",
            (Self::Json, Book::Audit) => "attachment; filename=\"audit.json\"",
        }
    }

    /// One part of the file; the first part begins it, the last one ends it.
    pub fn batch(self, rows: &[LedgerRow], is_first: bool, is_last: bool) -> String {
        let records = rows.iter().map(Record::new);
        match self {
            Self::Csv => {
                let head = if is_first { COLUMNS } else { "" };
                records.fold(head.to_owned(), |text, record| text + record.csv().as_str())
            }
            Self::Json => {
                // A record holds nothing that JSON can't say.
                let objects: Vec<String> =
                    records.map(|record| serde_json::to_string(&record).unwrap_or_default()).collect();
                let separator = if is_first || rows.is_empty() { "" } else { ",\n" };
                let (begin, end) = (if is_first { "[" } else { "" }, if is_last { "]\n" } else { "" });
                format!("{begin}{separator}{}{end}", objects.join(",\n"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_no_formulas() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            assert!(cell(text).starts_with("\"'"), "{text:?}");
        }
        assert_eq!(cell("say \"hi\", you"), "\"say \"\"hi\"\", you\"");
        assert_eq!(cell(""), "\"\"");
    }

    #[test]
    fn there_is_a_column_for_each_member() {
        let empty = Format::Json.batch(&[], true, true);
        assert_eq!(empty, "[]\n");
        assert_eq!(COLUMNS.matches(',').count(), 24);
    }
}
