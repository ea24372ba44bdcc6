//! `/receipts/{id}`: what an act ended, what was deleted, and where it is already refused.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::app::App;
use crate::clock::iso;
use crate::model::act::SubjectKind;
use crate::model::by::Actor;
use crate::model::confirmation::Confirmation;
use crate::model::id::ReceiptId;
use crate::model::purge::Purge;
use crate::model::user::Role;
use crate::store::purges::{DeletedRows, Remaining};
use crate::store::receipts::LedgerRow;
use crate::text::{t, t_with};
use crate::web::error::{Error, Result};
use crate::web::form::Path;
use crate::web::ledger::what;
use crate::web::page::{Page, Section};
use crate::web::reach::{Reach, ServerReach};
use crate::web::session::SignedIn;

/// A row of a receipt with the progress of its purge.
pub struct Line {
    row: LedgerRow,
    left: Remaining,
}

impl Line {
    fn taken(&self) -> i64 {
        self.row.deleted.rows()
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
    reach: Reach,
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
        self.lines.iter().any(|line| line.row.purge != Purge::Nothing)
    }
}

/// Where a reader of this receipt comes from: an address and its name.
fn back(signed_in: &SignedIn, row: &LedgerRow, is_single: bool) -> (String, String) {
    let me = &signed_in.user.id;
    match (&row.client_id, &row.user_id, &row.actor) {
        (Some(client), _, Actor::Developer(developer)) if developer == me => {
            (format!("/apps/{client}"), row.client_name.clone().unwrap_or_default())
        }
        (_, Some(user), _) if user == me => match &row.grant_id {
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

/// The rows of a receipt, for those whom it concerns.
async fn rows(app: &App, signed_in: &SignedIn, id: &str) -> Result<Vec<LedgerRow>> {
    let id = ReceiptId::parse(id).ok_or(Error::NotFound)?;
    let rows = match signed_in.user.role {
        Role::Admin => app.store.whole_receipt(&id).await?,
        Role::User | Role::Developer => app.store.receipt(&id, &signed_in.user.id).await?,
    };
    if rows.is_empty() { Err(Error::NotFound) } else { Ok(rows) }
}

pub async fn receipt(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<ReceiptPage> {
    let now = app.clock.now();
    let rows = rows(&app, &signed_in, &id).await?;
    let first = rows.first().cloned().ok_or(Error::NotFound)?;
    let reach = Reach::of(&app, &rows, now).await?;
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        let left = app.store.purge_left(row.purge, row.subject_kind, &row.subject_id, row.generation).await?;
        lines.push(Line { row, left });
    }
    let me = &signed_in.user.id;
    let section = match (&first.actor, signed_in.user.role) {
        (Actor::Developer(developer), _) if developer == me => Section::Apps,
        (Actor::User(user), _) if user == me => Section::Authorizations,
        (_, Role::Admin) => Section::Ledger,
        _ => Section::Authorizations,
    };
    Ok(ReceiptPage {
        page: signed_in.page(section, now),
        back: back(&signed_in, &first, lines.len() == 1),
        first,
        lines,
        reach,
    })
}

/// The type of signed receipts (`docs/receipts.md`).
const TYPE: &str = "receipt+jws";

fn ended(row: &LedgerRow) -> Value {
    let mut ended = json!({
        "sequence": row.sequence, "act": row.action.as_str(), "subject_kind": row.subject_kind.as_str(), "subject_id": row.subject_id,
        "generation": row.generation, "grant_id": row.grant_id, "client_id": row.client_id, "user_id": row.user_id,
    });
    if row.purge != Purge::Nothing {
        let DeletedRows { access_tokens, refresh_tokens, authorization_codes, families, sessions } =
            row.deleted;
        ended["deleted"] = json!({
            "access_tokens": access_tokens, "refresh_tokens": refresh_tokens,
            "authorization_codes": authorization_codes, "devices": families, "sessions": sessions,
            "finished_at": row.purge.finished_at().map(iso),
        });
    }
    ended
}

fn server_reach(server: &ServerReach) -> Value {
    let Confirmation { instances, confirmed, last, open_until, .. } = server.confirmation;
    json!({
        "name": server.name, "audience": server.audience, "state": server.as_str(), "instances": instances,
        "confirmed": confirmed, "last_ms": last.map(|last| last.as_millis() as u64),
        "open_until": open_until.map(iso),
    })
}

/// The receipt as it is now, as a signed file. It says what kind of person acted, and gives no name.
pub async fn signed(State(app): State<App>, signed_in: SignedIn, Path(id): Path<String>) -> Result<Response> {
    let now = app.clock.now();
    let rows = rows(&app, &signed_in, &id).await?;
    let reach = Reach::of(&app, &rows, now).await?;
    let first = rows.first().ok_or(Error::NotFound)?;
    let statement = json!({
        "iss": app.config.issuer.as_str(), "iat": now.seconds(), "receipt_id": first.receipt_id,
        "at": iso(first.at), "actor_kind": first.actor.kind(), "origin": first.origin.as_str(), "reason": first.reason,
        "ended": rows.iter().map(ended).collect::<Vec<_>>(),
        "resource_servers": reach.servers.iter().map(server_reach).collect::<Vec<_>>(),
        "settled": !reach.is_live() && !rows.iter().any(LedgerRow::is_purging),
    });
    let text = app.keys.sign_statement(&app.store, TYPE, &statement, now).await?;
    let disposition = format!("attachment; filename=\"{}.jws\"", first.receipt_id);
    let headers =
        [(header::CONTENT_TYPE, "application/jose"), (header::CONTENT_DISPOSITION, disposition.as_str())];
    Ok((headers, text).into_response())
}
