//! Tokens, codes and client secrets: generated once and kept only as digests. A refresh token's successor is derived
//! (`SuccessorKey`), so that a lost answer can be given again.
//!
//! Text: a prefix that names the kind, 43 base 62 characters and 6 of CRC-32 over all that stands
//! before them. Scanners recognise a leak; a typo is refused without a look-up.
//!
//! The 43 characters are random (256 bits). Those of tokens and codes begin with the birth of their
//! family, in 8 characters like an identifier's, before 35 random ones (208 bits), and so does their
//! digest: a family's rows then stand together (`store::tokens`), and are found through it without an
//! index. Tokens outnumber all else, and a page of the database for each row is what makes writing them slow.

use std::sync::Arc;

use aws_lc_rs::hmac;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize;

use crate::clock::Timestamp;
use crate::model::id::{BIRTH_CHARS, base62, birth_of, birth_text, random62};

/// How long earlier secrets may still work after a rotation: at most a week.
pub const MAX_OVERLAP_HOURS: u64 = 168;

const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;

/// SHA-256 of a secret, the only form in which one is stored or looked up; of a token or code the
/// time of its family's birth in 48 bits, then 208 bits of SHA-256. The first 192 bits are a token's place and row.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    fn of_born(text: &str, born: Timestamp) -> Self {
        let Self(mut bytes) = Self::of(text.as_bytes());
        bytes.copy_within(..26, 6);
        bytes[..6].copy_from_slice(&Self::beginning(born));
        Self(bytes)
    }

    /// With what the digests of all tokens and codes of families born at this millisecond begin.
    pub fn beginning(born: Timestamp) -> [u8; 6] {
        let bytes = born.millis().to_be_bytes();
        std::array::from_fn(|i| bytes[i + 2])
    }

    /// When the family of the token or code with this digest was born.
    pub fn born(&self) -> Timestamp {
        let birth: [u8; 6] = std::array::from_fn(|i| self.0[i]);
        Timestamp::from_millis(birth.iter().fold(0, |millis, &byte| millis << 8 | i64::from(byte)))
    }

    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Equality in constant time, for secrets that are not found by their digest.
    pub fn matches(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.0[..], &other.0[..]).into()
    }

    /// The public name of an opaque token, which has no other identifier: 128 bits of its digest.
    pub fn token_id(&self) -> String {
        let half = u128::from_be_bytes(std::array::from_fn(|i| self.0[i]));
        let (high, low) = ((half >> 64) as u64, half as u64);
        format!("tok_{}{}", base62(high, 11), base62(low, 11))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.token_id())
    }
}

fn checksum(text: &str) -> String {
    base62(u64::from(crc32fast::hash(text.as_bytes())), CHECKSUM_CHARS)
}

fn checked(mut text: String) -> String {
    text.push_str(&checksum(&text));
    text
}

fn is_well_formed(prefix: &str, text: &str) -> bool {
    text.len() == prefix.len() + SECRET_CHARS + CHECKSUM_CHARS
        && text.starts_with(prefix)
        && text[prefix.len()..].bytes().all(|byte| byte.is_ascii_alphanumeric())
        && checksum(&text[..text.len() - CHECKSUM_CHARS]) == text[text.len() - CHECKSUM_CHARS..]
}

macro_rules! secret {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        pub struct $name(String);

        impl $name {
            /// `None` for a wrong prefix, length, alphabet or checksum.
            pub fn parse(text: &str) -> Option<Self> {
                is_well_formed($prefix, text).then(|| Self(text.to_owned()))
            }

            /// The secret itself, for the one answer that carries it.
            pub fn expose(&self) -> &str {
                &self.0
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                self.0.zeroize();
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )+};
}

secret! {
    AccessToken = "rsc_at_";
    RefreshToken = "rsc_rt_";
    AuthorizationCode = "rsc_ac_";
    ClientSecret = "rsc_cs_";
    ResourceServerSecret = "rsc_rs_";
}

macro_rules! random {
    ($($name:ident = $prefix:literal;)+) => {$(
        impl $name {
            pub fn generate() -> Self {
                Self(checked(format!("{}{}", $prefix, random62(SECRET_CHARS))))
            }

            pub fn digest(&self) -> Digest {
                Digest::of(self.0.as_bytes())
            }
        }
    )+};
}

random! {
    ClientSecret = "rsc_cs_";
    ResourceServerSecret = "rsc_rs_";
}

macro_rules! born {
    ($($name:ident = $prefix:literal;)+) => {$(
        impl $name {
            /// For a family that was born then; a client's own token is born by itself.
            pub fn generate(born: Timestamp) -> Self {
                let born = birth_text(born);
                Self(checked(format!("{}{born}{}", $prefix, random62(SECRET_CHARS - BIRTH_CHARS))))
            }

            pub fn born(&self) -> Timestamp {
                birth_of(&self.0[$prefix.len()..$prefix.len() + BIRTH_CHARS])
            }

            pub fn digest(&self) -> Digest {
                Digest::of_born(&self.0, self.born())
            }
        }
    )+};
}

born! {
    AccessToken = "rsc_at_";
    RefreshToken = "rsc_rt_";
    AuthorizationCode = "rsc_ac_";
}

/// What only the server knows of its successor keys; the database holds their salts.
#[derive(Clone)]
pub struct SuccessorSecret(Arc<hmac::Key>);

impl SuccessorSecret {
    /// One that is always the same for a key file with these bytes.
    pub fn of_key_file(bytes: &[u8]) -> Self {
        let file = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let secret = hmac::sign(&file, b"successors of refresh tokens");
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref())))
    }

    pub fn key(&self, salt: &[u8]) -> SuccessorKey {
        let key = hmac::sign(&self.0, salt);
        SuccessorKey(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()))
    }
}

impl std::fmt::Debug for SuccessorSecret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("SuccessorSecret(..)")
    }
}

/// What successors of refresh tokens are derived from. The key and the predecessor together give the successor; one of
/// them without the other says nothing about it.
pub struct SuccessorKey(hmac::Key);

impl SuccessorKey {
    /// The successor of `predecessor`, in the same family: the same whenever it is asked for.
    pub fn successor(&self, predecessor: &RefreshToken) -> RefreshToken {
        let derived = hmac::sign(&self.0, predecessor.0.as_bytes());
        let (kind, random) = predecessor.0.split_at("rsc_rt_".len() + BIRTH_CHARS);
        let mut text = String::with_capacity(predecessor.0.len() + 1);
        text.push_str(kind);
        for word in derived.as_ref().as_chunks().0 {
            // A word counts up to more than a thousand times 62^9: no nine characters are noticeably likelier than others.
            text.push_str(&base62(u64::from_be_bytes(*word), 9));
        }
        text.truncate(kind.len() + random.len() - CHECKSUM_CHARS);
        RefreshToken(checked(text))
    }
}

/// The token in the value of an `Authorization: Bearer` header. The scheme's case does not matter (RFC 9110 §11.1).
pub fn bearer_token(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_of_a_bearer_token_is_known_in_any_case() {
        for header in ["Bearer x", "bearer x", "BEARER  x", "bEaReR x "] {
            assert_eq!(bearer_token(header.as_bytes()), Some(&b"x"[..]), "{header:?}");
        }
        for header in ["", "Bearer", "Bearerx", "Basic x", "x", "\u{fc}\u{fc}\u{fc}\u{fc}"] {
            assert_eq!(bearer_token(header.as_bytes()), None, "{header:?}");
        }
    }

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    #[test]
    fn digests_of_tokens_sort_by_birth_and_hide_the_rest() {
        let early = AccessToken::generate(NOW);
        let late = AccessToken::generate(NOW.plus(std::time::Duration::from_millis(1)));
        assert!(early.digest().as_bytes() < late.digest().as_bytes());
        let (same, again) = (AccessToken::generate(NOW).digest(), AccessToken::generate(NOW).digest());
        assert_eq!(same.as_bytes()[..6], 1_790_000_000_000_u64.to_be_bytes()[2..]);
        assert_eq!(same.as_bytes()[..6], again.as_bytes()[..6]);
        assert_ne!(same.as_bytes()[6..], again.as_bytes()[6..]);
        assert_eq!(same.born(), NOW);
        let sha = Digest::of(early.expose().as_bytes());
        assert_eq!(early.digest().as_bytes()[6..], sha.as_bytes()[..26]);
    }

    #[test]
    fn a_generated_token_parses_and_any_change_is_refused() {
        let token = AccessToken::generate(NOW);
        let text = token.expose().to_owned();
        assert_eq!(text.len(), 56);
        assert_eq!(AccessToken::parse(&text).map(|t| t.digest()), Some(token.digest()));
        assert!(RefreshToken::parse(&text).is_none());
        assert!(AccessToken::parse(&text[..55]).is_none());
        assert!(AccessToken::parse(&text.to_uppercase()).is_none());
        assert!(AccessToken::parse(&format!("{text}\0")).is_none());
        for place in 7..56 {
            let mut changed = text.clone().into_bytes();
            changed[place] = if changed[place] == b'a' { b'b' } else { b'a' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(AccessToken::parse(&changed).is_none(), "{place}");
        }
    }

    #[test]
    fn multibyte_text_of_the_right_length_is_refused() {
        let text = format!("rsc_at_{}é", "a".repeat(47));
        assert_eq!(text.len(), 56);
        assert!(AccessToken::parse(&text).is_none());
    }

    #[test]
    fn debug_never_shows_a_secret() {
        assert_eq!(format!("{:?}", RefreshToken::generate(NOW)), "RefreshToken(..)");
    }

    #[test]
    fn a_successor_is_derived_from_its_predecessor_a_salt_and_the_key_file() {
        let (first, other) = (RefreshToken::generate(NOW), RefreshToken::generate(NOW));
        let derive =
            |file: &[u8], salt: &[u8], token| SuccessorSecret::of_key_file(file).key(salt).successor(token);
        let successor = derive(b"file", b"salt", &first);
        assert_eq!(successor.expose(), derive(b"file", b"salt", &first).expose());
        assert_eq!(successor.born(), NOW);
        assert!(RefreshToken::parse(successor.expose()).is_some());
        let others = [
            derive(b"file", b"salt", &other),
            derive(b"file", b"another", &first),
            derive(b"another", b"salt", &first),
        ];
        for another in others.iter().chain([&first]) {
            assert_ne!(successor.expose(), another.expose());
        }
    }

    #[test]
    fn derived_characters_are_spread_evenly() {
        let (key, mut counts) = (SuccessorSecret::of_key_file(b"file").key(b"salt"), [0_u32; 128]);
        let mut token = RefreshToken(checked(format!("rsc_rt_{}{}", birth_text(NOW), "0".repeat(35))));
        for _ in 0..10_000 {
            token = key.successor(&token);
            token.0.bytes().skip(15).take(35).for_each(|byte| counts[usize::from(byte)] += 1);
        }
        let seen: Vec<u32> = counts.into_iter().filter(|&count| count > 0).collect();
        assert_eq!(seen.len(), 62);
        // Each is expected 5,645 times, give or take 75.
        assert!(seen.iter().all(|count| (5_195..6_095).contains(count)), "{seen:?}");
    }
}
