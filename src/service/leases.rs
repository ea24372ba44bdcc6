//! The leases of guards, and which ledger rows they still have to confirm. All of it is in memory, without a database.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::metrics::FeedMetrics;
use crate::model::confirmation::Confirmation;
use crate::model::id::ResourceServerId;
use crate::store::guards::{Leased, Settled};

/// The database gets an end of the lease that is this much later than the real one. It is written again once it is less
/// than `NEAR` later.
pub const AHEAD: Duration = Duration::from_secs(20);
const NEAR: Duration = Duration::from_secs(10);
/// Rows written in one transaction: about two milliseconds.
const BATCH: usize = 200;
/// How long a guard is still shown after its lease ended.
pub const SHOWN: Duration = Duration::from_secs(600);

/// The guards of all resource servers.
#[derive(Default)]
pub struct Leases {
    pub servers: HashMap<ResourceServerId, Watched>,
    /// The newest ledger row known here.
    pub position: i64,
}

/// A resource server's guards, and the rows that are not settled, oldest first.
#[derive(Default)]
pub struct Watched {
    pub instances: HashMap<String, Instance>,
    pub pending: VecDeque<Pending>,
}

/// A ledger row that is not settled.
pub struct Pending {
    pub sequence: i64,
    pub at: Timestamp,
    pub confirmation: Confirmation,
}

/// A guard.
pub struct Instance {
    /// It has confirmed the rows up to this one, or they were written before its lease began.
    pub through: i64,
    pub lease: Timestamp,
    /// The end of the lease as the database has it.
    pub written: Timestamp,
    pub acknowledged: Acknowledgement,
}

/// What a guard said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    pub through: i64,
    pub keys_version: u64,
    pub at: Timestamp,
}

impl Watched {
    pub fn confirm(&mut self, after: i64, through: i64, now: Timestamp, metrics: &FeedMetrics) {
        let first = self.pending.partition_point(|row| row.sequence <= after);
        for row in self.pending.iter_mut().skip(first).take_while(|row| row.sequence <= through) {
            let was_silent = row.confirmation.silent() > 0;
            row.confirmation.confirm(Some(now.since(row.at)));
            if let (true, 0, Some(last)) = (was_silent, row.confirmation.silent(), row.confirmation.last) {
                metrics.confirmation.note(last);
            }
        }
    }

    /// Adds a row that waits for all guards whose lease was running at `at` and that have not confirmed `sequence` yet.
    pub fn await_row(&mut self, sequence: i64, at: Timestamp) {
        let open = self.instances.values().filter(|instance| instance.lease > at);
        let (mut instances, mut confirmed, mut until) = (0, 0, None);
        for instance in open {
            instances += 1;
            if instance.through >= sequence {
                confirmed += 1;
            } else {
                until = until.max(Some(instance.lease));
            }
        }
        let mut confirmation = Confirmation::awaited(instances, until);
        // Such a confirmation is from before a restart, so its time is unknown.
        (0..confirmed).for_each(|_| confirmation.confirm(None));
        self.pending.push_back(Pending { sequence, at, confirmation });
    }
}

impl Leases {
    pub fn settled(&self, now: Timestamp) -> Vec<Settled> {
        let of = |(server, watched): (&ResourceServerId, &Watched)| {
            let settled = watched.pending.iter().filter(|row| row.confirmation.is_settled(now));
            let settled = settled.map(|row| Settled {
                sequence: row.sequence,
                server: server.clone(),
                confirmation: row.confirmation,
            });
            settled.take(BATCH).collect::<Vec<_>>()
        };
        let mut settled: Vec<_> = self.servers.iter().flat_map(of).take(BATCH).collect();
        // Servers that write the same rows lock them in the same order.
        settled.sort_unstable_by(|one, other| {
            (one.sequence, one.server.as_str()).cmp(&(other.sequence, other.server.as_str()))
        });
        settled
    }

    pub fn remove(&mut self, written: &[Settled]) {
        let mut by_server: HashMap<&ResourceServerId, Vec<i64>> = HashMap::new();
        for Settled { sequence, server, .. } in written {
            by_server.entry(server).or_default().push(*sequence);
        }
        for (server, sequences) in by_server {
            if let Some(watched) = self.servers.get_mut(server) {
                watched.pending.retain(|row| sequences.binary_search(&row.sequence).is_err());
            }
        }
    }

    pub fn due(&self, now: Timestamp) -> Vec<Leased> {
        let of = |(server, watched): (&ResourceServerId, &Watched)| {
            let near = watched
                .instances
                .iter()
                .filter(|(_, known)| known.lease > now && known.written < known.lease.plus(NEAR));
            let lease = |(instance, known): (&String, &Instance)| Leased {
                server: server.clone(),
                instance: instance.clone(),
                through: known.through,
                until: known.lease.plus(AHEAD),
            };
            near.map(lease).take(BATCH).collect::<Vec<_>>()
        };
        let mut due: Vec<_> = self.servers.iter().flat_map(of).take(BATCH).collect();
        due.sort_unstable_by(|one, other| {
            (one.server.as_str(), &one.instance).cmp(&(other.server.as_str(), &other.instance))
        });
        due
    }

    pub fn written(&mut self, leases: &[Leased]) {
        for Leased { server, instance, until, .. } in leases {
            let watched = self.servers.get_mut(server);
            if let Some(known) = watched.and_then(|watched| watched.instances.get_mut(instance)) {
                known.written = *until;
            }
        }
    }

    pub fn drop_silent(&mut self, now: Timestamp) {
        for watched in self.servers.values_mut() {
            watched.instances.retain(|_, known| known.lease.plus(SHOWN) > now);
        }
    }
}
