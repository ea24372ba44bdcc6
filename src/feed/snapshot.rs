//! `GET /revocations/snapshot`: all that is dead, for a validator that begins or has missed something.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::model::resource_server::ResourceServer;
use crate::oauth::error::Error;

pub async fn snapshot(State(app): State<App>, caller: ResourceServer) -> Result<Response, Error> {
    let now = app.clock.now();
    let issuer = app.config.issuer.as_str();
    let text = app.snapshots.read(&app.store, issuer, &caller, now).await?;
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, text.to_string()).into_response())
}
