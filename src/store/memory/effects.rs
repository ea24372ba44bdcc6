//! What is told to others after a commit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::clock::Timestamp;

use crate::store::ledger::Unnumbered;
use crate::store::memory::dead::{Change, DeadSet};
use crate::store::sql::{Connection, params};
use crate::store::successor_keys::SuccessorKey;
use crate::store::{Result, signing_keys};

const HEAD: &str = "SELECT coalesce(max(sequence), 0) FROM ledger";

/// What a transaction changed that others keep in memory or wait for.
#[derive(Clone, Default)]
pub(in crate::store) struct Effects {
    pub(in crate::store) dead: Vec<Change>,
    /// Rows of tokens that had expired by then may be deleted.
    pub(in crate::store) expired: Option<Timestamp>,
    /// Ledger rows that are numbered at the end of the transaction.
    pub(in crate::store) unnumbered: Vec<Unnumbered>,
    /// Whether it was asked to end something, even if there was nothing to end.
    pub(in crate::store) has_acted: bool,
    /// The sequence of the newest ledger row.
    pub(in crate::store) ledger_head: Option<i64>,
    /// The version of the signing keys that guards are told.
    pub(in crate::store) keys_version: Option<i64>,
    /// The newest one that it has read or made.
    pub(in crate::store) successor_key: Option<SuccessorKey>,
    /// Whether a client, a resource server, a scope or a signing key changed.
    pub(in crate::store) moves_version: bool,
    /// The version after that, where the database counts it.
    pub(in crate::store) version: Option<u64>,
}

/// What others read or watch, as of the last commit. Cheap to clone.
#[derive(Clone)]
pub(in crate::store) struct Published {
    pub(in crate::store) dead: Arc<DeadSet>,
    pub(in crate::store) ledger_head: Arc<watch::Sender<i64>>,
    pub(in crate::store) keys_version: Arc<watch::Sender<i64>>,
    successor_key: Arc<Mutex<Option<SuccessorKey>>>,
    /// Moves with every change of a client, a resource server, a scope or a signing key. Every cache of these says
    /// which version it was made from.
    version: Arc<watch::Sender<u64>>,
    /// The same number, for readers that should not take a lock.
    version_now: Arc<AtomicU64>,
}

impl Published {
    pub(in crate::store) fn load(connection: Connection<'_>) -> Result<Self> {
        let ledger_head = connection.only(HEAD, params![], |row| row.get(0))?;
        let keys_version = connection.only(signing_keys::VERSION, params![], |row| row.get(0))?;
        let dead = DeadSet::load(connection)?;
        Ok(Self {
            dead: Arc::new(dead),
            ledger_head: Arc::new(watch::Sender::new(ledger_head)),
            keys_version: Arc::new(watch::Sender::new(keys_version)),
            successor_key: Arc::default(),
            version: Arc::new(watch::Sender::new(1)),
            version_now: Arc::new(AtomicU64::new(1)),
        })
    }

    pub(in crate::store) fn version(&self) -> u64 {
        self.version_now.load(Ordering::SeqCst)
    }

    pub(in crate::store) fn version_moved(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(in crate::store) fn successor_key(&self) -> Option<SuccessorKey> {
        *self.successor_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::store) fn keep_successor_key(&self, key: Option<SuccessorKey>) {
        *self.successor_key.lock().unwrap_or_else(PoisonError::into_inner) = key;
    }

    /// It never falls, and never runs ahead of the database's. Otherwise a cache could be taken for one that was made
    /// after a later change.
    pub(in crate::store) fn raise_version(&self, version: u64) {
        self.version_now.fetch_max(version, Ordering::SeqCst);
        raise(&self.version, version);
    }

    pub(in crate::store) fn raise_ledger_head(&self, sequence: i64) {
        raise(&self.ledger_head, sequence);
    }

    pub(in crate::store) fn raise_keys_version(&self, version: i64) {
        raise(&self.keys_version, version);
    }

    /// Called after a commit, before its requests are answered.
    pub(in crate::store) fn publish(&self, effects: Effects) {
        let Effects {
            dead, expired, ledger_head, keys_version, moves_version, version, successor_key, ..
        } = effects;
        // First, because tasks that are woken below may look.
        self.dead.apply(dead);
        if let Some(expired) = expired {
            self.dead.expired(expired);
        }
        if let Some(version) = version.or_else(|| moves_version.then(|| self.version() + 1)) {
            self.raise_version(version);
        }
        if let Some(sequence) = ledger_head {
            self.raise_ledger_head(sequence);
        }
        if let Some(version) = keys_version {
            self.raise_keys_version(version);
        }
        if successor_key.is_some() {
            self.keep_successor_key(successor_key);
        }
    }
}

/// Publishes a number, unless a higher one was published: on PostgreSQL, answers may overtake each other.
fn raise<T: Ord + Copy>(published: &watch::Sender<T>, newest: T) {
    published.send_if_modified(|held| newest > std::mem::replace(held, newest.max(*held)));
}
