//! Guards' leases, and what they confirm.
//!
//! An acknowledgement (`acknowledge`) lets a guard go on for `max_staleness`: that is its lease. A guard whose lease
//! was running when something was revoked may still accept it until the lease ends, unless it confirms earlier. So
//! each ledger row has, for each resource server, a number of guards to wait for and a time when the wait is over.
//! This is counted in memory. Once a row is settled, it is written in a batch. No revocation waits for that.
//!
//! Where several servers share a database, their leases and confirmations meet there: see `shared_guards`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::clock::{Clock, Timestamp};
use crate::metrics::FeedMetrics;
use crate::model::confirmation::{Confirmation, Guarded};
use crate::model::id::ResourceServerId;
use crate::model::resource_server::ResourceServer;
use crate::service::guard_instance::Instance;
pub use crate::service::guard_instance::{Acknowledgement, Servers};
use crate::service::leases::{Leases, SHOWN};
use crate::service::watched::{Pending, Times, Watched};
use crate::store::feed::FeedRow;
use crate::store::guards::Settled;
use crate::store::{self, Store};

const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// Rows that were not settled when the server stopped are settled if it starts again within this time.
const REMEMBERED: Duration = Duration::from_secs(2 * 3600);
/// A row is settled and written within this time: the longest lease, and time to write it.
const SETTLING: Duration = Duration::from_secs(330);

/// Cheap to clone.
#[derive(Clone)]
pub struct Guards {
    pub(super) kind: Servers,
    leases: Arc<Mutex<Leases>>,
    /// Notifies when this server has something to tell other servers, or something to learn from them.
    pub(super) news: Arc<Notify>,
    /// The newest row that waits for the guards of all servers.
    pub(super) complete: watch::Sender<i64>,
    /// The longest life of a JWT.
    longest_life: Duration,
    metrics: Arc<FeedMetrics>,
}

/// A guard as admins see it.
#[derive(Clone, Debug)]
pub struct GuardStatus {
    pub instance: String,
    pub acknowledged: Acknowledgement,
    pub lease: Timestamp,
}

impl Guards {
    pub fn new(longest_life: Duration, kind: Servers) -> Self {
        Self {
            kind,
            leases: Arc::new(Mutex::new(Leases::new(kind))),
            news: Arc::default(),
            complete: watch::Sender::new(0),
            longest_life,
            metrics: Arc::default(),
        }
    }

    pub fn metrics(&self) -> &FeedMetrics {
        &self.metrics
    }

    pub(super) fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what the last run of the server left: leases, and rows that are not settled.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn restore(&self, store: &Store, now: Timestamp) -> store::Result<()> {
        let since = now.minus(REMEMBERED);
        // First, so that rows which are written while this reads count as new.
        let position = store.feed_tip().await?.sequence;
        let rows = store.unsettled_rows(since, SETTLING).await?;
        let settled = store.settled_from(rows.first().map_or(i64::MAX, |row| row.sequence)).await?;
        let servers = store.resource_servers_ever().await?;
        let mut leases = Leases::new(self.kind);
        (leases.position, leases.complete) = (position, position);
        for leased in store.leased_guards(since).await? {
            let restored = Instance::stored(self.kind, &leased);
            leases.servers.entry(leased.server).or_default().instances.insert(leased.instance, restored);
        }
        for row in rows.iter().filter(|row| row.sequence <= position) {
            let is_open = |server: &&ResourceServer| !settled.contains(&(row.sequence, server.id.clone()));
            self.await_at(&mut leases, row, servers.iter().filter(is_open), Times::Lost);
        }
        *self.leases() = leases;
        self.complete.send_replace(position);
        Ok(())
    }

    /// Takes new rows of the ledger, before any guard is told of them.
    pub fn committed(&self, rows: &[FeedRow], servers: &[ResourceServer]) {
        let mut leases = self.leases();
        let position = leases.position;
        for row in rows.iter().filter(|row| row.sequence > position) {
            self.await_at(&mut leases, row, servers.iter(), Times::Known);
            leases.position = row.sequence;
        }
        self.news.notify_one();
    }

    fn await_at<'a>(
        &self,
        leases: &mut Leases,
        row: &FeedRow,
        servers: impl Iterator<Item = &'a ResourceServer>,
        times: Times,
    ) {
        // A resource server that was deleted before the row was written accepts nothing.
        let is_there = |server: &&ResourceServer| server.deleted_at.is_none_or(|at| row.at < at);
        for server in servers.filter(|server| row.audiences.concern(&server.audience)).filter(is_there) {
            let watched = leases.servers.entry(server.id.clone()).or_default();
            if server.is_guarded() {
                watched.await_row(self.kind, row.sequence, row.at, times);
            } else {
                let confirmation = Confirmation::unguarded(row.at, self.longest_life);
                watched.pending.push_back(Pending { sequence: row.sequence, at: row.at, confirmation });
            }
        }
    }

    /// What is known of those of these rows that are not settled yet.
    pub fn unsettled(&self, sequences: &[i64]) -> Vec<Settled> {
        let leases = self.leases();
        let find = |(server, watched): (&ResourceServerId, &Watched), sequence: i64| {
            let place = watched.pending.binary_search_by_key(&sequence, |row| row.sequence).ok()?;
            let confirmation = watched.pending[place].confirmation;
            Some(Settled { sequence, server: server.clone(), confirmation })
        };
        let of = |sequence: &i64| {
            leases.servers.iter().filter_map(|watched| find(watched, *sequence)).collect::<Vec<_>>()
        };
        sequences.iter().flat_map(of).collect()
    }

    /// A resource server's guards, including those that fell silent in the last ten minutes.
    pub fn of_server(&self, server: &ResourceServerId) -> Vec<GuardStatus> {
        let leases = self.leases();
        let instances = leases.servers.get(server).into_iter().flat_map(|watched| &watched.instances);
        let mut seen: Vec<_> = instances
            .map(|(instance, known)| GuardStatus {
                instance: instance.clone(),
                acknowledged: known.acknowledged,
                lease: known.end(self.kind),
            })
            .collect();
        seen.sort_by(|one, other| one.instance.cmp(&other.instance));
        seen
    }

    /// How many guards of a resource server may accept tokens, and the age of the oldest row that one of them has not
    /// confirmed.
    pub fn lag(&self, server: &ResourceServerId, now: Timestamp) -> (u64, Duration) {
        let leases = self.leases();
        let Some(watched) = leases.servers.get(server) else { return (0, Duration::ZERO) };
        let running = watched.instances.values().filter(|known| known.end(self.kind) > now).count();
        let is_awaited = |row: &&Pending| row.confirmation.silent() > 0 && row.confirmation.is_open(now);
        let oldest = watched.pending.iter().find(is_awaited);
        (running as u64, oldest.map_or(Duration::ZERO, |row| now.since(row.at)))
    }

    fn count<'s>(&self, settled: impl Iterator<Item = &'s Settled>) {
        for Settled { confirmation, .. } in settled {
            let counter = match confirmation {
                Confirmation { guarded: Guarded::None, .. } => &self.metrics.unguarded,
                Confirmation { instances: 0, .. } => &self.metrics.idle,
                confirmation if confirmation.silent() > 0 => &self.metrics.silent,
                _ => &self.metrics.confirmed,
            };
            counter.add(1);
        }
    }

    /// The longest life of a JWT: without a guard, a revoked one works for that long.
    pub const fn longest_life(&self) -> Duration {
        self.longest_life
    }

    /// Writes what is settled, and what has to be known of leases.
    ///
    /// # Errors
    /// When the store fails. What was not written is written next time.
    pub async fn flush(&self, store: &Store, now: Timestamp) -> store::Result<()> {
        self.settle(store, now).await?;
        self.write_leases(store, now).await
    }

    pub(super) async fn settle(&self, store: &Store, now: Timestamp) -> store::Result<()> {
        loop {
            let settled = self.leases().settled(now);
            if settled.is_empty() {
                return Ok(());
            }
            let written = settled.clone();
            let new = store.write(move |tx| tx.settle(&settled)).await?;
            self.leases().remove(&written);
            // Another server may have been first: then it has counted the row, and receipts show what it wrote.
            let is_new = |settled: &&Settled| new.contains(&(settled.sequence, settled.server.clone()));
            self.count(written.iter().filter(is_new));
        }
    }

    pub(super) async fn write_leases(&self, store: &Store, now: Timestamp) -> store::Result<()> {
        loop {
            let leases = self.leases().due(now);
            if leases.is_empty() {
                return Ok(());
            }
            let written = leases.clone();
            store.write(move |tx| tx.lease_guards(&leases)).await?;
            self.leases().written(&written, &self.metrics);
        }
    }

    /// Flushes every second, or more often if there are several servers. Never returns.
    pub async fn run(self, store: Store, clock: Clock) {
        let mut forgotten = clock.now();
        loop {
            let mut result = match self.kind {
                Servers::One => {
                    tokio::time::sleep(FLUSH_EVERY).await;
                    self.flush(&store, clock.now()).await
                }
                Servers::Several => self.share(&store, &clock).await,
            };
            let now = clock.now();
            self.leases().drop_silent(now);
            if now.since(forgotten) > SHOWN && result.is_ok() {
                forgotten = now;
                result = store.write(move |tx| tx.forget_guards(now.minus(REMEMBERED))).await;
            }
            if let Err(error) = result {
                tracing::warn!(error = %error, "guards.flush_failed");
            }
        }
    }
}
