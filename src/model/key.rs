//! Keys that sign JWT access tokens: what everybody may know of them.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rescind_guard::wire::{Key, Keys};

use crate::clock::Timestamp;
use crate::model::id::KeyId;

/// A signature algorithm (RFC 8037 §3.1, RFC 7518 §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    pub const ALL: [Self; 2] = [Self::EdDsa, Self::Es256];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }
}

/// The public part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub id: KeyId,
    pub algorithm: Algorithm,
    /// Ed25519: 32 bytes. P-256: the uncompressed point, 65 bytes.
    pub bytes: Vec<u8>,
}

impl PublicKey {
    /// As JWKS and the revocation feed carry it (RFC 7517).
    pub fn jwk(&self) -> Key {
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let (kty, crv, x, y) = match self.algorithm {
            Algorithm::EdDsa => ("OKP", "Ed25519", text(&self.bytes), None),
            Algorithm::Es256 => {
                let (x, y) = self.bytes.get(1..).unwrap_or_default().split_at(32);
                ("EC", "P-256", text(x), Some(text(y)))
            }
        };
        Key {
            kid: self.id.to_string(),
            kty: kty.to_owned(),
            crv: crv.to_owned(),
            x,
            y,
            alg: self.algorithm.as_str().to_owned(),
            usage: "sig".to_owned(),
        }
    }
}

/// All keys whose tokens are accepted, and the version of this set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcceptedKeys {
    pub version: i64,
    pub keys: Vec<PublicKey>,
}

impl AcceptedKeys {
    /// As the revocation feed sends them.
    pub fn wire(&self) -> Keys {
        let keys = self.keys.iter().map(PublicKey::jwk).collect();
        Keys { keys_version: self.version.unsigned_abs(), keys }
    }
}

/// A key and its course.
#[derive(Clone, Debug)]
pub struct SigningKey {
    pub public: PublicKey,
    pub published_at: Timestamp,
    pub active_from: Timestamp,
    pub retirement: Option<Retirement>,
    pub withdrawn_at: Option<Timestamp>,
}

/// The end of a key's use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retirement {
    /// It signs nothing from then on.
    pub at: Timestamp,
    /// Whatever it signed has expired by then.
    pub expires_at: Timestamp,
}

/// What a key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Accepted; signs nothing yet, so that validators know it before they meet it.
    Published,
    Signing,
    /// Accepted until what it signed has expired.
    Retired,
    /// Refused everywhere.
    Withdrawn,
}

impl Use {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Signing => "signing",
            Self::Retired => "retired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl SigningKey {
    pub fn state(&self, now: Timestamp) -> Use {
        if self.withdrawn_at.is_some() {
            Use::Withdrawn
        } else if self.retirement.is_some_and(|retirement| now >= retirement.at) {
            Use::Retired
        } else if now < self.active_from {
            Use::Published
        } else {
            Use::Signing
        }
    }
}
