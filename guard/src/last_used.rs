//! Whose tokens were accepted, for "last used" on people's pages.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::claims::Claims;
use crate::clock::Boot;
use crate::wire;

/// Each family at most this often, in seconds.
const EVERY: u64 = 60;
/// In one acknowledgement.
const BATCH: usize = 1000;
/// Beyond that, news are dropped until some were sent: they are worth no memory.
const MOST: usize = 100_000;

#[derive(Default)]
pub struct LastUsed(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// When each family was noted, by its fingerprint, in seconds of the boot clock.
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

    /// What the next acknowledgement carries.
    pub fn take(&self, now: Boot) -> Vec<wire::Seen> {
        let mut inner = self.lock();
        if inner.noted.len() > BATCH {
            inner.noted.retain(|_, noted| now.seconds() < *noted + EVERY);
        }
        let rest = inner.waiting.len().saturating_sub(BATCH);
        inner.waiting.split_off(rest)
    }

    /// Gives back what an acknowledgement that failed carried.
    pub fn put_back(&self, seen: Vec<wire::Seen>) {
        let mut inner = self.lock();
        let room = MOST.saturating_sub(inner.waiting.len());
        inner.waiting.extend(seen.into_iter().take(room));
    }
}
