//! `POST /oauth/introspect` (RFC 7662), for registered resource servers.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use crate::app::App;
use crate::clock::Timestamp;
use crate::config::Issuer;
use crate::model::id::{FamilyId, GrantId, UserId};
use crate::model::params::Params;
use crate::model::resource_server::ResourceServer;
use crate::model::scope::Scope;
use crate::model::secret::AccessToken;
use crate::model::stamp::Stamp;
use crate::oauth::client_auth::{Basic, authenticate_resource_server};
use crate::oauth::error::Error;
use crate::oauth::form::Form;
use crate::store::access_tokens::AccessTokenFacts;
use crate::store::held::Held;

pub async fn introspect(
    State(app): State<App>,
    basic: Option<Basic>,
    Form(form): Form,
) -> Result<Response, Error> {
    let now = app.clock.now();
    let (caller, found) = loop {
        // Everything is taken as memory has it. Then the database is asked, once, whether that was current.
        let held = app.store.held();
        let found = find(&app, &held, basic.as_ref(), &form, now).await;
        if held.was_current().await? {
            break found?;
        }
    };
    let answer = match found.filter(|(facts, _)| !app.store.is_dead_here(facts)) {
        Some((facts, scope)) => {
            app.last_used.note(&facts.stamp, now);
            Json(Active::of(&facts, scope, &caller, &app.config.issuer)).into_response()
        }
        // No other member: no reason, no owner (RFC 7662 §2.2).
        None => Json(json!({ "active": false })).into_response(),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], answer).into_response())
}

/// The resource server that asks, and the token that it asks about, unless that is none or for others. The token may have
/// been revoked.
async fn find(
    app: &App,
    held: &Held<'_>,
    basic: Option<&Basic>,
    form: &Params,
    now: Timestamp,
) -> Result<(ResourceServer, Option<(AccessTokenFacts, Scope)>), Error> {
    let caller = authenticate_resource_server(held, basic, form, now).await?;
    let token = form.get("token").ok_or_else(|| Error::invalid_request("token is missing"))?;
    let facts = match AccessToken::parse(token) {
        Some(token) => held.access_token(&token.digest(), now).await?,
        None => app.keys.jwt(&app.store, held, token, app.config.issuer.as_str(), now).await?,
    };
    // A resource server learns only about access tokens for its own audience.
    let Some(facts) = facts.filter(|facts| facts.audiences.contains(&caller.audience)) else {
        return Ok((caller, None));
    };
    let scope = held.scopes().await?.for_audience(&facts.scope, &caller.audience);
    Ok((caller, Some((facts, scope))))
}

/// The members of RFC 7662 §2.2, and the stamp, by which a guard finds the cached answers that a revocation ends.
#[derive(Serialize)]
struct Active<'a> {
    active: bool,
    scope: String,
    client_id: &'a str,
    token_type: &'static str,
    exp: i64,
    iat: i64,
    sub: &'a str,
    aud: &'a str,
    iss: &'a str,
    jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    family_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_generation: Option<i64>,
    server_generation: i64,
    client_generation: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_generation: Option<i64>,
}

impl<'a> Active<'a> {
    fn of(facts: &'a AccessTokenFacts, scope: Scope, caller: &'a ResourceServer, issuer: &'a Issuer) -> Self {
        let Stamp { family, grant, client, user, generations } = &facts.stamp;
        Self {
            active: true,
            scope: scope.to_string(),
            client_id: client.as_str(),
            token_type: "Bearer",
            exp: facts.expires_at.seconds(),
            iat: facts.created_at.seconds(),
            sub: user.as_ref().map_or_else(|| client.as_str(), UserId::as_str),
            aud: &caller.audience,
            iss: issuer.as_str(),
            jti: &facts.id,
            family_id: family.as_ref().map(FamilyId::as_str),
            grant_id: grant.as_ref().map(GrantId::as_str),
            grant_generation: facts.grant_generation,
            server_generation: generations.server,
            client_generation: generations.client,
            user_generation: generations.user,
        }
    }
}
