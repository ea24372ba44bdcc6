//! `GET /.well-known/oauth-authorization-server` (RFC 8414).

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::app::App;
use crate::oauth::error::Error;

/// Defaults are written out, because those of RFC 8414 §2 promise what is not there.
pub async fn metadata(State(app): State<App>) -> Result<Json<Value>, Error> {
    let issuer = app.config.issuer.as_str();
    let at = |path: &str| format!("{issuer}{path}");
    let client_auth = ["client_secret_basic", "client_secret_post", "none"];
    let mut body = json!({
        "issuer": issuer,
        "authorization_endpoint": at("/oauth/authorize"),
        "token_endpoint": at("/oauth/token"),
        "revocation_endpoint": at("/oauth/revoke"),
        "introspection_endpoint": at("/oauth/introspect"),
        "jwks_uri": at("/oauth/jwks"),
        "revocation_feed_endpoint": at("/revocations/feed"),
        "authorizations_management_uri": at("/authorizations"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "token_endpoint_auth_methods_supported": client_auth,
        "revocation_endpoint_auth_methods_supported": client_auth,
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    });
    let scopes: Vec<String> = app.store.scopes().await?.all().names().map(str::to_owned).collect();
    if !scopes.is_empty() {
        body["scopes_supported"] = scopes.into();
    }
    Ok(Json(body))
}
