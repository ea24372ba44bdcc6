//! A JWT access token (RFC 9068), read so strictly that there is one way to write each.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::claims::{Claims, Stamp, UserStamp};
use crate::json::{Object, Value};
use crate::refusal::Refusal;

/// Longest token.
pub const MAX_TOKEN: usize = 8 * 1024;
const MAX_HEADER: usize = 1024;
/// Base64url of 64 bytes.
const SIGNATURE_CHARS: usize = 86;
/// Revocations are kept for as long as a token may live (`docs/feed.md`), so none may live longer.
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

/// A token whose form is right; nothing in it is trusted yet.
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
    /// `Malformed`, `Header`, `Type`, `Algorithm`, or `UnknownKey` if it names none.
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

    /// The claims as bytes, for after the signature was found to fit.
    pub fn payload(&self) -> Result<Vec<u8>, Refusal> {
        decode(self.payload)
    }
}

/// Canonical base64url without padding: no other text stands for the same bytes (RFC 7515 §2).
fn decode(text: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Refusal::Malformed("not canonical base64url"))
}

fn read_header(bytes: &[u8]) -> Result<(Algorithm, String), Refusal> {
    let header = Object::parse(bytes).ok_or(Refusal::Malformed("a header that is not strict JSON"))?;
    // `jwk`, `jku` and `x5u` would let the token bring its own key, `crit` and `b64` change what the rest means
    // (RFC 7515 §4, RFC 8725 §3.10).
    if header.names().any(|name| !["alg", "typ", "kid"].contains(&name)) {
        return Err(Refusal::Header);
    }
    let typ = header.text("typ").ok_or(Refusal::Type)?;
    // RFC 9068 §4; media types compare without case.
    if !typ.eq_ignore_ascii_case("at+jwt") && !typ.eq_ignore_ascii_case("application/at+jwt") {
        return Err(Refusal::Type);
    }
    let algorithm = header.text("alg").and_then(Algorithm::parse).ok_or(Refusal::Algorithm)?;
    let kid = header.text("kid").ok_or(Refusal::UnknownKey)?;
    Ok((algorithm, kid.to_owned()))
}

/// What a token must say to be for us, now.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub audience: &'a str,
    /// Unix seconds.
    pub now: u64,
    /// Seconds.
    pub leeway: u64,
}

/// The claims of a token whose signature fits.
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
    // Who presents such a token must also prove possession (RFC 7800 §3.1), or a stolen one would do.
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

/// All four or none.
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
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::keys::Keys;
    use crate::wire;

    const NOW: u64 = 1_790_000_000;

    fn encoded(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn public() -> String {
        encoded(pair().public_key())
    }

    fn keys() -> Keys {
        let word = str::to_owned;
        Keys::read(&[wire::Key {
            kid: word("k1"),
            kty: word("OKP"),
            crv: word("Ed25519"),
            x: public(),
            y: None,
            alg: word("EdDSA"),
            usage: word("sig"),
        }])
        .unwrap()
    }

    fn header() -> Json {
        json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "k1" })
    }

    fn claims() -> Json {
        json!({
            "iss": "https://id.example", "aud": "https://api.example", "sub": "usr_1", "client_id": "cli_1",
            "scope": "read", "jti": "tok_1", "iat": NOW - 100, "exp": NOW + 590, "server_generation": 1,
            "client_generation": 1, "user_generation": 1, "grant_id": "grt_1", "grant_generation": 1,
            "family_id": "fam_1",
        })
    }

    /// Signed as it stands, whatever it says.
    fn signed(header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        let signature = pair().sign(signed.as_bytes());
        format!("{signed}.{}", encoded(signature))
    }

    fn check(token: &str) -> Result<Claims, Refusal> {
        let unverified = Unverified::parse(token)?;
        keys().verify(&unverified)?;
        let (issuer, audience) = ("https://id.example", "https://api.example");
        read_claims(&unverified.payload()?, Expected { issuer, audience, now: NOW, leeway: 60 })
    }

    fn with(of: Json, name: &str, value: Json) -> String {
        let mut object = of;
        object[name] = value;
        object.to_string()
    }

    fn without(of: Json, name: &str) -> String {
        let mut object = of;
        object.as_object_mut().unwrap().remove(name).unwrap();
        object.to_string()
    }

    #[test]
    fn a_token_as_the_server_signs_it_is_accepted_and_every_other_byte_is_not() {
        let token = signed(&header().to_string(), &claims().to_string());
        assert_eq!(check(&token).unwrap().sub, "usr_1");
        for place in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            for other in *b"A-.=z" {
                if bytes[place] == other {
                    continue;
                }
                let was = std::mem::replace(&mut bytes[place], other);
                assert!(check(std::str::from_utf8(&bytes).unwrap()).is_err(), "{place}");
                bytes[place] = was;
            }
            assert!(check(&token[..place]).is_err(), "cut at {place}");
        }
        for longer in [format!("{token}="), format!("{token}."), format!(" {token}"), format!("{token}A")] {
            assert!(check(&longer).is_err(), "{longer}");
        }
    }

    #[test]
    fn no_other_algorithm_type_or_header_member_is_accepted() {
        let claims = claims().to_string();
        for alg in
            ["none", "None", "NONE", "HS256", "HS512", "RS256", "PS256", "ES256", "ES384", "Ed25519", ""]
        {
            assert_eq!(check(&signed(&with(header(), "alg", json!(alg)), &claims)), Err(Refusal::Algorithm));
        }
        for typ in ["JWT", "jwt", "id+jwt", "logout+jwt", "", "at+jwt ", "x/at+jwt"] {
            assert_eq!(
                check(&signed(&with(header(), "typ", json!(typ)), &claims)),
                Err(Refusal::Type),
                "{typ}"
            );
        }
        for typ in ["AT+JWT", "application/at+jwt"] {
            assert!(check(&signed(&with(header(), "typ", json!(typ)), &claims)).is_ok(), "{typ}");
        }
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": public() });
        for name in ["jwk", "jku", "x5u", "x5c", "x5t", "crit", "b64", "zip", "cty", "enc"] {
            assert_eq!(
                check(&signed(&with(header(), name, key.clone()), &claims)),
                Err(Refusal::Header),
                "{name}"
            );
        }
        for name in ["alg", "typ", "kid"] {
            assert!(check(&signed(&without(header(), name), &claims)).is_err(), "{name}");
        }
        assert_eq!(check(&signed(&with(header(), "kid", json!("k2")), &claims)), Err(Refusal::UnknownKey));
        let twice = r#"{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"k1"}"#;
        assert!(matches!(check(&signed(twice, &claims)), Err(Refusal::Malformed(_))));
        let huge = with(header(), "kid", json!("k".repeat(2_000)));
        assert!(matches!(check(&signed(&huge, &claims)), Err(Refusal::Malformed(_))));
    }

    #[test]
    fn a_mac_by_the_public_key_or_no_signature_is_none() {
        use aws_lc_rs::hmac;
        let public = pair().public_key().as_ref().to_vec();
        for alg in ["HS256", "EdDSA"] {
            let header = with(header(), "alg", json!(alg));
            let body = format!("{}.{}", encoded(header), encoded(claims().to_string()));
            let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, &public), body.as_bytes());
            assert!(check(&format!("{body}.{}", encoded(mac))).is_err(), "{alg}");
            assert!(check(&format!("{body}.")).is_err(), "{alg}");
            assert!(check(&body).is_err(), "{alg}");
        }
    }

    #[test]
    fn other_base64_of_the_same_bytes_is_refused_however_it_is_signed() {
        let mut claims = claims();
        claims["scope"] = json!("read??>>");
        let resigned = |header: &str, payload: &str| {
            let signed = format!("{header}.{payload}");
            let signature = encoded(pair().sign(signed.as_bytes()));
            check(&format!("{signed}.{signature}"))
        };
        let own = encoded(header().to_string());
        let mut padded = (0..3).map(|blanks| encoded(format!("{claims}{}", " ".repeat(blanks))));
        let uneven = padded.rfind(|text| text.len() % 4 != 0).unwrap();
        let stray = |text: &str| {
            let last = text.as_bytes()[text.len() - 1];
            format!("{}{}", &text[..text.len() - 1], char::from(last + 1))
        };
        assert!(resigned(&own, &uneven).is_ok());
        let standard = uneven.replace('-', "+").replace('_', "/");
        assert_ne!(standard, uneven);
        for payload in
            [stray(&uneven), standard, format!("{uneven}="), format!("{uneven}\n"), format!(" {uneven}")]
        {
            assert!(matches!(resigned(&own, &payload), Err(Refusal::Malformed(_))), "{payload}");
        }
        assert!(matches!(resigned(&format!("{own}="), &uneven), Err(Refusal::Malformed(_))));
    }

    #[test]
    fn every_claim_has_to_be_there_and_of_its_type() {
        let header = header().to_string();
        let names: Vec<String> = claims().as_object().unwrap().keys().cloned().collect();
        for name in &names {
            assert!(check(&signed(&header, &without(claims(), name))).is_err(), "without {name}");
            for wrong in [json!(null), json!(-1), json!(1.5), json!([]), json!({}), json!(true), json!("")] {
                // A token may allow nothing.
                let is_fine = name == "scope" && wrong == json!("");
                let accepted = check(&signed(&header, &with(claims(), name, wrong.clone()))).is_ok();
                assert_eq!(accepted, is_fine, "{name} {wrong}");
            }
        }
        for name in ["exp", "iat", "nbf"] {
            for text in
                ["1790000000.0", "1.79e9", "9223372036854775808", "18446744073709551616", "\"1790000000\""]
            {
                let mut object = claims();
                object[name] = json!("here");
                let claims = object.to_string().replace("\"here\"", text);
                assert!(check(&signed(&header, &claims)).is_err(), "{name} {text}");
            }
        }
        let text = claims().to_string();
        let twice = format!("{},\"aud\":\"https://api.example\"}}", &text[..text.len() - 1]);
        assert!(matches!(check(&signed(&header, &twice)), Err(Refusal::Malformed(_))));
    }

    #[test]
    fn a_token_is_for_one_issuer_one_audience_and_its_time() {
        let header = header().to_string();
        for (name, value, why) in [
            ("iss", json!("https://id.example/"), Refusal::Issuer),
            ("aud", json!("https://mail.example"), Refusal::Audience),
            ("aud", json!(["https://api.example"]), Refusal::Claim("aud")),
            ("exp", json!(NOW - 60), Refusal::Expired),
            ("iat", json!(NOW + 61), Refusal::NotYetValid),
            ("nbf", json!(NOW + 61), Refusal::NotYetValid),
            ("exp", json!(NOW + 3_501), Refusal::Lifetime),
            ("exp", json!(9_007_199_254_740_991_u64), Refusal::Lifetime),
            ("cnf", json!({ "jkt": "x" }), Refusal::SenderConstrained),
        ] {
            assert_eq!(
                check(&signed(&header, &with(claims(), name, value.clone()))),
                Err(why),
                "{name} {value}"
            );
        }
        for (name, value) in [("exp", NOW - 59), ("iat", NOW + 60), ("exp", NOW + 3_500)] {
            assert!(check(&signed(&header, &with(claims(), name, json!(value)))).is_ok(), "{name} {value}");
        }
    }
}
