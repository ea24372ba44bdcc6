//! Leases and confirmations where several servers share a database.
//!
//! A guard may be connected to any of them, and each of them has to count all guards. So the rows of `guard_instances`
//! are the leases, and each server keeps a copy in memory:
//!
//! - The server that got an acknowledgement writes a new lease before it answers, and one that would end later than the
//!   database knows. What its guards have confirmed it writes in batches.
//! - Each server reads the leases again and again: at once when there is a new revocation, then several times in a
//!   second until all guards have confirmed it.
//! - A revocation that was committed after a guard's answer was read finds its lease in the database. So a server that
//!   reads the leases once more after it has read the ledger row knows all guards that the row waits for. It settles no
//!   row earlier.
//! - The first server that settles a row decides what receipts say.
//!
//! A time to confirmation is from the revocation, by the clock of the server where it was, to the acknowledgement, by the
//! clock of another one perhaps: it is as exact as these clocks agree. Which guards a row waits for, and how long, is right
//! as long as they differ by less than ten seconds, because leases are written that far ahead.

use std::time::{Duration, Instant};

use crate::clock::{Clock, Timestamp};
use crate::service::guard_instance::Servers;
use crate::service::guards::Guards;
use crate::store::{self, Store};

/// Leases are read this often when nothing waits for a confirmation.
const IDLE: Duration = Duration::from_secs(1);
/// The same while something waits.
const WAITING: Duration = Duration::from_millis(250);
/// The least time between two reads. Confirmations of that time are written together.
const PAUSE: Duration = Duration::from_millis(100);
/// The pause after a read is at least this many times as long as the read took.
const SHARE: u32 = 5;
/// A lease that ended this long ago is still read: its guard may have confirmed something, or left, since the last read.
const ENDED: Duration = Duration::from_secs(60);
/// How long a receipt waits until it is known which guards have to confirm.
const PATIENCE: Duration = Duration::from_secs(2);

impl Guards {
    /// Waits until there is something to share, and shares it.
    pub(super) async fn share(&self, store: &Store, clock: &Clock) -> store::Result<()> {
        let longest = if self.leases().is_waiting() { WAITING } else { IDLE };
        // An error means that there is nothing new.
        let _ = tokio::time::timeout(longest, self.news.notified()).await;
        let exchanged = self.exchange(store, clock.now()).await;
        let pause = exchanged.as_ref().map_or(IDLE, |reading| (*reading * SHARE).clamp(PAUSE, IDLE));
        tokio::time::sleep(pause).await;
        exchanged.map(|_| ())
    }

    /// Writes what other servers have to know, reads what they have written, and settles what is complete. Returns how
    /// long the reading took.
    async fn exchange(&self, store: &Store, now: Timestamp) -> store::Result<Duration> {
        let before = self.leases().exchanging(now);
        self.write_leases(store, now).await?;
        // First: the leases that are read then are those of all rows up to this one.
        let position = self.leases().position;
        let began = Instant::now();
        let stored = store.leased_guards(before.minus(ENDED)).await?;
        let reading = began.elapsed();
        self.leases().merge(&stored, position, now, self.metrics());
        self.complete.send_replace(position);
        self.settle(store, now).await?;
        Ok(reading)
    }

    /// Waits until all guards are known that the rows up to `sequence` wait for.
    ///
    /// # Errors
    /// When the database does not say so.
    pub async fn knows_all(&self, sequence: i64) -> store::Result<()> {
        if self.kind == Servers::One {
            return Ok(());
        }
        let mut complete = self.complete.subscribe();
        let known = complete.wait_for(|complete| *complete >= sequence);
        match tokio::time::timeout(PATIENCE, known).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(store::Error::Unavailable("the leases of guards are not being read".to_owned())),
        }
    }
}
