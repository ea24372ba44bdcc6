//! Acknowledgements. They tell the server what is in force here, and their answers make the guard fresh.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clock::Boot;
use crate::http_client::Failure;
use crate::report::count;
use crate::shared::Shared;
use crate::state::{Progress, SyncStatus};
use crate::wire::{Ack, Acknowledged, Seen};

const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
const SHORTEST: Duration = Duration::from_millis(500);

/// The result of an acknowledgement.
struct Outcome {
    sent: Boot,
    /// The guard's progress when it was sent.
    progress: Progress,
    /// Kept so that it can be sent again if it did not arrive.
    seen: Vec<Seen>,
    answer: Result<Acknowledged, Failure>,
}

/// Runs until the guard is dropped. Ends by itself once the guard was closed.
///
/// An acknowledgement without an answer does not keep later ones waiting. Otherwise a connection that died without a
/// notice would make a guard stale long after the network works again.
pub async fn run(shared: Arc<Shared>) {
    let mut behind_since: Option<Boot> = None;
    let mut under_way: JoinSet<Outcome> = JoinSet::new();
    let (mut due, mut last) = (Instant::now(), Instant::now());
    let (mut has_news, mut is_failing) = (false, false);
    loop {
        tokio::select! {
            Some(outcome) = under_way.join_next() => {
                // An error means that the runtime ends.
                let Ok(outcome) = outcome else { continue };
                is_failing = outcome.answer.is_err();
                due = due.min(last + pause(&shared, &outcome.progress));
                handle(&shared, outcome, &mut behind_since);
            }
            () = shared.changed.notified() => has_news = true,
            () = tokio::time::sleep_until(due) => {}
        }
        let progress = shared.state.progress();
        if progress.is_closed {
            // Waits for these first: an acknowledgement that arrived after `leave` would be a new lease.
            let _ =
                tokio::time::timeout(LEAVE_TIMEOUT, async { while under_way.join_next().await.is_some() {} })
                    .await;
            under_way.abort_all();
            leave(&shared).await;
            return;
        }
        let pause = pause(&shared, &progress);
        let is_due = Instant::now() >= due;
        // A new one is sent beside one that may be lost, not beside one that is only slow.
        if is_due && !under_way.is_empty() && last.elapsed() < pause.max(SHORTEST) {
            due = last + pause.max(SHORTEST);
            continue;
        }
        // Not at once after a failure, even if entries come in, so as not to add to the server's trouble.
        if !is_due && (!has_news || is_failing || !under_way.is_empty()) {
            continue;
        }
        if is_due {
            shared.state.sweep();
        }
        has_news = false;
        last = Instant::now();
        due = last + pause;
        if progress.position.is_none() {
            continue;
        }
        under_way.spawn(acknowledge(Arc::clone(&shared), progress));
    }
}

/// The time between acknowledgements while nothing happens.
fn pause(shared: &Shared, progress: &Progress) -> Duration {
    let pause = shared.settings.timing.acknowledge;
    if progress.max_staleness.is_zero() { pause } else { pause.min(progress.max_staleness / 3) }
}

async fn acknowledge(shared: Arc<Shared>, progress: Progress) -> Outcome {
    let seen = shared.last_used.take(shared.state.clock().boot());
    let sent = shared.state.clock().boot();
    let patience = (progress.max_staleness / 2).clamp(SHORTEST, Duration::from_secs(5));
    let answer = send(&shared, &progress, seen.clone(), patience).await;
    Outcome { sent, progress, seen, answer }
}

fn handle(shared: &Shared, outcome: Outcome, behind_since: &mut Option<Boot>) {
    let Outcome { sent, progress, seen, answer } = outcome;
    // An answer about a history that was replaced in the meantime says nothing.
    let incarnation = |progress: &Progress| progress.position.map(|position| position.incarnation);
    let is_outdated = incarnation(&progress) != incarnation(&shared.state.progress());
    match answer {
        Ok(answer) => {
            count(&shared.counts.acknowledged);
            match shared.state.confirm(sent, &progress, &answer) {
                SyncStatus::Fresh => {
                    *behind_since = None;
                    shared.clear_trouble();
                }
                // The next stream will bring what is missing.
                SyncStatus::Behind if !shared.is_connected.load(Ordering::Relaxed) => *behind_since = None,
                // The stream may be about to bring it. If it does not, something holds the stream back.
                SyncStatus::Behind => {
                    let since = *behind_since.get_or_insert(sent);
                    if shared.state.clock().boot().since(since) >= shared.settings.timing.behind {
                        *behind_since = None;
                        shared.note_trouble("the stream is held back".to_owned());
                        shared.resync.notify_one();
                    }
                }
                SyncStatus::OtherHistory if is_outdated => {}
                SyncStatus::OtherHistory => {
                    shared.note_trouble("the server has another history than this guard".to_owned());
                    shared.resync.notify_one();
                }
            }
        }
        Err(failure) => {
            shared.last_used.put_back(seen);
            if let Failure::Status { status: StatusCode::CONFLICT, .. } = failure
                && !is_outdated
            {
                shared.resync.notify_one();
            }
            shared.note_trouble(format!("acknowledgement: {failure}"));
        }
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

/// Tells the server that no receipt has to wait for this guard. If that fails, its lease runs out.
async fn leave(shared: &Shared) {
    let progress = shared.state.progress();
    if progress.position.is_none() {
        return;
    }
    let seen = shared.last_used.take(shared.state.clock().boot());
    if let Err(failure) = send(shared, &progress, seen, LEAVE_TIMEOUT).await {
        tracing::debug!(%failure, "the server was not told that this guard leaves");
    }
}
