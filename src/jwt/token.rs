//! JWTs as text: signs claims, and reads what was signed here.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::jwt::claims::Claims;
use crate::jwt::key::{PrivateKey, Verifier};
use crate::jwt::signature_cache::SignatureCache;
use crate::model::key::PublicKey;

/// Longer than any token that is signed here.
const LONGEST: usize = 8 * 1024;

/// A signed access token. Its `Debug` does not show it.
pub struct Jwt(Zeroizing<String>);

impl Jwt {
    /// `None` when the system gives no randomness.
    pub fn sign(claims: &Claims, key: &PrivateKey) -> Option<Self> {
        let mut text = Zeroizing::new(header(key.public()));
        text.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims).ok()?, &mut text);
        let signature = key.sign(text.as_bytes())?;
        text.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Some(Self(text))
    }

    /// The token itself, for the one answer that carries it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Jwt(..)")
    }
}

/// The header of all tokens that `key` signs, encoded (RFC 9068 §2.1).
fn header(key: &PublicKey) -> String {
    let header = serde_json::json!({ "typ": "at+jwt", "alg": key.algorithm.as_str(), "kid": key.id });
    BASE64_URL_SAFE_NO_PAD.encode(header.to_string())
}

/// Reads tokens of this server.
///
/// All tokens that one of its keys signs have the same header. So a token with any other header is not from this
/// server, whatever algorithm or key that header names.
#[derive(Debug, Default)]
pub struct Reader {
    keys: Vec<(String, Verifier)>,
    /// Tokens that these keys have signed. When the keys change, a new reader is made.
    signatures: SignatureCache,
}

impl Reader {
    /// Accepts what `keys` have signed. `own` has the private parts of some of them.
    pub fn new(keys: &[PublicKey], own: &[Arc<PrivateKey>]) -> Self {
        let verifier = |key: &PublicKey| {
            let own = own.iter().find(|own| own.public() == key);
            own.and_then(Verifier::of_own).or_else(|| Verifier::new(key))
        };
        let keys = keys.iter().filter_map(|key| Some((header(key), verifier(key)?))).collect();
        Self { keys, signatures: SignatureCache::default() }
    }

    /// The claims of a token that was signed here. It may have expired or been revoked.
    pub fn read(&self, text: &str) -> Option<Claims> {
        if text.len() > LONGEST {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let (_, verifier) = self.keys.iter().find(|(own, _)| own == header)?;
        // The decoder is strict: no padding and no stray bits, so that each signature has only one text.
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !self.signatures.is_good(text, || verifier.accepts(signed.as_bytes(), &signature)) {
            return None;
        }
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::jwt::claims::NewClaims;
    use crate::jwt::key::SealedKey;
    use crate::jwt::key_file::KeyFile;
    use crate::model::id::ClientId;
    use crate::model::key::Algorithm;
    use crate::model::scope::Scope;
    use crate::model::stamp::{Generations, Stamp};

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn claims() -> Claims {
        let stamp = Stamp {
            family: None,
            grant: None,
            client: ClientId::generate(NOW),
            user: None,
            generations: Generations { server: 1, client: 2, user: None },
        };
        let allows = NewClaims {
            issuer: "https://id.example",
            audience: "https://api.example",
            scope: &Scope::parse("read").unwrap(),
            stamp: &stamp,
            grant_generation: None,
        };
        let claims = Claims::new(allows, NOW, std::time::Duration::from_secs(600));
        assert_eq!(claims.stamp(), Some(stamp));
        claims
    }

    fn key(algorithm: Algorithm) -> Arc<PrivateKey> {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::open_or_make(&folder.path().join("key")).unwrap();
        Arc::new(SealedKey::generate(algorithm, &file, NOW).unwrap().unseal(&file).unwrap())
    }

    #[test]
    fn a_signed_jwt_is_read_back_and_any_change_is_refused() {
        for algorithm in Algorithm::ALL {
            let (key, other) = (key(algorithm), key(algorithm));
            let claims = claims();
            let jwt = Jwt::sign(&claims, &key).unwrap();
            let public = [other.public().clone(), key.public().clone()];
            for own in [vec![], vec![key.clone(), other.clone()]] {
                let reader = Reader::new(&public, &own);
                assert_eq!(reader.read(jwt.expose()).as_ref(), Some(&claims));
                assert_eq!(Reader::new(&public[..1], &own).read(jwt.expose()), None);
                for place in 0..jwt.expose().len() {
                    let mut changed = jwt.expose().as_bytes().to_vec();
                    changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
                    let changed = String::from_utf8(changed).unwrap();
                    assert_eq!(reader.read(&changed), None, "{place}");
                }
                let jwt = jwt.expose();
                for text in [format!("{jwt}="), format!("{jwt} "), format!(".{jwt}")] {
                    assert_eq!(reader.read(&text), None, "{text}");
                }
            }
        }
    }

    /// Header and claims exactly as given, with a good signature over them.
    fn signed(header: &str, claims: &str, key: &PrivateKey) -> String {
        let [header, claims] = [header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        let signed = format!("{header}.{claims}");
        let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).unwrap());
        format!("{signed}.{signature}")
    }

    #[test]
    fn no_other_header_is_read_however_it_is_signed() {
        for algorithm in Algorithm::ALL {
            let key = key(algorithm);
            let reader = Reader::new(&[key.public().clone()], std::slice::from_ref(&key));
            let claims = serde_json::to_string(&claims()).unwrap();
            let (alg, kid) = (algorithm.as_str(), &key.public().id);
            let own = format!(r#"{{"typ":"at+jwt","alg":"{alg}","kid":"{kid}"}}"#);
            assert!(reader.read(&signed(&own, &claims, &key)).is_some());
            let mut others = Vec::new();
            for other in ["none", "None", "HS256", "HS512", "RS256", "PS256", "ES256", "EdDSA", "Ed25519", ""]
            {
                if other != alg {
                    others.push(own.replace(alg, other));
                }
            }
            // For example an ID token or a receipt, which the same key may have signed.
            for other in ["JWT", "jwt", "id+jwt", "receipt+jws", "AT+JWT", "application/at+jwt", ""] {
                others.push(own.replace("at+jwt", other));
            }
            for name in ["jwk", "jku", "x5u", "x5c", "x5t", "crit", "b64", "zip", "cty"] {
                others.push(own.replace('}', &format!(r#","{name}":["b64"]}}"#)));
            }
            for member in [r#""typ":"at+jwt","#.to_owned(), format!(r#""alg":"{alg}","#)] {
                others.push(own.replace(&member, ""));
                others.push(own.replace(&member, &member.repeat(2)));
            }
            others.push(own.replace(&format!(r#","kid":"{kid}""#), ""));
            others.push(own.replace("key_", "KEY_"));
            others.push(format!(" {own}"));
            others.push(format!("{own}{}", " ".repeat(8_000)));
            for header in others {
                let token = signed(&header, &claims, &key);
                assert_eq!(reader.read(&token), None, "{header}");
                let (unsigned, _) = token.rsplit_once('.').unwrap();
                assert_eq!(reader.read(&format!("{unsigned}.")), None, "{header}");
            }
        }
    }

    #[test]
    fn a_mac_by_the_public_key_is_no_signature() {
        use aws_lc_rs::hmac;
        let key = key(Algorithm::EdDsa);
        let reader = Reader::new(&[key.public().clone()], &[]);
        let claims = serde_json::to_string(&claims()).unwrap();
        for alg in ["EdDSA", "HS512"] {
            let header = format!(r#"{{"typ":"at+jwt","alg":"{alg}","kid":"{}"}}"#, key.public().id);
            let token = signed(&header, &claims, &key);
            assert_eq!(reader.read(&token).is_some(), alg == "EdDSA");
            let (text, _) = token.rsplit_once('.').unwrap();
            let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, &key.public().bytes), text.as_bytes());
            let mac = BASE64_URL_SAFE_NO_PAD.encode(mac);
            assert_eq!(reader.read(&format!("{text}.{mac}")), None, "{alg}");
        }
    }

    #[test]
    fn claims_of_another_form_are_not_read_however_they_are_signed() {
        let key = key(Algorithm::Es256);
        let reader = Reader::new(&[key.public().clone()], &[]);
        let own = serde_json::to_string(&claims()).unwrap();
        let header = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(header(key.public())).unwrap()).unwrap();
        assert!(reader.read(&signed(&header, &own, &key)).is_some());
        let names = [
            "iss",
            "exp",
            "aud",
            "sub",
            "client_id",
            "iat",
            "jti",
            "scope",
            "server_generation",
            "client_generation",
        ];
        let read: serde_json::Value = serde_json::from_str(&own).unwrap();
        for name in names {
            let mut less = read.clone();
            less.as_object_mut().unwrap().remove(name).unwrap();
            assert_eq!(reader.read(&signed(&header, &less.to_string(), &key)), None, "without {name}");
            let member = format!(r#""{name}":{}"#, read[name]);
            let twice = own.replace(&member, &format!("{member},{member}"));
            assert_eq!(reader.read(&signed(&header, &twice, &key)), None, "{name} twice");
            for other in ["null", "[]", "{}", "true", "1.5", "9223372036854775808", "1e3"] {
                let other = own.replace(&member, &format!(r#""{name}":{other}"#));
                assert_eq!(reader.read(&signed(&header, &other, &key)), None, "{other}");
            }
        }
        for text in ["", "[]", "null", &format!("{own}{own}"), &format!("{own} x")] {
            assert_eq!(reader.read(&signed(&header, text, &key)), None, "{text}");
        }
        let long = own.replace("read", &"x".repeat(LONGEST));
        assert_eq!(reader.read(&signed(&header, &long, &key)), None);
    }

    #[test]
    fn other_base64_of_the_same_bytes_is_not_read_however_it_is_signed() {
        let key = key(Algorithm::EdDsa);
        let reader = Reader::new(&[key.public().clone()], &[]);
        let claims = serde_json::to_string(&claims()).unwrap();
        let (own, payload) = (header(key.public()), BASE64_URL_SAFE_NO_PAD.encode(&claims));
        // The number of blanks is chosen so that the last character has bits that are not decoded.
        let mut padded =
            (0..3).map(|blanks| BASE64_URL_SAFE_NO_PAD.encode(format!("{claims}{}", " ".repeat(blanks))));
        let uneven = padded.rfind(|text| text.len() % 4 != 0).unwrap();
        let stray =
            format!("{}{}", &uneven[..uneven.len() - 1], char::from(uneven.as_bytes()[uneven.len() - 1] + 1));
        let accepts = |payload: &str| {
            let signed = format!("{own}.{payload}");
            let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).unwrap());
            reader.read(&format!("{signed}.{signature}")).is_some()
        };
        assert!(accepts(&payload) && accepts(&uneven));
        for other in [format!("{payload}="), format!("{payload}=="), format!("{payload}\n"), stray] {
            assert!(!accepts(&other), "{other}");
        }
    }

    #[test]
    fn debug_shows_nothing_of_a_token() {
        assert_eq!(format!("{:?}", Jwt::sign(&claims(), &key(Algorithm::EdDsa)).unwrap()), "Jwt(..)");
    }
}
