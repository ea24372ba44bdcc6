//! A bounded cache of tokens with good signatures. An API asks about the same token again and again, and checking its
//! signature is a large part of the cost of an answer.

use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

/// The most tokens, in about fifteen megabytes.
const TOKENS: usize = 1 << 18;

/// 160 bits of SHA-256 of a whole token. To find another text with the same bits is harder than to forge a signature.
type Digest = [u8; 20];

/// Says only that the signatures are good: the tokens may have expired or been revoked.
pub struct SignatureCache(Cache<Digest, ()>);

impl Default for SignatureCache {
    fn default() -> Self {
        Self(Cache::new(TOKENS))
    }
}

impl std::fmt::Debug for SignatureCache {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("SignatureCache(..)")
    }
}

impl SignatureCache {
    /// Whether the signature of `token` is good. Calls `check` if the token is not in the cache.
    pub fn is_good(&self, token: &str, check: impl FnOnce() -> bool) -> bool {
        let mut digest: Digest = [0; 20];
        digest.copy_from_slice(&Sha256::digest(token)[..20]);
        if self.0.get(&digest).is_some() {
            return true;
        }
        // Bad ones are not cached, so nobody can fill the cache with garbage.
        let is_good = check();
        if is_good {
            self.0.insert(digest, ());
        }
        is_good
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_good_signature_is_checked_once_and_a_bad_one_each_time() {
        let cache = SignatureCache::default();
        let checks = Cell::new(0);
        let is_good = |token: &str, good: bool| {
            cache.is_good(token, || {
                checks.set(checks.get() + 1);
                good
            })
        };
        assert!(is_good("a.b.c", true) && is_good("a.b.c", false));
        assert_eq!(checks.get(), 1);
        assert!(!is_good("a.b.d", false) && !is_good("a.b.d", false));
        assert_eq!(checks.get(), 3);
        assert!(is_good("a.b.d", true));
    }

    #[test]
    fn a_token_in_use_stays_and_memory_is_bounded() {
        let cache = SignatureCache::default();
        for number in 0..2 * TOKENS {
            assert!(cache.is_good(&number.to_string(), || true));
            assert!(cache.is_good("in use", || number == 0));
        }
        assert!(cache.0.len() <= TOKENS);
    }
}
