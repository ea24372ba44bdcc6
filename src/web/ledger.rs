//! The ledger and the audit as admins read them: `/admin/ledger` and `/admin/audit` with their exports.

use askama::Template;
use askama_web::WebTemplate;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use crate::app::App;
use crate::model::params::Params;
use crate::store::Store;
use crate::store::receipts::{Action, Book, LedgerPage, LedgerRow, LedgerSearch};
use crate::text::{t, t_with};
use crate::web::error::{Error, Result};
use crate::web::export::Format;
use crate::web::form::{Query, with_query};
use crate::web::page::{Page, Section};
use crate::web::session::SignedIn;

const PAGE_ROWS: usize = 50;
/// Rows that an export reads at a time.
const BATCH_ROWS: usize = 500;

/// What a row's act did, with the names in it.
pub fn what(row: &LedgerRow) -> String {
    let app = row.client_name.clone().or_else(|| row.client_id.as_ref().map(ToString::to_string));
    let user = row.user_name.clone().or_else(|| row.user_id.as_ref().map(ToString::to_string));
    t_with(
        &format!("what-{}", row.action.as_str()),
        &[("app", &app.unwrap_or_default()), ("user", &user.unwrap_or_default())],
    )
}

/// Who did it, as the reader may know it: names are for admins.
pub fn who(page: &Page, row: &LedgerRow) -> String {
    let kind = t(&format!("actor-{}", row.actor.kind()));
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
        let LedgerSearch { text, action, .. } = &self.search;
        let act = action.map_or("", Action::as_str);
        with_query(self.path(), &[("q", text), ("act", act), ("before", before), ("format", format)])
    }

    const fn path(&self) -> &'static str {
        match self.search.book {
            Book::Ledger => "/admin/ledger",
            Book::Audit => "/admin/audit",
        }
    }

    const fn title(&self) -> &'static str {
        match self.search.book {
            Book::Ledger => "admin-ledger",
            Book::Audit => "admin-audit",
        }
    }

    const fn lede(&self) -> &'static str {
        match self.search.book {
            Book::Ledger => "ledger-lede",
            Book::Audit => "audit-lede",
        }
    }

    const fn why(&self) -> &'static str {
        match self.search.book {
            Book::Ledger => "receipt-why",
            Book::Audit => "audit-details",
        }
    }

    fn is_audit(&self) -> bool {
        self.search.book == Book::Audit
    }

    /// What this book has rows of.
    fn actions(&self) -> Vec<Action> {
        Action::all(self.search.book)
    }

    fn is_chosen(&self, action: &Action) -> bool {
        self.search.action == Some(*action)
    }

    fn is_first(&self) -> bool {
        self.search.before == i64::MAX
    }
}

/// What can't be read is refused: a search for less would find everything.
fn search(book: Book, query: &Params) -> Result<LedgerSearch> {
    let before = match query.get("before") {
        Some(before) => before.parse().map_err(|_| Error::BadRequest("error-before"))?,
        None => i64::MAX,
    };
    let action = match query.get("act").filter(|act| !act.is_empty()) {
        Some(act) => Some(Action::parse(book, act).ok_or(Error::BadRequest("error-act"))?),
        None => None,
    };
    let text = query.get("q").unwrap_or_default().trim().to_owned();
    Ok(LedgerSearch { book, before, text, action })
}

pub async fn list(state: State<App>, signed_in: SignedIn, query: Query) -> Result<Response> {
    show(Book::Ledger, state, signed_in, query).await
}

pub async fn audit(state: State<App>, signed_in: SignedIn, query: Query) -> Result<Response> {
    show(Book::Audit, state, signed_in, query).await
}

async fn show(
    book: Book,
    State(app): State<App>,
    signed_in: SignedIn,
    Query(query): Query,
) -> Result<Response> {
    let search = search(book, &query)?;
    if let Some(format) = query.get("format") {
        let format = Format::parse(format).ok_or(Error::BadRequest("error-format"))?;
        return Ok(export(app.store.clone(), search, format));
    }
    let LedgerPage { rows, next } = app.store.search_ledger(&search, PAGE_ROWS).await?;
    let section = if book == Book::Ledger { Section::Ledger } else { Section::Audit };
    let page = signed_in.page(section, app.clock.now());
    Ok(ListPage { page, search, rows, next }.into_response())
}

/// Where an export stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Begin,
    /// Some rows have been sent; the next batch holds rows before this sequence.
    Before(i64),
    End,
}

/// Everything that matches, newest first, read and sent batch by batch.
///
/// A failing store cuts the answer off, so that nobody takes a part for the whole.
fn export(store: Store, search: LedgerSearch, format: Format) -> Response {
    let book = search.book;
    let batches = stream::try_unfold(Reading::Begin, move |reading| {
        let (store, mut search) = (store.clone(), search.clone());
        async move {
            match reading {
                Reading::Begin => {}
                Reading::Before(sequence) => search.before = sequence,
                Reading::End => return Ok::<_, crate::store::Error>(None),
            }
            let LedgerPage { rows, next } = store.search_ledger(&search, BATCH_ROWS).await?;
            let text = format.batch(&rows, reading == Reading::Begin, next.is_none());
            Ok(Some((Bytes::from(text), next.map_or(Reading::End, Reading::Before))))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(format.media_type())),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static(format.disposition(book))),
    ];
    (headers, Body::from_stream(batches)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_act_has_its_sentences() {
        for action in [Book::Ledger, Book::Audit].into_iter().flat_map(Action::all) {
            for prefix in ["act", "what", "verb"] {
                let key = format!("{prefix}-{}", action.as_str());
                let sentence = t_with(&key, &[("app", &"Fotowerk"), ("user", &"alice")]);
                assert!(!sentence.contains("Unknown localization"), "{sentence}");
            }
        }
    }
}
