//! Keys that sign, and what forgers do with their signatures.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::wire;

/// The server's keys, and a stranger's keys, which claim the same names.
pub struct Mint {
    pub ed: Ed25519KeyPair,
    pub ec: EcdsaKeyPair,
    stranger_ed: Ed25519KeyPair,
    stranger_ec: EcdsaKeyPair,
}

impl Mint {
    pub fn new() -> Self {
        let ec = || EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let ed = |seed| Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        Self { ed: ed(7), ec: ec(), stranger_ed: ed(8), stranger_ec: ec() }
    }

    pub fn keys(&self) -> Vec<wire::Key> {
        let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let key = |kid: &str, kty: &str, crv: &str, alg: &str, x: &[u8], y: Option<&[u8]>| wire::Key {
            kid: kid.to_owned(),
            kty: kty.to_owned(),
            crv: crv.to_owned(),
            x: encoded(x),
            y: y.map(encoded),
            alg: alg.to_owned(),
            usage: "sig".to_owned(),
        };
        let point = self.ec.public_key().as_ref();
        vec![
            key("ed", "OKP", "Ed25519", "EdDSA", self.ed.public_key().as_ref(), None),
            key("ec", "EC", "P-256", "ES256", &point[1..33], Some(&point[33..])),
        ]
    }

    pub fn sign(&self, kid: &str, message: &[u8]) -> Vec<u8> {
        let ec = |pair: &EcdsaKeyPair| pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
        match kid {
            "ed" => self.ed.sign(message).as_ref().to_vec(),
            "ec" => ec(&self.ec),
            "stranger's ed" => self.stranger_ed.sign(message).as_ref().to_vec(),
            _ => ec(&self.stranger_ec),
        }
    }
}

pub const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
const ED25519_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// `from - number`, big-endian.
pub fn less(from: &[u8; 32], number: &[u8]) -> Vec<u8> {
    let mut result = vec![0; 32];
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i16::from(from[at]) - i16::from(number[at]) - borrow;
        borrow = i16::from(difference < 0);
        result[at] = difference.rem_euclid(256) as u8;
    }
    result
}

/// `number` plus the group order, little-endian: the same number for a reader that does not check its range (RFC 8032
/// §5.1.7).
pub fn plus_order(number: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let add = |(one, other): (&u8, &u8)| {
        let sum = u16::from(*one) + u16::from(*other) + carry;
        carry = sum >> 8;
        sum as u8
    };
    number.iter().zip(&ED25519_ORDER).map(add).collect()
}

/// The two integers of an ECDSA signature in ASN.1, as other formats write them.
pub fn der(signature: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| [&[2, 33, 0][..], number].concat();
    let body = [integer(&signature[..32]), integer(&signature[32..])].concat();
    [&[0x30, body.len() as u8][..], &body].concat()
}
