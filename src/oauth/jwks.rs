//! `GET /oauth/jwks` (RFC 7517): the keys that sign access tokens.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::app::App;
use crate::model::key::PublicKey;
use crate::oauth::error::Error;

/// A key is published a minute before it signs, so a copy may be kept for as long.
pub async fn jwks(State(app): State<App>) -> Result<Response, Error> {
    let accepted = app.store.accepted_keys().await?;
    let keys: Vec<_> = accepted.keys.iter().map(PublicKey::jwk).collect();
    Ok(([(header::CACHE_CONTROL, "public, max-age=60")], Json(json!({ "keys": keys }))).into_response())
}
