//! The leases of guards, and which ledger rows they still have to confirm. All of it is in memory, without a database.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::metrics::FeedMetrics;
use crate::model::id::ResourceServerId;
use crate::service::guard_instance::{Instance, Servers, Written};
use crate::service::watched::{Pending, Watched};
use crate::store::guards::{Leased, Settled};

/// A server that had no answer from the database for this long leaves rows to others for a while.
const MISSED: Duration = Duration::from_secs(5);
const FOR_OTHERS: Duration = Duration::from_secs(3);
/// Rows written in one transaction: about two milliseconds.
const BATCH: usize = 200;
/// How long a guard is still shown after its lease ended.
pub const SHOWN: Duration = Duration::from_secs(600);

/// The guards of all resource servers.
pub struct Leases {
    pub kind: Servers,
    pub servers: HashMap<ResourceServerId, Watched>,
    /// The newest ledger row known here.
    pub position: i64,
    /// Rows up to this one wait for all guards that had a lease when they were committed, at whichever server. Newer
    /// ones may wait for more than is known here.
    pub complete: i64,
    /// When the database was last told, and asked, of leases.
    exchanged: Timestamp,
    /// Rows up to this one are for other servers to settle, until this time: they know more of them.
    for_others: (i64, Timestamp),
}

impl Leases {
    pub fn new(kind: Servers) -> Self {
        Self {
            kind,
            servers: HashMap::new(),
            position: 0,
            complete: 0,
            exchanged: Timestamp::from_millis(0),
            for_others: (0, Timestamp::from_millis(0)),
        }
    }

    fn can_settle(&self, row: &Pending, now: Timestamp) -> bool {
        let (sequence, until) = self.for_others;
        let is_for_others = row.sequence <= sequence && now < until;
        let is_complete = row.sequence <= self.complete && !is_for_others;
        row.confirmation.is_settled(now) && (self.kind == Servers::One || is_complete)
    }

    /// Notes that the database is about to be told and asked, and returns when that was done before. What this server
    /// has missed for a while, others have seen; and what they have missed, it has to tell them first.
    pub fn exchanging(&mut self, now: Timestamp) -> Timestamp {
        if now.since(self.exchanged) > MISSED {
            self.for_others = (self.position, now.plus(FOR_OTHERS));
        }
        self.exchanged.min(now)
    }

    /// Whether there are rows that are not settled.
    pub fn is_waiting(&self) -> bool {
        self.servers.values().any(|watched| !watched.pending.is_empty())
    }

    pub fn settled(&self, now: Timestamp) -> Vec<Settled> {
        let of = |(server, watched): (&ResourceServerId, &Watched)| {
            let settled = watched.pending.iter().filter(|row| self.can_settle(row, now));
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
            let due = watched.instances.iter().filter(|(_, known)| known.is_due(self.kind, now));
            due.map(|(instance, known)| known.leased(server, instance)).take(BATCH).collect::<Vec<_>>()
        };
        let mut due: Vec<_> = self.servers.iter().flat_map(of).take(BATCH).collect();
        due.sort_by(|one, other| (&one.server, &one.instance).cmp(&(&other.server, &other.instance)));
        due
    }

    pub fn written(&mut self, leases: &[Leased], metrics: &FeedMetrics) {
        for Leased { server, instance, through, keys_version, until, .. } in leases {
            let Some(watched) = self.servers.get_mut(server) else { continue };
            let Some(known) = watched.instances.get_mut(instance) else { continue };
            let written = Written { until: *until, through: *through, keys_version: *keys_version };
            match self.kind {
                Servers::One => known.written = written,
                Servers::Several => {
                    let new = Instance { written, ..*known };
                    watched.replace(instance, new, self.complete, metrics);
                }
            }
        }
    }

    /// Takes what the database says of guards, and said at `now` or later: what this server does not know, others have
    /// written. `position` is the newest row that was known here before that was read.
    pub fn merge(&mut self, stored: &[Leased], position: i64, now: Timestamp, metrics: &FeedMetrics) {
        for leased in stored {
            let watched = self.servers.entry(leased.server.clone()).or_default();
            let stored = Instance::stored(Servers::Several, leased);
            let new = match watched.instances.get(&leased.instance) {
                Some(known) if known.since == stored.since => known.merged(&stored),
                // What is known here is of a later lease, which is not written yet.
                Some(known) if known.since > stored.since => continue,
                _ => stored,
            };
            watched.replace(&leased.instance, new, self.complete, metrics);
        }
        self.complete = self.complete.max(position);
        self.exchanged = now;
    }

    pub fn drop_silent(&mut self, now: Timestamp) {
        for watched in self.servers.values_mut() {
            watched.instances.retain(|_, known| known.lease.plus(SHOWN) > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::confirmation::Confirmation;
    use crate::service::watched::Times;
    use crate::store::guards::EVERYTHING;

    const AT: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn after(ms: u64) -> Timestamp {
        AT.plus(Duration::from_millis(ms))
    }

    /// A lease as another server has written it.
    fn stored(instance: &str, since: i64, through: i64, confirmed_at: Timestamp, until: Timestamp) -> Leased {
        let server = ResourceServerId::generate(Timestamp::from_millis(0));
        let instance = instance.to_owned();
        Leased { server, instance, since, through, keys_version: 1, at: confirmed_at, confirmed_at, until }
    }

    struct Scene {
        leases: Leases,
        server: ResourceServerId,
        metrics: FeedMetrics,
    }

    impl Scene {
        fn new() -> Self {
            let mut leases = Leases::new(Servers::Several);
            leases.exchanged = AT;
            let server = ResourceServerId::generate(AT);
            Self { leases, server, metrics: FeedMetrics::default() }
        }

        /// A row that this server reads now, committed at `at`.
        fn row(&mut self, sequence: i64, at: Timestamp) {
            let watched = self.leases.servers.entry(self.server.clone()).or_default();
            watched.await_row(Servers::Several, sequence, at, Times::Known);
            self.leases.position = sequence;
        }

        fn reads(&mut self, stored: Leased) {
            let stored = Leased { server: self.server.clone(), ..stored };
            let position = self.leases.position;
            self.leases.merge(&[stored], position, AT, &self.metrics);
        }

        fn confirmation(&self) -> Confirmation {
            self.leases.servers[&self.server].pending[0].confirmation
        }

        fn settles(&self, now: Timestamp) -> bool {
            !self.leases.settled(now).is_empty()
        }
    }

    #[test]
    fn a_row_is_not_settled_before_the_leases_of_other_servers_were_read() {
        let mut scene = Scene::new();
        scene.row(5, AT);
        // Nobody is known who has to confirm it, but nobody was looked for.
        assert_eq!(scene.confirmation().instances, 0);
        assert!(!scene.settles(after(1_000)));
        scene.reads(stored("one", 3, 3, after(0), after(9_000)));
        assert_eq!(scene.confirmation(), Confirmation::awaited(1, Some(after(9_000))));
        assert!(!scene.settles(after(8_999)));
        assert!(scene.settles(after(9_000)));
    }

    #[test]
    fn a_confirmation_at_another_server_counts_with_the_time_it_had_there() {
        let mut scene = Scene::new();
        scene.reads(stored("one", 3, 3, after(0), after(9_000)));
        scene.row(5, AT);
        scene.reads(stored("one", 3, 5, after(7), after(29_000)));
        let confirmation = scene.confirmation();
        assert_eq!((confirmation.instances, confirmation.confirmed), (1, 1));
        assert_eq!((confirmation.last, confirmation.open_until), (Some(Duration::from_millis(7)), None));
        assert!(scene.settles(after(8)));
        // The same once more changes nothing.
        scene.reads(stored("one", 3, 9, after(90), after(29_000)));
        assert_eq!(scene.confirmation(), confirmation);
    }

    #[test]
    fn a_confirmation_that_is_read_before_the_row_counts_too() {
        let mut scene = Scene::new();
        scene.reads(stored("one", 3, 5, after(7), after(9_000)));
        scene.row(5, AT);
        let confirmation = scene.confirmation();
        assert_eq!((confirmation.instances, confirmation.confirmed), (1, 1));
        assert_eq!((confirmation.last, confirmation.open_until), (Some(Duration::from_millis(7)), None));
    }

    #[test]
    fn a_lease_that_began_after_the_row_is_not_waited_for() {
        let mut scene = Scene::new();
        scene.row(5, AT);
        scene.reads(stored("one", 5, 5, after(7), after(9_000)));
        assert_eq!(scene.confirmation(), Confirmation::awaited(0, None));
        // Nor is a later lease of a guard whose earlier one had ended.
        scene.reads(stored("two", 3, 3, after(0), AT));
        scene.reads(stored("two", 6, 6, after(9), after(9_000)));
        assert_eq!(scene.confirmation(), Confirmation::awaited(0, None));
    }

    #[test]
    fn a_later_lease_confirms_nothing_for_an_earlier_one() {
        let mut scene = Scene::new();
        scene.reads(stored("one", 3, 3, after(0), after(9_000)));
        scene.row(5, AT);
        scene.reads(stored("one", 3, 3, after(0), after(9_000)));
        scene.reads(stored("one", 6, 6, after(10_000), after(19_000)));
        assert_eq!(scene.confirmation(), Confirmation::awaited(1, Some(after(9_000))));
        assert!(scene.settles(after(9_000)));
    }

    #[test]
    fn a_lease_that_is_found_to_be_longer_is_waited_for_as_long_as_it_may_have_run() {
        let mut scene = Scene::new();
        scene.reads(stored("one", 3, 3, after(0), after(1_000)));
        scene.row(5, AT);
        scene.reads(stored("one", 3, 3, after(0), after(9_000)));
        assert_eq!(scene.confirmation().open_until, Some(after(9_000)));
        // By now every lease is known that the guard had when the row was committed.
        scene.reads(stored("one", 3, 3, after(0), after(30_000)));
        assert_eq!(scene.confirmation().open_until, Some(after(9_000)));
        // A lease that had ended, as far as was known, and had not.
        let mut scene = Scene::new();
        scene.reads(stored("one", 3, 3, after(0), AT));
        scene.row(5, AT);
        scene.reads(stored("one", 3, 3, after(0), after(9_000)));
        assert_eq!(scene.confirmation(), Confirmation::awaited(1, Some(after(9_000))));
        scene.reads(stored("one", 3, 5, after(7), after(9_000)));
        let confirmation = scene.confirmation();
        assert_eq!((confirmation.instances, confirmation.confirmed), (1, 1));
    }

    #[test]
    fn a_guard_that_left_at_another_server_is_not_waited_for_any_more() {
        let mut scene = Scene::new();
        scene.reads(stored("one", 3, 3, after(0), after(9_000)));
        scene.row(5, AT);
        scene.reads(stored("one", 3, EVERYTHING, after(40), after(40)));
        let confirmation = scene.confirmation();
        assert_eq!((confirmation.silent(), confirmation.open_until), (0, None));
        assert!(scene.leases.due(after(50)).is_empty());
    }

    #[test]
    fn a_server_that_heard_nothing_for_a_while_lets_others_settle_first() {
        let mut scene = Scene::new();
        scene.row(5, AT);
        assert_eq!(scene.leases.exchanging(after(60_000)), AT);
        scene.reads(stored("one", 3, 3, after(0), after(9_000)));
        assert!(!scene.settles(after(60_000)));
        assert!(scene.settles(after(63_000)));
    }
}
