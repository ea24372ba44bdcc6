//! For long answers, such as event streams: tells the application when the token of the request is revoked or expires.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use rescind_guard::{Claims, Ended};
use serde_json::{Value, json};

use crate::sidecar::Sidecar;
use crate::sidecar::verify::{Demands, answer};

/// Refuses as `/verify` does. For a good token the answer's head comes at once. Its body, one line of JSON, comes when
/// the application has to close what the token opened.
pub async fn watch(State(sidecar): State<Sidecar>, request: Request) -> Response {
    let watching = sidecar.clone();
    let accepted = move |claims: &Claims| until_it_ends(watching.clone(), claims);
    answer(sidecar, Demands::default(), request, accepted).await
}

fn until_it_ends(sidecar: Sidecar, claims: &Claims) -> Response {
    let ended = sidecar.guard.watch(claims);
    let mut stopping = sidecar.stopping;
    let line = async move {
        let ended = tokio::select! {
            ended = ended => said(ended),
            _ = stopping.changed() => said(Ended::Stale),
        };
        Ok::<_, Infallible>(format!("{ended}\n"))
    };
    let body = Body::from_stream(futures_util::stream::once(line));
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

fn said(ended: Ended) -> Value {
    match ended {
        Ended::Revoked(what) => json!({ "ended": "revoked", "what": what.as_str() }),
        Ended::Expired => json!({ "ended": "expired" }),
        Ended::Stale => json!({ "ended": "unknown" }),
    }
}
