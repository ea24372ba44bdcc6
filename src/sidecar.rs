//! The sidecar of a resource server: a proxy asks it about each request before it lets the request through.
//!
//! It is `rescind-guard` behind HTTP, for applications in any language. It knows tokens and nothing else: which
//! location wants which scope, the proxy says.

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
    /// The answers of RFC 6750, with what the settings demand of every token.
    pub layer: GuardLayer,
    pub config: Arc<GuardConfig>,
    /// Changes once the sidecar stops, for answers that would go on.
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
        // Envoy puts the original path and query after a prefix. That it is another one keeps a query of strangers
        // apart from what the proxy's operator demands.
        .route("/ext_authz/", any(verify::ext_authz))
        .route("/ext_authz/{*original}", any(verify::ext_authz))
        .route("/watch", get(watch::watch))
        .route("/healthz", get(operate::healthy))
        .route("/readyz", get(operate::ready))
        .route("/metrics", get(operate::metrics))
        .with_state(sidecar)
}
