//! The page between an authorization request and its answer.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::model::client::{Client, ClientKind};
use crate::oauth::authorize::{self, Refusal, Request};
use crate::oauth::error::{Code, Error as OauthError};
use crate::service::authorize::{
    Authorization, Basis, Error as AuthorizeError, Seen, authorize as give_code, look, stands,
};
use crate::store::clients::Change;
use crate::web::device;
use crate::web::error::{self, Error, Result};
use crate::web::form::Form;
use crate::web::page::{Page, Section, content_security_policy};
use crate::web::session::{SignedIn, Viewer, to_sign_in};

/// One thing that the app may do.
pub struct Permission {
    pub description: String,
    /// Whether an earlier consent lacks it.
    pub is_new: bool,
}

/// What the app's registration said when the user last authorized it, and says no more.
pub struct Difference {
    /// The sentence's key.
    key: &'static str,
    earlier: String,
}

fn differences(app: &App, client: &Client, signed_in: &SignedIn) -> Result<Vec<Difference>> {
    let Some(since) = app.store.last_consent(&client.id, &signed_in.user.id)? else { return Ok(Vec::new()) };
    let mut known: Vec<String> = Vec::new();
    let mut differences = Vec::new();
    for Change { field, earlier } in app.store.client_changes(&client.id, since)? {
        // The oldest is what the user saw; what came between, nobody told them.
        if known.contains(&field) {
            continue;
        }
        let (key, now) = match field.as_str() {
            "name" => ("consent-changed-name", client.name.to_string()),
            "publisher" => ("consent-changed-publisher", client.publisher.clone()),
            _ => ("consent-changed-domains", client.domains()),
        };
        if earlier != now {
            differences.push(Difference { key, earlier });
        } else if field == "redirect_uris" {
            differences.push(Difference { key: "consent-changed-address", earlier });
        }
        known.push(field);
    }
    Ok(differences)
}

#[derive(Template, WebTemplate)]
#[template(path = "consent.html")]
pub struct ConsentPage {
    page: Page,
    client: Client,
    domain: String,
    permissions: Vec<Permission>,
    /// Things asked for beyond an earlier consent.
    more: usize,
    differences: Vec<Difference>,
    /// The request, for the form to repeat.
    query: String,
    /// The fields of a sign-out that comes back here.
    not_you: String,
    seen: Seen,
    notice: Option<&'static str>,
}

/// A 303 with an address that may have a scheme of the app's own.
fn redirect(to: &str) -> Result<Response> {
    let location = HeaderValue::from_str(to).map_err(|_| Error::BadRequest("authorize-error-encoding"))?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}

fn refuse(refusal: Refusal) -> Result<Response> {
    match refusal {
        Refusal::Page(key) => Ok(error::page(StatusCode::BAD_REQUEST, key, None)),
        Refusal::Redirect(to) => redirect(&to),
        Refusal::Store(error) => Err(error.into()),
    }
}

/// A request that may be shown, and who looks at it; else the answer that goes out instead.
fn enter(
    app: &App,
    viewer: Viewer,
    uri: &Uri,
    query: &str,
) -> Result<std::result::Result<(Request, SignedIn), Response>> {
    let request = match authorize::read(app, query) {
        Ok(request) => request,
        Err(refusal) => return refuse(refusal).map(Err),
    };
    let Some(signed_in) = viewer.0 else { return Ok(Err(to_sign_in(&Method::GET, uri))) };
    if app.store.is_blocked(&signed_in.user.id, &request.client.id)? {
        return Ok(Err(error::page(StatusCode::FORBIDDEN, "authorize-error-blocked", None)));
    }
    Ok(Ok((request, signed_in)))
}

pub async fn ask(
    State(app): State<App>,
    viewer: Viewer,
    uri: Uri,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response> {
    let query = query.unwrap_or_default();
    let (request, signed_in) = match enter(&app, viewer, &uri, &query)? {
        Ok(entered) => entered,
        Err(answer) => return Ok(answer),
    };
    // Anybody can pretend to be a public client, so its users are asked every time (RFC 6749 §10.2).
    let is_proven = request.client.kind == ClientKind::Confidential;
    if is_proven && stands(&app.store, &request.client.id, &signed_in.user.id, &request.scope)? {
        match give(&app, &request, &signed_in, &headers, Basis::Standing).await {
            Ok(code) => return redirect(&request.answers.code(&code)),
            Err(AuthorizeError::Ask) => {}
            Err(error) => return Err(error.into()),
        }
    }
    show(&app, request, &signed_in, query, None)
}

pub async fn decide(
    State(app): State<App>,
    viewer: Viewer,
    uri: Uri,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    Form(form): Form,
) -> Result<Response> {
    let query = query.unwrap_or_default();
    let (request, signed_in) = match enter(&app, viewer, &uri, &query)? {
        Ok(entered) => entered,
        Err(answer) => return Ok(answer),
    };
    match form.get("decision") {
        Some("approve") => {}
        Some("deny") => {
            let error = OauthError::new(Code::AccessDenied, "the user did not allow it");
            return redirect(&request.answers.error(&error));
        }
        _ => return show(&app, request, &signed_in, query, Some("consent-undecided")),
    }
    let Some(seen) = form.get("seen").and_then(Seen::parse) else {
        return show(&app, request, &signed_in, query, Some("consent-moved"));
    };
    match give(&app, &request, &signed_in, &headers, Basis::Approved(seen)).await {
        Ok(code) => redirect(&request.answers.code(&code)),
        Err(AuthorizeError::Ask) => show(&app, request, &signed_in, query, Some("consent-moved")),
        Err(error) => Err(error.into()),
    }
}

async fn give(
    app: &App,
    request: &Request,
    signed_in: &SignedIn,
    headers: &HeaderMap,
    basis: Basis,
) -> std::result::Result<String, AuthorizeError> {
    let authorization = Authorization {
        client: request.client.id.clone(),
        user: signed_in.user.id.clone(),
        session: signed_in.session.clone(),
        scope: request.scope.clone(),
        redirect_uri: request.named_redirect.clone(),
        code_challenge: Some(request.code_challenge.clone()),
        device: device::name(headers),
    };
    let now = app.clock.now();
    let code = give_code(&app.store, authorization, basis, app.config.lives.code, now).await?;
    Ok(code.expose().to_owned())
}

fn show(
    app: &App,
    request: Request,
    signed_in: &SignedIn,
    query: String,
    notice: Option<&'static str>,
) -> Result<Response> {
    let seen = look(&app.store, &request.client.id, &signed_in.user.id)?
        .ok_or(Error::BadRequest("authorize-error-client"))?;
    let granted = app.store.open_grant(&request.client.id, &signed_in.user.id)?.map(|grant| grant.scope);
    let scopes = app.store.scopes()?;
    let permissions: Vec<Permission> = scopes
        .of(&request.scope)
        .map(|entry| Permission {
            description: entry.description.clone(),
            is_new: granted.as_ref().is_some_and(|granted| !granted.contains(&entry.name)),
        })
        .collect();
    let policy = content_security_policy(Some(&request.answers.redirect.csp_source()));
    let page = ConsentPage {
        page: signed_in.page(Section::None, app.clock.now()),
        domain: request.answers.redirect.domain(),
        differences: differences(app, &request.client, signed_in)?,
        client: request.client,
        more: permissions.iter().filter(|permission| permission.is_new).count(),
        permissions,
        not_you: url::form_urlencoded::Serializer::new(String::new())
            .append_pair("next", &format!("/oauth/authorize?{query}"))
            .finish(),
        query,
        seen,
        notice,
    };
    let status = match notice {
        None => StatusCode::OK,
        Some("consent-undecided") => StatusCode::UNPROCESSABLE_ENTITY,
        Some(_) => StatusCode::CONFLICT,
    };
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((status, headers, page).into_response())
}
