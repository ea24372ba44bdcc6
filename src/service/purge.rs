//! The worker that deletes the rows of what is dead or expired, in slices of a few milliseconds.

use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::fail;
use crate::store::purges::Slice;
use crate::store::{self, Store, Tx};

/// How long a slice should take, its commit included.
const SLICE: Duration = Duration::from_millis(4);
/// Limits for the rows of a slice. Between them, a slice takes as many as fit into that time at the last slice's speed.
const FEWEST: i64 = 20;
const MOST: i64 = 2_000;
/// How often expired rows are looked for while there is nothing to purge.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
const BACK_OFF: Duration = Duration::from_secs(5);

/// Purges as long as the server runs: at once after a revocation, and every few seconds.
pub async fn run(store: Store, clock: Clock, refresh_grace: Duration) {
    let mut ledger = store.ledger_head();
    let mut swept = Instant::now();
    loop {
        // By time, not after each revocation: introspection waits while the set is swept.
        if swept.elapsed() >= SWEEP_EVERY {
            store.sweep_dead(clock.now());
            swept = Instant::now();
        }
        if let Err(error) = catch_up(&store, &clock, refresh_grace).await {
            tracing::warn!(error = %error, "purge.failed");
            tokio::time::sleep(BACK_OFF).await;
            continue;
        }
        // Most acts end a single token, and leave nothing to purge.
        let something_is_dead = async { while ledger.changed().await.is_ok() && !store.is_purging() {} };
        // In both cases it is time to look again.
        let _ = tokio::time::timeout(SWEEP_EVERY, something_is_dead).await;
    }
}

/// Purges until nothing dead and nothing expired is left.
///
/// A slice queues like any other write, so no request waits for more than one slice. How many rows fit depends on the
/// disk and on how much of the tables is in memory, so the speed of each slice decides the size of the next.
///
/// # Errors
/// When the store fails. What earlier slices did stays done and noted.
pub async fn catch_up(store: &Store, clock: &Clock, refresh_grace: Duration) -> store::Result<()> {
    let mut rows = FEWEST;
    loop {
        let now = clock.now();
        let slice = move |tx: &Tx<'_>| {
            let began = Instant::now();
            let dead = tx.purge_dead_slice(rows, now)?;
            let expired = tx.purge_expired_slice(rows, now)?;
            tx.forget_successor_keys(refresh_grace, now)?;
            Ok::<_, store::Error>((began, [dead, expired]))
        };
        let (began, slices) = store.write(slice).await?;
        fail::point("purge.between_slices");
        if slices == [Slice::Idle; 2] {
            return Ok(());
        }
        rows = paced(rows, began.elapsed());
    }
}

/// How many rows the next slice takes after one of `rows` rows took this long.
fn paced(rows: i64, took: Duration) -> i64 {
    let fitting = rows as f64 * SLICE.as_secs_f64() / took.as_secs_f64().max(1e-6);
    // At most twice as many: one quick slice says little about the next.
    (fitting as i64).clamp(FEWEST, MOST).min(rows * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_grow_while_they_are_quick_and_shrink_at_once() {
        assert_eq!(paced(20, Duration::from_micros(100)), 40);
        assert_eq!(paced(2_000, Duration::from_micros(100)), 2_000);
        assert_eq!(paced(400, Duration::from_millis(40)), 40);
        assert_eq!(paced(20, Duration::from_secs(1)), 20);
        assert_eq!(paced(20, Duration::ZERO), 40);
    }
}
