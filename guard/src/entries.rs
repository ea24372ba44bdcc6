//! What is dead: a table of fingerprints, small enough for millions and quick enough for every request.

use aws_lc_rs::error::Unspecified;
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_128_with_secret;

use crate::claims::Claims;
use crate::clock::Boot;
use crate::refusal::Revoked;
use crate::wire::{Entry, Subject};

/// Higher than every generation: no token of the subject passes.
const ENDED: u64 = u64::MAX;
/// Tables grow one at a time, so that no growth keeps anybody waiting, nor holds all entries twice.
const SHARDS: usize = 256;

#[derive(Clone, Copy)]
enum Kind {
    Token,
    Family,
    Grant,
    Client,
    User,
}

/// 96 bits of XXH3 under a secret drawn at the start. Ids are the server's, so nobody chooses them; by chance a million
/// entries meet a given id once in 10^22, and then one token too many is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Print([u32; 3]);

impl Print {
    const fn shard(self) -> usize {
        self.0[2] as usize % SHARDS
    }

    const fn hash(self) -> u64 {
        (self.0[1] as u64) << 32 | self.0[0] as u64
    }
}

/// Makes fingerprints.
pub struct Prints {
    secret: [u8; 192],
    /// One and the same id is another thing in each kind.
    kinds: [u128; 5],
}

impl Prints {
    /// With a secret of its own.
    pub fn new() -> Result<Self, Unspecified> {
        let mut secret = [0; 192];
        let mut kinds = [[0; 16]; 5];
        aws_lc_rs::rand::fill(&mut secret)?;
        kinds.iter_mut().try_for_each(|kind| aws_lc_rs::rand::fill(kind))?;
        Ok(Self { secret, kinds: kinds.map(u128::from_le_bytes) })
    }

    fn of(&self, kind: Kind, id: &str) -> Print {
        let hash = xxh3_128_with_secret(id.as_bytes(), &self.secret) ^ self.kinds[kind as usize];
        Print(std::array::from_fn(|word| (hash >> (32 * word)) as u32))
    }

    /// All that `claims` hang on.
    pub fn of_claims(&self, claims: &Claims) -> Marks {
        let user = claims.stamp.user.as_ref();
        Marks {
            server: claims.stamp.server_generation,
            token: claims.jti.as_ref().map(|id| self.of(Kind::Token, id)),
            client: (self.of(Kind::Client, &claims.client_id), claims.stamp.client_generation),
            user: user.map(|stamp| UserMarks {
                user: (self.of(Kind::User, &claims.sub), stamp.user_generation),
                grant: (self.of(Kind::Grant, &stamp.grant_id), stamp.grant_generation),
                family: self.of(Kind::Family, &stamp.family_id),
            }),
        }
    }
}

/// A token's stamp as fingerprints.
#[derive(Clone, Copy)]
pub struct Marks {
    server: u64,
    token: Option<Print>,
    client: (Print, u64),
    user: Option<UserMarks>,
}

#[derive(Clone, Copy)]
struct UserMarks {
    user: (Print, u64),
    grant: (Print, Option<u64>),
    family: Print,
}

impl Marks {
    /// The family as a number, where there is one.
    pub fn family(&self) -> Option<u128> {
        let Print(words) = self.user?.family;
        Some(words.iter().fold(0, |number, word| number << 32 | u128::from(*word)))
    }

    /// For an answer of the server about an opaque token, which knows the grant as it is now: where it does not name
    /// the grant's generation, only the end of the grant ends it.
    pub fn of_answer(mut self) -> Self {
        if let Some(user) = &mut self.user {
            user.grant.1 = user.grant.1.or(Some(ENDED - 1));
        }
        self
    }
}

/// 24 bytes: halves instead of whole numbers, so that nothing is lost to alignment.
struct Slot {
    print: Print,
    generation: [u32; 2],
    /// Seconds of the boot clock after which it is forgotten.
    until: u32,
}

impl Slot {
    const fn generation(&self) -> u64 {
        (self.generation[1] as u64) << 32 | self.generation[0] as u64
    }

    const fn set_generation(&mut self, generation: u64) {
        self.generation = [generation as u32, (generation >> 32) as u32];
    }
}

/// What is dead, by kind and id, and the server's generation.
pub struct Entries {
    server_generation: u64,
    shards: Vec<HashTable<Slot>>,
    swept: usize,
}

impl Entries {
    pub fn new(server_generation: u64) -> Self {
        Self { server_generation, shards: (0..SHARDS).map(|_| HashTable::new()).collect(), swept: 0 }
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(HashTable::len).sum()
    }

    pub fn insert(&mut self, prints: &Prints, entry: &Entry, now: Boot) {
        // One second more, since seconds are cut off here and at the server.
        let until =
            u32::try_from(now.seconds().saturating_add(entry.keep).saturating_add(1)).unwrap_or(u32::MAX);
        let (print, generation) = match &entry.subject {
            Subject::Token { id } => (prints.of(Kind::Token, id), ENDED),
            Subject::Family { id } => (prints.of(Kind::Family, id), ENDED),
            Subject::Grant { id, generation } => (prints.of(Kind::Grant, id), generation.unwrap_or(ENDED)),
            Subject::Client { id, generation } => (prints.of(Kind::Client, id), *generation),
            Subject::User { id, generation } => (prints.of(Kind::User, id), *generation),
            Subject::Server { generation } => {
                self.server_generation = self.server_generation.max(*generation);
                return;
            }
        };
        let shard = &mut self.shards[print.shard()];
        match shard.find_mut(print.hash(), |slot| slot.print == print) {
            Some(slot) => {
                let generation = slot.generation().max(generation);
                slot.set_generation(generation);
                slot.until = slot.until.max(until);
            }
            None => {
                let mut slot = Slot { print, generation: [0; 2], until };
                slot.set_generation(generation);
                shard.insert_unique(print.hash(), slot, |slot| slot.print.hash());
            }
        }
    }

    fn generation(&self, print: Print) -> Option<u64> {
        let slot = self.shards[print.shard()].find(print.hash(), |slot| slot.print == print)?;
        Some(slot.generation())
    }

    /// What of a token's stamp is dead. Only what is *lower* is: a token made a moment ago may know generations of which
    /// this table has not heard.
    pub fn covering(&self, marks: &Marks) -> Option<Revoked> {
        let is_lower = |print, mine: u64| self.generation(print).is_some_and(|current| mine < current);
        if marks.server < self.server_generation {
            return Some(Revoked::Server);
        }
        if is_lower(marks.client.0, marks.client.1) {
            return Some(Revoked::Client);
        }
        if let Some(user) = &marks.user {
            if is_lower(user.user.0, user.user.1) {
                return Some(Revoked::User);
            }
            if is_lower(user.grant.0, user.grant.1.unwrap_or(0)) {
                return Some(Revoked::Grant);
            }
            if is_lower(user.family, 0) {
                return Some(Revoked::Family);
            }
        }
        marks.token.is_some_and(|token| is_lower(token, 0)).then_some(Revoked::Token)
    }

    /// Forgets what can't matter any more, in an eighth of the tables.
    pub fn sweep(&mut self, now: Boot) {
        for _ in 0..SHARDS / 8 {
            let shard = &mut self.shards[self.swept];
            shard.retain(|slot| u64::from(slot.until) > now.seconds());
            if shard.len() < shard.capacity() / 4 {
                shard.shrink_to(shard.len() * 2, |slot| slot.print.hash());
            }
            self.swept = (self.swept + 1) % SHARDS;
        }
    }
}
