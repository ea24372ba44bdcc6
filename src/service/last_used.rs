//! When apps were last used: noted in memory, written in batches, never on the hot path.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::model::id::{FamilyId, GrantId};
use crate::model::stamp::Stamp;
use crate::store::{self, Store};

/// At most this many devices are noted in one [`PRECISION`]: twice as many as can be written in it. Uses of further
/// devices are not noted.
const MOST: usize = 2 * FLUSHED * PRECISION.as_secs() as usize;
/// A device that is in use is noted once in this time, or once in twice this time. Pages show minutes, and otherwise an
/// API that asks about every call would cost a write for each.
const PRECISION: Duration = Duration::from_secs(30);
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// At most this many devices are written each second: a few milliseconds of the writer's time, however many are in use.
const FLUSHED: usize = 256;
/// Devices in one write. Small, so that other requests don't wait long.
const BATCH: usize = 64;

/// Uses that are not written yet. Cheap to clone.
#[derive(Clone, Default)]
pub struct LastUsed(Arc<Inner>);

#[derive(Default)]
struct Inner {
    notes: Mutex<Notes>,
    /// Until this time (milliseconds) no further device is noted. Checked before the lock is taken.
    full_until: AtomicI64,
}

#[derive(Default)]
struct Notes {
    /// The newest use of each device that waits to be written.
    waiting: HashMap<FamilyId, (GrantId, Timestamp)>,
    /// The same devices, the one that has waited longest first.
    order: VecDeque<FamilyId>,
    /// When the current half minute began.
    began: Option<Timestamp>,
    /// Devices noted in the current half minute, and in the one before.
    noted: [HashSet<FamilyId>; 2],
}

impl Notes {
    /// Begins the next half minute if the current one is over. Returns when it ends.
    fn turn(&mut self, at: Timestamp) -> Timestamp {
        let passed = self.began.map(|began| at.since(began));
        if passed.is_none_or(|passed| passed >= PRECISION) {
            let [this, last] = &mut self.noted;
            *last = std::mem::take(this);
            if passed.is_none_or(|passed| passed >= 2 * PRECISION) {
                last.clear();
            }
            self.began = Some(at);
        }
        self.began.unwrap_or(at).plus(PRECISION)
    }

    fn take(&mut self, most: usize) -> Vec<(FamilyId, GrantId, Timestamp)> {
        let taken = self.order.len().min(most);
        let families = self.order.drain(..taken);
        families
            .filter_map(|family| {
                let (grant, at) = self.waiting.remove(&family)?;
                Some((family, grant, at))
            })
            .collect()
    }
}

impl LastUsed {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a use, unless one was noted a moment ago.
    pub fn note(&self, stamp: &Stamp, at: Timestamp) {
        let (Some(family), Some(grant)) = (&stamp.family, &stamp.grant) else { return };
        self.note_device(family, grant, at);
    }

    /// The same for a device, as guards report it.
    pub fn note_device(&self, family: &FamilyId, grant: &GrantId, at: Timestamp) {
        if at.millis() < self.0.full_until.load(Ordering::Relaxed) {
            return;
        }
        let mut notes = self.notes();
        let next = notes.turn(at);
        if notes.noted[0].len() >= MOST {
            self.0.full_until.store(next.millis(), Ordering::Relaxed);
            return;
        }
        if notes.noted.iter().any(|noted| noted.contains(family)) {
            return;
        }
        notes.noted[0].insert(family.clone());
        if notes.waiting.insert(family.clone(), (grant.clone(), at)).is_none() {
            notes.order.push_back(family.clone());
        }
    }

    /// Writes all that was noted.
    ///
    /// # Errors
    /// When the store fails. Only what was being written is lost then.
    pub async fn flush(&self, store: &Store) -> store::Result<()> {
        while self.write(store, BATCH).await? > 0 {}
        Ok(())
    }

    async fn write(&self, store: &Store, most: usize) -> store::Result<usize> {
        let mut batch = self.notes().take(most);
        // Servers that note the same devices lock their rows in the same order: a grant, then its devices.
        batch.sort_unstable_by(|(family, grant, _), (other, its, _)| {
            (grant.as_str(), family.as_str()).cmp(&(its.as_str(), other.as_str()))
        });
        let written = batch.len();
        if written > 0 {
            store
                .write(move |tx| {
                    batch.iter().try_for_each(|(family, grant, at)| tx.note_used(family, grant, *at))
                })
                .await?;
        }
        Ok(written)
    }

    /// Writes a limited number every second. Never returns.
    pub async fn run(self, store: Store) {
        loop {
            tokio::time::sleep(FLUSH_EVERY).await;
            for _ in 0..FLUSHED / BATCH {
                match self.write(&store, BATCH).await {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) => tracing::warn!(error = %error, "last_used.flush_failed"),
                }
            }
        }
    }
}
