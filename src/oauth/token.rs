//! `POST /oauth/token` (RFC 6749 §3.2).

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::app::address::Address;
use crate::clock::Timestamp;
use crate::model::client::{Client, ClientKind, GrantType, TokenFormat};
use crate::model::params::Params;
use crate::model::scope::Scope;
use crate::model::secret::{AuthorizationCode, RefreshToken};
use crate::oauth::client_auth::{Basic, authenticate};
use crate::oauth::error::{Code, Error};
use crate::oauth::form::Form;
use crate::oauth::resource::resources;
use crate::service::issue::{
    self, AccessTokenKind, CodeRequest, IssueContext, Issued, RefreshRequest, Refreshing,
};
use crate::store::held::Held;
use crate::store::resource_servers::Scopes;

pub async fn token(
    State(app): State<App>,
    Address(address): Address,
    basic: Option<Basic>,
    Form(form): Form,
) -> Result<Response, Error> {
    let now = app.clock.now();
    let held = app.store.current_held().await?;
    let client = authenticate(&held, basic, &form, now).await?;
    let asked = form.get("grant_type").ok_or_else(|| Error::invalid_request("grant_type is missing"))?;
    let grant_type = GrantType::parse(asked).ok_or_else(|| {
        Error::new(
            Code::UnsupportedGrantType,
            "grant_type: authorization_code, refresh_token or client_credentials",
        )
    })?;
    if !client.grant_types.allow(grant_type) {
        return Err(Error::new(Code::UnauthorizedClient, "grant_type: the client is not registered for it"));
    }
    let context = context(&app, &held, &form, &client, address, now).await?;
    let issued = match grant_type {
        GrantType::AuthorizationCode => {
            issue::redeem(&app.store, code_request(&form, &client)?, context).await?
        }
        GrantType::RefreshToken => issue::refresh(&app.store, refresh_request(&form)?, context).await?,
        GrantType::ClientCredentials => {
            let scope = client_scope(&form, &client, &context.scopes)?;
            issue::for_client(&app.store, scope, context).await?
        }
    };
    Ok(answer(&issued))
}

async fn context(
    app: &App,
    held: &Held<'_>,
    form: &Params,
    client: &Client,
    address: IpAddr,
    now: Timestamp,
) -> Result<IssueContext, Error> {
    let scopes = held.scopes().await?;
    let kind = match client.token_format {
        TokenFormat::Opaque => AccessTokenKind::Opaque,
        // Fetched first, so that without a key no code or refresh token is used up.
        TokenFormat::Jwt => AccessTokenKind::Jwt {
            issuer: app.config.issuer.as_str().into(),
            signing: app.keys.signing_of(&app.store, held).await?,
        },
    };
    let resources = resources(form, &scopes)?;
    let successors = app.keys.successors()?;
    let lives = app.config.lives;
    let client = client.id.clone();
    Ok(IssueContext { client, address: Some(address), kind, resources, lives, scopes, successors, now })
}

/// The members of RFC 6749 §5.1.
#[derive(Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

fn answer(issued: &Issued) -> Response {
    let body = Answer {
        access_token: issued.access_token.expose(),
        token_type: "Bearer",
        expires_in: issued.expires_in.as_secs(),
        scope: issued.scope.to_string(),
        refresh_token: issued.refresh_token.as_ref().map(RefreshToken::expose),
    };
    ([(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")], Json(body)).into_response()
}

fn invalid_grant() -> Error {
    issue::Error::InvalidGrant.into()
}

fn code_request(form: &Params, client: &Client) -> Result<CodeRequest, Error> {
    let code = form.get("code").ok_or_else(|| Error::invalid_request("code is missing"))?;
    Ok(CodeRequest {
        code: AuthorizationCode::parse(code).ok_or_else(invalid_grant)?,
        redirect_uri: form.get("redirect_uri").map(str::to_owned),
        code_challenge: form.get("code_verifier").map(challenge_of).transpose()?,
        refreshing: if client.grant_types.allow(GrantType::RefreshToken) {
            Refreshing::Yes
        } else {
            Refreshing::No
        },
    })
}

/// 43 to 128 unreserved characters (RFC 7636 §4.1); the S256 transformation of §4.2.
fn challenge_of(verifier: &str) -> Result<String, Error> {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(is_unreserved) {
        return Err(Error::new(Code::InvalidGrant, "code_verifier: 43 to 128 unreserved characters"));
    }
    Ok(BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)))
}

fn asked_scope(form: &Params) -> Result<Option<Scope>, Error> {
    form.get("scope")
        .map(|text| Scope::parse(text).ok_or_else(|| Error::new(Code::InvalidScope, "scope: not readable")))
        .transpose()
}

fn refresh_request(form: &Params) -> Result<RefreshRequest, Error> {
    let token =
        form.get("refresh_token").ok_or_else(|| Error::invalid_request("refresh_token is missing"))?;
    Ok(RefreshRequest {
        token: RefreshToken::parse(token).ok_or_else(invalid_grant)?,
        scope: asked_scope(form)?,
    })
}

fn client_scope(form: &Params, client: &Client, scopes: &Scopes) -> Result<Scope, Error> {
    if client.kind == ClientKind::Public {
        // Only for confidential clients (RFC 6749 §4.4).
        return Err(Error::new(Code::UnauthorizedClient, "grant_type: only for confidential clients"));
    }
    permitted_scope(asked_scope(form)?, client, scopes)
}

/// The scope that a client gets: all that it asks for or an error; without `scope`, all that it may ask for.
///
/// # Errors
/// `invalid_scope`.
pub fn permitted_scope(asked: Option<Scope>, client: &Client, scopes: &Scopes) -> Result<Scope, Error> {
    let allowed = scopes.allowed(client.scope.as_ref());
    let scope = asked.unwrap_or_else(|| allowed.clone());
    if scope.is_empty() {
        return Err(Error::new(Code::InvalidScope, "scope: there is nothing that this client may ask for"));
    }
    if !scope.is_subset(&allowed) {
        return Err(Error::new(Code::InvalidScope, "scope: unknown, or not for this client"));
    }
    Ok(scope)
}
