//! What admins do to a resource server: change its name and scopes, rotate its secret, delete it.

use std::collections::HashSet;

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use crate::app::App;
use crate::model::client::AppName;
use crate::model::params::Params;
use crate::model::resource_server::ResourceServer;
use crate::service::resource_servers::{self, Edit, Error as VerbError};
use crate::store::resource_servers::{ScopeEntry, Scopes};
use crate::web::app_acts::overlap;
use crate::web::error::{Error, Result};
use crate::web::form::{Form, Path, ReasonField};
use crate::web::guards::editable_server;
use crate::web::page::{Page, Section};
use crate::web::reach::Jwts;
use crate::web::resource_servers::{parse_scopes, to_secret};
use crate::web::session::SignedIn;

/// Only admins read it.
const SERVER_REASON: ReasonField = ReasonField::new("reason-hint-server");

impl From<VerbError> for Error {
    fn from(error: VerbError) -> Self {
        match error {
            VerbError::Store(error) => error.into(),
            VerbError::NotFound => Self::NotFound,
            // The form says these beside its fields.
            VerbError::Changed | VerbError::NoScope(_) | VerbError::ScopeTaken(_) => Self::Internal,
        }
    }
}

fn to_server(server: &ResourceServer) -> Response {
    Redirect::to(&format!("/admin/resource-servers/{}", server.id)).into_response()
}

fn scopes_of<'a>(scopes: &'a Scopes, server: &'a ResourceServer) -> impl Iterator<Item = &'a ScopeEntry> {
    scopes.entries().iter().filter(|entry| *entry.audience == *server.audience)
}

#[derive(Template, WebTemplate)]
#[template(path = "admin/resource_server_edit.html")]
pub struct EditPage {
    page: Page,
    server: ResourceServer,
    name: String,
    scopes: String,
    /// The version that the form shows.
    seen: i64,
    name_error: Option<&'static str>,
    scopes_error: Option<&'static str>,
    /// Somebody else changed it meanwhile.
    is_outdated: bool,
}

impl EditPage {
    async fn new(app: &App, signed_in: &SignedIn, server: ResourceServer) -> Result<Self> {
        let scopes = app.store.scopes().await?;
        let lines = scopes_of(&scopes, &server).map(|entry| format!("{}={}", entry.name, entry.description));
        Ok(Self {
            page: signed_in.page(Section::ResourceServers, app.clock.now()),
            name: server.name.to_string(),
            scopes: lines.collect::<Vec<_>>().join("\n"),
            seen: server.version,
            name_error: None,
            scopes_error: None,
            is_outdated: false,
            server,
        })
    }

    fn is_refused(&self) -> bool {
        self.name_error.is_some() || self.scopes_error.is_some() || self.is_outdated
    }

    /// With what was typed in place of what there is.
    fn typed(self, form: &Params) -> Self {
        let text = |name| form.get(name).unwrap_or_default().trim().to_owned();
        let seen = form.get("version").and_then(|version| version.parse().ok());
        Self { name: text("name"), scopes: text("scopes"), seen: seen.unwrap_or(self.seen), ..self }
    }

    /// What the form asks for; `None` once it says what is wrong.
    fn parse(&mut self, registered: &Scopes) -> Option<Edit> {
        self.name_error = AppName::parse(&self.name).is_err().then_some("error-server-name");
        let others = registered.entries().iter().filter(|entry| *entry.audience != *self.server.audience);
        let others: HashSet<&str> = others.map(|entry| entry.name.as_str()).collect();
        let scopes = parse_scopes(&self.scopes, |name| others.contains(name));
        self.scopes_error = scopes.as_ref().err().copied();
        let scopes = scopes.ok().filter(|_| self.name_error.is_none())?;
        let is_left_out = |entry: &&ScopeEntry| !scopes.iter().any(|(name, _)| *name == entry.name);
        let deleted = scopes_of(registered, &self.server).filter(is_left_out).map(|entry| entry.name.clone());
        Some(Edit {
            name: Some(self.name.clone()),
            deleted: deleted.collect(),
            scopes,
            seen: Some(self.seen),
        })
    }
}

fn refused(page: EditPage) -> Response {
    let status = if page.is_outdated { StatusCode::CONFLICT } else { StatusCode::UNPROCESSABLE_ENTITY };
    (status, page).into_response()
}

pub async fn edit_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<EditPage> {
    EditPage::new(&app, &signed_in, editable_server(&app, &id).await?).await
}

pub async fn edit(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form,
) -> Result<Response> {
    let server = editable_server(&app, &id).await?;
    let mut page = EditPage::new(&app, &signed_in, server.clone()).await?.typed(&form);
    let Some(edit) = page.parse(&app.store.scopes().await?) else { return Ok(refused(page)) };
    let by = signed_in.by(app.clock.now());
    match resource_servers::edit(&app.store, server.id.clone(), edit, by).await {
        Ok(()) => Ok(to_server(&server)),
        Err(VerbError::ScopeTaken(_)) => {
            Ok(refused(EditPage { scopes_error: Some("error-server-scopes-taken"), ..page }))
        }
        // Shown as it is now: what was typed was meant for something else.
        Err(VerbError::Changed | VerbError::NoScope(_)) => {
            let page = EditPage::new(&app, &signed_in, editable_server(&app, &id).await?).await?;
            Ok(refused(EditPage { is_outdated: true, ..page }))
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Template, WebTemplate)]
#[template(path = "admin/resource_server_rotate.html")]
pub struct RotatePage {
    page: Page,
    server: ResourceServer,
    /// As it was typed.
    overlap_hours: String,
    is_refused: bool,
}

pub async fn rotate_secret_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<RotatePage> {
    let server = editable_server(&app, &id).await?;
    let page = signed_in.page(Section::ResourceServers, app.clock.now());
    Ok(RotatePage { page, server, overlap_hours: "24".to_owned(), is_refused: false })
}

pub async fn rotate_secret(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form,
) -> Result<Response> {
    let now = app.clock.now();
    let server = editable_server(&app, &id).await?;
    let typed = form.get("overlap_hours").unwrap_or_default().trim();
    let Some(overlap) = overlap(typed) else {
        let page = signed_in.page(Section::ResourceServers, now);
        let page = RotatePage { page, server, overlap_hours: typed.to_owned(), is_refused: true };
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    };
    let rotated = resource_servers::rotate_secret(&app.store, server.id.clone(), overlap, signed_in.by(now));
    to_secret(&app, &server.id, &rotated.await?)
}

#[derive(Template, WebTemplate)]
#[template(path = "admin/resource_server_delete.html")]
pub struct DeletePage {
    page: Page,
    server: ResourceServer,
    /// What its scopes allow, in plain words.
    scopes: Vec<ScopeEntry>,
    /// Minutes for which a JWT that nobody looks up may still work there: no guard tells it.
    unguarded_minutes: Option<u64>,
    /// What was typed instead of the name.
    typed: Option<String>,
    reason: ReasonField,
}

impl DeletePage {
    async fn new(app: &App, signed_in: &SignedIn, server: ResourceServer) -> Result<Self> {
        let now = app.clock.now();
        let is_open = !server.is_guarded() && Jwts::of(&app.store, [None], now).await? == Jwts::Possible;
        let minutes = app.guards.longest_life().as_secs().div_ceil(60);
        Ok(Self {
            page: signed_in.page(Section::ResourceServers, now),
            scopes: scopes_of(&app.store.scopes().await?, &server).cloned().collect(),
            unguarded_minutes: is_open.then_some(minutes),
            typed: None,
            reason: SERVER_REASON,
            server,
        })
    }

    fn is_refused(&self) -> bool {
        self.typed.is_some() || self.reason.error.is_some()
    }

    fn name_refusal(&self) -> String {
        let name = self.server.name.as_ref();
        match self.typed.as_deref().unwrap_or_default() {
            "" => self.page.t1("delete-empty", "app", name),
            typed => self.page.t2("delete-typed", "typed", typed, "app", name),
        }
    }
}

pub async fn delete_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<DeletePage> {
    DeletePage::new(&app, &signed_in, editable_server(&app, &id).await?).await
}

/// Pages show white space as one space.
fn is_name(typed: &str, name: &str) -> bool {
    typed.split_whitespace().eq(name.split_whitespace())
}

pub async fn delete(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form,
) -> Result<Response> {
    let server = editable_server(&app, &id).await?;
    let typed = form.get("name").unwrap_or_default().trim();
    let typed = (!is_name(typed, &server.name)).then(|| typed.to_owned());
    let reason = match (SERVER_REASON.read(&form), &typed) {
        (Ok(reason), None) => reason,
        (read, _) => {
            let reason = read.map_or_else(|refused| refused, |text| ReasonField { text, ..SERVER_REASON });
            let page = DeletePage { typed, reason, ..DeletePage::new(&app, &signed_in, server).await? };
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
    };
    let by = signed_in.by(app.clock.now()).because(reason);
    resource_servers::delete(&app.store, server.id.clone(), by).await?;
    Ok(to_server(&server))
}
