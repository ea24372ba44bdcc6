//! The connection: a snapshot, then the stream, again and again as long as the guard lives.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::clock::Boot;
use crate::http_client::Failure;
use crate::report::count;
use crate::settings::Timing;
use crate::shared::Shared;
use crate::sse::{Decoder, Event, Item};
use crate::state::Applied;
use crate::wire::{EntryEvent, Keys, Position, Snapshot, VERSION};

const LONGEST_WAIT_ASKED: Duration = Duration::from_secs(60);

/// What an event of the stream says.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    Entry(Position, EntryEvent),
    Keys(Keys),
}

/// Reads an event.
///
/// # Errors
/// This version does not know the event, or can't read it: it may revoke something, and nobody knows what. Also if the
/// resource server was deleted.
pub fn read_event(event: &Event) -> Result<Message, String> {
    let unreadable = |error: serde_json::Error| error.to_string();
    match event.name.as_str() {
        "entry" => {
            let id = event.id.as_deref().and_then(Position::parse).ok_or("an entry without a position")?;
            let entry: EntryEvent = serde_json::from_str(&event.data).map_err(unreadable)?;
            Ok(Message::Entry(id, entry))
        }
        "keys" => serde_json::from_str(&event.data).map(Message::Keys).map_err(unreadable),
        "deleted" => Err("this resource server was deleted at the authorization server".to_owned()),
        _ => Err("an event of unknown name".to_owned()),
    }
}

/// Why a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// It can be resumed from the last position.
    Closed(String),
    /// Something is missing.
    Gap,
    Unreadable(String),
}

/// How long to wait before the next attempt: random, so that a thousand guards do not connect at once, and longer with
/// each failure.
pub struct Backoff {
    retry: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub const fn new(timing: Timing) -> Self {
        Self { retry: timing.retry, longest: timing.longest_retry, failures: 0 }
    }

    /// At least `least`, and up to twice `retry` more, doubled with each failure.
    fn next(&mut self, least: Duration) -> Duration {
        let most = self.retry.saturating_mul(2 << self.failures.min(10)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        least + most.mul_f64(random())
    }
}

/// From 0 to 1. If the system gives no randomness, 0.5: that is no reason to end the connection.
fn random() -> f64 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}

/// Runs until the guard is dropped or shut down.
pub async fn run(shared: Arc<Shared>) {
    let mut backoff = Backoff::new(shared.settings.timing);
    let mut needs_snapshot = true;
    let mut last_gap: Option<Boot> = None;
    loop {
        if needs_snapshot {
            if let Err(failure) = fetch_snapshot(&shared).await {
                shared.note_trouble(format!("snapshot: {failure}"));
                tokio::time::sleep(backoff.next(asked_wait(&failure))).await;
                continue;
            }
            shared.changed.notify_one();
        }
        let end = match open(&shared).await {
            Ok(stream) => {
                count(&shared.counts.connects);
                shared.is_connected.store(true, Ordering::Relaxed);
                let end = follow(&shared, stream, &mut backoff).await;
                shared.is_connected.store(false, Ordering::Relaxed);
                end
            }
            Err(Failure::Status { status: StatusCode::GONE, .. }) => StreamEnd::Gap,
            Err(failure) => {
                shared.note_trouble(format!("feed: {failure}"));
                tokio::time::sleep(backoff.next(asked_wait(&failure))).await;
                needs_snapshot = false;
                continue;
            }
        };
        let pause = match end {
            StreamEnd::Closed(why) => {
                tracing::debug!(why, "the revocation feed closed");
                needs_snapshot = false;
                backoff.next(Duration::ZERO)
            }
            // At once, because what is missing was revoked already. Not at once if gaps come often.
            StreamEnd::Gap => {
                count(&shared.counts.gaps);
                needs_snapshot = true;
                let now = shared.state.clock().boot();
                let is_rare = last_gap.replace(now).is_none_or(|last| now.since(last) > backoff.longest);
                if is_rare { Duration::ZERO } else { backoff.next(Duration::ZERO) }
            }
            StreamEnd::Unreadable(why) => {
                shared.note_trouble(format!("nothing is trusted after an event of the feed: {why}"));
                needs_snapshot = true;
                backoff.next(Duration::ZERO)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

fn asked_wait(failure: &Failure) -> Duration {
    match failure {
        Failure::Status { retry_after: Some(wait), .. } => (*wait).min(LONGEST_WAIT_ASKED),
        _ => Duration::ZERO,
    }
}

async fn fetch_snapshot(shared: &Shared) -> Result<(), Failure> {
    let taken = shared.http.snapshot().await;
    accept_snapshot(shared, taken)?;
    // If a snapshot was asked for in the meantime, this one counts.
    let () =
        tokio::select! { biased; () = shared.resync.notified() => {}, () = std::future::ready(()) => {} };
    count(&shared.counts.snapshots);
    Ok(())
}

/// Replaces all that is held by a snapshot.
///
/// # Errors
/// It can't be read, is not for this guard, or is older than what is held.
pub fn accept_snapshot(shared: &Shared, taken: Result<Snapshot, Failure>) -> Result<(), Failure> {
    let refused = |why: &str| Failure::Unreadable(why.to_owned());
    // A snapshot that can't be read may revoke something unknown, like such an event.
    if let Err(Failure::Unreadable(_)) = taken {
        shared.state.distrust();
    }
    let snapshot = taken?;
    if snapshot.version != VERSION {
        shared.state.distrust();
        return Err(refused("a version of the feed that this guard does not know"));
    }
    if snapshot.issuer != shared.settings.issuer {
        return Err(refused("it is another issuer's"));
    }
    if snapshot.audience != shared.settings.audience {
        return Err(refused("the registration has another audience"));
    }
    shared.state.replace(snapshot).map_err(refused)?;
    shared.cache.clear();
    Ok(())
}

async fn open(shared: &Shared) -> Result<Incoming, Failure> {
    let position = shared.state.progress().position;
    let position = position.ok_or_else(|| Failure::Unreadable("no snapshot yet".to_owned()))?;
    shared.http.feed(&position.to_string()).await
}

async fn follow(shared: &Shared, mut stream: Incoming, backoff: &mut Backoff) -> StreamEnd {
    let mut decoder = Decoder::default();
    loop {
        let frame = tokio::select! {
            frame = tokio::time::timeout(shared.settings.timing.silence, stream.frame()) => frame,
            () = shared.resync.notified() => return StreamEnd::Gap,
        };
        let frame = match frame {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return StreamEnd::Closed(error.to_string()),
            Ok(None) => return StreamEnd::Closed("by the server".to_owned()),
            Err(_) => return StreamEnd::Closed("nothing was heard".to_owned()),
        };
        let Some(bytes) = frame.data_ref() else { continue };
        if let Err(end) = apply_bytes(shared, &mut decoder, bytes, backoff) {
            shared.changed.notify_one();
            return end;
        }
    }
}

/// Decodes and applies what was received, in order, up to the first item that can't be applied.
///
/// # Errors
/// The stream can't be used any more. If something can't be read, nothing is trusted any more.
pub fn apply_bytes(
    shared: &Shared,
    decoder: &mut Decoder,
    bytes: &[u8],
    backoff: &mut Backoff,
) -> Result<(), StreamEnd> {
    let mut items = Vec::new();
    let decoded = decoder.push(bytes, &mut items).map_err(|broken| StreamEnd::Unreadable(broken.to_string()));
    if decoded.is_ok() {
        backoff.failures = 0;
    }
    let end = apply_items(shared, &items, backoff).and(decoded);
    if let Err(StreamEnd::Unreadable(_)) = end {
        shared.state.distrust();
    }
    end
}

fn apply_items(shared: &Shared, items: &[Item], backoff: &mut Backoff) -> Result<(), StreamEnd> {
    for item in items {
        let event = match item {
            Item::Retry(millis) => {
                backoff.retry = Duration::from_millis((*millis).clamp(10, 60_000));
                continue;
            }
            Item::Event(event) => event,
        };
        let applied = match read_event(event).map_err(StreamEnd::Unreadable)? {
            Message::Entry(at, event) => shared.state.apply(at, &event, &shared.counts.entries_applied),
            Message::Keys(keys) => {
                let applied = shared.state.apply_keys(&keys, &shared.counts.entries_applied);
                applied.map_err(|why| StreamEnd::Unreadable(why.to_owned()))?
            }
        };
        match applied {
            Applied::New => shared.changed.notify_one(),
            Applied::Known => {}
            Applied::Gap => return Err(StreamEnd::Gap),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(failures: u32) -> Vec<Duration> {
        let (retry, longest) = (Duration::from_secs(1), Duration::from_secs(10));
        (0..10_000).map(|_| Backoff { retry, longest, failures }.next(Duration::ZERO)).collect()
    }

    #[test]
    fn guards_that_lose_their_server_together_reconnect_one_by_one() {
        for (failures, most) in [(0, 2), (1, 4), (2, 8), (3, 10), (40, 10)] {
            let pauses = pauses(failures);
            let tenth = Duration::from_secs(most) / 10;
            for part in 0..10 {
                let within = tenth * part..tenth * (part + 1);
                let number = pauses.iter().filter(|pause| within.contains(pause)).count();
                // A thousand are expected, with a standard deviation of thirty.
                assert!((800..1_200).contains(&number), "{number} in {within:?} after {failures} failures");
            }
        }
    }

    #[test]
    fn pauses_grow_with_each_failure_and_are_never_shorter_than_was_asked() {
        let mut backoff = Backoff { retry: Duration::ZERO, longest: Duration::from_secs(10), failures: 0 };
        for failures in 1..40 {
            assert_eq!(backoff.next(Duration::from_secs(5)), Duration::from_secs(5));
            assert_eq!(backoff.failures, failures);
        }
    }
}
