//! What a revocation of an app would end. It is counted when a page is shown, and cached for a minute if that took
//! long.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;

use crate::clock::{Clock, Timestamp};
use crate::model::client::Client;
use crate::model::id::ClientId;
use crate::store::client_lists::Numbers;
use crate::store::{self, Store};

/// A count that took longer than this is cached.
const SLOW: Duration = Duration::from_millis(50);
const KEPT_FOR: Duration = Duration::from_secs(60);
const KEPT: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub numbers: Numbers,
    pub at: Timestamp,
}

/// Slow counts of the last minute. Cheap to clone.
///
/// The generation is part of the key, so what was counted before a revocation is never shown after it.
#[derive(Clone)]
pub struct Counts(Arc<Cache<(ClientId, i64), Counted>>);

impl Default for Counts {
    fn default() -> Self {
        Self(Arc::new(Cache::new(KEPT)))
    }
}

impl Counts {
    /// Users, devices and tokens of a client. All are 0 while it may not act.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of(&self, store: &Store, client: &Client, clock: &Clock) -> store::Result<Counted> {
        let began = clock.now();
        if !client.status.is_active() {
            return Ok(Counted { numbers: Numbers::default(), at: began });
        }
        let key = (client.id.clone(), client.generation);
        if let Some(kept) = self.kept(&key, began) {
            return Ok(kept);
        }
        let counted = Counted { numbers: store.client_numbers(&client.id).await?, at: began };
        if clock.now().since(began) > SLOW {
            self.0.insert(key, counted);
        }
        Ok(counted)
    }

    fn kept(&self, key: &(ClientId, i64), now: Timestamp) -> Option<Counted> {
        self.0.get(key).filter(|counted| now.since(counted.at) < KEPT_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_count_is_shown_for_a_minute_and_not_after_a_revocation() {
        let at = Timestamp::from_millis(1_000_000);
        let (counts, client) = (Counts::default(), ClientId::generate(at));
        let counted = Counted { numbers: Numbers { users: 1, devices: 2, tokens: 3 }, at };
        counts.0.insert((client.clone(), 7), counted);
        assert_eq!(counts.kept(&(client.clone(), 7), at.plus(Duration::from_secs(59))), Some(counted));
        assert_eq!(counts.kept(&(client.clone(), 7), at.plus(KEPT_FOR)), None);
        assert_eq!(counts.kept(&(client, 8), at), None);
    }
}
