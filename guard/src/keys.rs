//! The keys that sign access tokens, parsed once.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::refusal::Refusal;
use crate::token::{Algorithm, Unverified};
use crate::wire;

#[derive(Default)]
pub struct Keys(Vec<Key>);

struct Key {
    kid: String,
    algorithm: Algorithm,
    public: ParsedPublicKey,
}

impl Keys {
    /// Parses keys. A key that can't be used here is left out, so only its tokens are refused.
    ///
    /// # Errors
    /// Two keys have the same `kid`, so nobody knows which one is meant.
    pub fn read(keys: &[wire::Key]) -> Result<Self, &'static str> {
        let mut read: Vec<Key> = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            // Even if one of them can't be used, so that their order does not matter.
            if keys[..at].iter().any(|other| other.kid == key.kid) {
                return Err("two keys have one kid");
            }
            match Key::read(key) {
                Some(key) => read.push(key),
                None => tracing::warn!(key.id = key.kid, key.alg, "a signing key cannot be used here"),
            }
        }
        Ok(Self(read))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn has(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid == kid)
    }

    /// # Errors
    /// `UnknownKey`, `Algorithm` or `Signature`.
    pub fn verify(&self, token: &Unverified<'_>) -> Result<(), Refusal> {
        let key = self.0.iter().find(|key| key.kid == token.kid).ok_or(Refusal::UnknownKey)?;
        // The key decides the algorithm, never the token (RFC 8725 §3.1).
        if key.algorithm != token.algorithm {
            return Err(Refusal::Algorithm);
        }
        key.public.verify_sig(token.signed, &token.signature).map_err(|_| Refusal::Signature)
    }
}

impl Key {
    fn read(key: &wire::Key) -> Option<Self> {
        let coordinate =
            |text: &str| -> Option<[u8; 32]> { URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok() };
        let algorithm = Algorithm::parse(&key.alg)?;
        let x = coordinate(&key.x)?;
        let public = match (algorithm, key.kty.as_str(), key.crv.as_str(), &key.y) {
            (Algorithm::EdDsa, "OKP", "Ed25519", None) => ParsedPublicKey::new(&ED25519, x),
            (Algorithm::Es256, "EC", "P-256", Some(y)) => {
                let point = [&[4][..], &x, &coordinate(y)?].concat();
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            }
            _ => return None,
        };
        let is_for_signatures = key.usage == "sig";
        let public = public.ok().filter(|_| is_for_signatures)?;
        Some(Self { kid: key.kid.clone(), algorithm, public })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_with_one_kid_are_refused_even_where_only_one_can_be_used() {
        let key = |alg: &str| wire::Key {
            kid: "k1".to_owned(),
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            // The base point of the curve.
            x: "WGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY".to_owned(),
            y: None,
            alg: alg.to_owned(),
            usage: "sig".to_owned(),
        };
        assert_eq!(Keys::read(&[key("EdDSA")]).unwrap().len(), 1);
        assert_eq!(Keys::read(&[key("RS256")]).unwrap().len(), 0);
        for twins in [["EdDSA", "EdDSA"], ["EdDSA", "RS256"], ["RS256", "EdDSA"]] {
            assert!(Keys::read(&twins.map(key)).is_err(), "{twins:?}");
        }
    }
}
