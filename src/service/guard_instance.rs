//! One guard: its lease, and what it acknowledged.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::model::id::ResourceServerId;
use crate::store::Store;
use crate::store::guards::{EVERYTHING, Leased};

/// The database gets an end of the lease that is this much later than the real one. It is written again once it is less
/// than `NEAR` later.
pub const AHEAD: Duration = Duration::from_secs(20);
const NEAR: Duration = Duration::from_secs(10);

/// Who writes leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Servers {
    /// This one alone. A lease is what is in its memory.
    One,
    /// Several, on one database. A lease is what is in the database, so that it is the same for all of them.
    Several,
}

impl Servers {
    pub fn of(store: &Store) -> Self {
        if store.is_shared() { Self::Several } else { Self::One }
    }
}

/// A guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The newest row when its lease began: it need not confirm the rows up to this one.
    pub since: i64,
    /// It has confirmed the rows up to this one.
    pub through: i64,
    /// Its end, as far as this server has extended it.
    pub lease: Timestamp,
    pub acknowledged: Acknowledgement,
    /// When it said that it has confirmed `through`, or a little later.
    pub confirmed_at: Timestamp,
    pub written: Written,
}

/// What the database has of a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub until: Timestamp,
    pub through: i64,
    pub keys_version: u64,
}

impl Instance {
    /// As it is read from the database.
    pub fn stored(kind: Servers, leased: &Leased) -> Self {
        let Leased { since, through, keys_version, at, confirmed_at, until, .. } = *leased;
        let lease = match kind {
            Servers::One => until,
            // The server that gave it knows its real end. Until it writes another one, this one holds.
            Servers::Several => until.minus(AHEAD),
        };
        Self {
            since,
            through,
            lease,
            acknowledged: Acknowledgement { through, keys_version, at },
            confirmed_at,
            written: Written { until, through, keys_version },
        }
    }

    /// As it is to be written.
    pub fn leased(&self, server: &ResourceServerId, instance: &str) -> Leased {
        Leased {
            server: server.clone(),
            instance: instance.to_owned(),
            since: self.since,
            through: self.through,
            keys_version: self.acknowledged.keys_version,
            at: self.acknowledged.at,
            confirmed_at: self.confirmed_at,
            until: self.lease.plus(AHEAD),
        }
    }

    /// Until when it may accept what it has not confirmed. What several servers have to agree on is in the database.
    pub fn end(&self, kind: Servers) -> Timestamp {
        match kind {
            Servers::One => self.lease,
            Servers::Several => self.lease.max(self.written.until),
        }
    }

    /// Whether a row waits for it.
    pub fn is_awaited_by(&self, kind: Servers, sequence: i64, at: Timestamp) -> bool {
        self.since < sequence && self.end(kind) > at
    }

    /// What is known here, and what is stored, of one lease.
    pub fn merged(&self, stored: &Self) -> Self {
        // A guard that left has no lease any more.
        match (self.through, stored.through) {
            (EVERYTHING, _) => return *self,
            (_, EVERYTHING) => return *stored,
            _ => {}
        }
        let acknowledged = if stored.acknowledged.at > self.acknowledged.at {
            stored.acknowledged
        } else {
            self.acknowledged
        };
        Self {
            since: self.since,
            through: self.through.max(stored.through),
            lease: self.lease.max(stored.lease),
            acknowledged,
            confirmed_at: if stored.through > self.through { stored.confirmed_at } else { self.confirmed_at },
            // More may have been written since that was read.
            written: Written {
                until: self.written.until.max(stored.written.until),
                through: self.written.through.max(stored.written.through),
                keys_version: stored.written.keys_version,
            },
        }
    }

    /// Whether the database has to be told.
    pub fn is_due(&self, kind: Servers, now: Timestamp) -> bool {
        let is_near = self.lease > now && self.written.until < self.lease.plus(NEAR);
        let has_news = self.through > self.written.through
            || self.acknowledged.keys_version != self.written.keys_version;
        // A guard that left was written when it left.
        is_near || kind == Servers::Several && has_news && self.through != EVERYTHING
    }
}

/// What a guard said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    pub through: i64,
    pub keys_version: u64,
    pub at: Timestamp,
}
