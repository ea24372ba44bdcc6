//! A bounded cache of introspected access tokens, by digest.
//!
//! A token's facts never change, so nothing here is ever stale. Whether a token is live is another question:
//! `crate::store::memory::dead` answers it.

use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::clock::Timestamp;
use crate::model::id::{ClientId, FamilyId, GrantId, UserId};
use crate::model::resource_server::AudienceSet;
use crate::model::scope::Scope;
use crate::model::secret::Digest;
use crate::model::stamp::{Generations, Stamp};

use crate::store::access_tokens::AccessTokenFacts;
use crate::store::tokens::stored_digest;

/// About a million tokens, in about 180 MB. A server that is asked about fewer uses less.
const TOKENS: usize = 1 << 20;
/// What many tokens have in common is held once. If more than this many are in use, some tokens hold copies.
const TERMS: usize = 1 << 14;
/// Bytes of scope and audiences. A token with more is not cached.
const LONGEST: usize = 512;

pub(in crate::store) struct AccessTokenCache {
    tokens: Cache<[u8; 16], Cached>,
    terms: Cache<Arc<Terms>, Arc<Terms>>,
}

#[derive(Clone)]
struct Cached {
    family: Option<FamilyId>,
    grant: Option<GrantId>,
    user: Option<UserId>,
    created_at: Timestamp,
    expires_at: Timestamp,
    terms: Arc<Terms>,
}

#[derive(PartialEq, Eq, Hash)]
struct Terms {
    client: ClientId,
    generations: Generations,
    grant_generation: Option<i64>,
    scope: Scope,
    audiences: AudienceSet,
}

impl Default for AccessTokenCache {
    fn default() -> Self {
        Self { tokens: Cache::new(TOKENS), terms: Cache::new(TERMS) }
    }
}

impl AccessTokenCache {
    /// Forgets all tokens.
    pub(in crate::store) fn clear(&self) {
        self.tokens.clear();
    }
}

/// 128 bits of the digest, which no two tokens have in common.
fn key(token: &Digest) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(stored_digest(token));
    key
}

impl AccessTokenCache {
    pub(in crate::store) fn get(&self, token: &Digest) -> Option<AccessTokenFacts> {
        let Cached { family, grant, user, created_at, expires_at, terms } = self.tokens.get(&key(token))?;
        let Terms { client, generations, grant_generation, scope, audiences } = &*terms;
        Some(AccessTokenFacts {
            id: token.token_id(),
            stamp: Stamp { family, grant, client: client.clone(), user, generations: *generations },
            grant_generation: *grant_generation,
            scope: scope.clone(),
            audiences: audiences.clone(),
            created_at,
            expires_at,
        })
    }

    pub(in crate::store) fn insert(&self, token: &Digest, facts: &AccessTokenFacts) {
        if facts.scope.as_str().len() + facts.audiences.as_str().len() > LONGEST {
            return;
        }
        let Stamp { family, grant, user, .. } = facts.stamp.clone();
        let AccessTokenFacts { created_at, expires_at, .. } = *facts;
        let cached = Cached { family, grant, user, created_at, expires_at, terms: self.terms(facts) };
        self.tokens.insert(key(token), cached);
    }

    fn terms(&self, facts: &AccessTokenFacts) -> Arc<Terms> {
        let terms = Arc::new(Terms {
            client: facts.stamp.client.clone(),
            generations: facts.stamp.generations,
            grant_generation: facts.grant_generation,
            scope: facts.scope.clone(),
            audiences: facts.audiences.clone(),
        });
        if let Some(known) = self.terms.get(&terms) {
            return known;
        }
        self.terms.insert(terms.clone(), terms.clone());
        terms
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BORN: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn token(n: u8) -> Digest {
        let mut bytes = [n; 32];
        bytes[..6].copy_from_slice(&Digest::beginning(BORN));
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
            audiences: AudienceSet::stored(audience),
            created_at: BORN,
            expires_at: BORN.plus(Duration::from_secs(60)),
        }
    }

    #[test]
    fn a_cached_token_reads_as_it_was() {
        let cache = AccessTokenCache::default();
        let read = facts(&token(1), "api");
        cache.insert(&token(1), &read);
        let again = cache.get(&token(1)).unwrap();
        assert_eq!(again.stamp, read.stamp);
        assert_eq!((again.id, again.grant_generation), (token(1).token_id(), Some(3)));
        assert_eq!((again.scope.as_str(), again.audiences.as_str()), ("read", "api"));
        assert_eq!((again.created_at, again.expires_at), (read.created_at, read.expires_at));
        assert!(cache.get(&token(2)).is_none());
    }

    #[test]
    fn equal_terms_of_tokens_are_stored_once() {
        let cache = AccessTokenCache::default();
        let mut of_one_client = facts(&token(1), "api");
        cache.insert(&token(1), &of_one_client);
        of_one_client.stamp.family = Some(FamilyId::generate(BORN));
        cache.insert(&token(2), &of_one_client);
        assert_eq!((cache.tokens.len(), cache.terms.len()), (2, 1));
    }

    #[test]
    fn long_scopes_are_not_kept() {
        let cache = AccessTokenCache::default();
        cache.insert(&token(1), &facts(&token(1), &"a".repeat(LONGEST)));
        assert!(cache.get(&token(1)).is_none());
    }
}
