//! Tokens as text: signing claims, and reading back what was signed here.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::jwt::claims::Claims;
use crate::jwt::key::{PrivateKey, Verifier};
use crate::jwt::known::Known;
use crate::model::key::PublicKey;

/// Longer than any token that is signed here.
const LONGEST: usize = 8 * 1024;

/// A signed access token. Its `Debug` shows nothing of it.
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
/// All that it signs begins with one header for each key, so a token with any other header, whatever
/// algorithm or key that asks for, is none of its.
#[derive(Debug, Default)]
pub struct Reader {
    keys: Vec<(String, Verifier)>,
    /// What these keys have signed: with another set of keys there is another reader.
    known: Known,
}

impl Reader {
    /// Accepts what `keys` have signed.
    pub fn new(keys: &[PublicKey]) -> Self {
        let keys = keys.iter().filter_map(|key| Some((header(key), Verifier::new(key)?))).collect();
        Self { keys, known: Known::default() }
    }

    /// The claims of a token that was signed here; it may have expired or been revoked.
    pub fn read(&self, text: &str) -> Option<Claims> {
        if text.len() > LONGEST {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let (_, verifier) = self.keys.iter().find(|(own, _)| own == header)?;
        // Strict by default: no padding, no stray bits, so no second text for one signature.
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !self.known.is_good(text, || verifier.accepts(signed.as_bytes(), &signature)) {
            return None;
        }
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::jwt::claims::Allowance;
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
        let allows = Allowance {
            issuer: "https://id.example",
            audience: "https://api.example".to_owned(),
            scope: &Scope::parse("read").unwrap(),
            stamp: &stamp,
            grant_generation: None,
        };
        let claims = Claims::new(allows, NOW, std::time::Duration::from_secs(600));
        assert_eq!(claims.stamp(), Some(stamp));
        claims
    }

    fn key(algorithm: Algorithm) -> PrivateKey {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::open_or_make(&folder.path().join("key")).unwrap();
        SealedKey::generate(algorithm, &file, NOW).unwrap().unseal(&file).unwrap()
    }

    #[test]
    fn what_was_signed_here_is_read_back_and_any_change_is_refused() {
        for algorithm in Algorithm::ALL {
            let (key, other) = (key(algorithm), key(algorithm));
            let claims = claims();
            let jwt = Jwt::sign(&claims, &key).unwrap();
            let reader = Reader::new(&[other.public().clone(), key.public().clone()]);
            assert_eq!(reader.read(jwt.expose()), Some(claims));
            assert_eq!(Reader::new(&[other.public().clone()]).read(jwt.expose()), None);
            for place in 0..jwt.expose().len() {
                let mut changed = jwt.expose().as_bytes().to_vec();
                changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(reader.read(&changed), None, "{place}");
            }
            for text in
                [format!("{}=", jwt.expose()), format!("{} ", jwt.expose()), format!(".{}", jwt.expose())]
            {
                assert_eq!(reader.read(&text), None, "{text}");
            }
        }
    }

    #[test]
    fn no_other_header_is_read_however_it_is_signed() {
        let key = key(Algorithm::EdDsa);
        let reader = Reader::new(&[key.public().clone()]);
        let payload = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims()).unwrap());
        let kid = &key.public().id;
        for header in [
            r#"{"typ":"at+jwt","alg":"none"}"#.to_owned(),
            format!(r#"{{"typ":"at+jwt","alg":"none","kid":"{kid}"}}"#),
            format!(r#"{{"typ":"at+jwt","alg":"HS256","kid":"{kid}"}}"#),
            format!(r#"{{"typ":"JWT","alg":"EdDSA","kid":"{kid}"}}"#),
            format!(r#"{{"typ":"at+jwt","alg":"EdDSA","kid":"{kid}","crit":["b64"],"b64":false}}"#),
            format!(r#"{{"typ":"at+jwt","alg":"EdDSA","kid":"{kid}","jku":"https://evil.example"}}"#),
        ] {
            let signed = format!("{}.{payload}", BASE64_URL_SAFE_NO_PAD.encode(header));
            let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).unwrap());
            assert_eq!(reader.read(&format!("{signed}.{signature}")), None);
            assert_eq!(reader.read(&format!("{signed}.")), None);
        }
    }

    #[test]
    fn debug_shows_nothing_of_a_token() {
        assert_eq!(format!("{:?}", Jwt::sign(&claims(), &key(Algorithm::EdDsa)).unwrap()), "Jwt(..)");
    }
}
