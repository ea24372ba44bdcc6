//! Reads JWT access tokens (RFC 9068), strictly: base64url must be canonical, and JSON must not have duplicate members.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::claims::{Claims, Stamp, UserStamp};
use crate::json::{Object, Value};
use crate::refusal::Refusal;

/// The longest token.
pub const MAX_TOKEN: usize = 8 * 1024;
const MAX_HEADER: usize = 1024;
/// Base64url of 64 bytes.
const SIGNATURE_CHARS: usize = 86;
/// No token may live longer than revocations are kept for (`docs/feed.md`).
const MAX_LIFETIME: u64 = 3600;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    EdDsa,
    Es256,
}

impl Algorithm {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "EdDSA" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// A token with a valid form. Nothing in it is trusted yet.
pub struct Unverified<'a> {
    pub algorithm: Algorithm,
    pub kid: String,
    /// What the signature covers.
    pub signed: &'a [u8],
    pub signature: [u8; 64],
    payload: &'a str,
}

impl<'a> Unverified<'a> {
    /// # Errors
    /// `Malformed`, `Header`, `Type`, `Algorithm`, or `UnknownKey` if it names no key.
    pub fn parse(token: &'a str) -> Result<Self, Refusal> {
        if token.len() > MAX_TOKEN {
            return Err(Refusal::Malformed("longer than 8 KiB"));
        }
        let parts = token.split_once('.').and_then(|(header, rest)| {
            let (payload, signature) = rest.split_once('.')?;
            Some((header, payload, signature))
        });
        let (header, payload, signature) = parts.ok_or(Refusal::Malformed("not three parts"))?;
        if header.len() > MAX_HEADER.div_ceil(3) * 4 {
            return Err(Refusal::Malformed("a header longer than 1 KiB"));
        }
        let (algorithm, kid) = read_header(&decode(header)?)?;
        if signature.len() != SIGNATURE_CHARS {
            return Err(Refusal::Malformed("a signature of the wrong length"));
        }
        let signature = decode(signature)?
            .try_into()
            .map_err(|_| Refusal::Malformed("a signature of the wrong length"))?;
        let signed = &token.as_bytes()[..header.len() + 1 + payload.len()];
        Ok(Self { algorithm, kid, signed, signature, payload })
    }

    /// The claims as bytes. To be read only after the signature was checked.
    pub fn payload(&self) -> Result<Vec<u8>, Refusal> {
        decode(self.payload)
    }
}

/// Decodes canonical base64url without padding (RFC 7515 §2): each sequence of bytes has only one text.
fn decode(text: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Refusal::Malformed("not canonical base64url"))
}

fn read_header(bytes: &[u8]) -> Result<(Algorithm, String), Refusal> {
    let header = Object::parse(bytes).ok_or(Refusal::Malformed("a header that is not strict JSON"))?;
    // With `jwk`, `jku` and `x5u` the token would bring its own key. `crit` and `b64` change the meaning of the rest
    // (RFC 7515 §4, RFC 8725 §3.10).
    if header.names().any(|name| !["alg", "typ", "kid"].contains(&name)) {
        return Err(Refusal::Header);
    }
    let typ = header.text("typ").ok_or(Refusal::Type)?;
    // RFC 9068 §4. Media types are compared without case.
    if !typ.eq_ignore_ascii_case("at+jwt") && !typ.eq_ignore_ascii_case("application/at+jwt") {
        return Err(Refusal::Type);
    }
    let algorithm = header.text("alg").and_then(Algorithm::parse).ok_or(Refusal::Algorithm)?;
    let kid = header.text("kid").ok_or(Refusal::UnknownKey)?;
    Ok((algorithm, kid.to_owned()))
}

/// What a token's claims are checked against.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub audience: &'a str,
    /// Unix seconds.
    pub now: u64,
    /// Seconds.
    pub leeway: u64,
}

/// Reads and checks the claims of a token with a good signature.
pub fn read_claims(payload: &[u8], expected: Expected<'_>) -> Result<Claims, Refusal> {
    let claims = Object::parse(payload).ok_or(Refusal::Malformed("claims that are not strict JSON"))?;
    let text = |name| match claims.text(name) {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(Refusal::Claim(name)),
    };
    let integer = |name| claims.integer(name).ok_or(Refusal::Claim(name));

    if text("iss")? != expected.issuer {
        return Err(Refusal::Issuer);
    }
    if text("aud")? != expected.audience {
        return Err(Refusal::Audience);
    }
    let (exp, iat) = (integer("exp")?, integer("iat")?);
    if expected.now >= exp + expected.leeway {
        return Err(Refusal::Expired);
    }
    let soon = expected.now + expected.leeway;
    if iat > soon {
        return Err(Refusal::NotYetValid);
    }
    if claims.get("nbf").is_some() && integer("nbf")? > soon {
        return Err(Refusal::NotYetValid);
    }
    if exp <= iat || exp - iat > MAX_LIFETIME {
        return Err(Refusal::Lifetime);
    }
    // A caller with such a token must also prove possession (RFC 7800 §3.1). Otherwise a stolen token would be
    // accepted.
    if claims.get("cnf").is_some() {
        return Err(Refusal::SenderConstrained);
    }
    let scope = match claims.get("scope") {
        Some(Value::Text(scope)) => scope.clone().into_owned(),
        _ => return Err(Refusal::Claim("scope")),
    };
    Ok(Claims {
        sub: text("sub")?,
        client_id: text("client_id")?,
        scope,
        jti: Some(text("jti")?),
        iat: iat.cast_signed(),
        exp: exp.cast_signed(),
        stamp: Stamp {
            server_generation: integer("server_generation")?,
            client_generation: integer("client_generation")?,
            user: user_stamp(&claims)?,
        },
        kid: None,
    })
}

/// The user's part of the stamp. A token has all four claims or none.
fn user_stamp(claims: &Object<'_>) -> Result<Option<UserStamp>, Refusal> {
    let names = ["user_generation", "grant_id", "grant_generation", "family_id"];
    if names.iter().all(|name| claims.get(name).is_none()) {
        return Ok(None);
    }
    let text = |name| match claims.text(name) {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(Refusal::Claim(name)),
    };
    let integer = |name| claims.integer(name).ok_or(Refusal::Claim(name));
    Ok(Some(UserStamp {
        user_generation: integer("user_generation")?,
        grant_id: text("grant_id")?,
        family_id: text("family_id")?,
        grant_generation: Some(integer("grant_generation")?),
    }))
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
