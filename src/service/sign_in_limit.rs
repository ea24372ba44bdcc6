//! Limits how often passwords may be tried.
//!
//! There are limits for an address, for a username at an address, and for a username from all addresses together. The
//! last one does not count at an address where the person has signed in lately, so that guesses from elsewhere keep
//! nobody out. The tables of this file are in memory; what several servers count together is in
//! [`sign_in_attempts`](super::sign_in_attempts).

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::model::budget::Budget;
use crate::model::id::SessionId;
use crate::model::user::Username;

/// Entries of each table. The tables never grow: keys with the same entry share it.
const ENTRIES: u64 = 1 << 16;

/// How long after a sign-in an address counts as one where the person signs in.
pub(super) const USUAL: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a password is tried for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// For an account that does not exist yet, or under a name that no account can have.
    NoAccount,
    SignIn(&'a Username),
    /// A person who is signed in confirms the password.
    Confirm(&'a SessionId),
}

/// There were too many attempts; the next one is allowed after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany(pub Duration);

/// An attempt that was allowed, and the budgets that it counts for.
#[must_use]
#[derive(Debug)]
pub struct Attempt {
    pub(super) budgets: Vec<Key>,
    /// Username and address.
    pub(super) place: Option<String>,
}

/// What a budget is for.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) kind: Kind,
    /// An address, a username, both, or a session.
    pub(super) whose: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Address,
    Name,
    /// A username at an address where it has not signed in lately.
    NewPlace,
    /// A username at an address where it has signed in lately, or a session.
    Person,
}

impl Kind {
    /// How many attempts there are at once, and after which time each comes back. The times are how long a person may
    /// have to wait (docs/operating.md). A single address can't use up the budget of a name.
    pub(super) const fn budget(self) -> Budget {
        let (most, seconds) = match self {
            Self::Address => (60, 1),
            Self::Name => (50, 30),
            Self::NewPlace => (20, 60),
            Self::Person => (20, 3),
        };
        Budget { most, interval: Duration::from_secs(seconds) }
    }
}

/// Limits attempts at this server.
pub struct SignInLimit {
    hasher: RandomState,
    tables: Mutex<Tables>,
}

struct Tables {
    by_address: Budgets,
    by_name: Budgets,
    by_new_place: Budgets,
    by_person: Budgets,
    usual: Box<[Usual]>,
}

/// When a username last signed in from an address, by the hash of the two.
#[derive(Clone, Copy)]
struct Usual {
    hash: u64,
    at: Timestamp,
}

/// Budgets of one kind.
struct Budgets {
    /// When each is full again.
    whole_at: Box<[Timestamp]>,
    each: Budget,
}

impl Budgets {
    fn new(kind: Kind) -> Self {
        Self { whole_at: (0..ENTRIES).map(|_| Timestamp::from_millis(0)).collect(), each: kind.budget() }
    }

    fn wait(&self, hash: u64, now: Timestamp) -> Duration {
        self.each.wait(self.whole_at[entry(hash)], now)
    }

    fn take(&mut self, hash: u64, now: Timestamp) {
        let whole_at = &mut self.whole_at[entry(hash)];
        *whole_at = self.each.whole_at(*whole_at, now).plus(self.each.interval);
    }

    fn give_back(&mut self, hash: u64, now: Timestamp) {
        let whole_at = &mut self.whole_at[entry(hash)];
        *whole_at = self.each.whole_at(*whole_at, now).minus(self.each.interval);
    }
}

impl Tables {
    fn budgets(&mut self, kind: Kind) -> &mut Budgets {
        match kind {
            Kind::Address => &mut self.by_address,
            Kind::Name => &mut self.by_name,
            Kind::NewPlace => &mut self.by_new_place,
            Kind::Person => &mut self.by_person,
        }
    }

    fn is_usual(&self, hash: u64, now: Timestamp) -> bool {
        let known = self.usual[entry(hash)];
        known.hash == hash && now.since(known.at) < USUAL
    }
}

/// The place of a hash in a table.
fn entry(hash: u64) -> usize {
    usize::try_from(hash % ENTRIES).unwrap_or_default()
}

/// An IPv6 address stands for its /64, since one household usually has a whole /64.
pub(super) fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

impl Default for SignInLimit {
    fn default() -> Self {
        let nowhere = Usual { hash: 0, at: Timestamp::from_millis(0) };
        let tables = Tables {
            by_address: Budgets::new(Kind::Address),
            by_name: Budgets::new(Kind::Name),
            by_new_place: Budgets::new(Kind::NewPlace),
            by_person: Budgets::new(Kind::Person),
            usual: (0..ENTRIES).map(|_| nowhere).collect(),
        };
        // The hasher's keys are random, so nobody can choose names or addresses that share an entry.
        Self { hasher: RandomState::new(), tables: Mutex::new(tables) }
    }
}

impl SignInLimit {
    /// Counts an attempt, before its password is checked. `is_usual` if another server knows that the person has signed
    /// in from this address lately.
    ///
    /// # Errors
    /// `TooMany`. Then the attempt does not count.
    pub(super) fn begin(
        &self,
        purpose: Purpose<'_>,
        address: IpAddr,
        is_usual: bool,
        now: Timestamp,
    ) -> Result<Attempt, TooMany> {
        let mut tables = self.tables();
        let is_usual = |place: &str| is_usual || tables.is_usual(self.hash(place), now);
        let attempt = attempt(purpose, household(address), is_usual);
        let wait = |key: &Key| tables.budgets(key.kind).wait(self.hash(&key.whose), now);
        let wait = attempt.budgets.iter().map(wait).max().unwrap_or_default();
        if !wait.is_zero() {
            return Err(TooMany(wait));
        }
        for key in &attempt.budgets {
            tables.budgets(key.kind).take(self.hash(&key.whose), now);
        }
        Ok(attempt)
    }

    /// Gives the attempt back.
    pub(super) fn give_back(&self, attempt: &Attempt, now: Timestamp) {
        let mut tables = self.tables();
        for key in &attempt.budgets {
            tables.budgets(key.kind).give_back(self.hash(&key.whose), now);
        }
    }

    /// Gives the attempt back, because its password was right, and remembers the address.
    pub(super) fn succeeded(&self, attempt: &Attempt, now: Timestamp) {
        self.give_back(attempt, now);
        if let Some(place) = &attempt.place {
            let hash = self.hash(place);
            self.tables().usual[entry(hash)] = Usual { hash, at: now };
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hash(&self, whose: &str) -> u64 {
        self.hasher.hash_one(whose)
    }
}

/// Where somebody signs in.
pub(super) fn place(name: &Username, from: IpAddr) -> String {
    format!("{name} {from}")
}

fn attempt(purpose: Purpose<'_>, from: IpAddr, is_usual: impl FnOnce(&str) -> bool) -> Attempt {
    let key = |kind, whose: &str| Key { kind, whose: whose.to_owned() };
    let address = key(Kind::Address, &from.to_string());
    match purpose {
        Purpose::NoAccount => Attempt { budgets: vec![address], place: None },
        Purpose::Confirm(session) => {
            Attempt { budgets: vec![address, key(Kind::Person, session.as_str())], place: None }
        }
        Purpose::SignIn(name) => {
            let place = place(name, from);
            let budgets = if is_usual(&place) {
                vec![address, key(Kind::Person, &place)]
            } else {
                vec![address, key(Kind::NewPlace, &place), key(Kind::Name, name.as_str())]
            };
            Attempt { budgets, place: Some(place) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn address(last: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(0xc000_0200 + last))
    }

    fn name(text: &str) -> Username {
        Username::parse(text).unwrap()
    }

    /// How many of `attempts` are allowed: the first from address 0, the next from address 1, and so on.
    fn allowed(limit: &SignInLimit, who: &str, attempts: u32) -> usize {
        let who = name(who);
        (0..attempts)
            .filter(|&from| limit.begin(Purpose::SignIn(&who), address(from), false, NOW).is_ok())
            .count()
    }

    #[test]
    fn guesses_for_one_user_count_together_across_addresses() {
        let limit = SignInLimit::default();
        assert_eq!(allowed(&limit, "alice", 150), 50);
        assert_eq!(allowed(&limit, "bob", 1), 1, "another name has a budget of its own");
    }

    #[test]
    fn guesses_from_one_address_lock_nobody_out() {
        let limit = SignInLimit::default();
        let alice = name("alice");
        for minute in 0..120 {
            let now = NOW.plus(Duration::from_secs(60 * minute));
            let begin = |from| limit.begin(Purpose::SignIn(&alice), address(from), false, now).is_ok();
            let allowed = (0..150).filter(|_| begin(1)).count();
            assert_eq!(allowed, if minute == 0 { 20 } else { 1 });
            assert!(begin(1000), "after {minute} minutes");
        }
    }

    #[test]
    fn guesses_from_one_address_count_together_across_user_names() {
        let limit = SignInLimit::default();
        let guess = |number: u32, from: &str| {
            let name = name(&format!("user{number}"));
            limit.begin(Purpose::SignIn(&name), from.parse().unwrap(), false, NOW).is_ok()
        };
        assert_eq!((0..150).filter(|&number| guess(number, "192.0.2.7")).count(), 60);
        assert!(!guess(200, "::ffff:192.0.2.7"));
        // A household has a whole /64 of IPv6.
        let from = |number: u32| format!("2001:db8::{number:x}");
        assert_eq!((0..150).filter(|&number| guess(number, &from(number))).count(), 60);
        assert!(guess(200, "2001:db8:0:1::1"));
    }

    #[test]
    fn the_announced_wait_is_true_and_at_most_a_minute() {
        let limit = SignInLimit::default();
        let alice = name("alice");
        allowed(&limit, "alice", 150);
        let begin = |now| limit.begin(Purpose::SignIn(&alice), address(1000), false, now);
        let TooMany(wait) = begin(NOW).unwrap_err();
        assert!(wait <= Duration::from_secs(60), "{wait:?}");
        assert!(begin(NOW.plus(wait).minus(Duration::from_millis(1))).is_err());
        let _ = begin(NOW.plus(wait)).unwrap();
    }

    #[test]
    fn guesses_from_elsewhere_lock_nobody_out_of_a_known_address() {
        let limit = SignInLimit::default();
        let alice = name("alice");
        let begin = |from, now| limit.begin(Purpose::SignIn(&alice), address(from), false, now);
        limit.succeeded(&begin(1000, NOW).unwrap(), NOW);
        allowed(&limit, "alice", 150);
        for _ in 0..20 {
            let _ = begin(1000, NOW).unwrap();
        }
        // That budget ends too, and other addresses don't have it.
        assert!(begin(1000, NOW).is_err());
        assert!(begin(1001, NOW).is_err());
        let later = NOW.plus(USUAL);
        allowed(&limit, "alice", 150);
        assert_eq!((0..150).filter(|_| begin(1000, later).is_ok()).count(), 20);
    }

    #[test]
    fn a_successful_sign_in_gives_its_attempt_back() {
        let limit = SignInLimit::default();
        let alice = name("alice");
        for from in 0..200 {
            let attempt = limit.begin(Purpose::SignIn(&alice), address(from / 100), false, NOW).unwrap();
            limit.succeeded(&attempt, NOW);
        }
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let limit = SignInLimit::default();
        let alice = name("alice");
        allowed(&limit, "alice", 150);
        let earlier = NOW.minus(Duration::from_secs(7 * 24 * 3600));
        let TooMany(wait) = limit.begin(Purpose::SignIn(&alice), address(1000), false, earlier).unwrap_err();
        assert!(wait <= Duration::from_secs(60), "{wait:?}");
    }

    #[test]
    fn password_confirmations_are_limited_per_session() {
        let limit = SignInLimit::default();
        let sessions = [SessionId::generate(NOW), SessionId::generate(NOW)];
        allowed(&limit, "alice", 150);
        let begin = |session, from| limit.begin(Purpose::Confirm(session), address(from), false, NOW).is_ok();
        assert_eq!((0..150).filter(|&from| begin(&sessions[0], from)).count(), 20);
        assert!(begin(&sessions[1], 0));
    }
}
