//! When apps were last used: noted in memory, written in batches, never on the hot path.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::model::id::{FamilyId, GrantId};
use crate::model::stamp::Stamp;
use crate::store::{self, Store};

/// Notes between two flushes at the most; a note more is dropped, and its page shows an older use.
const MOST: usize = 100_000;
const PRECISION: Duration = Duration::from_secs(60);
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// Uses that are not written yet. Cheap to clone.
#[derive(Clone, Default)]
pub struct LastUsed(Arc<Mutex<HashMap<FamilyId, (GrantId, Timestamp)>>>);

impl LastUsed {
    /// Notes a use, unless one within the last minute is `written`: pages show no more, and an API
    /// that asks about every call would cost a write for each.
    pub fn note(&self, stamp: &Stamp, written: Option<Timestamp>, at: Timestamp) {
        let (Some(family), Some(grant)) = (&stamp.family, &stamp.grant) else { return };
        self.note_device(family, grant, written, at);
    }

    /// The same for a device, as guards report it.
    pub fn note_device(&self, family: &FamilyId, grant: &GrantId, written: Option<Timestamp>, at: Timestamp) {
        if written.is_some_and(|written| at.since(written) < PRECISION) {
            return;
        }
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, last)) = notes.get_mut(family) {
            *last = at.max(*last);
        } else if notes.len() < MOST {
            notes.insert(family.clone(), (grant.clone(), at));
        }
    }

    /// Writes what was noted.
    ///
    /// # Errors
    /// When the store fails; what was noted is lost then, and nothing else.
    pub async fn flush(&self, store: &Store) -> store::Result<()> {
        let notes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut notes = notes.into_iter();
        loop {
            let batch: Vec<_> = notes.by_ref().take(200).collect();
            if batch.is_empty() {
                return Ok(());
            }
            store
                .write(move |tx| {
                    batch.iter().try_for_each(|(family, (grant, at))| tx.note_used(family, grant, *at))
                })
                .await?;
        }
    }

    /// Flushes again and again; never returns.
    pub async fn run(self, store: Store) {
        loop {
            tokio::time::sleep(FLUSH_EVERY).await;
            if let Err(error) = self.flush(&store).await {
                tracing::warn!(error = %error, "last_used.flush_failed");
            }
        }
    }
}
