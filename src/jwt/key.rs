//! Key pairs: creating, sealing, signing, and checking signatures.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, ParsedPublicKey,
};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::jwt::key_file::{Error, KeyFile};
use crate::model::id::KeyId;
use crate::model::key::{Algorithm, PublicKey};

enum Pair {
    EdDsa(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
}

/// A key that can sign. Not `Debug`: it holds the private part.
pub struct PrivateKey {
    public: PublicKey,
    pair: Pair,
}

/// A key as it is stored: its private part is sealed.
#[derive(Clone, Debug)]
pub struct SealedKey {
    pub public: PublicKey,
    pub sealed: Vec<u8>,
}

impl SealedKey {
    /// A new key.
    ///
    /// # Errors
    /// `Randomness`.
    pub fn generate(algorithm: Algorithm, file: &KeyFile, now: Timestamp) -> Result<Self, Error> {
        let none = |_| Error::Randomness;
        let (pkcs8, bytes) = match algorithm {
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate().map_err(none)?;
                (pair.to_pkcs8().map_err(none)?, pair.public_key().as_ref().to_vec())
            }
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(none)?;
                (pair.to_pkcs8v1().map_err(none)?, pair.public_key().as_ref().to_vec())
            }
        };
        let id = KeyId::generate(now);
        let sealed = file.seal(id.as_str(), pkcs8.as_ref())?;
        Ok(Self { public: PublicKey { id, algorithm, bytes }, sealed })
    }

    /// # Errors
    /// `Wrong` if it was sealed under another file.
    pub fn unseal(&self, file: &KeyFile) -> Result<PrivateKey, Error> {
        let pkcs8 = file.unseal(self.public.id.as_str(), &self.sealed)?;
        let pair = match self.public.algorithm {
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(&pkcs8).map(Pair::EdDsa),
            Algorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).map(Pair::Es256)
            }
        };
        // The key file has authenticated it, so it is a key; otherwise this is not the right file.
        let pair = pair.map_err(|_| file.wrong(self.public.id.as_str()))?;
        Ok(PrivateKey { public: self.public.clone(), pair })
    }
}

impl PrivateKey {
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// `None` when the system gives no randomness, which ES256 needs.
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match &self.pair {
            Pair::EdDsa(pair) => pair.try_sign(message).ok().map(|signature| signature.as_ref().to_vec()),
            Pair::Es256(pair) => {
                pair.sign(&SystemRandom::new(), message).ok().map(|signature| signature.as_ref().to_vec())
            }
        }
    }
}

/// A key that is prepared for checking many signatures.
pub enum Verifier {
    Public(ParsedPublicKey),
    /// Signs again and compares, which takes a quarter of the time that checking takes.
    Private(Arc<PrivateKey>),
}

impl Verifier {
    /// `None` if `key` is not valid for its algorithm.
    pub fn new(key: &PublicKey) -> Option<Self> {
        let parsed = match key.algorithm {
            Algorithm::EdDsa => ParsedPublicKey::new(&ED25519, &key.bytes),
            Algorithm::Es256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key.bytes),
        };
        parsed.ok().map(Self::Public)
    }

    /// For a key whose private part is at hand. `None` unless each message has only one signature, as with EdDSA (RFC
    /// 8032 §5.1.6).
    pub fn of_own(key: &Arc<PrivateKey>) -> Option<Self> {
        matches!(key.pair, Pair::EdDsa(_)).then(|| Self::Private(key.clone()))
    }

    pub fn accepts(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Public(key) => key.verify_sig(message, signature).is_ok(),
            Self::Private(key) => {
                key.sign(message).map(Zeroizing::new).is_some_and(|made| made.ct_eq(signature).into())
            }
        }
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Verifier(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_signs_what_its_public_part_verifies() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::open_or_make(&folder.path().join("key")).unwrap();
        for algorithm in Algorithm::ALL {
            let key = SealedKey::generate(algorithm, &file, Timestamp::from_millis(1)).unwrap();
            let private = Arc::new(key.unseal(&file).unwrap());
            let signature = private.sign(b"message").unwrap();
            let own = Verifier::of_own(&private);
            assert_eq!(own.is_some(), algorithm == Algorithm::EdDsa);
            for verifier in [Verifier::new(&key.public), own].into_iter().flatten() {
                assert!(verifier.accepts(b"message", &signature));
                assert!(!verifier.accepts(b"massage", &signature));
                assert!(!verifier.accepts(b"message", &signature[1..]));
                assert!(!verifier.accepts(b"message", b""));
            }
            let other = SealedKey::generate(algorithm, &file, Timestamp::from_millis(1)).unwrap();
            assert!(!Verifier::new(&other.public).unwrap().accepts(b"message", &signature));
            let jwk = key.public.jwk();
            assert_eq!((jwk.x.len(), jwk.y.is_some()), (43, algorithm == Algorithm::Es256));
        }
    }
}
