//! A cache of the server's answers about opaque tokens. An answer is used until the feed revokes the token.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::claims::Claims;
use crate::clock::Boot;
use crate::dead::HashedTokenIds;

/// The answers, by the tokens' SHA-256, so that no token is kept.
pub struct AnswerCache {
    halves: Mutex<Halves>,
    /// The most answers in both halves.
    capacity: usize,
}

/// Two halves. When the young one is full, it replaces the old one.
#[derive(Default)]
struct Halves {
    young: HashMap<[u8; 32], Answer>,
    old: HashMap<[u8; 32], Answer>,
}

/// An answer that a token is good.
#[derive(Clone)]
pub struct Answer {
    pub claims: Claims,
    pub ids: HashedTokenIds,
    /// When the server has to be asked again.
    pub until: Boot,
}

impl AnswerCache {
    pub fn new(capacity: usize) -> Self {
        Self { halves: Mutex::default(), capacity }
    }

    fn lock(&self) -> MutexGuard<'_, Halves> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn clear(&self) {
        *self.lock() = Halves::default();
    }

    pub fn get(&self, digest: &[u8; 32]) -> Option<Answer> {
        let halves = self.lock();
        halves.young.get(digest).or_else(|| halves.old.get(digest)).cloned()
    }

    pub fn remove(&self, digest: &[u8; 32]) {
        let mut halves = self.lock();
        halves.young.remove(digest);
        halves.old.remove(digest);
    }

    pub fn put(&self, digest: [u8; 32], answer: Answer) {
        if self.capacity == 0 {
            return;
        }
        let mut halves = self.lock();
        if halves.young.len() >= self.capacity.div_ceil(2) {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert(digest, answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Stamp;

    #[test]
    fn a_full_cache_forgets_the_oldest_half() {
        let cache = AnswerCache::new(4);
        let claims = Claims {
            sub: "u".to_owned(),
            client_id: "c".to_owned(),
            scope: String::new(),
            jti: None,
            iat: 0,
            exp: 1,
            stamp: Stamp { server_generation: 1, client_generation: 1, user: None },
            kid: None,
        };
        let ids = crate::dead::IdHasher::new().unwrap().hash_ids_of(&claims);
        for number in 0..6 {
            cache.put([number; 32], Answer { claims: claims.clone(), ids, until: Boot::NEVER });
        }
        let kept = (0..6).filter(|number| cache.get(&[*number; 32]).is_some()).collect::<Vec<_>>();
        assert_eq!(kept, [2, 3, 4, 5]);
    }
}
