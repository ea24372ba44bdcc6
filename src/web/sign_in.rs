//! Signing in and out.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use tower_sessions::Session;

use crate::app::App;
use crate::app::address::Address;
use crate::config::Registration;
use crate::metrics::SignInFailure;
use crate::model::client::Client;
use crate::model::params::Params;
use crate::model::password::Password;
use crate::model::user::Username;
use crate::oauth::authorize;
use crate::request;
use crate::service::account;
use crate::service::sign_in_attempts;
use crate::service::sign_in_limit::Purpose;
use crate::store;
use crate::web::error::Result;
use crate::web::form::{Form, Query, local_path};
use crate::web::go_on::{after_form, redirect};
use crate::web::page::{Page, content_security_policy};
use crate::web::session::{self, Viewer};
use crate::web::user_agent;

#[derive(Template, WebTemplate)]
#[template(path = "sign_in.html")]
pub struct SignInPage {
    page: Page,
    /// The app that the person comes from, if any.
    client: Option<Client>,
    next: String,
    username: String,
    error: Option<&'static str>,
    registration: Registration,
}

impl SignInPage {
    async fn new(app: &App, page: Page, fields: &Params) -> (Self, Option<String>) {
        let next = fields.get("next").and_then(local_path).unwrap_or_default();
        let asked = match next.strip_prefix("/oauth/authorize?") {
            Some(query) => authorize::read(app, query).await.ok(),
            None => None,
        };
        let target = asked.as_ref().and_then(|request| request.answers.redirect.private_scheme());
        let username = fields.get("username").unwrap_or_default().to_owned();
        let client = asked.map(|request| request.client);
        (Self { page, client, next, username, error: None, registration: app.config.registration }, target)
    }

    /// For the address of a page that goes on to the same place.
    fn next_field(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).append_pair("next", &self.next).finish()
    }

    /// After signing in, a standing consent may redirect to a private scheme: the policy has to allow it.
    fn respond(self, status: StatusCode, target: Option<&str>) -> Response {
        (status, [(header::CONTENT_SECURITY_POLICY, content_security_policy(target))], self).into_response()
    }
}

pub async fn sign_in_page(State(app): State<App>, viewer: Viewer, Query(query): Query) -> Response {
    if viewer.0.is_some() {
        let next = query.get("next").and_then(local_path).unwrap_or_else(|| "/authorizations".to_owned());
        return Redirect::to(&next).into_response();
    }
    let (page, target) = SignInPage::new(&app, viewer.page(app.clock.now()), &query).await;
    page.respond(StatusCode::OK, target.as_deref())
}

pub async fn sign_in(
    State(app): State<App>,
    session: Session,
    Address(address): Address,
    headers: HeaderMap,
    Form(form): Form,
) -> Result<Response> {
    let (mut page, target) = SignInPage::new(&app, Viewer(None).page(app.clock.now()), &form).await;
    let (name, password) = (form.get("username"), form.get("password"));
    let (Some(name), Some(password)) = (name, password) else {
        page.error = Some(if name.is_none() { "sign-in-no-name" } else { "sign-in-no-password" });
        return Ok(page.respond(StatusCode::UNPROCESSABLE_ENTITY, target.as_deref()));
    };
    let username = Username::parse(name);
    let now = app.clock.now();
    let purpose = username.as_ref().map_or(Purpose::NoAccount, Purpose::SignIn);
    let limited = |error: &sign_in_attempts::Error| {
        let sign_in_attempts::Error::TooMany(_) = error else { return };
        app.metrics.sign_in_failed(SignInFailure::Limited);
        // Only these two log lines hold the address, for tools that ban it.
        tracing::info!(request.id = %request::Id::current(), client.address = %address, "sign_in.limited");
    };
    let attempt = sign_in_attempts::begin(&app.sign_in_limit, &app.store, purpose, address, now);
    let attempt = attempt.await.inspect_err(limited)?;
    let typed = Password::typed(password.to_owned());
    let checked = app.passwords.check(&app.store, username.as_ref(), typed).await?;
    let begun = match &checked {
        Some(checked) => session::begin(&session, checked, user_agent::name(&headers), Some(address)).await?,
        None => false,
    };
    if !begun {
        app.metrics.sign_in_failed(SignInFailure::Refused);
        tracing::info!(request.id = %request::Id::current(), client.address = %address, "sign_in.refused");
        page.error = Some("sign-in-wrong");
        return Ok(page.respond(StatusCode::UNAUTHORIZED, target.as_deref()));
    }
    sign_in_attempts::succeeded(&app.sign_in_limit, &app.store, attempt, now).await;
    match target {
        Some(_) => redirect(&page.next),
        None => go_on(&headers, &page.next),
    }
}

/// To where a person who has just signed in wanted to go. An app may come after that.
///
/// # Errors
/// See [`after_form`].
pub fn go_on(headers: &HeaderMap, next: &str) -> Result<Response> {
    if next.is_empty() { redirect("/authorizations") } else { after_form(headers, next, None) }
}

#[derive(Template, WebTemplate)]
#[template(path = "sign_out.html")]
pub struct SignOutPage {
    page: Page,
    next: String,
}

pub async fn sign_out_page(State(app): State<App>, viewer: Viewer, Query(query): Query) -> Response {
    if viewer.0.is_none() {
        return Redirect::to("/").into_response();
    }
    let next = query.get("next").and_then(local_path).unwrap_or_default();
    SignOutPage { page: viewer.page(app.clock.now()), next }.into_response()
}

pub async fn sign_out(
    State(app): State<App>,
    viewer: Viewer,
    session: Session,
    Form(form): Form,
) -> Result<Redirect> {
    if let Some(signed_in) = viewer.0 {
        let by = signed_in.by(app.clock.now());
        match account::end_session(&app.store, signed_in.session, signed_in.user.id, by).await {
            // The session has already ended.
            Ok(_) | Err(store::Error::Denied(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    session.flush().await?;
    Ok(match form.get("next").and_then(local_path) {
        Some(next) => {
            let query =
                url::form_urlencoded::Serializer::new(String::new()).append_pair("next", &next).finish();
            Redirect::to(&format!("/login?{query}"))
        }
        None => Redirect::to("/"),
    })
}

#[derive(Template, WebTemplate)]
#[template(path = "landing.html")]
pub struct LandingPage {
    page: Page,
}

pub async fn landing(State(app): State<App>, viewer: Viewer) -> Response {
    match viewer.0 {
        Some(_) => Redirect::to("/authorizations").into_response(),
        None => LandingPage { page: viewer.page(app.clock.now()) }.into_response(),
    }
}
