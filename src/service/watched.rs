//! The guards of one resource server, and the ledger rows that they still have to confirm.

use std::collections::{HashMap, VecDeque};

use crate::clock::Timestamp;
use crate::metrics::FeedMetrics;
use crate::model::confirmation::Confirmation;
use crate::service::guard_instance::{Instance, Servers};

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

impl Watched {
    pub fn confirm(&mut self, after: i64, through: i64, now: Timestamp, metrics: &FeedMetrics) {
        let first = self.pending.partition_point(|row| row.sequence <= after);
        for row in self.pending.iter_mut().skip(first).take_while(|row| row.sequence <= through) {
            let was_silent = row.confirmation.silent() > 0;
            row.confirmation.confirm(Some(now.since(row.at)));
            note(was_silent, &row.confirmation, metrics);
        }
    }

    /// Adds a row that waits for all guards whose lease was running at `at` and that have not confirmed `sequence` yet.
    pub fn await_row(&mut self, kind: Servers, sequence: i64, at: Timestamp, times: Times) {
        let open = self.instances.values().filter(|known| known.is_awaited_by(kind, sequence, at));
        let mut confirmation = Confirmation::awaited(0, None);
        for known in open {
            join(&mut confirmation, kind, known, sequence, at, times);
        }
        self.pending.push_back(Pending { sequence, at, confirmation });
    }

    /// Takes what another server knows of a guard, or what changed about a lease that several servers know. Rows up to
    /// `complete` wait no longer than they did.
    pub fn replace(&mut self, instance: &str, new: Instance, complete: i64, metrics: &FeedMetrics) {
        let kind = Servers::Several;
        let old = self.instances.insert(instance.to_owned(), new);
        // Mostly nothing but the newest confirmed row has changed, and few rows are between the old one and the new
        // one.
        let same = old.filter(|old| old.since == new.since && old.end(kind) == new.end(kind));
        let (after, through) = same.map_or((i64::MIN, i64::MAX), |old| (old.through, new.through));
        let first = self.pending.partition_point(|row| row.sequence <= after);
        let concerned = self.pending.iter_mut().skip(first).take_while(|row| row.sequence <= through);
        for Pending { sequence, at, confirmation } in concerned {
            let was_awaited = old.is_some_and(|old| old.is_awaited_by(kind, *sequence, *at));
            let before = old.filter(|old| was_awaited && old.since == new.since).map(|old| old.through);
            let was_silent = confirmation.silent() > 0;
            match before {
                Some(before) if before < *sequence && *sequence <= new.through => {
                    confirmation.confirm(Some(new.confirmed_at.since(*at)));
                }
                // What was read first may have been older than the row.
                Some(before) if before < *sequence && *sequence > complete => {
                    confirmation.open_until = confirmation.open_until.max(Some(new.end(kind)));
                }
                None if !was_awaited && new.is_awaited_by(kind, *sequence, *at) => {
                    join(confirmation, kind, &new, *sequence, *at, Times::Known);
                }
                _ => {}
            }
            note(was_silent, confirmation, metrics);
        }
    }
}

/// Whether it is known when a guard confirmed a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    Known,
    /// It was before a restart.
    Lost,
}

/// One more guard, which a row waits for, unless it has confirmed it already.
fn join(
    confirmation: &mut Confirmation,
    kind: Servers,
    known: &Instance,
    sequence: i64,
    at: Timestamp,
    times: Times,
) {
    confirmation.instances += 1;
    if known.through >= sequence {
        confirmation.confirm((times == Times::Known).then(|| known.confirmed_at.since(at)));
    } else {
        confirmation.open_until = confirmation.open_until.max(Some(known.end(kind)));
    }
}

/// Counts a row that the last guard has just confirmed.
fn note(was_silent: bool, confirmation: &Confirmation, metrics: &FeedMetrics) {
    if let (true, 0, Some(last)) = (was_silent, confirmation.silent(), confirmation.last) {
        metrics.confirmation.note(last);
    }
}
