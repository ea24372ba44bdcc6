//! What the guard knows from the feed, and whether that is new enough to decide about tokens.
//!
//! Only the feed's task changes what is revoked and the keys. The task of acknowledgements confirms, and forgets old
//! entries. Any number of threads read. Nothing here waits for the network.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{Boot, Clock};
use crate::dead::{Dead, HashedTokenIds, IdHasher};
use crate::keys::Keys;
use crate::refusal::Revoked;
use crate::wire::{self, Acknowledged, Entry, EntryEvent, Position, Snapshot};

/// How far the guard has followed the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// `None` before the first snapshot.
    pub position: Option<Position>,
    pub keys_version: u64,
    /// Grows with every new entry and every snapshot.
    pub changes: u64,
    /// When the newest confirmation was asked for.
    pub confirmed: Boot,
    /// Until when it counts.
    pub fresh_until: Boot,
    pub max_staleness: Duration,
    /// Something was received that can't be read. The guard is not fresh until it has read a whole snapshot.
    pub is_unreadable: bool,
    /// Nothing is accepted any more.
    pub is_closed: bool,
}

/// The result of applying an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    New,
    /// It was applied already.
    Known,
    /// Something before it is missing.
    Gap,
}

/// How the guard compares with the server's answer to an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncStatus {
    Fresh,
    /// The server knows more than was applied.
    Behind,
    /// The server knows less than was applied, or another history.
    OtherHistory,
}

pub struct State {
    clock: Clock,
    id_hasher: IdHasher,
    dead: RwLock<Dead>,
    keys: RwLock<Arc<Keys>>,
    progress: watch::Sender<Progress>,
    /// A copy of the one in `progress`, for readers that should not take its lock.
    fresh_until: AtomicU64,
    most_staleness: Duration,
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Until which second of the boot clock an entry matters that was received at `now`. It is one second more, because
/// fractions of seconds are cut off here and at the server.
fn until(entry: &Entry, now: Boot) -> u32 {
    u32::try_from(now.seconds().saturating_add(entry.keep).saturating_add(1)).unwrap_or(Dead::FOREVER)
}

impl State {
    /// Empty and not fresh. `most_staleness` limits the `max_staleness` that the server sends.
    pub fn new(clock: Clock, id_hasher: IdHasher, most_staleness: Duration) -> Self {
        let progress = Progress {
            position: None,
            keys_version: 0,
            changes: 0,
            confirmed: Boot::NEVER,
            fresh_until: Boot::NEVER,
            max_staleness: Duration::ZERO,
            is_unreadable: false,
            is_closed: false,
        };
        Self {
            clock,
            id_hasher,
            dead: RwLock::new(Dead::new(0)),
            keys: RwLock::default(),
            progress: watch::Sender::new(progress),
            fresh_until: AtomicU64::new(0),
            most_staleness,
        }
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn id_hasher(&self) -> &IdHasher {
        &self.id_hasher
    }

    pub fn keys(&self) -> Arc<Keys> {
        Arc::clone(&read(&self.keys))
    }

    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    pub fn subscribe(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub fn entries(&self) -> usize {
        read(&self.dead).len()
    }

    pub fn is_fresh(&self) -> bool {
        self.clock.boot().nanos() < self.fresh_until.load(Ordering::Acquire)
    }

    pub fn is_closed(&self) -> bool {
        self.progress.borrow().is_closed
    }

    pub fn covering(&self, ids: &HashedTokenIds) -> Option<Revoked> {
        read(&self.dead).covering(ids)
    }

    /// Changes `progress`, and updates the copy of `fresh_until` before anybody can see the change.
    fn update(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(|progress| {
            change(progress);
            if progress.is_closed || progress.is_unreadable {
                progress.fresh_until = Boot::NEVER;
            }
            self.fresh_until.store(progress.fresh_until.nanos(), Ordering::Release);
        });
    }

    /// Replaces everything, unless `snapshot` is older than what is held.
    ///
    /// # Errors
    /// Why it can't be used.
    pub fn replace(&self, snapshot: Snapshot) -> Result<(), &'static str> {
        let held = self.progress();
        let new = Position { incarnation: snapshot.incarnation, sequence: snapshot.through };
        let is_same_history = held.position.is_some_and(|held| held.incarnation == new.incarnation);
        if held.position.is_some_and(|held| new < held)
            || is_same_history && snapshot.keys.keys_version < held.keys_version
        {
            return Err("a snapshot older than what is held: some cache or proxy kept it");
        }
        let keys = Keys::read(&snapshot.keys.keys)?;
        let now = self.clock.boot();
        let mut dead = Dead::new(snapshot.server_generation);
        for entry in &snapshot.entries {
            dead.insert(self.id_hasher.hash_subject(&entry.subject), until(entry, now));
        }
        let replaced = std::mem::replace(&mut *write(&self.dead), dead);
        *write(&self.keys) = Arc::new(keys);
        self.update(|progress| {
            progress.position = Some(new);
            progress.keys_version = snapshot.keys.keys_version;
            progress.max_staleness = self.staleness(snapshot.max_staleness);
            progress.changes += 1;
            progress.is_unreadable = false;
        });
        // To drop a million entries takes long, so this is done without a lock.
        drop(replaced);
        Ok(())
    }

    /// Applies an entry, and counts it in `applied`. Once this returns, every thread uses it. Whoever waits for it is woken
    /// after it was counted.
    pub fn apply(&self, at: Position, event: &EntryEvent, applied: &AtomicU64) -> Applied {
        let Some(held) = self.progress().position else { return Applied::Gap };
        if at.incarnation != held.incarnation {
            return Applied::Gap;
        }
        if at.sequence <= held.sequence {
            return Applied::Known;
        }
        if event.prev != held.sequence {
            return Applied::Gap;
        }
        let subject = self.id_hasher.hash_subject(&event.entry.subject);
        write(&self.dead).insert(subject, until(&event.entry, self.clock.boot()));
        applied.fetch_add(1, Ordering::Relaxed);
        self.update(|progress| {
            progress.position = Some(at);
            progress.changes += 1;
        });
        Applied::New
    }

    /// Replaces the keys, unless these are older.
    ///
    /// # Errors
    /// Why they can't be used.
    pub fn apply_keys(&self, keys: &wire::Keys, applied: &AtomicU64) -> Result<Applied, &'static str> {
        if keys.keys_version < self.progress().keys_version {
            return Ok(Applied::Known);
        }
        *write(&self.keys) = Arc::new(Keys::read(&keys.keys)?);
        applied.fetch_add(1, Ordering::Relaxed);
        self.update(|progress| progress.keys_version = keys.keys_version);
        Ok(Applied::New)
    }

    /// To be called when something was received that can't be read. It may revoke something, and nobody knows what. So
    /// nothing is trusted until a whole snapshot was read.
    pub fn distrust(&self) {
        self.update(|progress| progress.is_unreadable = true);
    }

    /// Accepts nothing any more.
    pub fn close(&self) {
        self.update(|progress| progress.is_closed = true);
    }

    /// Takes the answer to an acknowledgement that was sent at `sent`, with the progress `told`.
    ///
    /// All that was committed before `sent` has a sequence of at most `answer.through`, because the server read that
    /// number later. Entries are applied in order and without holes. So if all up to that number has been applied,
    /// nothing that is older than `sent` is missing.
    pub fn confirm(&self, sent: Boot, told: &Progress, answer: &Acknowledged) -> SyncStatus {
        let mut status = SyncStatus::OtherHistory;
        self.update(|progress| {
            let (Some(told_at), Some(held)) = (told.position, progress.position) else { return };
            let answered = Position { incarnation: answer.incarnation, sequence: answer.through };
            if answered.incarnation != held.incarnation || told_at.incarnation != held.incarnation {
                return;
            }
            if answered < told_at || answer.keys_version < told.keys_version {
                return;
            }
            if answered > held || answer.keys_version > progress.keys_version {
                status = SyncStatus::Behind;
                return;
            }
            status = SyncStatus::Fresh;
            // If several were sent, an earlier one may be answered later. It says nothing new.
            if sent < progress.confirmed {
                return;
            }
            progress.max_staleness = self.staleness(answer.max_staleness);
            progress.confirmed = sent;
            progress.fresh_until = sent.plus(progress.max_staleness);
        });
        status
    }

    fn staleness(&self, seconds: u64) -> Duration {
        Duration::from_secs(seconds).min(self.most_staleness)
    }

    /// Forgets some of the entries that no longer matter.
    pub fn sweep(&self) {
        write(&self.dead).sweep(self.clock.boot().seconds());
    }
}
