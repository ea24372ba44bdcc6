//! `POST /oauth/introspect` (RFC 7662), for registered resource servers.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::app::App;
use crate::clock::Timestamp;
use crate::model::id::ResourceServerId;
use crate::model::resource_server::ResourceServer;
use crate::model::secret::{AccessToken, ResourceServerSecret};
use crate::model::stamp::is_live;
use crate::oauth::client_auth::Basic;
use crate::oauth::error::Error;
use crate::oauth::form::Form;
use crate::store::access_tokens::AccessTokenFacts;

pub async fn introspect(
    State(app): State<App>,
    headers: HeaderMap,
    Form(form): Form,
) -> Result<Response, Error> {
    let now = app.clock.now();
    let caller = resource_server(&app, &headers)?;
    let token = form.get("token").ok_or_else(|| Error::invalid_request("token is missing"))?;
    let facts = match AccessToken::parse(token) {
        Some(token) => app.store.access_token(&token.digest())?,
        None => app.keys.jwt(&app.store, token)?,
    };
    let body = match facts.filter(|facts| is_visible(facts, &caller, now)) {
        Some(facts) => {
            app.last_used.note(&facts.stamp, facts.last_used_at, now);
            active(&app, &facts, &caller)?
        }
        // Nothing beside it: no reason, no owner (RFC 7662 §2.2).
        None => json!({ "active": false }),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// The resource server that asks: Basic `id:secret`. A client's credentials open nothing here.
///
/// # Errors
/// `invalid_client` for everything that does not prove it.
pub fn resource_server(app: &App, headers: &HeaderMap) -> Result<ResourceServer, Error> {
    let refused = || Error::invalid_client("resource servers authenticate by Basic id:secret").challenged();
    let basic = Basic::from_headers(headers)?.ok_or_else(refused)?;
    let id = ResourceServerId::parse(&basic.id).ok_or_else(refused)?;
    let secret = ResourceServerSecret::parse(&basic.secret).ok_or_else(refused)?;
    app.store
        .resource_server(&id)?
        .filter(|server| server.secret.matches(&secret.digest()))
        .ok_or_else(refused)
}

/// A resource server learns about live access tokens for its own audience alone.
fn is_visible(facts: &AccessTokenFacts, caller: &ResourceServer, now: Timestamp) -> bool {
    facts.audience.split(' ').any(|audience| audience == caller.audience)
        && is_live(facts.stamp.generations, facts.now, facts.expires_at, now)
}

/// The members of RFC 7662 §2.2, and the stamp, by which a cached answer can be ended.
fn active(app: &App, facts: &AccessTokenFacts, caller: &ResourceServer) -> Result<Value, Error> {
    let granted = match &facts.grant_scope {
        Some(of_grant) => facts.scope.intersection(of_grant),
        None => facts.scope.clone(),
    };
    let scope = app.store.scopes()?.for_audience(&granted, &caller.audience);
    let stamp = &facts.stamp;
    let subject = stamp.user.as_ref().map_or_else(|| stamp.client.as_str(), |user| user.as_str());
    let mut body = json!({
        "active": true,
        "scope": scope.to_string(),
        "client_id": stamp.client,
        "token_type": "Bearer",
        "exp": facts.expires_at.seconds(),
        "iat": facts.created_at.seconds(),
        "sub": subject,
        "aud": caller.audience,
        "iss": app.config.issuer.as_str(),
        "jti": facts.id,
        "server_generation": stamp.generations.server,
        "client_generation": stamp.generations.client,
    });
    if let (Some(family), Some(grant)) = (&stamp.family, &stamp.grant) {
        body["family_id"] = family.as_str().into();
        body["grant_id"] = grant.as_str().into();
        body["user_generation"] = stamp.generations.user.into();
        body["grant_generation"] = facts.grant_generation.into();
    }
    Ok(body)
}
