//! `/apps`: what developers see of their own apps.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};

use crate::app::App;
use crate::model::act::Act;
use crate::model::audit::Event;
use crate::model::client::{Client, ClientKind, ClientStatus, GrantType};
use crate::model::id::ClientId;
use crate::service::counts::Counted;
use crate::store::client_lists::ClientRow;
use crate::store::clients::SecretRow;
use crate::store::receipts::{Action, LedgerRow};
use crate::web::error::{Error, Result};
use crate::web::form::{Path, Query};
use crate::web::page::{Page, Section};
use crate::web::session::SignedIn;

#[derive(Template, WebTemplate)]
#[template(path = "developer/list.html")]
pub struct ListPage {
    page: Page,
    apps: Vec<ClientRow>,
}

pub async fn list(State(app): State<App>, signed_in: SignedIn) -> Result<ListPage> {
    let now = app.clock.now();
    Ok(ListPage {
        page: signed_in.page(Section::Apps, now),
        apps: app.store.clients_of(&signed_in.user.id).await?,
    })
}

/// An app of the person's own, deleted ones included.
///
/// # Errors
/// `NotFound` for all others.
pub async fn own_or_deleted(app: &App, signed_in: &SignedIn, id: &str) -> Result<Client> {
    let id = ClientId::parse(id).ok_or(Error::NotFound)?;
    app.store.client_of(&id, &signed_in.user.id).await?.ok_or(Error::NotFound)
}

/// An app of the person's own.
///
/// # Errors
/// `NotFound` for all others, and once it is deleted.
pub async fn own(app: &App, signed_in: &SignedIn, id: &str) -> Result<Client> {
    let client = own_or_deleted(app, signed_in, id).await?;
    if client.status.is_deleted() { Err(Error::NotFound) } else { Ok(client) }
}

/// What an app's page says first, after an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The registration was changed.
    Changed,
    /// What was asked can't be done to an app in this state.
    Refused,
    /// What the page showed had ended before.
    Stale,
}

impl Notice {
    const ALL: [Self; 3] = [Self::Changed, Self::Refused, Self::Stale];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Refused => "refused",
            Self::Stale => "stale",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|notice| notice.as_str() == text)
    }
}

/// To the app's page, which says `notice`.
pub fn to_app(id: &ClientId, notice: Notice) -> Response {
    Redirect::to(&format!("/apps/{id}?notice={}", notice.as_str())).into_response()
}

/// Where a repeated act leads: to the receipt of the first, which left `generation` behind.
///
/// # Errors
/// When the store fails.
pub async fn to_receipt_of(app: &App, client: &Client, generation: i64) -> Result<Response> {
    let history = app.store.client_history(&client.id).await?;
    let is_deleted = client.status.is_deleted();
    let is_it = |row: &&LedgerRow| {
        if is_deleted {
            row.action == Action::Ledger(Act::ClientDeleted)
        } else {
            row.generation == Some(generation)
        }
    };
    Ok(match history.iter().find(is_it) {
        Some(row) => Redirect::to(&format!("/receipts/{}", row.receipt_id)).into_response(),
        None if is_deleted => Redirect::to("/apps").into_response(),
        None => to_app(&client.id, Notice::Stale),
    })
}

#[derive(Template, WebTemplate)]
#[template(path = "developer/detail.html")]
pub struct DetailPage {
    page: Page,
    client: Client,
    /// What it may ask for, in words; `None` means every scope.
    permissions: Option<Vec<String>>,
    counted: Counted,
    secrets: Vec<SecretRow>,
    history: Vec<LedgerRow>,
    notice: Option<Notice>,
}

impl DetailPage {
    fn is_banned(&self) -> bool {
        self.client.status.is_banned()
    }

    fn is_confidential(&self) -> bool {
        self.client.kind == ClientKind::Confidential
    }

    /// Everything that happened but the registration, which the page tells by itself.
    fn later_history(&self) -> impl Iterator<Item = &LedgerRow> {
        let registered = Action::Audit(Event::ClientRegistered);
        self.history.iter().filter(move |row| row.action != registered)
    }

    fn works_for_itself(&self) -> bool {
        self.client.grant_types.allow(GrantType::ClientCredentials)
    }

    /// The newest act whose dead rows are still being deleted.
    fn purging(&self) -> Option<&LedgerRow> {
        self.history.iter().find(|row| row.is_purging())
    }

    /// The act that put the app into the state in which it is.
    fn shut_by(&self) -> Option<&LedgerRow> {
        let act = match self.client.status {
            ClientStatus::Suspended { .. } => Act::ClientSuspended,
            ClientStatus::Banned { .. } => Act::ClientBanned,
            ClientStatus::Active | ClientStatus::Deleted { .. } => return None,
        };
        self.history.iter().find(|row| row.action == Action::Ledger(act))
    }
}

pub async fn detail(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Query(query): Query,
) -> Result<DetailPage> {
    let now = app.clock.now();
    let client = own(&app, &signed_in, &id).await?;
    let scopes = app.store.scopes().await?;
    let in_words = |scope| scopes.of(scope).map(|entry| entry.description.clone()).collect::<Vec<String>>();
    Ok(DetailPage {
        page: signed_in.page(Section::Apps, now),
        permissions: client.scope.as_ref().map(in_words),
        counted: app.counts.of(&app.store, &client, &app.clock).await?,
        secrets: app.store.client_secret_rows(&client.id, now).await?,
        history: app.store.client_history(&client.id).await?,
        notice: query.get("notice").and_then(Notice::parse),
        client,
    })
}
