//! The sidecar of a resource server: a proxy asks it about each request before it lets the request through.
//!
//! It is `rescind-guard` behind HTTP, for applications in any language. It knows only tokens. The proxy says which
//! scope a location requires.

pub mod operate;
mod path;
pub mod verify;
pub mod watch;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get};
use rescind_guard::{Guard, GuardLayer};

use crate::config::guard::GuardConfig;

/// What its handlers share.
#[derive(Clone)]
pub struct Sidecar {
    pub guard: Guard,
    /// The answers of RFC 6750, with the scopes that the settings require of every token.
    pub layer: GuardLayer,
    pub config: Arc<GuardConfig>,
    /// Changes when the sidecar stops, to end answers that would go on.
    pub stopping: tokio::sync::watch::Receiver<()>,
}

impl Sidecar {
    pub fn new(config: GuardConfig, guard: Guard, stopping: tokio::sync::watch::Receiver<()>) -> Self {
        let mut layer = guard.layer().realm(&config.realm);
        for scope in config.scopes.names() {
            layer = layer.require_scope(scope);
        }
        Self { guard, layer, config: Arc::new(config), stopping }
    }
}

/// Every URL. Proxies ask with the method of the original request, or with GET.
pub fn router(sidecar: Sidecar) -> Router {
    Router::new()
        .route("/verify", any(verify::verify))
        // Envoy puts the original path and query after a prefix. It is another path than `/verify`, so that a query
        // from outside is never taken for what the proxy's operator demands.
        .route("/ext_authz/", any(verify::ext_authz))
        .route("/ext_authz/{*original}", any(verify::ext_authz))
        .route("/watch", get(watch::watch))
        .route("/healthz", get(operate::healthy))
        .route("/readyz", get(operate::ready))
        .route("/metrics", get(operate::metrics))
        .with_state(sidecar)
}
