//! Public identifiers: a kind, the time of birth, and 71 random bits.
//!
//! They sort by age, so new rows land at the end of an index. They are no secrets.

use rand::distr::{Alphanumeric, SampleString as _};

use crate::clock::Timestamp;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
pub const BIRTH_CHARS: usize = 8;
const RANDOM_CHARS: usize = 12;

/// `number` in base 62, left-padded with `0` to `width` characters.
pub fn base62(mut number: u64, width: usize) -> String {
    let mut text = vec![b'0'; width];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(number % 62) as usize];
        number /= 62;
    }
    String::from_utf8(text).unwrap_or_default()
}

/// The number that base 62 `text` stands for; other characters count as 0.
pub fn from_base62(text: &str) -> u64 {
    let digit = |byte| ALPHABET.iter().position(|&known| known == byte).unwrap_or(0) as u64;
    text.bytes().fold(0, |number: u64, byte| number.wrapping_mul(62).wrapping_add(digit(byte)))
}

/// A time of birth as identifiers and tokens carry it.
pub fn birth_text(born: Timestamp) -> String {
    base62(u64::try_from(born.millis()).unwrap_or(0), BIRTH_CHARS)
}

/// The time that [`birth_text`] stands for.
pub fn birth_of(text: &str) -> Timestamp {
    Timestamp::from_millis(from_base62(text).cast_signed())
}

/// `count` random characters of the base 62 alphabet.
pub fn random62(count: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), count)
}

/// A kind in three letters, a low line, birth and chance: held in place, since ids go with every credential.
const LENGTH: usize = KIND_CHARS + BIRTH_CHARS + RANDOM_CHARS;
const KIND_CHARS: usize = 4;

fn generate(prefix: &str, now: Timestamp) -> [u8; LENGTH] {
    let rest = format!("{}{}", birth_text(now), random62(RANDOM_CHARS));
    whole(prefix, &rest).unwrap_or_else(|| unreachable!("birth and chance fill it"))
}

fn shaped(prefix: &str, text: &str) -> Option<[u8; LENGTH]> {
    whole(prefix, text.strip_prefix(prefix)?.strip_prefix('_')?)
}

fn whole(prefix: &str, rest: &str) -> Option<[u8; LENGTH]> {
    let mut id = [b'_'; LENGTH];
    let (kind, after) = id.split_at_mut(KIND_CHARS);
    kind[..KIND_CHARS - 1].copy_from_slice(prefix.as_bytes());
    if rest.len() != after.len() || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    after.copy_from_slice(rest.as_bytes());
    Some(id)
}

/// An identifier without the letters that say its kind, where a column's name says it.
pub trait Id: Sized {
    /// Birth and chance.
    fn unprefixed(&self) -> &str;
    /// `None` unless `text` is an identifier without its prefix.
    fn from_unprefixed(text: &str) -> Option<Self>;
}

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; LENGTH]);

        impl $name {
            /// An identifier that nothing else has.
            pub fn generate(now: Timestamp) -> Self {
                Self(generate($prefix, now))
            }

            /// `None` unless `text` has the shape of this kind of identifier.
            pub fn parse(text: &str) -> Option<Self> {
                shaped($prefix, text).map(Self)
            }

            pub fn as_str(&self) -> &str {
                // It was ASCII when it was made.
                std::str::from_utf8(&self.0).unwrap_or_default()
            }

            /// When it was generated.
            pub fn born(&self) -> Timestamp {
                birth_of(&self.unprefixed()[..BIRTH_CHARS])
            }
        }

        impl Id for $name {
            fn unprefixed(&self) -> &str {
                &self.as_str()[KIND_CHARS..]
            }

            fn from_unprefixed(text: &str) -> Option<Self> {
                whole($prefix, text).map(Self)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(self.as_str())
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(out, "{}({})", stringify!($name), self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    )+};
}

id! {
    /// A person with an account: resource owner, developer or admin.
    UserId = "usr";
    /// An app registered here; the `client_id` of RFC 6749 §2.2.
    ClientId = "cli";
    /// One of a client's secrets; two are valid while they overlap.
    ClientSecretId = "sec";
    /// A user's standing authorization of one client.
    GrantId = "grt";
    /// What one authorization gave, with its refreshed successors: one device.
    FamilyId = "fam";
    /// An API that accepts access tokens of this server.
    ResourceServerId = "rse";
    /// A signed-in browser, as the account page lists it.
    SessionId = "ses";
    /// A key that signs access tokens; the `kid` of RFC 7515 §4.1.4.
    KeyId = "key";
    /// The record of one act that took access away.
    ReceiptId = "rcp";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_age_and_keep_their_kind() {
        let early = GrantId::generate(Timestamp::from_millis(1_000));
        let late = GrantId::generate(Timestamp::from_millis(2_000));
        assert!(early < late);
        assert_eq!(late.born(), Timestamp::from_millis(2_000));
        assert_eq!(GrantId::parse(early.as_str()), Some(early.clone()));
        assert_eq!(GrantId::from_unprefixed(early.unprefixed()), Some(early.clone()));
        assert_eq!(GrantId::from_unprefixed(early.as_str()), None);
        assert_eq!(UserId::parse(early.as_str()), None);
        assert_eq!(GrantId::parse("grt_"), None);
        assert_eq!(GrantId::parse(&format!("{early}0")), None);
        assert_eq!(GrantId::parse("grt_0000000000000000000é"), None);
    }

    #[test]
    fn base62_is_left_padded() {
        assert_eq!(base62(0, 6), "000000");
        assert_eq!(base62(61, 6), "00000z");
        assert_eq!(base62(62, 6), "000010");
        assert_eq!(base62(u64::from(u32::MAX), 6), "4gfFC3");
        assert_eq!(from_base62("4gfFC3"), u64::from(u32::MAX));
    }
}
