//! The page between an authorization request and its answer.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::model::client::{Client, ClientField, ClientKind};
use crate::model::secret::Digest;
use crate::oauth::authorize::{self, Refusal, Request};
use crate::oauth::error::{Code, Error as OauthError};
use crate::service::authorize::{
    Authorization, Basis, ConsentState, Error as AuthorizeError, authorize as give_code, look, stands,
};
use crate::store;
use crate::store::clients::ClientChange;
use crate::store::resource_servers::Scopes;
use crate::web::error::{self, Error, Result};
use crate::web::form::Form;
use crate::web::go_on::{after_form, redirect};
use crate::web::page::{Page, Section, content_security_policy};
use crate::web::session::{SignedIn, Viewer, to_sign_in};
use crate::web::user_agent;
use crate::web::visit::is_visit;

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

async fn differences(app: &App, client: &Client, signed_in: &SignedIn) -> Result<Vec<Difference>> {
    let Some(since) = app.store.last_consent(&client.id, &signed_in.user.id).await? else {
        return Ok(Vec::new());
    };
    let mut known: Vec<ClientField> = Vec::new();
    let mut differences = Vec::new();
    for ClientChange { field, earlier } in app.store.client_changes(&client.id, since).await? {
        // The oldest one is what the user saw. They never saw the ones in between.
        if known.contains(&field) {
            continue;
        }
        let (key, now) = match field {
            ClientField::Name => ("consent-changed-name", client.name.to_string()),
            ClientField::Publisher => ("consent-changed-publisher", client.publisher.clone()),
            ClientField::RedirectUris => ("consent-changed-domains", client.redirect_uris.domains()),
        };
        if earlier != now {
            differences.push(Difference { key, earlier });
        } else if field == ClientField::RedirectUris {
            differences.push(Difference { key: "consent-changed-address", earlier });
        }
        known.push(field);
    }
    Ok(differences)
}

/// Why the page is shown again instead of an answer to the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AskAgain {
    /// Somebody else has signed in since the page was made.
    OtherAccount,
    /// The form says neither yes nor no.
    Undecided,
    /// What the page showed has changed.
    Changed,
}

impl AskAgain {
    const fn key(self) -> &'static str {
        match self {
            Self::OtherAccount => "consent-other-account",
            Self::Undecided => "consent-undecided",
            Self::Changed => "consent-moved",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Undecided => StatusCode::UNPROCESSABLE_ENTITY,
            Self::OtherAccount | Self::Changed => StatusCode::CONFLICT,
        }
    }
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
    shown: ShownConsent,
    notice: Option<AskAgain>,
}

/// What a consent page showed, as its form carries it: what it was made from, and a digest of what the
/// person was asked to allow and where the answer goes.
#[derive(PartialEq, Eq)]
struct ShownConsent {
    seen: ConsentState,
    asked: String,
}

impl ShownConsent {
    fn new(request: &Request, scopes: &Scopes, seen: ConsentState) -> Self {
        let mut text = format!("{}\n{}", request.answers.redirect, request.scope);
        for entry in scopes.of(&request.scope) {
            text.push('\n');
            text.push_str(&entry.description);
        }
        Self { seen, asked: Digest::of(text.as_bytes()).token_id() }
    }

    fn parse(text: &str) -> Option<Self> {
        let (seen, asked) = text.rsplit_once('.')?;
        Some(Self { seen: ConsentState::parse(seen)?, asked: asked.to_owned() })
    }
}

impl std::fmt::Display for ShownConsent {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}.{}", self.seen, self.asked)
    }
}

fn refuse(refusal: Refusal, send: impl FnOnce(&str) -> Result<Response>) -> Result<Response> {
    match refusal {
        Refusal::Page(key) => Ok(error::page(StatusCode::BAD_REQUEST, key, None)),
        Refusal::Redirect(to) => send(&to),
        Refusal::Store(error) => Err(error.into()),
    }
}

/// A request that may be shown and the person who looks at it, or the answer that is sent instead. `send` makes an
/// answer that leads to an address of the app.
async fn enter(
    app: &App,
    viewer: Viewer,
    uri: &Uri,
    query: &str,
    send: impl FnOnce(&str) -> Result<Response>,
) -> Result<std::result::Result<(Request, SignedIn), Response>> {
    let request = match authorize::read(app, query).await {
        Ok(request) => request,
        Err(refusal) => return refuse(refusal, send).map(Err),
    };
    let Some(signed_in) = viewer.0 else { return Ok(Err(to_sign_in(&Method::GET, uri))) };
    if app.store.is_blocked(&signed_in.user.id, &request.client.id).await? {
        return Ok(Err(error::page(StatusCode::FORBIDDEN, "authorize-error-blocked", None)));
    }
    Ok(Ok((request, signed_in)))
}

pub async fn ask(
    State(app): State<App>,
    viewer: Viewer,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response> {
    let query = query.unwrap_or_default();
    let (request, signed_in) = match enter(&app, viewer, &uri, &query, redirect).await? {
        Ok(entered) => entered,
        Err(answer) => return Ok(answer),
    };
    // Anybody can pretend to be a public client, so its users are asked every time (RFC 6749 §10.2).
    let is_proven = request.client.kind == ClientKind::Confidential;
    // Nobody waits for the answer to a HEAD request or a prefetch, so it carries no code.
    let may_pass = is_proven && is_visit(&method, &headers);
    if may_pass && stands(&app.store, &request.client.id, &signed_in.user.id, &request.scope).await? {
        match give(&app, &request, &signed_in, &headers, Basis::EarlierConsent).await {
            Ok(code) => return redirect(&request.answers.code(&code)),
            Err(AuthorizeError::Ask) => {}
            Err(error) => return refused(error, &uri),
        }
    }
    show(&app, request, &signed_in, query, None).await
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
    let send = |to: &str| after_form(&headers, to, None);
    let (request, signed_in) = match enter(&app, viewer, &uri, &query, send).await? {
        Ok(entered) => entered,
        Err(answer) => return Ok(answer),
    };
    let shown = form.get("seen").and_then(ShownConsent::parse);
    if shown.as_ref().is_some_and(|shown| shown.seen.user != signed_in.user.id) {
        return show(&app, request, &signed_in, query, Some(AskAgain::OtherAccount)).await;
    }
    let send = |to: &str| after_form(&headers, to, Some(request.client.name.as_str()));
    match form.get("decision") {
        Some("approve") => {}
        Some("deny") => {
            let error = OauthError::new(Code::AccessDenied, "the user did not allow it");
            return send(&request.answers.error(&error));
        }
        _ => return show(&app, request, &signed_in, query, Some(AskAgain::Undecided)).await,
    }
    // A request that names no scope or address asks for what the registration says now.
    let scopes = app.store.scopes().await?;
    let is_what_was_shown =
        |shown: &ShownConsent| *shown == ShownConsent::new(&request, &scopes, shown.seen.clone());
    let Some(ShownConsent { seen, .. }) = shown.filter(is_what_was_shown) else {
        return show(&app, request, &signed_in, query, Some(AskAgain::Changed)).await;
    };
    match give(&app, &request, &signed_in, &headers, Basis::Approved(seen)).await {
        Ok(code) => send(&request.answers.code(&code)),
        Err(AuthorizeError::Ask) => show(&app, request, &signed_in, query, Some(AskAgain::Changed)).await,
        Err(error) => refused(error, &uri),
    }
}

/// A person whose session has ended signs in and is asked again.
fn refused(error: AuthorizeError, uri: &Uri) -> Result<Response> {
    match error {
        AuthorizeError::Store(store::Error::Denied(_)) => Ok(to_sign_in(&Method::GET, uri)),
        error => Err(error.into()),
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
        scope: request.scope.clone(),
        answers_to: request.answers.redirect.clone(),
        redirect_uri: request.named_redirect.clone(),
        code_challenge: Some(request.code_challenge.clone()),
        device: user_agent::name(headers),
    };
    let by = signed_in.by(app.clock.now());
    let code = give_code(&app.store, authorization, basis, app.config.lives.code, by).await?;
    Ok(code.expose().to_owned())
}

async fn show(
    app: &App,
    request: Request,
    signed_in: &SignedIn,
    query: String,
    notice: Option<AskAgain>,
) -> Result<Response> {
    let seen = look(&app.store, &request.client.id, &signed_in.user.id)
        .await?
        .ok_or(Error::BadRequest("authorize-error-client"))?;
    let granted =
        app.store.open_grant(&request.client.id, &signed_in.user.id).await?.map(|grant| grant.scope);
    let scopes = app.store.scopes().await?;
    let permissions: Vec<Permission> = scopes
        .of(&request.scope)
        .map(|entry| Permission {
            description: entry.description.clone(),
            is_new: granted.as_ref().is_some_and(|granted| !granted.contains(&entry.name)),
        })
        .collect();
    let policy = content_security_policy(request.answers.redirect.private_scheme().as_deref());
    let shown = ShownConsent::new(&request, &scopes, seen);
    let page = ConsentPage {
        page: signed_in.page(Section::None, app.clock.now()),
        domain: request.answers.redirect.domain(),
        differences: differences(app, &request.client, signed_in).await?,
        client: request.client,
        more: permissions.iter().filter(|permission| permission.is_new).count(),
        permissions,
        not_you: url::form_urlencoded::Serializer::new(String::new())
            .append_pair("next", &format!("/oauth/authorize?{query}"))
            .finish(),
        query,
        shown,
        notice,
    };
    let status = notice.map_or(StatusCode::OK, AskAgain::status);
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((status, headers, page).into_response())
}
