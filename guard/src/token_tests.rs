//! Tokens that are read and refused.

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

/// Signs header and claims exactly as given.
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
    for alg in ["none", "None", "NONE", "HS256", "HS512", "RS256", "PS256", "ES256", "ES384", "Ed25519", ""] {
        assert_eq!(check(&signed(&with(header(), "alg", json!(alg)), &claims)), Err(Refusal::Algorithm));
    }
    for typ in ["JWT", "jwt", "id+jwt", "logout+jwt", "", "at+jwt ", "x/at+jwt"] {
        assert_eq!(check(&signed(&with(header(), "typ", json!(typ)), &claims)), Err(Refusal::Type), "{typ}");
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
fn a_mac_made_with_the_public_key_and_a_missing_signature_are_refused() {
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
        assert_eq!(check(&signed(&header, &with(claims(), name, value.clone()))), Err(why), "{name} {value}");
    }
    for (name, value) in [("exp", NOW - 59), ("iat", NOW + 60), ("exp", NOW + 3_500)] {
        assert!(check(&signed(&header, &with(claims(), name, json!(value)))).is_ok(), "{name} {value}");
    }
}
