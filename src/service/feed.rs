//! The revocation feed's fan-out: one task reads new ledger rows, and any number of streams take them from it.
//!
//! It holds the newest rows in a ring. A stream asks for the rows after its position, and the task never waits for a
//! stream. A stream that falls behind the ring is cut off, and reads from the database when its guard connects again.
//! So reading a revocation costs the same however many guards listen.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rescind_guard::wire::Subject;
use tokio::sync::watch;

use crate::clock::{Clock, Timestamp};
use crate::model::act::RETENTION;
use crate::model::resource_server::Audiences;
use crate::service::guards::Guards;
use crate::store::feed::{FeedRow, Heads, Stretch, Tip};
use crate::store::{self, Store};

/// At most this many rows are in the ring: room for three times a large burst of revocations.
const RING: usize = 32_768;
/// Rows that one read takes.
const BATCH: i64 = 256;
const BACK_OFF: Duration = Duration::from_millis(100);
/// How long a request waits until this task has read all rows of the database.
const PATIENCE: Duration = Duration::from_secs(2);

/// For how many more seconds an entry from `at` can matter.
pub fn keep(at: Timestamp, now: Timestamp) -> u64 {
    RETENTION.saturating_sub(now.since(at)).as_secs()
}

/// A row for streams. The text that is the same in all streams is made once.
#[derive(Debug)]
pub struct Event {
    pub sequence: i64,
    pub at: Timestamp,
    pub audiences: Audiences,
    /// The members of its data between `prev` and `keep`. These two differ from stream to stream.
    middle: String,
}

impl Event {
    pub fn new(row: FeedRow) -> Self {
        let (kind, id, generation) = match row.subject {
            Subject::Token { id } => ("token", Some(id), None),
            Subject::Family { id } => ("family", Some(id), None),
            Subject::Grant { id, generation } => ("grant", Some(id), generation),
            Subject::Client { id, generation } => ("client", Some(id), Some(generation)),
            Subject::User { id, generation } => ("user", Some(id), Some(generation)),
            Subject::Server { generation } => ("server", None, Some(generation)),
        };
        let mut middle = format!("\"at\":{},\"kind\":\"{kind}\"", row.at.millis());
        // Ids are letters, digits, `_` and `-`, so they need no escaping. Writing to a String can't fail.
        if let Some(id) = id {
            let _ = write!(middle, ",\"id\":\"{id}\"");
        }
        if let Some(generation) = generation {
            let _ = write!(middle, ",\"generation\":{generation}");
        }
        Self { sequence: row.sequence, at: row.at, audiences: row.audiences, middle }
    }

    /// Appends the event as a stream sends it if the stream's last event was `prev`.
    pub fn write(&self, out: &mut String, incarnation: u64, prev: i64, now: Timestamp) {
        let (sequence, middle, keep) = (self.sequence, &self.middle, keep(self.at, now));
        // Writing to a String can't fail.
        let _ = write!(
            out,
            "id: {incarnation}.{sequence}\nevent: entry\ndata: {{\"prev\":{prev},{middle},\"keep\":{keep}}}\n\n"
        );
    }
}

/// What has been read from the ledger. Cheap to clone.
#[derive(Clone)]
pub struct Feed(Arc<Inner>);

struct Inner {
    ring: RwLock<Ring>,
    /// The newest sequence read; below 0 until the first read.
    position: watch::Sender<i64>,
    stopping: watch::Sender<bool>,
}

#[derive(Default)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    /// All rows after this one are in the ring, but for those that end nothing.
    since: i64,
    heads: Heads,
    /// 0 until the first read.
    incarnation: u64,
}

impl Default for Feed {
    fn default() -> Self {
        Self(Arc::new(Inner {
            ring: RwLock::default(),
            position: watch::Sender::new(-1),
            stopping: watch::Sender::new(false),
        }))
    }
}

impl Feed {
    fn ring(&self) -> std::sync::RwLockReadGuard<'_, Ring> {
        self.0.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the ledger as long as the server runs. Tells `guards` of each row before streams can take it.
    pub async fn run(self, store: Store, guards: Guards, clock: Clock) {
        let mut head = store.ledger_head();
        loop {
            head.borrow_and_update();
            if let Err(error) = self.catch_up(&store, &guards, &clock).await {
                tracing::warn!(error = %error, "feed.read_failed");
                tokio::time::sleep(BACK_OFF).await;
                continue;
            }
            if head.changed().await.is_err() {
                return;
            }
        }
    }

    async fn catch_up(&self, store: &Store, guards: &Guards, clock: &Clock) -> store::Result<()> {
        let mut position = *self.0.position.borrow();
        if position < 0 {
            guards.restore(store, clock.now()).await?;
            let (tip, heads) = store.feed_heads().await?;
            let mut ring = self.0.ring.write().unwrap_or_else(PoisonError::into_inner);
            let since = tip.sequence.saturating_sub_unsigned(RING as u64).max(0);
            *ring = Ring { events: VecDeque::new(), since, heads, incarnation: tip.incarnation };
            position = since;
        }
        loop {
            let rows = store.feed_after(position, BATCH).await?;
            let Some(last) = rows.last().map(|row| row.sequence) else { break };
            guards.committed(&rows, &store.resource_servers_ever().await?);
            self.push(rows);
            position = last;
            self.announce(position);
            // Lets streams take their rows. Otherwise they would fall behind the ring when many rows are read.
            tokio::task::yield_now().await;
        }
        self.announce(position);
        Ok(())
    }

    fn push(&self, rows: Vec<FeedRow>) {
        let mut ring = self.0.ring.write().unwrap_or_else(PoisonError::into_inner);
        // Rows that end nothing concern no guard, so streams need not skip them.
        for row in rows.into_iter().filter(|row| row.audiences != Audiences::NOBODY) {
            ring.heads.note(&row.audiences, row.sequence);
            ring.events.push_back(Arc::new(Event::new(row)));
        }
        while ring.events.len() > RING {
            ring.since = ring.events.pop_front().map_or(ring.since, |event| event.sequence);
        }
    }

    fn announce(&self, position: i64) {
        self.0.position.send_if_modified(|held| std::mem::replace(held, position) != position);
    }

    /// The incarnation of the history that is read. It does not change while the server runs.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn incarnation(&self, store: &Store) -> store::Result<u64> {
        let known = self.ring().incarnation;
        if known > 0 { Ok(known) } else { Ok(self.reached(store).await?.incarnation) }
    }

    /// The current tip of the ledger. Waits until this task has read all rows up to it.
    ///
    /// # Errors
    /// When the database can't be read. Also when its path no longer leads to the file that was opened: then nothing
    /// can be revoked, so no guard may look fresh.
    pub async fn reached(&self, store: &Store) -> store::Result<Tip> {
        if !store.is_in_place() {
            return Err(store::Error::Unavailable("the database file was replaced or removed".to_owned()));
        }
        let tip = store.feed_tip().await?;
        let mut position = self.0.position.subscribe();
        if *position.borrow() < tip.sequence {
            // Another server's rows are found at once, and not when they are next looked for.
            store.current().await?;
        }
        let read = position.wait_for(|position| *position >= tip.sequence);
        match tokio::time::timeout(PATIENCE, read).await {
            Ok(Ok(_)) => Ok(tip),
            _ => Err(store::Error::Unavailable("the ledger is not being read".to_owned())),
        }
    }

    /// The newest sequence of a resource server's stream.
    pub fn head_of(&self, audience: &str) -> i64 {
        self.ring().heads.of(audience)
    }

    /// What a stream has to read from the database after `sequence`. It has no sets if only other audiences were
    /// concerned.
    pub fn stretch_after(&self, audience: &str, sequence: i64) -> Stretch {
        // First `position`, then `heads`: so `heads` knows all rows up to `until`.
        let until = *self.0.position.borrow();
        Stretch { sets: self.ring().heads.sets_after(audience, sequence), after: sequence, until }
    }

    /// At most `most` rows after `sequence`, for any audience. `None` if the ring no longer has all of them.
    pub fn after(&self, sequence: i64, most: usize) -> Option<Vec<Arc<Event>>> {
        let ring = self.ring();
        if sequence < ring.since {
            return None;
        }
        let first = ring.events.partition_point(|event| event.sequence <= sequence);
        Some(ring.events.iter().skip(first).take(most).cloned().collect())
    }

    /// Notifies when rows have been read.
    pub fn position(&self) -> watch::Receiver<i64> {
        self.0.position.subscribe()
    }

    /// Ends all streams, because the server is about to stop.
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Notifies when streams have to end.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.0.stopping.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use rescind_guard::wire::EntryEvent;

    use super::*;

    #[test]
    fn events_read_as_the_wire_type_says() {
        let at = Timestamp::from_millis(1_790_000_123_456);
        let (id, generation) = ("x_1".to_owned(), 4);
        for subject in [
            Subject::Token { id: id.clone() },
            Subject::Family { id: id.clone() },
            Subject::Grant { id: id.clone(), generation: None },
            Subject::Grant { id: id.clone(), generation: Some(generation) },
            Subject::Client { id: id.clone(), generation },
            Subject::User { id, generation },
            Subject::Server { generation },
        ] {
            let row = FeedRow { sequence: 12, at, subject: subject.clone(), audiences: Audiences::Everyone };
            let mut text = String::new();
            Event::new(row).write(&mut text, 17, 9, at.plus(Duration::from_millis(1_500)));
            let data = text.strip_prefix("id: 17.12\nevent: entry\ndata: ").unwrap();
            let event: EntryEvent = serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap();
            assert_eq!((event.prev, event.at, event.entry.keep), (9, at.millis(), 7_498));
            assert_eq!(event.entry.subject, subject);
        }
    }

    #[test]
    fn an_entry_matters_for_a_bounded_time() {
        let at = Timestamp::from_millis(10_000);
        assert_eq!(keep(at, at), 7_500);
        assert_eq!(keep(at, Timestamp::from_millis(0)), 7_500);
        assert_eq!(keep(at, at.plus(RETENTION)), 0);
        assert_eq!(keep(at, at.plus(RETENTION * 2)), 0);
    }

    #[test]
    fn the_ring_returns_nothing_if_older_rows_are_missing() {
        let feed = Feed::default();
        let row = |sequence| FeedRow {
            sequence,
            at: Timestamp::from_millis(0),
            subject: Subject::Server { generation: 1 },
            audiences: Audiences::Everyone,
        };
        let most = i64::try_from(RING).unwrap();
        feed.push((1..=most).map(row).collect());
        assert_eq!(feed.after(0, 1).unwrap()[0].sequence, 1);
        feed.push(vec![row(most + 1)]);
        assert!(feed.after(0, 1).is_none());
        assert_eq!(feed.after(1, 1).unwrap()[0].sequence, 2);
        assert_eq!(feed.after(most, 9).unwrap().len(), 1);
        assert!(feed.after(most + 1, 9).unwrap().is_empty());
    }
}
