//! Acknowledgements: they tell the server what is in force here, and their answers make the guard fresh.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::clock::Boot;
use crate::guard::Shared;
use crate::http_client::Failure;
use crate::report::count;
use crate::state::{Progress, Standing};
use crate::wire::{Ack, Acknowledged, Seen};

const LEAVING: Duration = Duration::from_secs(2);
const SHORTEST: Duration = Duration::from_millis(500);

/// Runs until the guard is dropped; ends by itself once it was closed.
pub async fn run(shared: Arc<Shared>) {
    let mut behind_since: Option<Boot> = None;
    loop {
        wait(&shared).await;
        let told = shared.state.progress();
        if told.is_closed {
            leave(&shared).await;
            return;
        }
        shared.state.sweep();
        if told.position.is_none() {
            continue;
        }
        let seen = shared.seen.take(shared.state.clock().boot());
        let sent = shared.state.clock().boot();
        let patience = (told.max_staleness / 2).clamp(SHORTEST, Duration::from_secs(5));
        match send(&shared, &told, seen.clone(), patience).await {
            Ok(answer) => {
                count(&shared.counts.acknowledged);
                match shared.state.confirm(sent, &told, &answer) {
                    Standing::Fresh => {
                        behind_since = None;
                        shared.no_trouble();
                    }
                    // The stream may be about to bring it; if it does not, somebody holds it back.
                    Standing::Behind => {
                        let since = *behind_since.get_or_insert(sent);
                        if shared.state.clock().boot().since(since) >= shared.settings.timing.behind {
                            behind_since = None;
                            shared.trouble("the stream is held back".to_owned());
                            shared.resync.notify_one();
                        }
                    }
                    Standing::Elsewhere => {
                        shared.trouble("the server has another history than this guard".to_owned());
                        shared.resync.notify_one();
                    }
                }
            }
            Err(failure) => {
                shared.seen.put_back(seen);
                if let Failure::Status { status: StatusCode::CONFLICT, .. } = failure {
                    shared.resync.notify_one();
                }
                shared.trouble(format!("acknowledgement: {failure}"));
                // Not at once, even where entries come in: the server has trouble enough.
                tokio::time::sleep(shared.settings.timing.acknowledge.min(told.max_staleness / 3)).await;
            }
        }
    }
}

/// Until something was applied, or it is time again.
async fn wait(shared: &Shared) {
    let staleness = shared.state.progress().max_staleness;
    let mut pause = shared.settings.timing.acknowledge;
    if !staleness.is_zero() {
        pause = pause.min(staleness / 3);
    }
    tokio::select! {
        () = shared.changed.notified() => {}
        () = tokio::time::sleep(pause) => {}
    }
}

async fn send(
    shared: &Shared,
    progress: &Progress,
    seen: Vec<Seen>,
    patience: Duration,
) -> Result<Acknowledged, Failure> {
    let Some(position) = progress.position else {
        return Err(Failure::Unreadable("no snapshot yet".to_owned()));
    };
    let ack = Ack {
        instance: shared.instance.clone(),
        incarnation: position.incarnation,
        through: position.sequence,
        keys_version: progress.keys_version,
        seen,
        leaving: progress.is_closed,
    };
    let body = serde_json::to_vec(&ack).map_err(|error| Failure::Unreadable(error.to_string()))?;
    shared.http.acknowledge(body, patience).await
}

/// Tells the server that no receipt need wait for this guard. If that fails, its lease runs out.
async fn leave(shared: &Shared) {
    let progress = shared.state.progress();
    if progress.position.is_none() {
        return;
    }
    let seen = shared.seen.take(shared.state.clock().boot());
    if let Err(failure) = send(shared, &progress, seen, LEAVING).await {
        tracing::debug!(%failure, "the server was not told that this guard leaves");
    }
}
