//! Whether a token is to be accepted by `docs/feed.md` and RFC 9068. It is read in another way than by the guard.

use std::collections::BTreeMap;

use super::json::{self, Json};
use crate::claims::{Claims, Stamp, UserStamp};
use crate::wire::Subject;

/// What is dead: a kind and an id, and the generation below which everything is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dead {
    server: u64,
    of: BTreeMap<(&'static str, String), u64>,
}

impl Dead {
    pub fn add(&mut self, subject: &Subject) {
        let (kind, id, generation) = match subject {
            Subject::Token { id } => ("token", id, u64::MAX),
            Subject::Family { id } => ("family", id, u64::MAX),
            Subject::Grant { id, generation } => ("grant", id, generation.unwrap_or(u64::MAX)),
            Subject::Client { id, generation } => ("client", id, *generation),
            Subject::User { id, generation } => ("user", id, *generation),
            Subject::Server { generation } => {
                self.server = self.server.max(*generation);
                return;
            }
        };
        let held = self.of.entry((kind, id.clone())).or_default();
        *held = generation.max(*held);
    }

    pub fn covers(&self, claims: &Claims) -> bool {
        let below =
            |kind, id: &str, mine: u64| self.of.get(&(kind, id.to_owned())).is_some_and(|dead| mine < *dead);
        let of_user = |stamp: &UserStamp| {
            below("user", &claims.sub, stamp.user_generation)
                || below("grant", &stamp.grant_id, stamp.grant_generation.unwrap_or(0))
                || below("family", &stamp.family_id, 0)
        };
        claims.stamp.server_generation < self.server
            || below("client", &claims.client_id, claims.stamp.client_generation)
            || claims.stamp.user.as_ref().is_some_and(of_user)
            || claims.jti.as_ref().is_some_and(|id| below("token", id, 0))
    }
}

/// Who signed a token, as its maker knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// The key with this `kid` signed exactly this text.
    By(&'static str),
    /// The same, but with the other one of the two values that an ECDSA signature can have.
    Twisted(&'static str),
    Nobody,
}

/// Who checks the token, and when.
pub struct Here<'a> {
    pub issuer: &'a str,
    pub audience: &'a str,
    pub now: u64,
    pub leeway: u64,
    pub dead: &'a Dead,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accept(Claims),
    /// Good, but so unusual that a reader may refuse it.
    Either(Claims),
    Refuse(&'static str),
}

/// Base64url (RFC 4648 §5) without padding. `None` unless it is the canonical text for its bytes.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for character in text.bytes() {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    (held < 6 && bits == 0).then_some(bytes)
}

pub fn weigh(token: &str, signed: Signed, here: &Here<'_>) -> Verdict {
    match judged(token, signed, here) {
        Ok((claims, true)) => Verdict::Either(claims),
        Ok((claims, false)) => Verdict::Accept(claims),
        Err(why) => Verdict::Refuse(why),
    }
}

fn judged(token: &str, signed: Signed, here: &Here<'_>) -> Result<(Claims, bool), &'static str> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { return Err("parts") };
    let read = |part| decoded(part).ok_or("encoding");
    let (header, payload, signature) = (read(header)?, read(payload)?, read(signature)?);
    if token.len() > 8192 || header.len() > 1026 || signature.len() != 64 {
        return Err("length");
    }
    let is_long = header.len() > 1024;
    let strict = |bytes: &[u8]| {
        json::parse(bytes)
            .filter(|value| matches!(value, Json::Object(_)) && !value.has_twins())
            .ok_or("json")
    };
    let (header, claims) = (strict(&header)?, strict(&payload)?);
    if header.members().iter().any(|member| !matches!(member.0.as_str(), "alg" | "typ" | "kid")) {
        return Err("header");
    }
    let typ = header.text("typ").unwrap_or_default().to_ascii_lowercase();
    if typ != "at+jwt" && typ != "application/at+jwt" {
        return Err("typ");
    }
    let kid = header.text("kid").ok_or("kid")?;
    let algorithm = match kid {
        "ed" => "EdDSA",
        "ec" => "ES256",
        _ => return Err("kid"),
    };
    if header.text("alg") != Some(algorithm) {
        return Err("alg");
    }
    let is_twisted = match signed {
        Signed::By(key) if key == kid => false,
        Signed::Twisted(key) if key == kid => true,
        _ => return Err("signature"),
    };
    let is_odd = is_long || is_twisted || header.is_extreme() || claims.is_extreme();
    let claims = Claims { kid: Some(kid.to_owned()), ..read_claims(&claims, here)? };
    Ok((claims, is_odd))
}

fn read_claims(said: &Json, here: &Here<'_>) -> Result<Claims, &'static str> {
    let text = |name| said.text(name).filter(|text| !text.is_empty()).map(str::to_owned).ok_or("claim");
    let integer = |name| said.integer(name, 1 << 53).ok_or("claim");
    if text("iss")? != here.issuer || text("aud")? != here.audience {
        return Err("elsewhere");
    }
    let (iat, exp) = (integer("iat")?, integer("exp")?);
    let nbf = if said.get("nbf").is_some() { integer("nbf")? } else { 0 };
    let ahead = here.now + here.leeway;
    if exp.saturating_add(here.leeway) <= here.now || iat > ahead || nbf > ahead {
        return Err("time");
    }
    if exp <= iat || exp - iat > 3600 {
        return Err("life");
    }
    if said.get("cnf").is_some() {
        return Err("bound");
    }
    let of_user = ["user_generation", "grant_id", "grant_generation", "family_id"];
    let user = match of_user.iter().filter(|name| said.get(name).is_some()).count() {
        0 => None,
        4 => Some(UserStamp {
            user_generation: integer("user_generation")?,
            grant_id: text("grant_id")?,
            family_id: text("family_id")?,
            grant_generation: Some(integer("grant_generation")?),
        }),
        _ => return Err("claim"),
    };
    let claims = Claims {
        sub: text("sub")?,
        client_id: text("client_id")?,
        scope: said.text("scope").ok_or("claim")?.to_owned(),
        jti: Some(text("jti")?),
        iat: iat as i64,
        exp: exp as i64,
        stamp: Stamp {
            server_generation: integer("server_generation")?,
            client_generation: integer("client_generation")?,
            user,
        },
        kid: None,
    };
    if here.dead.covers(&claims) { Err("revoked") } else { Ok(claims) }
}

/// Whether an opaque token's checksum is right: CRC-32 bit by bit, in base 62.
pub fn is_opaque(token: &str) -> bool {
    let is_plain = token.len() == 56 && token[7..].bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_plain {
        return false;
    }
    let mut crc = u32::MAX;
    for byte in &token.as_bytes()[..50] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    let value = token[50..].bytes().fold(0_u64, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            _ => digit - b'a' + 36,
        };
        value * 62 + u64::from(digit)
    });
    value == u64::from(!crc)
}
