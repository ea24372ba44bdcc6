//! Health and metrics of a sidecar, for operators.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::metrics::Text;
use crate::model::secret::{Digest, bearer_token};
use crate::sidecar::Sidecar;

/// Says that the process answers.
pub async fn healthy() -> &'static str {
    "ok\n"
}

/// Ready means that the newest revocations are known.
pub async fn ready(State(sidecar): State<Sidecar>) -> Response {
    if sidecar.guard.state().is_fresh {
        return "ok\n".into_response();
    }
    let why = "the newest revocations are not known\n";
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], why).into_response()
}

/// Only for callers with the operator's token, as at the server.
pub async fn metrics(State(sidecar): State<Sidecar>, headers: HeaderMap) -> Response {
    let shown = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let shown = shown.and_then(bearer_token).map(Digest::of);
    let is_right = |token: &Digest| shown.is_some_and(|shown| shown.matches(token));
    if !sidecar.config.metrics_token.as_ref().is_some_and(is_right) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4"), (header::CACHE_CONTROL, "no-store")];
    (kind, text(&sidecar.guard.state())).into_response()
}

fn text(state: &rescind_guard::State) -> String {
    let mut text = Text::default();
    text.head("rescind_build_info", "gauge", "The version that runs; always 1.");
    text.sample("rescind_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let fresh = u8::from(state.is_fresh);
    text.gauge("rescind_guard_fresh", "Whether the newest revocations are known.", fresh);
    text.gauge("rescind_guard_connected", "Whether the feed is open.", u8::from(state.is_connected));
    if let Some(age) = state.age {
        let help = "How old the newest confirmed state is.";
        text.gauge("rescind_guard_age_seconds", help, age.as_secs_f64());
    }
    if let Some(most) = state.max_staleness {
        let help = "The age above which tokens are refused.";
        text.gauge("rescind_guard_max_staleness_seconds", help, most.as_secs_f64());
    }
    text.gauge("rescind_guard_entries", "Revocations held.", state.entries);
    let counters = &state.counters;
    let name = "rescind_guard_refused_total";
    text.head(name, "counter", "Tokens refused, by reason; missing scopes are none.");
    for (reason, count) in &counters.refused {
        text.sample(name, &[("reason", reason)], count);
    }
    for (name, help, count) in [
        ("rescind_guard_accepted_total", "Tokens found good.", counters.accepted),
        ("rescind_guard_introspections_total", "Questions to the server.", counters.introspections),
        ("rescind_guard_cache_hits_total", "Questions that were not needed.", counters.cache_hits),
        (
            "rescind_guard_entries_applied_total",
            "Revocations heard of by the feed.",
            counters.entries_applied,
        ),
        ("rescind_guard_snapshots_total", "Snapshots read.", counters.snapshots),
        ("rescind_guard_connects_total", "Times that the feed was opened.", counters.connects),
        ("rescind_guard_gaps_total", "Times that something of the feed was missing.", counters.gaps),
        ("rescind_guard_acknowledged_total", "Acknowledgements answered.", counters.acknowledged),
    ] {
        text.head(name, "counter", help);
        text.sample(name, &[], count);
    }
    text.finish()
}
