//! `/admin/resource-servers`: the services that accept access tokens, and adding one.

use std::collections::HashSet;
use std::time::Duration;

use askama::Template;
use askama_web::WebTemplate;
use axum::Extension;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::clock::Timestamp;
use crate::model::canary::{Drill, Outcome, PATIENCE};
use crate::model::client::AppName;
use crate::model::id::ResourceServerId;
use crate::model::params::Params;
use crate::model::resource_server::{ResourceServer, is_audience};
use crate::model::scope::Scope;
use crate::model::secret::ResourceServerSecret;
use crate::model::text;
use crate::service::register::{self, NewResourceServer};
use crate::store;
use crate::store::resource_servers::{ScopeEntry, Scopes};
use crate::store::user_lists::ResourceServerRow;
use crate::text::t_with;
use crate::web::error::Result;
use crate::web::form::{Form, Path};
use crate::web::guards::{GuardingForm, GuardsState, server_of};
use crate::web::once::{self, Brought};
use crate::web::page::{Page, Section};
use crate::web::session::SignedIn;

/// The longest description of a scope, in characters.
const LONGEST_DESCRIPTION: usize = 200;

struct ListedServer {
    row: ResourceServerRow,
    scopes: Vec<ScopeEntry>,
    guards: GuardsState,
}

#[derive(Template, WebTemplate)]
#[template(path = "admin/resource_servers.html")]
pub struct ListPage {
    page: Page,
    servers: Vec<ListedServer>,
    drill: Option<Drill>,
}

impl ListPage {
    fn drill_sentence(&self, drill: &Drill) -> String {
        match drill.outcome {
            Outcome::Passed(times) => t_with("drill-passed", &[("rounds", &u64::from(times.rounds))]),
            Outcome::Failed { rounds } => {
                t_with("drill-failed", &[("rounds", &u64::from(rounds)), ("seconds", &PATIENCE.as_secs())])
            }
        }
    }

    /// What stands in the drill's figures, and how long it took; nothing of one that failed.
    fn drill_times(&self, drill: &Drill) -> Vec<(&'static str, String)> {
        let Outcome::Passed(times) = drill.outcome else { return Vec::new() };
        let took = |time: Duration| {
            let ms = format!("{:.1}", time.as_secs_f64() * 1000.0);
            t_with("drill-ms", &[("ms", &ms)])
        };
        vec![("drill-p50", took(times.p50)), ("drill-p99", took(times.p99)), ("drill-max", took(times.max))]
    }
}

pub async fn list(State(app): State<App>, signed_in: SignedIn) -> Result<ListPage> {
    let now = app.clock.now();
    let rows = app.store.resource_server_rows().await?;
    let registered = app.store.resource_servers().await?;
    let scopes = app.store.scopes().await?;
    let tip = app.store.feed_tip().await?;
    let listed = |row: ResourceServerRow| {
        let server = registered.iter().find(|server| server.id == row.id)?;
        let guards = GuardsState::of(&app, server, tip, now);
        Some(ListedServer { scopes: scopes.of_audience(&server.audience), row, guards })
    };
    let servers = rows.into_iter().filter_map(listed).collect();
    let drill = app.store.last_drill().await?;
    Ok(ListPage { page: signed_in.page(Section::ResourceServers, now), servers, drill })
}

/// What stands in the form, and what is wrong with it: a message key for each field.
#[derive(Clone, Debug, Default)]
struct NewForm {
    name: String,
    audience: String,
    scopes: String,
    guarding: GuardingForm,
    name_error: Option<&'static str>,
    audience_error: Option<&'static str>,
    scopes_error: Option<&'static str>,
}

impl NewForm {
    fn read(fields: &Params) -> Self {
        let text = |name| fields.get(name).unwrap_or_default().trim().to_owned();
        Self {
            name: text("name"),
            audience: text("audience"),
            scopes: text("scopes"),
            guarding: GuardingForm::read_or_usual(fields),
            ..Self::default()
        }
    }

    /// What it asks for; `Err` is the form with what is wrong in it.
    fn parse(mut self, known: &Scopes) -> std::result::Result<NewResourceServer, Box<Self>> {
        let is_known = |audience: &str| known.entries().iter().any(|entry| entry.audience == audience);
        let name = AppName::parse(&self.name);
        self.name_error = name.is_err().then_some("error-server-name");
        self.audience_error = if !is_audience(&self.audience) {
            Some("error-server-audience")
        } else {
            is_known(&self.audience).then_some("error-server-audience-taken")
        };
        let taken: HashSet<&str> = known.entries().iter().map(|entry| entry.name.as_str()).collect();
        let scopes = parse_scopes(&self.scopes, |name| taken.contains(name));
        self.scopes_error = scopes.as_ref().err().copied();
        let guarding = self.guarding.parse();
        match (name, scopes, guarding, self.audience_error) {
            (Ok(name), Ok(scopes), Some(guarding), None) => {
                Ok(NewResourceServer { name: name.to_string(), audience: self.audience, scopes, guarding })
            }
            _ => Err(Box::new(self)),
        }
    }
}

/// Lines of `NAME=What it allows, in plain words`; names that `is_taken` are refused.
///
/// # Errors
/// What is wrong, as a message key.
pub fn parse_scopes(
    text: &str,
    is_taken: impl Fn(&str) -> bool,
) -> std::result::Result<Vec<(String, String)>, &'static str> {
    let mut named: HashSet<&str> = HashSet::new();
    let mut scopes: Vec<(String, String)> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, words) = line.split_once('=').ok_or("error-server-scopes-line")?;
        let name = name.trim();
        if !Scope::is_name(name) {
            return Err("error-server-scopes-name");
        }
        let words = text::line(words, LONGEST_DESCRIPTION).map_err(|_| "error-server-scopes-words")?;
        if is_taken(name) || !named.insert(name) {
            return Err("error-server-scopes-taken");
        }
        scopes.push((name.to_owned(), words));
    }
    if scopes.is_empty() { Err("error-server-scopes-empty") } else { Ok(scopes) }
}

#[derive(Template, WebTemplate)]
#[template(path = "admin/resource_server_new.html")]
pub struct NewPage {
    page: Page,
    form: NewForm,
}

impl NewPage {
    fn is_refused(&self) -> bool {
        let NewForm { name_error, audience_error, scopes_error, guarding, .. } = &self.form;
        [name_error, audience_error, scopes_error, &guarding.error].into_iter().any(|error| error.is_some())
    }
}

pub async fn new_page(State(app): State<App>, signed_in: SignedIn) -> NewPage {
    let page = signed_in.page(Section::ResourceServers, app.clock.now());
    NewPage { page, form: NewForm::default() }
}

/// A new secret, on the page that shows it once.
#[derive(Template, WebTemplate)]
#[template(path = "admin/resource_server_secret.html")]
pub struct SecretPage {
    page: Page,
    server: ResourceServer,
    /// `None` once it has been shown.
    secret: Option<ResourceServerSecret>,
    /// When the last of the earlier ones stops.
    earlier_until: Option<Timestamp>,
}

fn secret_path(id: &ResourceServerId) -> String {
    format!("/admin/resource-servers/{id}/secret")
}

/// To the page that shows a resource server's new secret once.
pub fn to_secret(app: &App, id: &ResourceServerId, secret: &ResourceServerSecret) -> Result<Response> {
    once::to_page(&secret_path(id), secret.expose(), app.config.issuer.transport())
}

pub async fn secret_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    method: Method,
    brought: Option<Extension<Brought>>,
) -> Result<Response> {
    let server = server_of(&app, &id).await?;
    let now = app.clock.now();
    // Only a secret that works is shown: anybody could have put a cookie there.
    let is_valid = |secret: &ResourceServerSecret| server.secret.matches(&secret.digest());
    let secret = brought.and_then(|brought| ResourceServerSecret::parse(brought.text())).filter(is_valid);
    let path = secret_path(&server.id);
    let page = signed_in.page(Section::ResourceServers, now);
    let earlier_until = server.earlier_until(now);
    let page = SecretPage { page, server, secret, earlier_until };
    once::shown(page, &path, &method, app.config.issuer.transport())
}

pub async fn register(State(app): State<App>, signed_in: SignedIn, Form(form): Form) -> Result<Response> {
    let now = app.clock.now();
    let page = signed_in.page(Section::ResourceServers, now);
    let form = NewForm::read(&form);
    let refuse = |page, form| (StatusCode::UNPROCESSABLE_ENTITY, NewPage { page, form }).into_response();
    let new = match form.clone().parse(&app.store.scopes().await?) {
        Ok(new) => new,
        Err(form) => return Ok(refuse(page, *form)),
    };
    match register::resource_server(&app.store, new, signed_in.by(now)).await {
        Ok((id, secret)) => to_secret(&app, &id, &secret),
        // A server without scopes, or one that another admin added at this moment.
        Err(register::Error::Store(store::Error::Exists)) => {
            Ok(refuse(page, NewForm { audience_error: Some("error-server-audience-taken"), ..form }))
        }
        Err(error) => Err(error.into()),
    }
}
