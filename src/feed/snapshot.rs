//! `GET /revocations/snapshot`: all that is dead, for a validator that starts or has missed something.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::oauth::client_auth::ProvenServer;
use crate::oauth::error::Error;

pub async fn snapshot(State(app): State<App>, caller: ProvenServer) -> Result<Response, Error> {
    let now = app.clock.now();
    let issuer = app.config.issuer.as_str();
    let text = app.snapshots.read(&app.store, issuer, caller.server(), now).await?;
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, text.to_string()).into_response())
}
