//! `/admin/resource-servers/{id}`: a resource server's guards, how fresh they are, and what is expected of them.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use crate::app::App;
use crate::clock::Timestamp;
use crate::model::canary;
use crate::model::id::ResourceServerId;
use crate::model::params::Params;
use crate::model::resource_server::{Guard, Guarding, MaxStaleness, ResourceServer};
use crate::service::guards::GuardStatus;
use crate::service::register;
use crate::store::feed::Tip;
use crate::store::receipts::LedgerRow;
use crate::store::resource_servers::ScopeEntry;
use crate::text::{t, t_with};
use crate::web::error::{Error, Result};
use crate::web::form::{Form, Path};
use crate::web::page::{Page, Section};
use crate::web::session::SignedIn;

/// What is expected of a resource server's guards, as it stands in a form.
#[derive(Clone, Debug)]
pub struct GuardingForm {
    pub max_staleness: String,
    pub guard: String,
    pub error: Option<&'static str>,
}

impl Default for GuardingForm {
    fn default() -> Self {
        Self::showing(Guarding::default())
    }
}

impl GuardingForm {
    fn showing(guarding: Guarding) -> Self {
        let max_staleness = guarding.max_staleness.seconds().to_string();
        Self { max_staleness, guard: guarding.guard.as_str().to_owned(), error: None }
    }

    pub fn read(fields: &Params) -> Self {
        let text = |name| fields.get(name).unwrap_or_default().trim().to_owned();
        Self { max_staleness: text("max_staleness"), guard: text("guard"), error: None }
    }

    /// The usual settings if the fields are missing.
    pub fn read_or_usual(fields: &Params) -> Self {
        let is_silent = fields.get("max_staleness").is_none() && fields.get("guard").is_none();
        if is_silent { Self::default() } else { Self::read(fields) }
    }

    /// Whether the choice is that no guard runs.
    pub fn expects_none(&self) -> bool {
        Guard::parse(&self.guard) == Some(Guard::None)
    }

    /// `None` once `error` says what is wrong.
    pub fn parse(&mut self) -> Option<Guarding> {
        let guarding = Guard::parse(&self.guard).zip(MaxStaleness::parse(&self.max_staleness));
        if guarding.is_none() {
            self.error = Some("error-server-staleness");
        }
        guarding.map(|(guard, max_staleness)| Guarding { guard, max_staleness })
    }
}

/// A guard that was heard from recently.
pub struct ListedGuard {
    status: GuardStatus,
    freshness: Freshness,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freshness {
    /// It knows every revocation and the current keys.
    Fresh,
    /// It answers, but something newer has not reached it.
    Behind,
    /// Its lease is over: it accepts nothing until it has caught up.
    Silent,
}

impl ListedGuard {
    fn name(&self) -> &str {
        self.status.instance.get(..8).unwrap_or(&self.status.instance)
    }

    fn is_fresh(&self) -> bool {
        self.freshness == Freshness::Fresh
    }

    fn word(&self) -> String {
        t(match self.freshness {
            Freshness::Fresh => "guard-fresh",
            Freshness::Behind => "guard-behind",
            Freshness::Silent => "guard-silent",
        })
    }
}

/// Whether a resource server has guards, and how fresh they are.
pub struct GuardsState {
    guarded: Guarded,
    instances: Vec<ListedGuard>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guarded {
    Yes,
    /// The operator says that no guard runs.
    No,
    /// No guard was ever heard from.
    NotYet,
}

impl GuardsState {
    pub fn of(app: &App, server: &ResourceServer, tip: Tip, now: Timestamp) -> Self {
        let head = app.feed.head_of(&server.audience);
        let freshness = |status: &GuardStatus| match &status.acknowledged {
            _ if status.lease <= now => Freshness::Silent,
            said if said.through >= head && said.keys_version == tip.keys_version => Freshness::Fresh,
            _ => Freshness::Behind,
        };
        let guarded = match server.guarding.guard {
            Guard::None => Guarded::No,
            Guard::Expected if server.is_guarded() => Guarded::Yes,
            Guard::Expected => Guarded::NotYet,
        };
        let instances = app.guards.of_server(&server.id).into_iter();
        let instances =
            instances.map(|status| ListedGuard { freshness: freshness(&status), status }).collect();
        Self { guarded, instances }
    }

    /// Whether a guard is expected, and none that runs is behind.
    pub fn is_good(&self) -> bool {
        self.guarded == Guarded::Yes
            && self.instances.iter().all(|instance| instance.freshness != Freshness::Behind)
    }

    pub fn word(&self) -> String {
        let running =
            self.instances.iter().filter(|instance| instance.freshness != Freshness::Silent).count();
        let fresh = self.instances.iter().filter(|instance| instance.is_fresh()).count();
        match self.guarded {
            Guarded::No => t("server-guard-none"),
            Guarded::NotYet => t("server-guard-not-yet"),
            Guarded::Yes if running == 0 => t("server-guard-nobody"),
            Guarded::Yes => t_with("server-guard-fresh", &[("fresh", &fresh), ("count", &running)]),
        }
    }

    pub fn sentence(&self) -> String {
        t(match self.guarded {
            Guarded::No => "server-guard-none-text",
            Guarded::NotYet => "server-guard-not-yet-text",
            Guarded::Yes => "server-guard-text",
        })
    }
}

#[derive(Template, WebTemplate)]
#[template(path = "admin/resource_server.html")]
pub struct ServerPage {
    page: Page,
    server: ResourceServer,
    guards: GuardsState,
    form: GuardingForm,
    scopes: Vec<ScopeEntry>,
    earlier_until: Option<Timestamp>,
    /// Nobody may change the drill's.
    is_editable: bool,
    history: Vec<LedgerRow>,
}

impl ServerPage {
    async fn new(
        app: &App,
        signed_in: &SignedIn,
        server: ResourceServer,
        form: GuardingForm,
    ) -> Result<Self> {
        let now = app.clock.now();
        let scopes = app.store.scopes().await?;
        Ok(Self {
            page: signed_in.page(Section::ResourceServers, now),
            guards: GuardsState::of(app, &server, app.store.feed_tip().await?, now),
            form,
            scopes: scopes.of_audience(&server.audience),
            earlier_until: server.earlier_until(now),
            is_editable: is_editable(&server),
            history: app.store.resource_server_history(&server.id).await?,
            server,
        })
    }
}

/// One that was deleted: its history stays.
#[derive(Template, WebTemplate)]
#[template(path = "admin/resource_server_deleted.html")]
pub struct DeletedPage {
    page: Page,
    server: ResourceServer,
    deleted_at: Timestamp,
    history: Vec<LedgerRow>,
}

/// The resource server that a page's address names.
///
/// # Errors
/// `NotFound`.
pub async fn server_of(app: &App, id: &str) -> Result<ResourceServer> {
    let id = ResourceServerId::parse(id).ok_or(Error::NotFound)?;
    app.store.resource_server(&id).await?.ok_or(Error::NotFound)
}

fn is_editable(server: &ResourceServer) -> bool {
    *server.audience != *canary::AUDIENCE
}

/// The same, if it is one that admins may change.
///
/// # Errors
/// `NotFound`.
pub async fn editable_server(app: &App, id: &str) -> Result<ResourceServer> {
    Some(server_of(app, id).await?).filter(is_editable).ok_or(Error::NotFound)
}

pub async fn detail(State(app): State<App>, signed_in: SignedIn, Path(id): Path<String>) -> Result<Response> {
    let id = ResourceServerId::parse(&id).ok_or(Error::NotFound)?;
    if let Some(server) = app.store.deleted_resource_server(&id).await?
        && let Some(deleted_at) = server.deleted_at
    {
        let history = app.store.resource_server_history(&server.id).await?;
        let page = signed_in.page(Section::ResourceServers, app.clock.now());
        return Ok(DeletedPage { page, server, deleted_at, history }.into_response());
    }
    let server = app.store.resource_server(&id).await?.ok_or(Error::NotFound)?;
    let form = GuardingForm::showing(server.guarding);
    Ok(ServerPage::new(&app, &signed_in, server, form).await?.into_response())
}

pub async fn change(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form,
) -> Result<Response> {
    let server = server_of(&app, &id).await?;
    let mut form = GuardingForm::read(&form);
    let Some(guarding) = form.parse() else {
        let page = ServerPage::new(&app, &signed_in, server, form).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    };
    let by = signed_in.by(app.clock.now());
    register::guarding(&app.store, server.id.clone(), guarding, by).await?;
    Ok(Redirect::to(&format!("/admin/resource-servers/{}", server.id)).into_response())
}
