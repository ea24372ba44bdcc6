//! The canary: the app and the resource server that a drill revokes and follows.
//!
//! They belong to nobody and serve nobody. No other app can ask for the canary's scope, no other resource server hears
//! of its revocations, and lists of resource servers leave it out.

use std::time::Duration;

use crate::clock::Timestamp;

/// What pages call both.
pub const NAME: &str = "Rescind drill";
/// Who publishes it, as pages say.
pub const PUBLISHER: &str = "Rescind";
/// The `aud` of its tokens; no other resource server can have it.
pub const AUDIENCE: &str = "urn:rescind:canary";
/// All that it can ask for.
pub const SCOPE: &str = "rescind:canary";

/// How long a guard may take to get ready, and a revoked token to be refused. A drill that takes longer has failed.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How a drill went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed(Times),
    /// After so many rounds, the guard had not learned of a revocation within [`PATIENCE`] of its answer.
    Failed {
        rounds: u32,
    },
}

/// From a revocation's answer to the refusal of its token, over all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    pub rounds: u32,
    pub p50: Duration,
    pub p99: Duration,
    pub max: Duration,
}

/// The newest drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drill {
    pub at: Timestamp,
    pub outcome: Outcome,
}

impl Times {
    /// `None` without a round.
    pub fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        // The nearest rank: that many percent of the rounds took no longer.
        let rank = |percent: usize| times.get((times.len() * percent).div_ceil(100).checked_sub(1)?).copied();
        Some(Self {
            rounds: u32::try_from(times.len()).ok()?,
            p50: rank(50)?,
            p99: rank(99)?,
            max: rank(100)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_of_measured_rounds() {
        let of = |count: u64| Times::of((1..=count).rev().map(Duration::from_millis).collect());
        let ms = |times: Times| [times.p50, times.p99, times.max].map(|time| time.as_millis());
        assert_eq!(of(0), None);
        assert_eq!(of(1).map(ms), Some([1, 1, 1]));
        assert_eq!(of(2).map(ms), Some([1, 2, 2]));
        assert_eq!(of(100).map(ms), Some([50, 99, 100]));
        assert_eq!(of(1000).map(ms), Some([500, 990, 1000]));
        assert_eq!(of(1000).unwrap().rounds, 1000);
    }
}
