//! The one place that reads clocks.
//!
//! The wall clock decides whether a token has expired, because `exp` is wall time. Everything else that decides about
//! tokens (freshness, how long an entry is kept) uses CLOCK_BOOTTIME, which nobody can set and which goes on while the
//! machine sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Nanoseconds since the machine started, sleep included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Boot(u64);

impl Boot {
    pub(crate) const NEVER: Self = Self(0);

    pub(crate) const fn nanos(self) -> u64 {
        self.0
    }

    pub(crate) const fn seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }

    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Time from `earlier` to `self`, zero if `earlier` is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// The system's clocks, and how far a test has moved them.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    moved: Option<Arc<Moved>>,
}

#[derive(Debug, Default)]
struct Moved {
    wall_seconds: AtomicI64,
    boot_nanos: AtomicU64,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const BOOT: rustix::time::ClockId = rustix::time::ClockId::Boottime;
// On other systems either this clock counts sleep too, or no clock does.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const BOOT: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

#[cfg(any(target_os = "linux", target_os = "android"))]
const TICK: rustix::time::ClockId = rustix::time::ClockId::RealtimeCoarse;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const TICK: rustix::time::ClockId = rustix::time::ClockId::Realtime;

impl Clock {
    pub fn system() -> Self {
        Self::default()
    }

    /// Clocks that a test can move: [`Clock::set_wall`], [`Clock::sleep`].
    pub fn movable() -> Self {
        Self { moved: Some(Arc::default()) }
    }

    /// Moves the wall clock by `seconds`, forward or back, as an operator or a time server may.
    pub fn set_wall(&self, seconds: i64) {
        if let Some(moved) = &self.moved {
            moved.wall_seconds.fetch_add(seconds, Ordering::SeqCst);
        }
    }

    /// Moves both clocks forward by `duration`, as if the machine had slept.
    pub fn sleep(&self, duration: Duration) {
        if let Some(moved) = &self.moved {
            let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
            moved.boot_nanos.fetch_add(nanos, Ordering::SeqCst);
            moved
                .wall_seconds
                .fetch_add(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    pub(crate) fn boot(&self) -> Boot {
        let time = rustix::time::clock_gettime(BOOT);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0);
        let moved = self.moved.as_ref().map_or(0, |moved| moved.boot_nanos.load(Ordering::SeqCst));
        Boot(nanos.saturating_add(moved))
    }

    /// Unix seconds.
    pub(crate) fn wall(&self) -> i64 {
        self.wall_by(rustix::time::ClockId::Realtime)
    }

    /// Unix seconds as of the last tick, a few milliseconds ago. It costs a tenth of [`Self::wall`].
    pub(crate) fn wall_lately(&self) -> i64 {
        self.wall_by(TICK)
    }

    fn wall_by(&self, clock: rustix::time::ClockId) -> i64 {
        let time = rustix::time::clock_gettime(clock);
        let moved = self.moved.as_ref().map_or(0, |moved| moved.wall_seconds.load(Ordering::SeqCst));
        time.tv_sec.saturating_add(moved)
    }
}
