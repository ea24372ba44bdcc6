//! `rescind guard`, the sidecar.

use rescind_guard::{Guard, SettingsError};
use serde_json::json;
use tokio::sync::watch;

use crate::cli::connections::Limits;
use crate::cli::exposed;
use crate::cli::failure::Failure;
use crate::cli::print::{self, Output};
use crate::cli::serve::{listen, listen_for_signals, log_as, serve_until};
use crate::config::guard::{GuardConfig, LISTEN};
use crate::sidecar::{Sidecar, router};

/// Runs until SIGTERM or SIGINT. It needs no database: what it knows, the server tells it.
///
/// # Errors
/// When the address is taken, or the guard can't start.
pub async fn run(config: GuardConfig, output: Output) -> Result<(), Failure> {
    log_as(config.log);
    let stop_signal = listen_for_signals()?;
    exposed::warn(&config.secret_files);
    let (listeners, address) = listen(config.listen, LISTEN.name).await?;
    let limits = Limits::idle(config.idle_timeout);
    let guard = Guard::start(config.guard.clone()).map_err(not_started)?;
    let (issuer, audience) = (config.issuer.as_str().to_owned(), config.audience.clone());
    tracing::info!(%address, issuer, audience, "guard.started");
    if output.is_json() {
        let started = json!({ "address": address, "issuer": issuer, "audience": audience });
        print::print(&format!("{started}\n"))?;
    }
    let first = guard.clone();
    let ready = tokio::spawn(async move {
        first.ready().await;
        tracing::info!("guard.ready");
    });
    let (stop, stopping) = watch::channel(());
    let sidecar = Sidecar::new(config, guard.clone(), stopping);
    let served = serve_until(
        listeners,
        || router(sidecar.clone()),
        limits,
        stop_signal,
        move || {
            stop.send_replace(());
        },
        std::future::ready(()),
    );
    served.await?;
    ready.abort();
    // After the last answer, so that requests under way are not refused for it.
    guard.shutdown().await;
    tracing::info!("guard.stopped");
    Ok(())
}

fn not_started(error: SettingsError) -> Failure {
    match error {
        SettingsError::Roots(_) | SettingsError::NoRandomness | SettingsError::NoRuntime => {
            Failure::refused(error.to_string())
        }
        error => Failure::usage(error.to_string()),
    }
}
