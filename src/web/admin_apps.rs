//! `/admin/apps`: every app there is, and taking one out of the world at once, however much it holds.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use crate::app::App;
use crate::model::client::{Client, ClientStatusKind};
use crate::model::id::{ClientId, ReceiptId};
use crate::service::{moderate, revoke};
use crate::store::client_lists::{ClientOrder, ClientRow, ClientSearch, Rows};
use crate::store::receipts::LedgerRow;
use crate::store::texts::Neighbour;
use crate::web::error::{Error, Result};
use crate::web::form::{Form, Path, Query, ReasonField, page_number, page_text, with_query};
use crate::web::page::{Page, Section};
use crate::web::reach::worst_case_everywhere;
use crate::web::session::SignedIn;

/// Users of the app, its developer and admins read it.
const APP_REASON: ReasonField = ReasonField::new("reason-hint");

pub async fn index() -> Redirect {
    Redirect::to("/admin/apps")
}

#[derive(Template, WebTemplate)]
#[template(path = "admin/apps.html")]
pub struct ListPage {
    page: Page,
    search: ClientSearch,
    apps: Rows<ClientRow>,
}

impl ListPage {
    fn address(&self, order: ClientOrder, page: u32) -> String {
        let page = page_text(page);
        let ClientSearch { text, status, .. } = &self.search;
        let status = status.map_or("", ClientStatusKind::as_str);
        with_query(
            "/admin/apps",
            &[("q", text), ("status", status), ("sort", order.as_str()), ("page", &page)],
        )
    }

    fn is_chosen(&self, status: &ClientStatusKind) -> bool {
        self.search.status == Some(*status)
    }

    fn sorted_by(&self, order: &ClientOrder) -> String {
        self.address(*order, 0)
    }

    fn previous(&self) -> Option<String> {
        self.search.page.checked_sub(1).map(|page| self.address(self.search.order, page))
    }

    fn next(&self) -> Option<String> {
        self.apps.has_more.then(|| self.address(self.search.order, self.search.page + 1))
    }
}

pub async fn list(State(app): State<App>, signed_in: SignedIn, Query(query): Query) -> Result<ListPage> {
    let search = ClientSearch {
        text: query.get("q").unwrap_or_default().trim().to_owned(),
        status: query.get("status").and_then(ClientStatusKind::parse),
        order: query.get("sort").and_then(ClientOrder::parse).unwrap_or(ClientOrder::Users),
        page: page_number(&query),
    };
    Ok(ListPage {
        page: signed_in.page(Section::AdminApps, app.clock.now()),
        apps: app.store.search_clients(&search).await?,
        search,
    })
}

/// An app with what its registration says.
pub async fn app_of(app: &App, id: &str) -> Result<(ClientRow, Client)> {
    let id = ClientId::parse(id).ok_or(Error::NotFound)?;
    let row = app.store.client_row(&id).await?.ok_or(Error::NotFound)?;
    let client = app.store.client(&id).await?.ok_or(Error::NotFound)?;
    Ok((row, client))
}

/// A domain of an app, and the other apps that send people there.
struct SharedDomain {
    name: String,
    others: Vec<Neighbour>,
}

async fn shared_domains(app: &App, client: &Client) -> Result<Vec<SharedDomain>> {
    let mut domains = Vec::new();
    for name in client.redirect_uris.remote_domains() {
        let others = app.store.clients_with_domain(&name, &client.id).await?;
        domains.push(SharedDomain { name, others });
    }
    Ok(domains)
}

#[derive(Template, WebTemplate)]
#[template(path = "admin/app.html")]
pub struct DetailPage {
    page: Page,
    row: ClientRow,
    client: Client,
    domain: String,
    /// What it may ask for, in plain words; empty if its registration names no scope, which means everything.
    permissions: Vec<String>,
    is_own: bool,
    /// Those of its domains that other apps use too.
    shared: Vec<SharedDomain>,
    history: Vec<LedgerRow>,
}

pub async fn detail(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<DetailPage> {
    let (row, client) = app_of(&app, &id).await?;
    let scopes = app.store.scopes().await?;
    let allowed = client.scope.iter().flat_map(|scope| scopes.of(scope));
    let mut shared = shared_domains(&app, &client).await?;
    shared.retain(|domain| !domain.others.is_empty());
    Ok(DetailPage {
        page: signed_in.page(Section::AdminApps, app.clock.now()),
        domain: client.redirect_uris.first_domain(),
        permissions: allowed.map(|entry| entry.description.clone()).collect(),
        is_own: client.owner == signed_in.user.id,
        shared,
        history: app.store.client_history(&client.id).await?,
        row,
        client,
    })
}

/// The two acts that stop an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StopKind {
    Suspend,
    Ban,
}

impl StopKind {
    /// Whether it would change anything.
    fn can_stop(self, row: &ClientRow) -> bool {
        row.status.is_active() || self == Self::Ban && row.status.is_suspended()
    }
}

#[derive(Template, WebTemplate)]
#[template(path = "admin/shut.html")]
pub struct ShutPage {
    page: Page,
    /// How long it may take.
    worst_case: String,
    row: ClientRow,
    client: Client,
    act: StopKind,
    /// What a ban refuses at registration and in authorization requests.
    domains: Vec<SharedDomain>,
    reason: ReasonField,
}

impl ShutPage {
    async fn new(
        app: &App,
        signed_in: &SignedIn,
        (row, client): (ClientRow, Client),
        act: StopKind,
        reason: ReasonField,
    ) -> Result<Self> {
        let now = app.clock.now();
        let domains = shared_domains(app, &client).await?;
        let worst_case = worst_case_everywhere(app, Some(&row.id), now).await?;
        let page = signed_in.page(Section::AdminApps, now);
        Ok(Self { page, worst_case, row, client, act, domains, reason })
    }
}

pub fn to_app(id: &ClientId) -> Redirect {
    Redirect::to(&format!("/admin/apps/{id}"))
}

async fn show_stop(app: &App, signed_in: &SignedIn, id: &str, act: StopKind) -> Result<Response> {
    let (row, client) = app_of(app, id).await?;
    if !act.can_stop(&row) {
        return Ok(to_app(&row.id).into_response());
    }
    let shown = ShutPage::new(app, signed_in, (row, client), act, APP_REASON).await?;
    Ok(shown.into_response())
}

/// Stops the app, with the reason in `form`; then to the receipt, or to the app if there was nothing left to do.
async fn shut(app: &App, signed_in: &SignedIn, id: &str, act: StopKind, form: &Form) -> Result<Response> {
    let now = app.clock.now();
    let (row, client) = app_of(app, id).await?;
    if !act.can_stop(&row) {
        return Ok(to_app(&row.id).into_response());
    }
    let reason = match APP_REASON.read(&form.0) {
        Ok(reason) => reason,
        Err(refused) => {
            let shown = ShutPage::new(app, signed_in, (row, client), act, refused).await?;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, shown).into_response());
        }
    };
    let by = signed_in.by(now);
    let receipt = match act {
        StopKind::Suspend => revoke::suspend_client(&app.store, client.id, reason, by).await?,
        StopKind::Ban => revoke::ban_client(&app.store, client.id, reason, by).await?,
    };
    Ok(done(receipt.as_ref(), &to_app(&row.id)).into_response())
}

/// To the receipt; or, where nothing was left to do, to `otherwise`.
pub fn done(receipt: Option<&ReceiptId>, otherwise: &Redirect) -> Redirect {
    receipt.map_or_else(|| otherwise.clone(), |receipt| Redirect::to(&format!("/receipts/{receipt}")))
}

pub async fn suspend_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Response> {
    show_stop(&app, &signed_in, &id, StopKind::Suspend).await
}

pub async fn suspend(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response> {
    shut(&app, &signed_in, &id, StopKind::Suspend, &form).await
}

pub async fn ban_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Response> {
    show_stop(&app, &signed_in, &id, StopKind::Ban).await
}

pub async fn ban(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response> {
    shut(&app, &signed_in, &id, StopKind::Ban, &form).await
}

#[derive(Template, WebTemplate)]
#[template(path = "admin/reinstate.html")]
pub struct ReinstatePage {
    page: Page,
    row: ClientRow,
    reason: ReasonField,
}

pub async fn reinstate_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Response> {
    let (row, client) = app_of(&app, &id).await?;
    if client.owner == signed_in.user.id {
        return Err(moderate::Error::Oneself.into());
    }
    if !row.status.is_suspended() {
        return Ok(to_app(&row.id).into_response());
    }
    let page = signed_in.page(Section::AdminApps, app.clock.now());
    Ok(ReinstatePage { page, row, reason: APP_REASON }.into_response())
}

pub async fn reinstate(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form,
) -> Result<Response> {
    let (row, client) = app_of(&app, &id).await?;
    let now = app.clock.now();
    let reason = match APP_REASON.read(&form) {
        Ok(reason) => reason,
        Err(reason) => {
            let shown = ReinstatePage { page: signed_in.page(Section::AdminApps, now), row, reason };
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, shown).into_response());
        }
    };
    let by = signed_in.by(now).because(reason);
    moderate::reinstate_client(&app.store, client.id, signed_in.user.id, by).await?;
    Ok(to_app(&row.id).into_response())
}
