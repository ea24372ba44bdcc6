//! `GET /revocations/feed`: every revocation, as it happens, as an event stream.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use rand::RngExt as _;
use rescind_guard::wire::Position;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::App;
use crate::model::act::RETENTION;
use crate::oauth::client_auth::{Proof, ProvenServer};
use crate::oauth::error::Error;
use crate::service::feed::Event;
use crate::service::streams::OpenStream;
use crate::store;

const HEARTBEAT: Duration = Duration::from_secs(5);
/// A reader that takes nothing for this long is cut off.
const STUCK: Duration = Duration::from_secs(15);
/// The most rows that are read at a time.
const BATCH: usize = 256;
/// The shortest and the longest time, in milliseconds, after which a guard that was cut off connects again.
const RETRY: std::ops::Range<u32> = 500..2_000;

pub async fn stream(
    State(app): State<App>,
    caller: ProvenServer,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let (incarnation, sequence) = applied(&headers)?;
    let Some(open) = app.streams.open(&caller.server().id) else {
        tracing::warn!(resource_server.id = %caller.server().id, "feed.too_many_streams");
        return Err(Error::too_many("this resource server has too many streams open; try again"));
    };
    let tip = app.feed.reached(&app.store).await?;
    let now = app.clock.now();
    if incarnation != tip.incarnation || sequence > tip.sequence {
        return Ok(gap(StatusCode::GONE));
    }
    let stretch = app.feed.stretch_after(&caller.server().audience, sequence);
    let (rows, _) = app.store.feed_stretch(&stretch, 1).await?;
    let next = rows.first();
    if next.is_some_and(|row| row.at < now.minus(RETENTION)) {
        return Ok(gap(StatusCode::GONE));
    }
    let follower = Follower {
        position: app.feed.position(),
        stopping: app.feed.stopping(),
        audience: caller.server().audience.to_string(),
        registry: app.store.version_moved(),
        caller,
        incarnation,
        // Rows in between that concern only other resource servers are skipped.
        seen: next.map_or(stretch.until, |row| row.sequence - 1),
        sent: sequence,
        keys_version: app.store.keys_version(),
        keys_sent: None,
        source: Source::Database,
        sent_at: Instant::now(),
        is_over: false,
        app,
        _open: open,
    };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Otherwise nginx would hold events back.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(stream::unfold(follower, Follower::next))).into_response())
}

/// The incarnation and the sequence that the reader has applied.
fn applied(headers: &HeaderMap) -> Result<(u64, i64), Error> {
    let text = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let position = text.and_then(Position::parse);
    position.and_then(|at| Some((at.incarnation, i64::try_from(at.sequence).ok()?))).ok_or_else(|| {
        Error::invalid_request("Last-Event-ID has to be incarnation.sequence of what was applied last")
    })
}

/// The answer to a position of another history, or one that is too old: the reader needs a snapshot.
pub fn gap(status: StatusCode) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], axum::Json(json!({ "error": "gap" }))).into_response()
}

/// Where a stream reads its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Until it has caught up with the ring.
    Database,
    Ring,
}

/// The last event for a resource server that was deleted. A guard that does not know the event trusts nothing any more,
/// which is what it should do.
const DELETED: &str = "event: deleted\ndata: {}\n\n";

/// One stream. It is asked for more when its connection has room. Nothing is pushed.
struct Follower {
    app: App,
    /// Who opened it, and with which secret. It ends when that secret ends.
    caller: ProvenServer,
    registry: watch::Receiver<u64>,
    audience: String,
    incarnation: u64,
    position: watch::Receiver<i64>,
    stopping: watch::Receiver<bool>,
    /// All rows up to this one were read, or concern only other resource servers.
    seen: i64,
    /// The sequence of this stream's last event.
    sent: i64,
    keys_version: watch::Receiver<i64>,
    keys_sent: Option<i64>,
    source: Source,
    sent_at: Instant,
    is_over: bool,
    /// Counts this stream until it ends.
    _open: OpenStream,
}

/// What there is to send.
enum Found {
    Text(String),
    /// Text after which the stream ends.
    Last(&'static str),
    Nothing,
    /// The stream has to end, for this reason.
    End(&'static str),
}

impl Follower {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        // A connection with room asks at once, so this one had none.
        if self.sent_at.elapsed() > STUCK {
            return self.ended("feed.reader_stuck");
        }
        loop {
            if self.is_over || *self.stopping.borrow() {
                return None;
            }
            self.position.borrow_and_update();
            self.registry.borrow_and_update();
            match self.find().await {
                Ok(Found::Text(text)) => return Some(self.sending(text)),
                Ok(Found::Last(text)) => {
                    self.is_over = true;
                    return Some(self.sending(text.to_owned()));
                }
                Ok(Found::Nothing) => {}
                Ok(Found::End(why)) => return self.ended(why),
                // The guard connects again, and gets 503 until the database answers.
                Err(error) => {
                    tracing::warn!(error = %error, "feed.stream_failed");
                    return None;
                }
            }
            tokio::select! {
                moved = self.position.changed() => moved.ok()?,
                moved = self.keys_version.changed() => moved.ok()?,
                moved = self.registry.changed() => moved.ok()?,
                stopped = self.stopping.changed() => stopped.ok()?,
                () = tokio::time::sleep(HEARTBEAT) => return Some(self.sending(": still here\n\n".to_owned())),
            }
        }
    }

    fn sending(mut self, text: String) -> (Result<Bytes, Infallible>, Self) {
        self.sent_at = Instant::now();
        (Ok(Bytes::from(text)), self)
    }

    fn ended(self, why: &'static str) -> Option<(Result<Bytes, Infallible>, Self)> {
        tracing::info!(audience = %self.audience, why, "feed.reader_cut_off");
        None
    }

    async fn find(&mut self) -> store::Result<Found> {
        let now = self.app.clock.now();
        match self.caller.proof(&self.app, now).await? {
            Proof::Valid => {}
            Proof::Outdated => return Ok(Found::End("feed.secret_rotated")),
            Proof::Deleted => return Ok(Found::Last(DELETED)),
        }
        let mut text = String::new();
        if self.keys_sent.is_none() {
            // So guards that lose a server at once don't all come back at once. Writing to a String can't fail.
            let _ = write!(text, "retry: {}\n\n", rand::rng().random_range(RETRY));
        }
        let version = *self.keys_version.borrow_and_update();
        if self.keys_sent != Some(version) {
            self.keys_sent = Some(version);
            let data = serde_json::to_string(&self.app.store.accepted_keys().await?.wire());
            let data = data.map_err(|error| store::Error::Unavailable(error.to_string()))?;
            let _ = write!(text, "event: keys\ndata: {data}\n\n");
        }
        loop {
            let Some((events, until)) = self.more().await? else {
                return Ok(Found::End("feed.reader_fell_behind"));
            };
            let is_all = until == self.seen;
            self.seen = until;
            for event in &events {
                if event.audiences.concern(&self.audience) {
                    event.write(&mut text, self.incarnation, self.sent, now);
                    self.sent = event.sequence;
                }
            }
            if !text.is_empty() {
                return Ok(Found::Text(text));
            }
            if is_all {
                return Ok(Found::Nothing);
            }
            // Many events may concern other resource servers, so requests on this thread run in between.
            tokio::task::yield_now().await;
        }
    }

    /// The next events, and the sequence up to which none is missing. Some may concern only other resource servers.
    /// `None` if the stream has fallen behind the ring.
    async fn more(&mut self) -> store::Result<Option<(Vec<Arc<Event>>, i64)>> {
        let feed = &self.app.feed;
        match (feed.after(self.seen, BATCH), self.source) {
            (Some(events), _) => {
                self.source = Source::Ring;
                let until = events.last().map_or(self.seen, |last| last.sequence);
                Ok(Some((events, until)))
            }
            (None, Source::Ring) => Ok(None),
            (None, Source::Database) => {
                let stretch = feed.stretch_after(&self.audience, self.seen);
                let (rows, until) = self.app.store.feed_stretch(&stretch, BATCH).await?;
                Ok(Some((rows.into_iter().map(|row| Arc::new(Event::new(row))).collect(), until)))
            }
        }
    }
}
