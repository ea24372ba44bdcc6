//! Notes whose tokens were accepted, for "last used" on people's pages.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::claims::Claims;
use crate::clock::Boot;
use crate::wire;

/// Each family is noted at most once in this many seconds.
const EVERY: u64 = 60;
/// The most notes in one acknowledgement.
const BATCH: usize = 1000;
/// The most notes in memory. Further ones are dropped, because they are not worth the memory.
const MOST: usize = 100_000;

#[derive(Default)]
pub struct LastUsed(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// When each family was last noted, in seconds of the boot clock. The key is the family's hashed id.
    noted: HashMap<u128, u64>,
    waiting: Vec<wire::Seen>,
}

impl LastUsed {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a token was accepted at `wall` (Unix seconds).
    pub fn note(&self, claims: &Claims, family: u128, now: Boot, wall: i64) {
        let Some(user) = &claims.stamp.user else { return };
        let mut inner = self.lock();
        let seconds = now.seconds();
        if inner.noted.get(&family).is_some_and(|noted| seconds < noted + EVERY) {
            return;
        }
        if inner.noted.len() >= MOST || inner.waiting.len() >= MOST {
            return;
        }
        inner.noted.insert(family, seconds);
        let (grant_id, family_id) = (user.grant_id.clone(), user.family_id.clone());
        inner.waiting.push(wire::Seen { grant_id, family_id, at: wall });
    }

    /// Takes the notes for the next acknowledgement.
    pub fn take(&self, now: Boot) -> Vec<wire::Seen> {
        let mut inner = self.lock();
        if inner.noted.len() > BATCH {
            inner.noted.retain(|_, noted| now.seconds() < *noted + EVERY);
        }
        let rest = inner.waiting.len().saturating_sub(BATCH);
        inner.waiting.split_off(rest)
    }

    /// Puts back the notes of an acknowledgement that failed.
    pub fn put_back(&self, seen: Vec<wire::Seen>) {
        let mut inner = self.lock();
        let room = MOST.saturating_sub(inner.waiting.len());
        inner.waiting.extend(seen.into_iter().take(room));
    }
}
