//! What is dead: "(kind, id) → the generation below which it is dead".
//!
//! This is the only place that has this rule. The guard fills a set from the feed. The server checks tokens in the same
//! way, and fills a set from its ledger. An entry takes 24 bytes, so millions fit, and a look-up hashes a few short ids.

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

/// 96 bits of XXH3, with a secret that is drawn at the start. The server makes the ids, so nobody can choose them. The
/// chance that one of a million entries has the hash of a given other id is 1 in 10^22. Then a live token is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashedId([u32; 3]);

impl HashedId {
    const fn shard(self) -> usize {
        self.0[2] as usize % SHARDS
    }

    const fn table_hash(self) -> u64 {
        (self.0[1] as u64) << 32 | self.0[0] as u64
    }
}

pub struct IdHasher {
    secret: [u8; 192],
    /// A random number for each kind, because the same id means another thing in each kind.
    kinds: [u128; 5],
}

/// A token's ids, and the generations under which it was issued.
#[derive(Clone, Copy)]
pub struct TokenIds<'a> {
    pub server_generation: u64,
    pub token: Option<&'a str>,
    pub client: (&'a str, u64),
    pub user: Option<(&'a str, u64)>,
    pub grant: Option<(&'a str, Option<u64>)>,
    pub family: Option<&'a str>,
}

impl IdHasher {
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

    fn hash(&self, kind: Kind, id: &str) -> HashedId {
        let hash = xxh3_128_with_secret(id.as_bytes(), &self.secret) ^ self.kinds[kind as usize];
        HashedId(std::array::from_fn(|word| (hash >> (32 * word)) as u32))
    }

    /// Hashes the ids of all that a token depends on.
    pub fn hash_ids(&self, ids: &TokenIds<'_>) -> HashedTokenIds {
        let TokenIds { server_generation, token, client, user, grant, family } = *ids;
        HashedTokenIds {
            server: server_generation,
            client: (self.hash(Kind::Client, client.0), client.1),
            user: user.map(|(id, generation)| (self.hash(Kind::User, id), generation)),
            grant: grant.map(|(id, generation)| (self.hash(Kind::Grant, id), generation)),
            family: family.map(|id| self.hash(Kind::Family, id)),
            token: token.map(|id| self.hash(Kind::Token, id)),
        }
    }

    /// The same for a guard's claims.
    pub(crate) fn hash_ids_of(&self, claims: &Claims) -> HashedTokenIds {
        let user = claims.stamp.user.as_ref();
        self.hash_ids(&TokenIds {
            server_generation: claims.stamp.server_generation,
            token: claims.jti.as_deref(),
            client: (&claims.client_id, claims.stamp.client_generation),
            user: user.map(|stamp| (claims.sub.as_str(), stamp.user_generation)),
            grant: user.map(|stamp| (stamp.grant_id.as_str(), stamp.grant_generation)),
            family: user.map(|stamp| stamp.family_id.as_str()),
        })
    }

    pub fn hash_subject(&self, subject: &Subject) -> HashedSubject {
        let (kind, id, revoked_below) = match subject {
            Subject::Token { id } => (Kind::Token, id, ENDED),
            Subject::Family { id } => (Kind::Family, id, ENDED),
            Subject::Grant { id, generation } => (Kind::Grant, id, generation.unwrap_or(ENDED)),
            Subject::Client { id, generation } => (Kind::Client, id, *generation),
            Subject::User { id, generation } => (Kind::User, id, *generation),
            Subject::Server { generation } => return HashedSubject::Server(*generation),
        };
        HashedSubject::WithId { id: self.hash(kind, id), revoked_below }
    }
}

/// What was revoked, and below which generation.
#[derive(Clone, Copy)]
pub enum HashedSubject {
    Server(u64),
    WithId { id: HashedId, revoked_below: u64 },
}

/// A token's hashed ids, with its generations.
#[derive(Clone, Copy)]
pub struct HashedTokenIds {
    server: u64,
    client: (HashedId, u64),
    user: Option<(HashedId, u64)>,
    grant: Option<(HashedId, Option<u64>)>,
    family: Option<HashedId>,
    token: Option<HashedId>,
}

impl HashedTokenIds {
    /// The family's hashed id as a number, if there is a family.
    pub(crate) fn family(&self) -> Option<u128> {
        let HashedId(words) = self.family?;
        Some(words.iter().fold(0, |number, word| number << 32 | u128::from(*word)))
    }

    /// For an answer of the server about an opaque token. The server knows the current state of the grant. So if the
    /// answer does not name the grant's generation, only the end of the grant kills the token.
    pub(crate) fn with_current_grant(mut self) -> Self {
        if let Some((_, generation)) = &mut self.grant {
            *generation = generation.or(Some(ENDED - 1));
        }
        self
    }

    /// What the token depends on that is dead. `revoked_below` returns the generation below which a thing is dead. Only
    /// *lower* ones are dead: a token that was issued a moment ago may have generations that this set does not know
    /// yet.
    fn dead_part(
        &self,
        server_generation: u64,
        revoked_below: impl Fn(HashedId) -> Option<u64>,
    ) -> Option<Revoked> {
        let is_lower = |(id, mine): (HashedId, u64)| revoked_below(id).is_some_and(|bound| mine < bound);
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

    /// Whether the revocation of this subject covers the token.
    pub fn is_revoked_by(&self, subject: HashedSubject) -> bool {
        let (server_generation, of) = match subject {
            HashedSubject::Server(generation) => (generation, None),
            HashedSubject::WithId { id, revoked_below } => (0, Some((id, revoked_below))),
        };
        let revoked_below = |id| of.filter(|(of, _)| *of == id).map(|(_, bound)| bound);
        self.dead_part(server_generation, revoked_below).is_some()
    }
}

/// 24 bytes. It has two u32 instead of a u64, so that no space is lost to alignment.
struct Slot {
    id: HashedId,
    revoked_below: [u32; 2],
    /// The second of the owner's clock after which it may be forgotten.
    until: u32,
}

impl Slot {
    const fn revoked_below(&self) -> u64 {
        (self.revoked_below[1] as u64) << 32 | self.revoked_below[0] as u64
    }

    const fn set_revoked_below(&mut self, revoked_below: u64) {
        self.revoked_below = [revoked_below as u32, (revoked_below >> 32) as u32];
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
    pub fn insert(&mut self, subject: HashedSubject, until: u32) {
        let (id, revoked_below) = match subject {
            HashedSubject::WithId { id, revoked_below } => (id, revoked_below),
            HashedSubject::Server(generation) => {
                self.server_generation = self.server_generation.max(generation);
                return;
            }
        };
        let shard = &mut self.shards[id.shard()];
        match shard.find_mut(id.table_hash(), |slot| slot.id == id) {
            Some(slot) => {
                slot.set_revoked_below(slot.revoked_below().max(revoked_below));
                slot.until = slot.until.max(until);
            }
            None => {
                let mut slot = Slot { id, revoked_below: [0; 2], until };
                slot.set_revoked_below(revoked_below);
                shard.insert_unique(id.table_hash(), slot, |slot| slot.id.table_hash());
            }
        }
    }

    /// Removes the entry of this subject, and returns until when it was kept. `None` if a higher one has replaced it, or
    /// there is none.
    pub fn take(&mut self, subject: HashedSubject) -> Option<u32> {
        let HashedSubject::WithId { id, revoked_below } = subject else { return None };
        let is_it = |slot: &Slot| slot.id == id && slot.revoked_below() == revoked_below;
        let found = self.shards[id.shard()].find_entry(id.table_hash(), is_it).ok()?;
        Some(found.remove().0.until)
    }

    /// Sets until when the entry is kept, earlier or later than before. Does nothing if a higher one has replaced it.
    pub fn keep_until(&mut self, subject: HashedSubject, until: u32) {
        let HashedSubject::WithId { id, revoked_below } = subject else { return };
        let shard = &mut self.shards[id.shard()];
        if let Some(slot) = shard.find_mut(id.table_hash(), |slot| slot.id == id)
            && slot.revoked_below() == revoked_below
        {
            slot.until = until;
        }
    }

    /// What a token depends on that is dead.
    pub fn covering(&self, ids: &HashedTokenIds) -> Option<Revoked> {
        ids.dead_part(self.server_generation, |id| {
            let shard = &self.shards[id.shard()];
            shard.find(id.table_hash(), |slot| slot.id == id).map(Slot::revoked_below)
        })
    }

    /// Forgets entries that no longer matter, in an eighth of the tables.
    pub fn sweep(&mut self, now: u64) {
        for _ in 0..SHARDS / 8 {
            let shard = &mut self.shards[self.swept];
            shard.retain(|slot| slot.until == Self::FOREVER || u64::from(slot.until) > now);
            if shard.len() < shard.capacity() / 4 {
                shard.shrink_to(shard.len() * 2, |slot| slot.id.table_hash());
            }
            self.swept = (self.swept + 1) % SHARDS;
        }
    }
}
