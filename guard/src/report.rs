//! The guard's state, and what it has counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::refusal::Refusal;

/// The guard's state at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// Whether tokens are checked against revocations that are new enough.
    pub is_fresh: bool,
    /// The age of the newest confirmed state (in JSON: seconds). `None` before the first one, and after a shutdown.
    #[serde(serialize_with = "seconds")]
    pub age: Option<Duration>,
    /// The highest age at which tokens are accepted (in JSON: seconds). `None` before the first snapshot.
    #[serde(serialize_with = "seconds")]
    pub max_staleness: Option<Duration>,
    pub incarnation: Option<u64>,
    /// The sequence of the newest revocation applied.
    pub through: u64,
    pub keys_version: u64,
    pub keys: usize,
    /// Entries held.
    pub entries: usize,
    /// Whether the stream is open.
    pub is_connected: bool,
    /// The last thing that went wrong. `None` once the guard is fresh again.
    pub trouble: Option<String>,
    pub counters: Counters,
}

fn seconds<S: serde::Serializer>(duration: &Option<Duration>, out: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(out)
}

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    pub accepted: u64,
    /// By [`Refusal::as_str`]. Only reasons that occurred.
    pub refused: Vec<(&'static str, u64)>,
    pub entries_applied: u64,
    pub snapshots: u64,
    /// How often the stream was opened.
    pub connects: u64,
    pub gaps: u64,
    pub acknowledged: u64,
    pub introspections: u64,
    pub cache_hits: u64,
}

macro_rules! reasons {
    ($($pattern:pat => $index:literal $name:literal,)+) => {
        const REASONS: &[&str] = &[$($name),+];

        const fn index(refusal: Refusal) -> usize {
            match refusal { $($pattern => $index,)+ }
        }
    };
}

reasons! {
    Refusal::Malformed(_) => 0 "malformed",
    Refusal::Algorithm => 1 "algorithm",
    Refusal::Type => 2 "type",
    Refusal::Header => 3 "header",
    Refusal::UnknownKey => 4 "unknown_key",
    Refusal::Signature => 5 "signature",
    Refusal::Issuer => 6 "issuer",
    Refusal::Audience => 7 "audience",
    Refusal::Expired => 8 "expired",
    Refusal::NotYetValid => 9 "not_yet_valid",
    Refusal::Lifetime => 10 "lifetime",
    Refusal::Claim(_) => 11 "claim",
    Refusal::SenderConstrained => 12 "sender_constrained",
    Refusal::Revoked(_) => 13 "revoked",
    Refusal::Checksum => 14 "checksum",
    Refusal::Opaque => 15 "opaque",
    Refusal::Inactive => 16 "inactive",
    Refusal::Stale => 17 "stale",
    Refusal::Unreachable => 18 "unreachable",
}

impl Refusal {
    /// A short constant for metrics and log fields.
    pub const fn as_str(self) -> &'static str {
        REASONS[index(self)]
    }
}

#[derive(Default)]
pub struct Counts {
    pub accepted: AtomicU64,
    refused: [AtomicU64; REASONS.len()],
    pub entries_applied: AtomicU64,
    pub snapshots: AtomicU64,
    pub connects: AtomicU64,
    pub gaps: AtomicU64,
    pub acknowledged: AtomicU64,
    pub introspections: AtomicU64,
    pub cache_hits: AtomicU64,
}

pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counts {
    pub fn refuse(&self, refusal: Refusal) {
        count(&self.refused[index(refusal)]);
    }

    pub fn read(&self) -> Counters {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let refused = REASONS.iter().zip(&self.refused).map(|(name, counter)| (*name, value(counter)));
        Counters {
            accepted: value(&self.accepted),
            refused: refused.filter(|(_, times)| *times > 0).collect(),
            entries_applied: value(&self.entries_applied),
            snapshots: value(&self.snapshots),
            connects: value(&self.connects),
            gaps: value(&self.gaps),
            acknowledged: value(&self.acknowledged),
            introspections: value(&self.introspections),
            cache_hits: value(&self.cache_hits),
        }
    }
}
