//! Guards' leases, and what they confirm.
//!
//! An acknowledgement lets a guard go on for `max_staleness`: that is its lease. A guard whose lease was running when
//! something was revoked may still accept it until the lease ends, unless it confirms earlier. So each ledger row has,
//! for each resource server, a number of guards to wait for and a time when the wait is over. This is counted in
//! memory. Once a row is settled, it is written in a batch. No revocation waits for that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::metrics::FeedMetrics;
use crate::model::confirmation::{Confirmation, Guarded};
use crate::model::id::ResourceServerId;
use crate::model::resource_server::ResourceServer;
pub use crate::service::leases::Acknowledgement;
use crate::service::leases::{AHEAD, Instance, Leases, Pending, SHOWN, Watched};
use crate::store::feed::FeedRow;
use crate::store::guards::{Leased, Settled};
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
    leases: Arc<Mutex<Leases>>,
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
    /// There are [`MOST_GUARDS`] already: this guard may not go on.
    TooMany,
}

impl Guards {
    pub fn new(longest_life: Duration) -> Self {
        Self { leases: Arc::default(), longest_life, metrics: Arc::default() }
    }

    pub fn metrics(&self) -> &FeedMetrics {
        &self.metrics
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
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
        let mut leases = Leases { position, ..Leases::default() };
        for Leased { server, instance, through, until } in store.leased_guards(since).await? {
            let acknowledged = Acknowledgement { through, keys_version: 0, at: until.minus(AHEAD) };
            let restored = Instance { through, lease: until, written: until, acknowledged };
            leases.servers.entry(server).or_default().instances.insert(instance, restored);
        }
        for row in rows.iter().filter(|row| row.sequence <= position) {
            let is_open = |server: &&ResourceServer| !settled.contains(&(row.sequence, server.id.clone()));
            self.await_at(&mut leases, row, servers.iter().filter(is_open));
        }
        *self.leases() = leases;
        Ok(())
    }

    /// Takes new rows of the ledger, before any guard is told of them.
    pub fn committed(&self, rows: &[FeedRow], servers: &[ResourceServer]) {
        let mut leases = self.leases();
        let position = leases.position;
        for row in rows.iter().filter(|row| row.sequence > position) {
            self.await_at(&mut leases, row, servers.iter());
            leases.position = row.sequence;
        }
    }

    fn await_at<'a>(
        &self,
        leases: &mut Leases,
        row: &FeedRow,
        servers: impl Iterator<Item = &'a ResourceServer>,
    ) {
        // A resource server that was deleted before the row was written accepts nothing.
        let is_there = |server: &&ResourceServer| server.deleted_at.is_none_or(|at| row.at < at);
        for server in servers.filter(|server| row.audiences.concern(&server.audience)).filter(is_there) {
            let watched = leases.servers.entry(server.id.clone()).or_default();
            if server.is_guarded() {
                watched.await_row(row.sequence, row.at);
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
        let position = leases.position;
        let now = acknowledged.at;
        let lease = now.plus(server.guarding.max_staleness.duration());
        let watched = leases.servers.entry(server.id.clone()).or_default();
        if let Some(known) = watched.instances.get_mut(instance).filter(|known| known.lease > now) {
            let before = known.through;
            known.through = before.max(acknowledged.through.min(position));
            let through = known.through;
            known.lease = lease;
            known.acknowledged = acknowledged;
            watched.confirm(before, through, now, &self.metrics);
            return Lease::Known;
        }
        if watched.instances.len() >= MOST_GUARDS {
            watched.instances.retain(|_, known| known.lease > now);
            if watched.instances.len() >= MOST_GUARDS {
                return Lease::TooMany;
            }
        }
        // It accepted nothing until now, so it need not confirm what ended earlier.
        let written = lease.plus(AHEAD);
        let begun = Instance { through: position, lease, written, acknowledged };
        watched.instances.insert(instance.to_owned(), begun);
        Lease::New(Leased {
            server: server.id.clone(),
            instance: instance.to_owned(),
            through: position,
            until: written,
        })
    }

    /// Removes a guard that accepts nothing any more, so that nobody waits for it.
    pub fn left(&self, server: &ResourceServer, instance: &str, now: Timestamp) -> Option<Leased> {
        let mut leases = self.leases();
        let position = leases.position;
        let watched = leases.servers.get_mut(&server.id)?;
        let gone = watched.instances.remove(instance)?;
        watched.confirm(gone.through, position, now, &self.metrics);
        let (server, instance) = (server.id.clone(), instance.to_owned());
        Some(Leased { server, instance, through: position, until: now })
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
                lease: known.lease,
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
        let running = watched.instances.values().filter(|known| known.lease > now).count();
        let is_awaited = |row: &&Pending| row.confirmation.silent() > 0 && row.confirmation.is_open(now);
        let oldest = watched.pending.iter().find(is_awaited);
        (running as u64, oldest.map_or(Duration::ZERO, |row| now.since(row.at)))
    }

    fn count(&self, settled: &[Settled]) {
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

    /// Writes what is settled, and leases that are near the end that the database has.
    ///
    /// # Errors
    /// When the store fails. What was not written is written next time.
    pub async fn flush(&self, store: &Store, now: Timestamp) -> store::Result<()> {
        loop {
            let settled = self.leases().settled(now);
            if settled.is_empty() {
                break;
            }
            let written = settled.clone();
            store.write(move |tx| settled.iter().try_for_each(|settled| tx.settle(settled))).await?;
            self.leases().remove(&written);
            self.count(&written);
        }
        loop {
            let leases = self.leases().due(now);
            if leases.is_empty() {
                return Ok(());
            }
            let written = leases.clone();
            store.write(move |tx| leases.iter().try_for_each(|leased| tx.lease_guard(leased))).await?;
            self.leases().written(&written);
        }
    }

    /// Flushes every second. Never returns.
    pub async fn run(self, store: Store, clock: Clock) {
        let mut forgotten = clock.now();
        loop {
            tokio::time::sleep(FLUSH_EVERY).await;
            let now = clock.now();
            let mut result = self.flush(&store, now).await;
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

/// Makes a new lease durable.
///
/// # Errors
/// When the store fails. Then the guard may not go on.
pub async fn write_lease(store: &Store, leased: Leased, now: Timestamp) -> store::Result<()> {
    let write = move |tx: &store::Tx<'_>| {
        tx.note_guard(&leased.server, now)?;
        tx.lease_guard(&leased)
    };
    store.write(write).await
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
    store.write(move |tx| tx.lease_guard(&leased)).await
}
