//! The worker that really deletes what is dead or expired, in slices of a few milliseconds.

use std::time::Duration;

use crate::clock::Clock;
use crate::store::purges::Slice;
use crate::store::{self, Store};

/// Rows in one slice: about two milliseconds of the writer's time.
const ROWS: i64 = 500;
/// How often expired rows are looked for when nobody revokes anything.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
const BACK_OFF: Duration = Duration::from_secs(5);

/// Purges for as long as the server runs: at once after a revocation, and every few seconds.
pub async fn run(store: Store, clock: Clock, refresh_grace: Duration) {
    let mut ledger = store.ledger_head();
    loop {
        if let Err(error) = catch_up(&store, &clock, refresh_grace).await {
            tracing::warn!(error = %error, "purge.failed");
            tokio::time::sleep(BACK_OFF).await;
            continue;
        }
        // Either ending is a reason to look again; the store outlives this task.
        let _ = tokio::time::timeout(SWEEP_EVERY, ledger.changed()).await;
    }
}

/// Purges until nothing dead and nothing expired is left.
///
/// Each slice is a write of its own, queued behind whoever waits: nobody waits for more than one.
///
/// # Errors
/// When the store fails; what was done by then stays done and noted.
pub async fn catch_up(store: &Store, clock: &Clock, refresh_grace: Duration) -> store::Result<()> {
    loop {
        let now = clock.now();
        let dead = store.write(move |tx| tx.purge_dead_slice(ROWS, now)).await?;
        let expired = store.write(move |tx| tx.purge_expired_slice(ROWS, now)).await?;
        let until = now.minus(refresh_grace);
        let sealed = store.write(move |tx| tx.forget_sealed_slice(ROWS, until)).await?;
        if [dead, expired, sealed] == [Slice::Idle; 3] {
            return Ok(());
        }
    }
}
