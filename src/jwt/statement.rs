//! Statements that this server signs so that others can check them: JWS (RFC 7515), each with its own `typ`.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::jwt::key::PrivateKey;

/// `payload` as a signed JWS in compact serialization. `None` when the system gives no randomness.
///
/// `typ` makes sure that it can't be mistaken for anything else that the key signs (RFC 8725 §3.11).
pub fn sign(typ: &str, payload: &Value, key: &PrivateKey) -> Option<String> {
    let public = key.public();
    let header = json!({ "typ": typ, "alg": public.algorithm.as_str(), "kid": public.id });
    let [header, payload] = [&header, payload].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = format!("{header}.{payload}");
    let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes())?);
    Some(format!("{signed}.{signature}"))
}
