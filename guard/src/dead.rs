//! What is dead: "(kind, id) → the lowest generation that is alive".
//!
//! This is the only place that has this rule. The guard fills a set from the feed. The server checks tokens in the same
//! way, and fills a set from its ledger. An entry takes 24 bytes, so millions fit, and a look-up costs a fingerprint.

use aws_lc_rs::error::Unspecified;
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_128_with_secret;

use crate::claims::Claims;
use crate::refusal::Revoked;
use crate::wire::Subject;

/// Higher than every generation: no generation of the subject is alive.
const ENDED: u64 = u64::MAX;
/// The set is split into this many tables. They grow one at a time, so that callers never wait long, and never all
/// entries are held twice.
const SHARDS: usize = 256;

#[derive(Clone, Copy)]
enum Kind {
    Token,
    Family,
    Grant,
    Client,
    User,
}

/// A fingerprint: 96 bits of XXH3, with a secret that is drawn at the start. The server makes the ids, so nobody can
/// choose them. The chance that one of a million entries has the fingerprint of a given other id is 1 in 10^22. Then a
/// live token is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Print([u32; 3]);

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
    /// A random number for each kind, because the same id means another thing in each kind.
    kinds: [u128; 5],
}

/// A token's ids, and the generations under which it was issued.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    pub server_generation: u64,
    pub token: Option<&'a str>,
    pub client: (&'a str, u64),
    pub user: Option<(&'a str, u64)>,
    pub grant: Option<(&'a str, Option<u64>)>,
    pub family: Option<&'a str>,
}

impl Prints {
    /// Draws a new secret.
    ///
    /// # Errors
    /// When the system gives no randomness.
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

    /// The marks of all that a token depends on.
    pub fn marks(&self, names: &Names<'_>) -> Marks {
        let Names { server_generation, token, client, user, grant, family } = *names;
        Marks {
            server: server_generation,
            client: (self.of(Kind::Client, client.0), client.1),
            user: user.map(|(id, generation)| (self.of(Kind::User, id), generation)),
            grant: grant.map(|(id, generation)| (self.of(Kind::Grant, id), generation)),
            family: family.map(|id| self.of(Kind::Family, id)),
            token: token.map(|id| self.of(Kind::Token, id)),
        }
    }

    /// The same for a guard's claims.
    pub(crate) fn of_claims(&self, claims: &Claims) -> Marks {
        let user = claims.stamp.user.as_ref();
        self.marks(&Names {
            server_generation: claims.stamp.server_generation,
            token: claims.jti.as_deref(),
            client: (&claims.client_id, claims.stamp.client_generation),
            user: user.map(|stamp| (claims.sub.as_str(), stamp.user_generation)),
            grant: user.map(|stamp| (stamp.grant_id.as_str(), stamp.grant_generation)),
            family: user.map(|stamp| stamp.family_id.as_str()),
        })
    }

    /// What a revocation makes dead.
    pub fn death(&self, subject: &Subject) -> Death {
        let (kind, id, lowest) = match subject {
            Subject::Token { id } => (Kind::Token, id, ENDED),
            Subject::Family { id } => (Kind::Family, id, ENDED),
            Subject::Grant { id, generation } => (Kind::Grant, id, generation.unwrap_or(ENDED)),
            Subject::Client { id, generation } => (Kind::Client, id, *generation),
            Subject::User { id, generation } => (Kind::User, id, *generation),
            Subject::Server { generation } => return Death::Server(*generation),
        };
        Death::Of { print: self.of(kind, id), lowest }
    }
}

/// Something that was revoked, and its lowest generation that is alive.
#[derive(Clone, Copy)]
pub enum Death {
    Server(u64),
    Of { print: Print, lowest: u64 },
}

/// A token's ids as fingerprints, with its generations.
#[derive(Clone, Copy)]
pub struct Marks {
    server: u64,
    client: (Print, u64),
    user: Option<(Print, u64)>,
    grant: Option<(Print, Option<u64>)>,
    family: Option<Print>,
    token: Option<Print>,
}

impl Marks {
    /// The family's fingerprint as a number, if there is a family.
    pub(crate) fn family(&self) -> Option<u128> {
        let Print(words) = self.family?;
        Some(words.iter().fold(0, |number, word| number << 32 | u128::from(*word)))
    }

    /// For an answer of the server about an opaque token. The server knows the current state of the grant. So if the
    /// answer does not name the grant's generation, only the end of the grant kills the token.
    pub(crate) fn of_answer(mut self) -> Self {
        if let Some((_, generation)) = &mut self.grant {
            *generation = generation.or(Some(ENDED - 1));
        }
        self
    }

    /// What the token depends on that is dead. `lowest` returns the lowest generation of a thing that is alive. Only
    /// *lower* ones are dead: a token that was issued a moment ago may have generations that this set does not know
    /// yet.
    fn dead_part(&self, server_generation: u64, lowest: impl Fn(Print) -> Option<u64>) -> Option<Revoked> {
        let is_lower = |(print, mine): (Print, u64)| lowest(print).is_some_and(|lowest| mine < lowest);
        if self.server < server_generation {
            return Some(Revoked::Server);
        }
        if is_lower(self.client) {
            return Some(Revoked::Client);
        }
        if self.user.is_some_and(is_lower) {
            return Some(Revoked::User);
        }
        if self.grant.is_some_and(|(grant, mine)| is_lower((grant, mine.unwrap_or(0)))) {
            return Some(Revoked::Grant);
        }
        if self.family.is_some_and(|family| is_lower((family, 0))) {
            return Some(Revoked::Family);
        }
        self.token.is_some_and(|token| is_lower((token, 0))).then_some(Revoked::Token)
    }

    /// Whether this death kills the token.
    pub fn is_killed_by(&self, death: Death) -> bool {
        let (server_generation, of) = match death {
            Death::Server(generation) => (generation, None),
            Death::Of { print, lowest } => (0, Some((print, lowest))),
        };
        let lowest = |print| of.filter(|(of, _)| *of == print).map(|(_, lowest)| lowest);
        self.dead_part(server_generation, lowest).is_some()
    }
}

/// 24 bytes. It has two u32 instead of a u64, so that no space is lost to alignment.
struct Slot {
    print: Print,
    lowest: [u32; 2],
    /// The second of the owner's clock after which it may be forgotten.
    until: u32,
}

impl Slot {
    const fn lowest(&self) -> u64 {
        (self.lowest[1] as u64) << 32 | self.lowest[0] as u64
    }

    const fn set_lowest(&mut self, lowest: u64) {
        self.lowest = [lowest as u32, (lowest >> 32) as u32];
    }
}

/// What is dead, by kind and id, and the server's generation.
pub struct Dead {
    server_generation: u64,
    shards: Vec<HashTable<Slot>>,
    swept: usize,
}

impl Dead {
    /// For an entry that is kept until [`Self::keep_until`] gives it an end.
    pub const FOREVER: u32 = u32::MAX;

    pub fn new(server_generation: u64) -> Self {
        Self { server_generation, shards: (0..SHARDS).map(|_| HashTable::new()).collect(), swept: 0 }
    }

    pub const fn server_generation(&self) -> u64 {
        self.server_generation
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(HashTable::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Of several entries for one thing the highest generation counts, and is kept as long as the last of them.
    pub fn insert(&mut self, death: Death, until: u32) {
        let (print, lowest) = match death {
            Death::Of { print, lowest } => (print, lowest),
            Death::Server(generation) => {
                self.server_generation = self.server_generation.max(generation);
                return;
            }
        };
        let shard = &mut self.shards[print.shard()];
        match shard.find_mut(print.hash(), |slot| slot.print == print) {
            Some(slot) => {
                slot.set_lowest(slot.lowest().max(lowest));
                slot.until = slot.until.max(until);
            }
            None => {
                let mut slot = Slot { print, lowest: [0; 2], until };
                slot.set_lowest(lowest);
                shard.insert_unique(print.hash(), slot, |slot| slot.print.hash());
            }
        }
    }

    /// Removes the entry of this death, and returns until when it was kept. `None` if a higher one has replaced it, or
    /// there is none.
    pub fn take(&mut self, death: Death) -> Option<u32> {
        let Death::Of { print, lowest } = death else { return None };
        let is_it = |slot: &Slot| slot.print == print && slot.lowest() == lowest;
        let found = self.shards[print.shard()].find_entry(print.hash(), is_it).ok()?;
        Some(found.remove().0.until)
    }

    /// Sets until when the entry is kept, earlier or later than before. Does nothing if a higher one has replaced it.
    pub fn keep_until(&mut self, death: Death, until: u32) {
        let Death::Of { print, lowest } = death else { return };
        let shard = &mut self.shards[print.shard()];
        if let Some(slot) = shard.find_mut(print.hash(), |slot| slot.print == print)
            && slot.lowest() == lowest
        {
            slot.until = until;
        }
    }

    /// What a token depends on that is dead.
    pub fn covering(&self, marks: &Marks) -> Option<Revoked> {
        marks.dead_part(self.server_generation, |print| {
            let shard = &self.shards[print.shard()];
            shard.find(print.hash(), |slot| slot.print == print).map(Slot::lowest)
        })
    }

    /// Forgets entries that no longer matter, in an eighth of the tables.
    pub fn sweep(&mut self, now: u64) {
        for _ in 0..SHARDS / 8 {
            let shard = &mut self.shards[self.swept];
            shard.retain(|slot| slot.until == Self::FOREVER || u64::from(slot.until) > now);
            if shard.len() < shard.capacity() / 4 {
                shard.shrink_to(shard.len() * 2, |slot| slot.print.hash());
            }
            self.swept = (self.swept + 1) % SHARDS;
        }
    }
}
