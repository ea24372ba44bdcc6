//! Limits on how often something may be tried.

use std::time::Duration;

use crate::clock::Timestamp;

/// A number of attempts, of which one comes back every `interval`. What is stored of it is when all are there again.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub most: u32,
    pub interval: Duration,
}

impl Budget {
    /// When all attempts are there again. Nobody waits longer because a clock is behind, or was set back.
    pub fn whole_at(self, stored: Timestamp, now: Timestamp) -> Timestamp {
        stored.clamp(now, now.plus(self.interval * self.most))
    }

    /// How long it takes until an attempt is allowed.
    pub fn wait(self, stored: Timestamp, now: Timestamp) -> Duration {
        let one_left = now.plus(self.interval * self.most.saturating_sub(1));
        self.whole_at(stored, now).since(one_left)
    }
}
