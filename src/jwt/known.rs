//! Signatures that were found good: an API asks about one token again and again, and a signature costs a good part of all
//! that the answer costs.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

/// Remembered at the least, the latest first; twice as many at the most, in eleven megabytes.
const MANY: usize = 229_376;

/// 160 bits of SHA-256 of a whole token: to find another text with the same takes more than to forge
/// a signature.
type Digest = [u8; 20];

/// What was found good since half of it was last forgotten, and before that.
#[derive(Debug, Default)]
struct Halves {
    new: HashSet<Digest>,
    old: HashSet<Digest>,
}

/// Tokens whose signature fits. It says nothing else about them: they may have expired or been
/// revoked.
#[derive(Debug, Default)]
pub struct Known(Mutex<Halves>);

impl Known {
    fn halves(&self) -> MutexGuard<'_, Halves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the signature of `token` fits; `check` tells for one that is not remembered.
    pub fn is_good(&self, token: &str, check: impl FnOnce() -> bool) -> bool {
        let mut digest: Digest = [0; 20];
        digest.copy_from_slice(&Sha256::digest(token)[..20]);
        {
            let halves = self.halves();
            if halves.new.contains(&digest) {
                return true;
            }
            if !halves.old.contains(&digest) {
                // Nobody waits for a signature to be checked.
                drop(halves);
                // What does not fit is not remembered: nobody can fill the memory with rubbish.
                if !check() {
                    return false;
                }
            }
        }
        let forgotten = {
            let mut halves = self.halves();
            halves.new.insert(digest);
            let is_full = halves.new.len() >= MANY;
            is_full.then(|| {
                let new = std::mem::take(&mut halves.new);
                std::mem::replace(&mut halves.old, new)
            })
        };
        drop(forgotten);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_good_signature_is_checked_once_and_a_bad_one_each_time() {
        let known = Known::default();
        let checks = Cell::new(0);
        let is_good = |token: &str, good: bool| {
            known.is_good(token, || {
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
    fn the_tokens_in_use_stay_and_memory_is_bounded() {
        let known = Known::default();
        for number in 0..2 * MANY + 2 {
            assert!(known.is_good(&number.to_string(), || true));
            assert!(known.is_good("in use", || number == 0));
        }
        let halves = known.halves();
        assert!(halves.new.len() < MANY && halves.old.len() <= MANY);
    }
}
