//! The `tokens` table: opaque access tokens and refresh tokens, in the order of their families' births.
//!
//! A token's place is an integer made of its family's birth and some of its digest: what a refresh reads and writes stands
//! in one page, and the inner pages of the table are few, because they hold places alone.

use crate::clock::Timestamp;
use crate::model::secret::Digest;

use super::{Error, Result, Tx};

/// Places for the tokens of families born at one millisecond.
const PLACES: i64 = 1 << 21;
/// A token whose place is taken takes one of the next; it is looked for in so many.
const NEIGHBOURS: i64 = 8;
/// In the year 2109 the milliseconds no longer fit beside the places.
const LAST_BIRTH: i64 = (1 << 42) - 1;

const IS_TAKEN: &str = "SELECT 1 FROM tokens WHERE place = ?1";

/// What `store::plans` looks at.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[IS_TAKEN];

/// The row of the token with digest ?2, whose place is ?1.
macro_rules! here {
    () => {
        "place >= ?1 AND place < ?1 + 8 AND digest = ?2"
    };
}

/// The join of a family `$family` with its rows `$token`.
macro_rules! of_family {
    ($token:literal, $family:literal) => {
        concat!(
            $token,
            ".place >= ",
            $family,
            ".created_at * 2097152 AND ",
            $token,
            ".place < (",
            $family,
            ".created_at + 1) * 2097152 AND ",
            $token,
            ".family_id = ",
            $family,
            ".id"
        )
    };
}

pub(super) use {here, of_family};

/// The first place for tokens of families born then.
pub(super) fn first_place(born: Timestamp) -> i64 {
    born.millis().clamp(0, LAST_BIRTH) * PLACES
}

/// Where a token stands, unless another stood there before it.
pub fn place(token: &Digest) -> i64 {
    let bytes = token.as_bytes();
    let chance = i64::from(u32::from_be_bytes([0, bytes[6], bytes[7], bytes[8]]) >> 3);
    // The last of them keep room for neighbours: what is found by a birth is found between the places of that birth.
    first_place(token.born()) + chance.min(PLACES - NEIGHBOURS)
}

impl Tx<'_> {
    /// Lets `insert` try one place after another, until it says that a row came. `false` if it inserts nothing even where
    /// the place is free.
    pub(super) fn insert_in_place(
        &self,
        token: &Digest,
        mut insert: impl FnMut(i64) -> rusqlite::Result<usize>,
    ) -> Result<bool> {
        let first = place(token);
        for place in first..first + NEIGHBOURS {
            if insert(place)? == 1 {
                return Ok(true);
            }
            if !self.connection.prepare_cached(IS_TAKEN)?.exists([place])? {
                return Ok(false);
            }
        }
        Err(Error::Unavailable("no place is free for a token".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BORN: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn digest(chance: [u8; 3]) -> Digest {
        let mut bytes = [0; 32];
        bytes[..6].copy_from_slice(&Digest::beginning(BORN));
        bytes[6..9].copy_from_slice(&chance);
        Digest::from_bytes(bytes)
    }

    #[test]
    fn a_token_and_its_neighbours_stand_between_the_places_of_its_birth_and_of_the_next() {
        let next = first_place(BORN.plus(Duration::from_millis(1)));
        assert_eq!(place(&digest([0; 3])), first_place(BORN));
        assert_eq!(place(&digest([0, 0, 8])), first_place(BORN) + 1);
        assert_eq!(place(&digest([255; 3])) + NEIGHBOURS, next);
    }

    #[test]
    fn statements_say_the_same() {
        assert!(here!().contains(&format!("place < ?1 + {NEIGHBOURS} ")));
        assert_eq!(of_family!("t", "f").matches(&format!(" * {PLACES}")).count(), 2);
    }

    #[test]
    fn times_that_no_family_was_born_at_have_places_too() {
        for millis in [i64::MIN, -1, LAST_BIRTH + 1, i64::MAX] {
            assert!(first_place(Timestamp::from_millis(millis)) >= 0);
        }
    }
}
