//! `GET /metrics`: only for callers with the operator's token; others get a 404.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::model::secret::{Digest, bearer_token};
use crate::web::error::{Error, Result};

pub async fn metrics(State(app): State<App>, headers: HeaderMap) -> Result<Response> {
    let shown = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let shown = shown.and_then(bearer_token).map(Digest::of);
    let is_right = |token: &Digest| shown.is_some_and(|shown| shown.matches(token));
    if !app.config.metrics_token.as_ref().is_some_and(is_right) {
        return Err(Error::NotFound);
    }
    let reading = app.readings.read(&app.store, &app.guards, app.clock.now()).await?;
    let text = app.metrics.text(app.store.metrics(), app.guards.metrics(), &reading);
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4"), (header::CACHE_CONTROL, "no-store")];
    Ok((kind, text).into_response())
}
