//! What was revoked and is not purged yet, in memory: beside it, a token's own row says whether the token is live.
//!
//! Exact, because one process writes the file: the writer adds an entry after the commit of a
//! revocation and before its answer, and takes it out after the commit of the slice that ends its
//! purge, when no row that it covers is left. A write transaction knows besides what it has revoked itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use rusqlite::{Connection, Row};

use crate::model::act::Subject;
use crate::model::stamp::Stamp;

use super::{Result, Tx};

const SERVER: &str = "SELECT generation FROM server WHERE id = 1";
const UNPURGED: &str = "SELECT l.subject_id, l.generation FROM purges AS p \
    JOIN ledger AS l ON l.sequence = p.ledger_sequence WHERE p.finished_at IS NULL ORDER BY p.ledger_sequence";

/// Lower generations of `id` are dead; all of them where it is shut for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Below {
    id: String,
    generation: i64,
}

impl Below {
    /// `None` for a single token: its row went with the revocation.
    pub(super) fn of(subject: &Subject) -> Option<Self> {
        let is_token = matches!(subject, Subject::Token(_));
        (!is_token).then(|| Self::new(subject.id().to_owned(), subject.generation()))
    }

    /// Families and grants have no generation: they are shut, and never open again.
    pub(super) fn new(id: String, generation: Option<i64>) -> Self {
        Self { id, generation: generation.unwrap_or(i64::MAX) }
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self::new(row.get(0)?, row.get(1)?))
    }

    fn covers(&self, stamp: &Stamp) -> bool {
        covered(stamp, |id| (id == self.id).then_some(self.generation))
    }
}

/// What a committed transaction changed here.
pub(super) enum Change {
    Revoked(Below),
    Purged(Below),
}

pub(super) struct Revoked {
    server_generation: i64,
    /// By the id of a family, grant, client or user; ids of different kinds differ in their prefix.
    below: RwLock<HashMap<String, i64>>,
    /// How many those are: mostly none, and then nobody takes the lock.
    many: AtomicUsize,
    removals: AtomicU64,
}

impl Revoked {
    pub(super) fn load(connection: &Connection) -> Result<Self> {
        let revoked = Self {
            server_generation: connection.query_row(SERVER, [], |row| row.get(0))?,
            below: RwLock::default(),
            many: AtomicUsize::new(0),
            removals: AtomicU64::new(0),
        };
        let mut unpurged = connection.prepare(UNPURGED)?;
        for below in unpurged.query_map([], Below::from_row)? {
            revoked.apply([Change::Revoked(below?)]);
        }
        Ok(revoked)
    }

    pub(super) fn apply(&self, changes: impl IntoIterator<Item = Change>) {
        let mut changes = changes.into_iter().peekable();
        if changes.peek().is_none() {
            return;
        }
        let mut known = self.below.write().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            match change {
                Change::Revoked(Below { id, generation }) => {
                    let lowest = known.entry(id).or_insert(generation);
                    *lowest = generation.max(*lowest);
                }
                // An earlier purge of the same client or user, while a later one goes on.
                Change::Purged(Below { id, generation }) if known.get(&id) != Some(&generation) => {}
                Change::Purged(Below { id, .. }) => {
                    known.remove(&id);
                    self.removals.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
        self.many.store(known.len(), Ordering::SeqCst);
    }

    /// `find` reads a token's row; it is given back unless something in its stamp was revoked.
    ///
    /// A row that was read just before the last slice of its purge is read again: by the time it is
    /// looked for here, the entry that covers it may be gone.
    pub(super) fn unless_revoked<T>(
        &self,
        find: impl Fn() -> Result<Option<T>>,
        stamp: impl Fn(&T) -> &Stamp,
    ) -> Result<Option<T>> {
        loop {
            let removals = self.removals.load(Ordering::SeqCst);
            let found = find()?.filter(|found| !self.covers(stamp(found)));
            if self.removals.load(Ordering::SeqCst) == removals {
                return Ok(found);
            }
        }
    }

    /// Whether all that was revoked is purged.
    pub(super) fn is_empty(&self) -> bool {
        self.many.load(Ordering::SeqCst) == 0
    }

    fn covers(&self, stamp: &Stamp) -> bool {
        if stamp.generations.server != self.server_generation {
            return true;
        }
        if self.is_empty() {
            return false;
        }
        let below = self.below.read().unwrap_or_else(PoisonError::into_inner);
        covered(stamp, |id| below.get(id).copied())
    }
}

/// Whether anything that a stamp names is dead; `lowest` says below which generation an id is.
fn covered(stamp: &Stamp, lowest: impl Fn(&str) -> Option<i64>) -> bool {
    let Stamp { family, grant, client, user, generations } = stamp;
    let is_below = |id: &str, generation: i64| lowest(id).is_some_and(|lowest| generation < lowest);
    is_below(client.as_str(), generations.client)
        || family.as_ref().is_some_and(|family| lowest(family.as_str()).is_some())
        || grant.as_ref().is_some_and(|grant| lowest(grant.as_str()).is_some())
        || user.as_ref().zip(generations.user).is_some_and(|(user, at)| is_below(user.as_str(), at))
}

impl Tx<'_> {
    /// Whether anything in the stamp of a row that is there was revoked, be it earlier in this transaction: requests
    /// that share a commit run one after another.
    pub(super) fn is_revoked(&self, stamp: &Stamp) -> bool {
        // What is purged in this transaction is known until its commit, so that alone what comes matters.
        let comes = |change: &Change| matches!(change, Change::Revoked(below) if below.covers(stamp));
        self.known.covers(stamp) || self.revoked.borrow().iter().any(comes)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use crate::clock::Timestamp;
    use crate::model::id::{ClientId, FamilyId, GrantId, UserId};
    use crate::model::stamp::Generations;

    use super::*;

    fn stamp() -> Stamp {
        let now = Timestamp::from_millis(1);
        Stamp {
            family: Some(FamilyId::generate(now)),
            grant: Some(GrantId::generate(now)),
            client: ClientId::generate(now),
            user: Some(UserId::generate(now)),
            generations: Generations { server: 1, client: 4, user: Some(7) },
        }
    }

    fn revoked(changes: impl IntoIterator<Item = Change>) -> Revoked {
        let revoked = Revoked {
            server_generation: 1,
            below: RwLock::default(),
            many: AtomicUsize::new(0),
            removals: AtomicU64::new(0),
        };
        revoked.apply(changes);
        revoked
    }

    fn below(id: &str, generation: Option<i64>) -> Below {
        Below::new(id.to_owned(), generation)
    }

    #[test]
    fn a_stamp_is_covered_by_each_of_its_parts() {
        let stamp = stamp();
        let family = stamp.family.clone().unwrap();
        let grant = stamp.grant.clone().unwrap();
        let user = stamp.user.clone().unwrap();
        let covering = [
            below(family.as_str(), None),
            below(grant.as_str(), None),
            below(stamp.client.as_str(), Some(5)),
            below(user.as_str(), Some(8)),
        ];
        for entry in covering {
            assert!(revoked([Change::Revoked(entry)]).covers(&stamp));
        }
        for current in [below(stamp.client.as_str(), Some(4)), below(user.as_str(), Some(7))] {
            assert!(!revoked([Change::Revoked(current)]).covers(&stamp));
        }
        let mut older = stamp.clone();
        older.generations.server = 0;
        assert!(!revoked([]).covers(&stamp));
        assert!(revoked([]).covers(&older));
    }

    #[test]
    fn an_earlier_purge_leaves_a_later_revocation_in_place() {
        let stamp = stamp();
        let id = stamp.client.as_str();
        let revoked = revoked([Change::Revoked(below(id, Some(5))), Change::Revoked(below(id, Some(6)))]);
        revoked.apply([Change::Purged(below(id, Some(5)))]);
        assert!(revoked.covers(&stamp));
        revoked.apply([Change::Purged(below(id, Some(6)))]);
        assert!(!revoked.covers(&stamp));
    }

    #[test]
    fn a_row_that_was_read_before_its_purge_ended_is_read_again() {
        let stamp = stamp();
        let id = stamp.grant.clone().unwrap();
        let revoked = revoked([Change::Revoked(below(id.as_str(), None))]);
        let reads = Cell::new(0);
        let find = || {
            reads.set(reads.get() + 1);
            if reads.get() > 1 {
                return Ok(None);
            }
            // The last slice of the purge falls between this read and the look into the entries.
            revoked.apply([Change::Purged(below(id.as_str(), None))]);
            Ok(Some(stamp.clone()))
        };
        assert!(revoked.unless_revoked(find, |stamp| stamp).unwrap().is_none());
        assert_eq!(reads.get(), 2);
    }
}
