//! The form of an app's registration: register it, and change what it says.

use std::collections::HashSet;

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use crate::app::App;
use crate::model::client::{
    AppName, Client, ClientKind, ClientStatus, GrantType, GrantTypes, RedirectUri, TokenFormat,
};
use crate::model::params::Params;
use crate::model::scope::Scope;
use crate::service::register::{self, ClientEdit, NewClient};
use crate::store::resource_servers::Scopes;
use crate::store::users::User;
use crate::web::app_acts::to_secret;
use crate::web::developer::{Notice, own, to_app};
use crate::web::error::Result;
use crate::web::form::{Form, Path};
use crate::web::page::{Page, Section};
use crate::web::session::SignedIn;

/// Redirect addresses of one app.
const MOST_REDIRECTS: usize = 10;

/// A field that can't stay as it is, and the sentence that says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub field: &'static str,
    /// Which of several inputs of that name, from 0; `None` for all of them.
    pub place: Option<usize>,
    pub key: &'static str,
}

impl Fault {
    const fn new(field: &'static str, key: &'static str) -> Self {
        Self { field, place: None, key }
    }
}

/// What somebody typed, as they typed it.
#[derive(Clone, Debug, Default)]
pub struct AppForm {
    pub name: String,
    pub publisher: String,
    pub redirect_uris: Vec<String>,
    pub kind: String,
    pub token_format: String,
    pub grant_types: Vec<String>,
    pub scopes: Vec<String>,
}

/// The value of a field, or its fault among the others.
fn kept<T>(
    value: std::result::Result<T, &'static str>,
    field: &'static str,
    faults: &mut Vec<Fault>,
) -> Option<T> {
    value.map_err(|key| faults.push(Fault::new(field, key))).ok()
}

impl AppForm {
    fn empty() -> Self {
        Self {
            kind: ClientKind::Confidential.as_str().to_owned(),
            token_format: TokenFormat::Opaque.as_str().to_owned(),
            ..Self::default()
        }
    }

    /// Fields may repeat, and one redirect field may hold several lines; empty ones count for nothing.
    fn typed(fields: &Params) -> Self {
        let one = |name| fields.get(name).unwrap_or_default().to_owned();
        let all = |name| fields.all(name).map(str::to_owned).collect();
        let lines = fields.all("redirect_uri").flat_map(str::lines).map(str::trim);
        Self {
            name: one("name"),
            publisher: one("publisher"),
            redirect_uris: lines.filter(|line| !line.is_empty()).map(str::to_owned).collect(),
            kind: one("type"),
            token_format: fields.get("token_format").unwrap_or(TokenFormat::Opaque.as_str()).to_owned(),
            grant_types: all("grant_type"),
            scopes: all("scope"),
        }
    }

    fn of(client: &Client) -> Self {
        Self {
            name: client.name.to_string(),
            publisher: client.publisher.clone(),
            redirect_uris: client.redirect_uris.iter().map(RedirectUri::to_string).collect(),
            scopes: client.scope.iter().flat_map(Scope::names).map(str::to_owned).collect(),
            token_format: client.token_format.as_str().to_owned(),
            ..Self::default()
        }
    }

    /// The redirect addresses with room for more.
    fn redirect_inputs(&self) -> impl Iterator<Item = &str> {
        let inputs = (self.redirect_uris.len() + 1).clamp(3, MOST_REDIRECTS.max(self.redirect_uris.len()));
        self.redirect_uris.iter().map(String::as_str).chain(std::iter::repeat("")).take(inputs)
    }

    fn publisher(&self, user: &User) -> std::result::Result<String, &'static str> {
        if self.publisher.trim().is_empty() {
            return Ok(user.username.to_string());
        }
        match AppName::parse(&self.publisher) {
            Ok(name) => Ok(name.to_string()),
            Err("error-name-long") => Err("error-publisher-long"),
            Err(_) => Err("error-publisher-characters"),
        }
    }

    fn redirects(&self, faults: &mut Vec<Fault>) -> Vec<RedirectUri> {
        if self.redirect_uris.is_empty() {
            faults.push(Fault::new("redirect_uri", "error-redirect-empty"));
        }
        if self.redirect_uris.len() > MOST_REDIRECTS {
            faults.push(Fault {
                place: Some(MOST_REDIRECTS),
                ..Fault::new("redirect_uri", "error-redirect-many")
            });
        }
        let mut uris = Vec::with_capacity(self.redirect_uris.len());
        for (place, text) in self.redirect_uris.iter().enumerate().take(MOST_REDIRECTS) {
            match RedirectUri::parse(text) {
                Ok(uri) if uris.contains(&uri) => {}
                Ok(uri) => uris.push(uri),
                Err(key) => faults.push(Fault { place: Some(place), ..Fault::new("redirect_uri", key) }),
            }
        }
        uris
    }

    fn scope(&self, registered: &Scopes) -> std::result::Result<Option<Scope>, &'static str> {
        if self.scopes.is_empty() {
            return Ok(None);
        }
        let known: HashSet<&str> = registered.entries().iter().map(|entry| entry.name.as_str()).collect();
        if !self.scopes.iter().all(|name| known.contains(name.as_str())) {
            return Err("error-scope-unknown");
        }
        Ok(Some(self.scopes.iter().map(String::as_str).collect()))
    }

    /// What may change once an app is registered.
    fn edit(&self, user: &User, registered: &Scopes) -> std::result::Result<ClientEdit, Vec<Fault>> {
        let mut faults = Vec::new();
        let name = kept(AppName::parse(&self.name), "name", &mut faults);
        let publisher = kept(self.publisher(user), "publisher", &mut faults);
        let redirect_uris = self.redirects(&mut faults);
        let scope = kept(self.scope(registered), "scope", &mut faults);
        let format = TokenFormat::parse(&self.token_format).ok_or("error-token-format");
        let format = kept(format, "token_format", &mut faults);
        match (name, publisher, scope, format) {
            (Some(name), Some(publisher), Some(scope), Some(token_format)) if faults.is_empty() => {
                Ok(ClientEdit { name, publisher, redirect_uris, scope, token_format })
            }
            _ => Err(faults),
        }
    }

    fn grant_types(&self, kind: Option<ClientKind>) -> std::result::Result<GrantTypes, &'static str> {
        let mut types = vec![GrantType::AuthorizationCode, GrantType::RefreshToken];
        for name in &self.grant_types {
            let grant = GrantType::parse(name).ok_or("error-grant-type-unknown")?;
            if !types.contains(&grant) {
                types.push(grant);
            }
        }
        // Only a confidential client can prove that it asks for itself (RFC 6749 §4.4).
        if kind == Some(ClientKind::Public) && types.contains(&GrantType::ClientCredentials) {
            return Err("error-grant-type-public");
        }
        Ok(GrantTypes::new(types))
    }

    fn registration(&self, user: &User, registered: &Scopes) -> std::result::Result<NewClient, Vec<Fault>> {
        let (edit, mut faults) = match self.edit(user, registered) {
            Ok(edit) => (Some(edit), Vec::new()),
            Err(faults) => (None, faults),
        };
        let kind = kept(ClientKind::parse(&self.kind).ok_or("error-type"), "type", &mut faults);
        let grant_types = kept(self.grant_types(kind), "grant_type", &mut faults);
        match (edit, kind, grant_types) {
            (Some(edit), Some(kind), Some(grant_types)) => Ok(NewClient {
                owner: user.id.clone(),
                name: edit.name,
                publisher: edit.publisher,
                kind,
                token_format: edit.token_format,
                grant_types,
                scope: edit.scope,
                redirect_uris: edit.redirect_uris,
            }),
            _ => Err(faults),
        }
    }
}

#[derive(Template, WebTemplate)]
#[template(path = "developer/form.html")]
pub struct FormPage {
    page: Page,
    /// The app that is changed; `None` for one to be.
    client: Option<Client>,
    form: AppForm,
    scopes: Scopes,
    faults: Vec<Fault>,
}

impl FormPage {
    fn refused(mut self, faults: Vec<Fault>) -> Response {
        self.faults = faults;
        (StatusCode::UNPROCESSABLE_ENTITY, self).into_response()
    }

    fn title(&self) -> String {
        match &self.client {
            Some(client) => self.page.t1("form-edit-title", "app", &client.name),
            None => self.page.t("form-new-title"),
        }
    }

    const fn refusal(&self) -> &'static str {
        if self.client.is_some() { "form-edit-refused" } else { "form-new-refused" }
    }

    fn hint(&self, prefix: &str, name: &str) -> String {
        self.page.t(&format!("{prefix}{name}-hint"))
    }

    fn faults_of<'a>(&'a self, field: &'a str) -> impl Iterator<Item = &'a Fault> {
        self.faults.iter().filter(move |fault| fault.field == field)
    }

    fn is_refused(&self, field: &str) -> bool {
        self.faults_of(field).next().is_some()
    }

    fn is_refused_at(&self, field: &str, place: &usize) -> bool {
        self.faults_of(field).any(|fault| fault.place.is_none_or(|at| at == *place))
    }

    /// Why, naming the input where there are several.
    fn sentence(&self, fault: &Fault) -> String {
        match fault.place {
            Some(place) => {
                self.page.t2("form-redirect-fault", "count", place + 1, "fault", self.page.t(fault.key))
            }
            None => self.page.t(fault.key),
        }
    }

    fn has_scope(&self, name: &str) -> bool {
        self.form.scopes.iter().any(|ticked| ticked == name)
    }

    fn has_grant_type(&self, name: &str) -> bool {
        self.form.grant_types.iter().any(|ticked| ticked == name)
    }
}

/// Beside its field, what only the database knows to be wrong with a registration.
fn refusal(error: &register::Error) -> Option<Vec<Fault>> {
    match error {
        register::Error::BannedRedirect => Some(vec![Fault::new("redirect_uri", "error-redirect-banned")]),
        register::Error::LooksLikeAnother => Some(vec![Fault::new("name", "error-name-look-alike")]),
        _ => None,
    }
}

pub async fn new_page(State(app): State<App>, signed_in: SignedIn) -> Result<FormPage> {
    let page = signed_in.page(Section::Apps, app.clock.now());
    let scopes = app.store.scopes().await?;
    Ok(FormPage { page, client: None, form: AppForm::empty(), scopes, faults: Vec::new() })
}

pub async fn register(State(app): State<App>, signed_in: SignedIn, Form(fields): Form) -> Result<Response> {
    let now = app.clock.now();
    let page = signed_in.page(Section::Apps, now);
    let form = AppForm::typed(&fields);
    let scopes = app.store.scopes().await?;
    let page = FormPage { page, client: None, form, scopes, faults: Vec::new() };
    let new = match page.form.registration(&signed_in.user, &page.scopes) {
        Ok(new) => new,
        Err(faults) => return Ok(page.refused(faults)),
    };
    match register::client(&app.store, new, signed_in.by(now)).await {
        Ok((id, Some(secret))) => to_secret(&app, &id, &secret),
        Ok((id, None)) => Ok(Redirect::to(&format!("/apps/{id}")).into_response()),
        Err(error) => refusal(&error).map(|faults| page.refused(faults)).ok_or_else(|| error.into()),
    }
}

pub async fn edit_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Response> {
    let client = own(&app, &signed_in, &id).await?;
    if matches!(client.status, ClientStatus::Banned { .. }) {
        return Ok(to_app(&client.id, Notice::Refused));
    }
    let page = signed_in.page(Section::Apps, app.clock.now());
    let (form, scopes) = (AppForm::of(&client), app.store.scopes().await?);
    Ok(FormPage { page, client: Some(client), form, scopes, faults: Vec::new() }.into_response())
}

/// The scope to register. Where all that an app was bound to has been deleted, the form has nothing to tick: then it
/// stays bound, since an empty form would allow everything.
fn kept_scope(page: &FormPage, ticked: Option<Scope>) -> Option<Scope> {
    let bound = page.client.as_ref().and_then(|client| client.scope.clone());
    let is_gone = |scope: &Scope| page.scopes.of(scope).next().is_none();
    ticked.or_else(|| bound.filter(is_gone))
}

pub async fn edit(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(fields): Form,
) -> Result<Response> {
    let now = app.clock.now();
    let client = own(&app, &signed_in, &id).await?;
    let id = client.id.clone();
    let page = signed_in.page(Section::Apps, now);
    let (form, scopes) = (AppForm::typed(&fields), app.store.scopes().await?);
    let page = FormPage { page, client: Some(client), form, scopes, faults: Vec::new() };
    let edit = match page.form.edit(&signed_in.user, &page.scopes) {
        Ok(edit) => ClientEdit { scope: kept_scope(&page, edit.scope), ..edit },
        Err(faults) => return Ok(page.refused(faults)),
    };
    let by = signed_in.by(now);
    match register::edit_client(&app.store, id.clone(), signed_in.user.id, edit, by).await {
        Ok(()) => Ok(to_app(&id, Notice::Changed)),
        // Banned or deleted meanwhile: its page says so.
        Err(register::Error::NotFound) => Ok(to_app(&id, Notice::Refused)),
        Err(error) => refusal(&error).map(|faults| page.refused(faults)).ok_or_else(|| error.into()),
    }
}
