//! Guards' leases, and what they confirm.
//!
//! An acknowledgement lets a guard go on for `max_staleness`: that is its lease. A guard whose lease was running when
//! something was revoked may still accept it until the lease ends, unless it confirms earlier. So each ledger row has,
//! for each resource server, a number of guards to wait for and a time when the wait is over. This is counted in
//! memory. Once a row is settled, it is written in a batch. No revocation waits for that.
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
use crate::service::guard_instance::{AHEAD, Instance, Written};
pub use crate::service::guard_instance::{Acknowledgement, Servers};
use crate::service::leases::{Leases, Pending, SHOWN, Times, Watched};
use crate::store::feed::FeedRow;
use crate::store::guards::{EVERYTHING, Leased, Settled};
use crate::store::{self, Store};

const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// Rows that were not settled when the server stopped are settled if it starts again within this time.
const REMEMBERED: Duration = Duration::from_secs(2 * 3600);
/// A row is settled and written within this time: the longest lease, and time to write it.
const SETTLING: Duration = Duration::from_secs(330);
/// At most this many guards of one resource server have a lease. Every revocation looks at all of them, so a stolen
/// secret, or a program that restarts every second, must not add guards without limit.
pub const MOST_GUARDS: usize = 5_000;

/// Cheap to clone.
#[derive(Clone)]
pub struct Guards {
    pub(super) kind: Servers,
    leases: Arc<Mutex<Leases>>,
    /// Notifies when there is something that other servers have to know, or know.
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

/// Whether a lease has to be written before its guard gets an answer.
#[derive(Clone, Debug)]
#[must_use]
pub enum Lease {
    Known,
    New(Leased),
    /// It is longer than what other servers know of it.
    Extended(Leased),
    /// There are [`MOST_GUARDS`] already: this guard may not go on.
    TooMany,
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

    /// Notes an acknowledgement, and extends its sender's lease from `acknowledged.at` on.
    ///
    /// Must be called before the answer is read from the database: then everything that is revoked after that read
    /// finds the lease, and waits for it.
    pub fn acknowledged(
        &self,
        server: &ResourceServer,
        instance: &str,
        acknowledged: Acknowledgement,
    ) -> Lease {
        let mut leases = self.leases();
        let (position, complete) = (leases.position, leases.complete);
        let now = acknowledged.at;
        let lease = now.plus(server.guarding.max_staleness.duration());
        let watched = leases.servers.entry(server.id.clone()).or_default();
        let runs = |known: &Instance| known.end(self.kind) > now;
        if let Some(known) = watched.instances.get(instance).copied().filter(runs) {
            let through = known.through.max(acknowledged.through.min(position));
            let confirmed_at = if through > known.through { now } else { known.confirmed_at };
            let extended = Instance { through, lease, acknowledged, confirmed_at, ..known };
            return match self.kind {
                Servers::One => {
                    watched.instances.insert(instance.to_owned(), extended);
                    watched.confirm(known.through, through, now, &self.metrics);
                    Lease::Known
                }
                Servers::Several => {
                    watched.replace(instance, extended, complete, &self.metrics);
                    if through > known.through {
                        self.news.notify_one();
                    }
                    let is_known = lease <= known.written.until;
                    if is_known {
                        Lease::Known
                    } else {
                        Lease::Extended(extended.leased(&server.id, instance))
                    }
                }
            };
        }
        if watched.instances.len() >= MOST_GUARDS {
            watched.instances.retain(|_, known| runs(known));
            if watched.instances.len() >= MOST_GUARDS {
                return Lease::TooMany;
            }
        }
        // It accepted nothing until now, so it need not confirm what ended earlier.
        let until = match self.kind {
            Servers::One => lease.plus(AHEAD),
            // Other servers do not know it yet.
            Servers::Several => now,
        };
        let written = Written { until, through: position, keys_version: acknowledged.keys_version };
        let begun =
            Instance { since: position, through: position, lease, acknowledged, confirmed_at: now, written };
        watched.instances.insert(instance.to_owned(), begun);
        Lease::New(begun.leased(&server.id, instance))
    }

    /// Takes what is stored of a lease.
    fn stored(&self, leased: &Leased) {
        let mut leases = self.leases();
        let complete = leases.complete;
        let watched = leases.servers.entry(leased.server.clone()).or_default();
        let stored = Instance::stored(Servers::Several, leased);
        let lease = watched.instances.get(&leased.instance).map_or(stored.lease, |known| known.lease);
        watched.replace(&leased.instance, Instance { lease, ..stored }, complete, &self.metrics);
    }

    fn is_running(&self, server: &ResourceServerId, instance: &str, now: Timestamp) -> bool {
        let leases = self.leases();
        let known = leases.servers.get(server).and_then(|watched| watched.instances.get(instance));
        known.is_some_and(|known| known.end(self.kind) > now)
    }

    /// Removes a guard that accepts nothing any more, so that nobody waits for it.
    pub fn left(&self, server: &ResourceServer, instance: &str, now: Timestamp) -> Option<Leased> {
        let mut leases = self.leases();
        let (position, complete) = (leases.position, leases.complete);
        let watched = leases.servers.get_mut(&server.id)?;
        let gone = watched.instances.get(instance).copied()?;
        let left = match self.kind {
            Servers::One => {
                watched.instances.remove(instance);
                watched.confirm(gone.through, position, now, &self.metrics);
                Instance { through: position, ..gone }
            }
            Servers::Several => {
                let written = Written { until: now, through: EVERYTHING, ..gone.written };
                let left = Instance { through: EVERYTHING, lease: now, confirmed_at: now, written, ..gone };
                watched.replace(instance, left, complete, &self.metrics);
                self.news.notify_one();
                left
            }
        };
        Some(Leased { until: now, ..left.leased(&server.id, instance) })
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

/// Makes a lease durable, and known to other servers.
///
/// # Errors
/// When the store fails. Then the guard may not go on.
pub async fn write_lease(guards: &Guards, store: &Store, lease: Lease, now: Timestamp) -> store::Result<()> {
    match lease {
        Lease::Known | Lease::TooMany => Ok(()),
        Lease::New(leased) => {
            let begin = move |tx: &store::Tx<'_>| {
                tx.note_guard(&leased.server, now)?;
                tx.begin_lease(&leased)
            };
            let stored = store.write(begin).await?;
            if guards.kind == Servers::Several {
                guards.stored(&stored);
            }
            Ok(())
        }
        Lease::Extended(leased) => {
            let written = [leased.clone()];
            store.write(move |tx| tx.lease_guards(std::slice::from_ref(&leased))).await?;
            guards.leases().written(&written, &guards.metrics);
            Ok(())
        }
    }
}

/// Ends the lease of a guard that accepts nothing any more.
///
/// # Errors
/// When the store fails. The lease then runs out by itself.
pub async fn leave(
    guards: &Guards,
    store: &Store,
    server: &ResourceServer,
    instance: &str,
    now: Timestamp,
) -> store::Result<()> {
    let Some(leased) = guards.left(server, instance, now) else { return Ok(()) };
    store.write(move |tx| tx.lease_guards(std::slice::from_ref(&leased))).await
}

/// Learns of a guard that has its lease from another server.
///
/// # Errors
/// When the database can't be read.
pub async fn look_up(
    guards: &Guards,
    store: &Store,
    server: &ResourceServer,
    instance: &str,
    now: Timestamp,
) -> store::Result<()> {
    if guards.kind == Servers::One || guards.is_running(&server.id, instance, now) {
        return Ok(());
    }
    if let Some(leased) = store.leased_guard(&server.id, instance).await?.filter(|leased| leased.until > now)
    {
        guards.stored(&leased);
    }
    Ok(())
}
