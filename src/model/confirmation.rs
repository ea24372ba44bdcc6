//! How far a resource server is known to have learned of a revocation.

use std::time::Duration;

use crate::clock::Timestamp;

/// What one resource server's guards said about one ledger row.
///
/// Times are the server's, from the moment that the row names to the acknowledgement's arrival. That
/// moment lies just before the commit, so they are never too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmation {
    pub guarded: Guarded,
    /// Guards that may still have accepted what ended, when it ended: their lease ran.
    pub instances: u32,
    /// Those of them in which every thread uses the entry.
    pub confirmed: u32,
    /// How long the last of them took.
    pub last: Option<Duration>,
    /// Until when a JWT that ended may still be accepted there: the last lease of a silent guard runs
    /// out, or without a guard the longest-lived JWT has expired.
    pub open_until: Option<Timestamp>,
}

/// Whether a guard checks JWTs at a resource server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarded {
    Running,
    /// No guard was ever heard from, or the operator says that none runs.
    None,
}

impl Guarded {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::None => "none",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Running, Self::None].into_iter().find(|guarded| guarded.as_str() == text)
    }
}

impl Confirmation {
    /// Without a guard: what ended at `at` works until it expires.
    pub fn unguarded(at: Timestamp, longest_life: Duration) -> Self {
        let open_until = Some(at.plus(longest_life));
        Self { guarded: Guarded::None, instances: 0, confirmed: 0, last: None, open_until }
    }

    /// Before anybody has answered. `open_until` is the last end of their leases.
    pub const fn awaited(instances: u32, open_until: Option<Timestamp>) -> Self {
        Self { guarded: Guarded::Running, instances, confirmed: 0, last: None, open_until }
    }

    /// One more guard has confirmed, `after` this time.
    pub fn confirm(&mut self, after: Option<Duration>) {
        self.confirmed = self.instances.min(self.confirmed + 1);
        self.last = self.last.max(after);
        if self.confirmed == self.instances {
            self.open_until = None;
        }
    }

    /// How long the last guard took, in milliseconds.
    pub fn last_ms(&self) -> Option<i64> {
        self.last.map(|last| i64::try_from(last.as_millis()).unwrap_or(i64::MAX))
    }

    /// Guards that have not confirmed.
    pub const fn silent(&self) -> u32 {
        self.instances.saturating_sub(self.confirmed)
    }

    /// Whether a JWT that ended may still be accepted there.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.open_until.is_some_and(|until| now < until)
    }

    /// Whether nothing about it will change any more.
    pub fn is_settled(&self, now: Timestamp) -> bool {
        self.guarded == Guarded::None || !self.is_open(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_guard_to_confirm_closes_the_confirmation() {
        let (at, now) = (Timestamp::from_millis(10_000), Timestamp::from_millis(10_500));
        let mut confirmation = Confirmation::awaited(2, Some(at));
        assert!(confirmation.is_settled(now));
        confirmation.open_until = Some(Timestamp::from_millis(20_000));
        confirmation.confirm(Some(Duration::from_millis(7)));
        assert!(confirmation.is_open(now) && !confirmation.is_settled(now));
        confirmation.confirm(Some(Duration::from_millis(3)));
        assert!(!confirmation.is_open(now) && confirmation.is_settled(now));
        assert_eq!((confirmation.silent(), confirmation.last), (0, Some(Duration::from_millis(7))));
    }

    #[test]
    fn an_api_without_running_guards_is_closed_and_an_unguarded_api_is_open() {
        let at = Timestamp::from_millis(10_000);
        assert!(!Confirmation::awaited(0, None).is_open(at));
        let unguarded = Confirmation::unguarded(at, Duration::from_secs(600));
        assert!(unguarded.is_open(at) && unguarded.is_settled(at));
        assert!(!unguarded.is_open(at.plus(Duration::from_secs(600))));
    }
}
