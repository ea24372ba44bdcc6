//! The ledger as people read it: `/admin/ledger` with its exports, and the receipt of an act.

use askama::Template;
use askama_web::WebTemplate;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use crate::app::App;
use crate::model::act::Act;
use crate::model::id::ReceiptId;
use crate::model::user::Role;
use crate::store::Store;
use crate::store::purges::Left;
use crate::store::receipts::{LedgerRow, LedgerSearch};
use crate::web::error::{Error, Result};
use crate::web::export::Format;
use crate::web::form::{Query, with_query};
use crate::web::page::{Page, Section};
use crate::web::session::SignedIn;
use crate::web::text::{t, t_with};

const PAGE_ROWS: i64 = 50;
/// Rows that an export reads at a time.
const BATCH_ROWS: i64 = 500;

/// What a row's act did, with the names in it.
pub fn what(row: &LedgerRow) -> String {
    let app = row.client_name.clone().or_else(|| row.client_id.as_ref().map(ToString::to_string));
    let user = row.user_name.clone().or_else(|| row.user_id.as_ref().map(ToString::to_string));
    t_with(
        &format!("what-{}", row.act),
        &[("app", &app.unwrap_or_default()), ("user", &user.unwrap_or_default())],
    )
}

/// Who did it, as the reader may know it: names are for admins.
pub fn who(page: &Page, row: &LedgerRow) -> String {
    let kind = t(&format!("actor-{}", row.actor_kind));
    match &row.actor_name {
        Some(name) if page.is_me(name) => t("actor-you"),
        Some(name) if page.is_admin() => t_with("actor-named", &[("actor", &kind), ("name", name)]),
        _ => kind,
    }
}

#[derive(Template, WebTemplate)]
#[template(path = "admin/ledger.html")]
pub struct ListPage {
    page: Page,
    search: LedgerSearch,
    rows: Vec<LedgerRow>,
    /// Where the next page begins.
    next: Option<i64>,
}

impl ListPage {
    /// The same search: from a row on, or in a format.
    fn address(&self, before: &str, format: &str) -> String {
        let LedgerSearch { text, act, .. } = &self.search;
        with_query("/admin/ledger", &[("q", text), ("act", act), ("before", before), ("format", format)])
    }

    fn is_first(&self) -> bool {
        self.search.before == i64::MAX
    }
}

pub async fn list(State(app): State<App>, signed_in: SignedIn, Query(query): Query) -> Result<Response> {
    let is_act = |act: &&str| Act::ALL.iter().any(|known| known.as_str() == *act);
    let search = LedgerSearch {
        before: query.get("before").and_then(|before| before.parse().ok()).unwrap_or(i64::MAX),
        text: query.get("q").unwrap_or_default().trim().to_owned(),
        act: query.get("act").filter(is_act).unwrap_or_default().to_owned(),
        // One more than is shown says whether there is a next page.
        rows: PAGE_ROWS + 1,
    };
    if let Some(format) = query.get("format") {
        let format = Format::parse(format).ok_or(Error::BadRequest("error-format"))?;
        return Ok(export(app.store, search, format));
    }
    let mut rows = app.store.search_ledger(&search).await?;
    let has_more = rows.len() > PAGE_ROWS as usize;
    rows.truncate(PAGE_ROWS as usize);
    let next = rows.last().filter(|_| has_more).map(|row| row.sequence);
    let page = signed_in.page(Section::Ledger, app.clock.now());
    Ok(ListPage { page, search, rows, next }.into_response())
}

/// Where an export stands.
enum Reading {
    Begin,
    /// Rows have gone out; the last one's sequence.
    After(i64),
    End,
}

/// Everything that matches, newest first, read and sent batch by batch.
///
/// A failing store cuts the answer off, so that nobody takes a part for the whole.
fn export(store: Store, search: LedgerSearch, format: Format) -> Response {
    let batches = stream::try_unfold(Reading::Begin, move |reading| {
        let (store, mut search) = (store.clone(), search.clone());
        async move {
            let is_first = match reading {
                Reading::Begin => true,
                Reading::After(sequence) => {
                    search.before = sequence;
                    false
                }
                Reading::End => return Ok::<_, crate::store::Error>(None),
            };
            search.rows = BATCH_ROWS;
            let rows = store.search_ledger(&search).await?;
            let next = match rows.last() {
                Some(row) if rows.len() == BATCH_ROWS as usize => Reading::After(row.sequence),
                _ => Reading::End,
            };
            let text = format.batch(&rows, is_first, matches!(next, Reading::End));
            Ok(Some((Bytes::from(text), next)))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(format.media_type())),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static(format.disposition())),
    ];
    (headers, Body::from_stream(batches)).into_response()
}

/// A row of a receipt with the progress of its purge.
pub struct Line {
    row: LedgerRow,
    left: Left,
}

impl Line {
    fn taken(&self) -> i64 {
        let row = &self.row;
        row.access_tokens + row.refresh_tokens + row.authorization_codes + row.families + row.sessions
    }

    /// What there was to take, as far as it has been counted; a bar needs at least one.
    fn total(&self) -> i64 {
        (self.taken() + self.left.rows).max(1)
    }
}

#[derive(Template, WebTemplate)]
#[template(path = "receipt.html")]
pub struct ReceiptPage {
    page: Page,
    first: LedgerRow,
    lines: Vec<Line>,
    back: (String, String),
}

impl ReceiptPage {
    fn title(&self) -> String {
        match self.lines.len() {
            1 => what(&self.first),
            count => t_with("receipt-several", &[("count", &count)]),
        }
    }

    fn is_purging(&self) -> bool {
        self.lines.iter().any(|line| line.row.is_purging())
    }

    /// Whether the act left anything to delete.
    fn has_purge(&self) -> bool {
        self.lines.iter().any(|line| line.row.step.is_some())
    }
}

/// Where a reader of this receipt comes from: an address and its name.
fn back(signed_in: &SignedIn, row: &LedgerRow, is_single: bool) -> (String, String) {
    let is_own_act = row.actor_id.as_deref() == Some(signed_in.user.id.as_str());
    match (&row.client_id, &row.user_id, row.actor_kind.as_str()) {
        (Some(client), _, "developer") if is_own_act => {
            (format!("/apps/{client}"), row.client_name.clone().unwrap_or_default())
        }
        (_, Some(user), _) if *user == signed_in.user.id => match &row.grant_id {
            Some(grant) if is_single => {
                (format!("/authorizations/{grant}"), row.client_name.clone().unwrap_or_default())
            }
            _ => ("/authorizations".to_owned(), t("section-authorizations")),
        },
        (Some(client), _, _) if signed_in.user.role == Role::Admin => {
            (format!("/admin/apps/{client}"), row.client_name.clone().unwrap_or_default())
        }
        (None, Some(user), _) if signed_in.user.role == Role::Admin => {
            (format!("/admin/users/{user}"), row.user_name.clone().unwrap_or_default())
        }
        _ => ("/authorizations".to_owned(), t("section-authorizations")),
    }
}

pub async fn receipt(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<ReceiptPage> {
    let id = ReceiptId::parse(&id).ok_or(Error::NotFound)?;
    let rows = match signed_in.user.role {
        Role::Admin => app.store.whole_receipt(&id).await?,
        Role::User | Role::Developer => app.store.receipt(&id, &signed_in.user.id).await?,
    };
    let first = rows.first().cloned().ok_or(Error::NotFound)?;
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        let left = app.store.purge_left(&row).await?;
        lines.push(Line { row, left });
    }
    let is_own_act = first.actor_id.as_deref() == Some(signed_in.user.id.as_str());
    let section = match (first.actor_kind.as_str(), signed_in.user.role) {
        ("developer", _) if is_own_act => Section::Apps,
        ("user", _) if is_own_act => Section::Authorizations,
        (_, Role::Admin) => Section::Ledger,
        _ => Section::Authorizations,
    };
    Ok(ReceiptPage {
        page: signed_in.page(section, app.clock.now()),
        back: back(&signed_in, &first, lines.len() == 1),
        first,
        lines,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_act_has_its_sentences() {
        for act in Act::ALL {
            for prefix in ["act", "what", "verb"] {
                let key = format!("{prefix}-{}", act.as_str());
                let sentence = t_with(&key, &[("app", &"Fotowerk"), ("user", &"alice")]);
                assert!(!sentence.contains("Unknown localization"), "{sentence}");
            }
        }
    }
}
