//! Access tokens that somebody has asked for, in memory: who asks again gets their facts without the database.
//!
//! Nothing in an access token's row ever changes; it can only leave. The database itself tells the writer which rows of
//! tokens each DELETE with a condition takes (of one without it tells nothing), and they are forgotten after the commit and
//! before its answer. So once a revocation is answered, what is remembered has its row, or is covered by `super::revoked`,
//! whose entries go after what is remembered.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use rusqlite::hooks::Action;

use crate::clock::Timestamp;
use crate::model::id::{ClientId, FamilyId, GrantId, UserId};
use crate::model::scope::Scope;
use crate::model::secret::Digest;
use crate::model::stamp::{Generations, Stamp};
use crate::thread::Each;

use super::Result;
use super::access_tokens::AccessTokenFacts;
use super::tokens::{Kind, birth, kind, place, rest};

/// Each is locked apart, and searched from one end to the other.
const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 13;
/// Tokens in a shard at the most.
const MOST: usize = 160;
/// Terms that a thread knows at the most; then it begins anew, and tokens keep what they have.
const TERMS: usize = 1 << 14;
/// Bytes of scope and audience at the most.
const LONGEST: usize = 512;

/// A million or so, of 124 bytes each and what many have in common.
pub(super) struct RecentTokens {
    /// Tokens whose families were born at one time are in the same.
    shards: Box<[Mutex<Shard>]>,
    terms: Each<Mutex<HashSet<Arc<Terms>>>>,
}

#[derive(Default)]
struct Shard {
    /// How often something of it was to be forgotten.
    forgettings: u64,
    /// The last bits of the births of their families, by which what leaves is forgotten: some more than has left.
    births: Vec<u32>,
    /// In the same order.
    tokens: Vec<Remembered>,
}

struct Remembered {
    rest: [u8; 16],
    family: Option<FamilyId>,
    grant: Option<GrantId>,
    user: Option<UserId>,
    created_at: Timestamp,
    expires_at: Timestamp,
    terms: Arc<Terms>,
}

/// What many tokens have in common.
#[derive(PartialEq, Eq, Hash)]
struct Terms {
    client: ClientId,
    generations: Generations,
    grant_generation: Option<i64>,
    scope: Scope,
    audience: String,
}

impl Default for RecentTokens {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), terms: Each::default() }
    }
}

impl RecentTokens {
    /// What is remembered of a token; or what `read` finds, which is remembered from then on.
    pub(super) fn get(
        &self,
        token: &Digest,
        read: impl FnOnce() -> Result<Option<AccessTokenFacts>>,
    ) -> Result<Option<AccessTokenFacts>> {
        let born = birth(place(token, Kind::Access));
        let forgettings = {
            let shard = self.shard(born);
            if let Some(at) = shard.find(born, token) {
                return Ok(Some(shard.tokens[at].facts(token)));
            }
            shard.forgettings
        };
        let found = read()?;
        if let Some(facts) = &found
            && facts.scope.as_str().len() + facts.audience.len() <= LONGEST
        {
            let remembered = Remembered::of(token, facts, self.terms(facts));
            let mut shard = self.shard(born);
            // What was read may have left since.
            if shard.forgettings == forgettings && shard.find(born, token).is_none() {
                shard.remember(born, remembered);
            }
        }
        Ok(found)
    }

    /// Forgets the tokens of families born then.
    pub(super) fn forget(&self, born: i64) {
        let mut shard = self.shard(born);
        // Even where nothing is remembered: somebody may just have read the row that has left.
        shard.forgettings += 1;
        while let Some(at) = shard.births.iter().position(|&other| other == last_bits(born)) {
            shard.births.swap_remove(at);
            shard.tokens.swap_remove(at);
        }
    }

    fn shard(&self, born: i64) -> MutexGuard<'_, Shard> {
        // Births that follow each other, evenly or not, are spread by a multiple of the golden section.
        let spread = born.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        lock(&self.shards[(spread >> (u64::BITS - SHARD_BITS)) as usize])
    }

    fn terms(&self, of: &AccessTokenFacts) -> Arc<Terms> {
        let terms = Terms {
            client: of.stamp.client.clone(),
            generations: of.stamp.generations,
            grant_generation: of.grant_generation,
            scope: of.scope.clone(),
            audience: of.audience.clone(),
        };
        let mut known = lock(self.terms.own());
        if let Some(known) = known.get(&terms) {
            return known.clone();
        }
        if known.len() == TERMS {
            known.clear();
        }
        let terms = Arc::new(terms);
        known.insert(terms.clone());
        terms
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn last_bits(born: i64) -> u32 {
    born as u32
}

impl Shard {
    fn find(&self, born: i64, token: &Digest) -> Option<usize> {
        let (born, rest) = (last_bits(born), rest(token));
        self.births.iter().zip(&self.tokens).position(|(&of, token)| of == born && token.rest == rest)
    }

    fn remember(&mut self, born: i64, token: Remembered) {
        let born = last_bits(born);
        if self.tokens.len() < MOST {
            // At once, so that nothing is moved later and memory stays in one piece.
            self.births.reserve_exact(MOST - self.births.len());
            self.tokens.reserve_exact(MOST - self.tokens.len());
            self.births.push(born);
            self.tokens.push(token);
        } else {
            // Takes the place of any other.
            let at = usize::from(u16::from_be_bytes([token.rest[0], token.rest[1]])) % MOST;
            self.births[at] = born;
            self.tokens[at] = token;
        }
    }
}

impl Remembered {
    fn of(token: &Digest, facts: &AccessTokenFacts, terms: Arc<Terms>) -> Self {
        let Stamp { family, grant, user, .. } = facts.stamp.clone();
        let AccessTokenFacts { created_at, expires_at, .. } = *facts;
        let mut bytes = [0; 16];
        bytes.copy_from_slice(rest(token));
        Self { rest: bytes, family, grant, user, created_at, expires_at, terms }
    }

    fn facts(&self, token: &Digest) -> AccessTokenFacts {
        let Terms { client, generations, grant_generation, scope, audience } = &*self.terms;
        AccessTokenFacts {
            id: token.token_id(),
            stamp: Stamp {
                family: self.family.clone(),
                grant: self.grant.clone(),
                client: client.clone(),
                user: self.user.clone(),
                generations: *generations,
            },
            grant_generation: *grant_generation,
            scope: scope.clone(),
            audience: audience.clone(),
            created_at: self.created_at,
            expires_at: self.expires_at,
        }
    }
}

/// Births of families whose access tokens' rows have left.
pub(super) struct Departures(Receiver<i64>);

impl Departures {
    /// Those that leave through this connection, which alone writes.
    pub(super) fn watch(connection: &Connection) -> Result<Self> {
        let (departed, departures) = channel();
        connection.update_hook(Some(move |action, _: &str, table: &str, row| {
            if action == Action::SQLITE_DELETE && table == "tokens" && kind(row) == Kind::Access {
                // Nobody waits for it once the writer has ended.
                let _ = departed.send(birth(row));
            }
        }))?;
        Ok(Self(departures))
    }

    /// Each once, as far as they came one after another.
    pub(super) fn take(&self) -> impl Iterator<Item = i64> {
        let mut last = None;
        self.0.try_iter().filter(move |&born| last.replace(born) != Some(born))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BORN: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    /// The `n`th token of a family that was born so many milliseconds later.
    fn token(later: u64, n: u8) -> Digest {
        let mut bytes = [n; 32];
        bytes[..6].copy_from_slice(&Digest::beginning(BORN.plus(Duration::from_millis(later))));
        Digest::from_bytes(bytes)
    }

    fn facts(token: &Digest, audience: &str) -> AccessTokenFacts {
        AccessTokenFacts {
            id: token.token_id(),
            stamp: Stamp {
                family: Some(FamilyId::generate(BORN)),
                grant: None,
                client: ClientId::generate(BORN),
                user: None,
                generations: Generations { server: 1, client: 2, user: None },
            },
            grant_generation: Some(3),
            scope: Scope::parse("read").unwrap(),
            audience: audience.to_owned(),
            created_at: BORN,
            expires_at: BORN.plus(Duration::from_secs(60)),
        }
    }

    /// Whether it was remembered; if not, it is now.
    fn is_remembered(tokens: &RecentTokens, token: &Digest) -> bool {
        let mut was_read = false;
        let read = || {
            was_read = true;
            Ok(Some(facts(token, "api")))
        };
        assert!(tokens.get(token, read).unwrap().is_some());
        !was_read
    }

    #[test]
    fn who_asks_again_hears_the_same() {
        let tokens = RecentTokens::default();
        let read = facts(&token(0, 1), "api");
        let (family, client) = (read.stamp.family.clone(), read.stamp.client.clone());
        tokens.get(&token(0, 1), || Ok(Some(read))).unwrap();
        let again = tokens.get(&token(0, 1), || panic!("it is remembered")).unwrap().unwrap();
        assert_eq!((again.stamp.family, again.stamp.client), (family, client));
        assert_eq!((again.id, again.grant_generation), (token(0, 1).token_id(), Some(3)));
        assert_eq!((again.scope.as_str(), again.audience.as_str()), ("read", "api"));
        assert_eq!(again.expires_at.since(again.created_at), Duration::from_secs(60));
        assert!(tokens.get(&token(0, 2), || Ok(None)).unwrap().is_none());
        assert!(!is_remembered(&tokens, &token(0, 2)), "what is not there is not remembered");
    }

    #[test]
    fn families_are_forgotten_by_their_births_and_no_others() {
        let tokens = RecentTokens::default();
        let in_same_shard = 10_946;
        let [first, other] =
            [token(0, 1), token(in_same_shard, 1)].map(|token| birth(place(&token, Kind::Access)));
        let address = |born| std::ptr::from_ref(&*tokens.shard(born)).addr();
        assert_eq!(address(first), address(other));
        let all = [token(0, 1), token(0, 2), token(in_same_shard, 1)];
        assert_eq!(all.map(|token| is_remembered(&tokens, &token)), [false; 3]);
        tokens.forget(birth(place(&all[0], Kind::Access)));
        assert_eq!(all.map(|token| is_remembered(&tokens, &token)), [false, false, true]);
        assert_eq!(all.map(|token| is_remembered(&tokens, &token)), [true; 3]);
    }

    #[test]
    fn long_scopes_are_not_remembered() {
        let tokens = RecentTokens::default();
        let read = || Ok(Some(facts(&token(0, 1), &"a".repeat(LONGEST))));
        assert!(tokens.get(&token(0, 1), read).unwrap().is_some());
        assert!(!is_remembered(&tokens, &token(0, 1)));
    }

    #[test]
    fn a_row_that_left_while_it_was_read_is_not_remembered() {
        let tokens = RecentTokens::default();
        let token = token(0, 1);
        let read = || {
            tokens.forget(birth(place(&token, Kind::Access)));
            Ok(Some(facts(&token, "api")))
        };
        assert!(tokens.get(&token, read).unwrap().is_some());
        assert!(!is_remembered(&tokens, &token));
    }

    #[test]
    fn a_full_shard_takes_one_for_another() {
        let tokens = RecentTokens::default();
        for n in 0..=200 {
            assert!(!is_remembered(&tokens, &token(0, n)));
            assert!(is_remembered(&tokens, &token(0, n)), "the newest");
        }
        let shard = tokens.shard(birth(place(&token(0, 0), Kind::Access)));
        assert_eq!((shard.births.len(), shard.tokens.len()), (MOST, MOST));
        assert_eq!((shard.births.capacity(), shard.tokens.capacity()), (MOST, MOST));
    }

    #[test]
    fn a_thread_knows_so_many_terms_at_the_most() {
        let tokens = RecentTokens::default();
        for n in 0..=TERMS {
            let token = token(0, 1);
            tokens.get(&token, || Ok(Some(facts(&token, &format!("api {n}"))))).unwrap();
            tokens.forget(birth(place(&token, Kind::Access)));
        }
        assert!(lock(tokens.terms.own()).len() <= TERMS);
    }

    #[test]
    fn births_of_access_tokens_that_leave_are_told_once() {
        let connection = Connection::open_in_memory().unwrap();
        for table in ["tokens", "others"] {
            let create = format!("CREATE TABLE {table} (place INTEGER PRIMARY KEY, x)");
            connection.execute_batch(&create).unwrap();
        }
        let departures = Departures::watch(&connection).unwrap();
        let [access, refresh] = [Kind::Access, Kind::Refresh].map(|kind| place(&token(0, 1), kind));
        let later = place(&token(1, 1), Kind::Access);
        for table in ["tokens", "others"] {
            for place in [access, access + 1, refresh, later] {
                connection.execute(&format!("INSERT INTO {table} (place) VALUES (?1)"), [place]).unwrap();
            }
        }
        connection.execute("UPDATE tokens SET x = 1", []).unwrap();
        assert_eq!(departures.take().count(), 0);
        connection.execute("DELETE FROM others WHERE place > 0", []).unwrap();
        connection.execute("DELETE FROM tokens WHERE place = ?1", [refresh]).unwrap();
        assert_eq!(departures.take().count(), 0);
        connection.execute("DELETE FROM tokens WHERE place > 0", []).unwrap();
        let born = BORN.millis();
        assert_eq!(departures.take().collect::<Vec<_>>(), [born, born + 1]);
        assert_eq!(departures.take().count(), 0);
    }
}
