//! The worker that really deletes what is dead or expired, in slices of a few milliseconds.

use std::time::Duration;

use crate::clock::Clock;
use crate::fail;
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
/// Slices queue behind whoever waits, and the three of a round share a commit: nobody waits for
/// more than one round.
///
/// # Errors
/// When the store fails; what was done by then stays done and noted.
pub async fn catch_up(store: &Store, clock: &Clock, refresh_grace: Duration) -> store::Result<()> {
    loop {
        let now = clock.now();
        let until = now.minus(refresh_grace);
        let (dead, expired, sealed) = tokio::try_join!(
            store.write(move |tx| tx.purge_dead_slice(ROWS, now)),
            store.write(move |tx| tx.purge_expired_slice(ROWS, now)),
            store.write(move |tx| tx.forget_sealed_slice(ROWS, until)),
        )?;
        fail::point("purge.between_slices");
        if [dead, expired, sealed] == [Slice::Idle; 3] {
            return Ok(());
        }
    }
}
