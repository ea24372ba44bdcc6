//! Changes of a header or of claims before they are signed again.

use super::chance::Chance;
use super::json::{Json, number, object, text};
use super::{LEEWAY, NOW};

const HEADERS: &[&str] =
    &["alg", "typ", "kid", "jwk", "jku", "x5u", "x5c", "x5t", "crit", "b64", "cty", "zip", "enc", "ALG"];
const CLAIMS: &[&str] = &[
    "iss",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "sub",
    "scope",
    "client_id",
    "cnf",
    "act",
    "azp",
    "nonce",
    "grant_id",
    "family_id",
    "user_generation",
    "grant_generation",
    "server_generation",
    "client_generation",
    "Exp",
    "exp ",
];
const VALUES: &[&str] = &[
    "none",
    "HS256",
    "HS512",
    "RS256",
    "PS256",
    "ES256",
    "ES384",
    "EdDSA",
    "Ed25519",
    "ed",
    "ec",
    "ED",
    "JWT",
    "jwt",
    "id+jwt",
    "AT+JWT",
    "application/at+jwt",
    "at+jwt",
    "https://api.example/",
    "https://mail.example",
    "https://id.example",
    "https://evil.example",
    "HTTPS://ID.EXAMPLE",
    "cli_1",
    "cli_2",
    "usr_3",
    "tok_2",
    "fam_3",
];

/// Changes one thing of an object.
pub fn change(of: &mut Json, chance: &mut Chance) {
    let Json::Object(members) = of else { return };
    let is_header = members.len() == 3;
    let at = chance.below(members.len().max(1));
    let value = value(chance, VALUES);
    match chance.below(12) {
        _ if members.is_empty() => members.push(("a".to_owned(), value)),
        0 => drop(members.remove(at)),
        1 => {
            let twin = (members[at].0.clone(), if chance.once_in(2) { members[at].1.clone() } else { value });
            members.insert(chance.below(members.len() + 1), twin);
        }
        2 => {
            let name = (*chance.pick(if is_header { HEADERS } else { CLAIMS })).to_owned();
            members.push((name, value));
        }
        3 => {
            let other = chance.below(members.len());
            let held = members[at].1.clone();
            members[at].1 = std::mem::replace(&mut members[other].1, held);
        }
        4 => members[at].1 = Json::List(vec![members[at].1.clone()]),
        5 => {
            members[at].1 = match &members[at].1 {
                Json::Number(digits) => chance.pick(&[text(digits), number(format!("{digits}.0"))]).clone(),
                Json::Text(word) => {
                    text(chance.pick(&[format!("{word} "), word.to_uppercase(), format!("{word}\0")]))
                }
                other => other.clone(),
            };
        }
        6 => {
            let other = chance.below(members.len());
            members.swap(at, other);
        }
        9 if chance.once_in(10) => members.push(("pad".to_owned(), text("x".repeat(chance.below(9000))))),
        10 => members[at].0 = (*chance.pick(if is_header { HEADERS } else { CLAIMS })).to_owned(),
        _ => members[at].1 = value,
    }
}

fn value(chance: &mut Chance, words: &[&str]) -> Json {
    match chance.below(3) {
        0 => text(*chance.pick(words)),
        1 => number(chance.below(8)),
        _ => Json::any(chance),
    }
}

/// Sets a member, or adds it.
fn set(of: &mut Json, name: &str, value: Json) {
    let Json::Object(members) = of else { return };
    match members.iter_mut().find(|member| member.0 == name) {
        Some(member) => member.1 = value,
        None => members.push((name.to_owned(), value)),
    }
}

/// Changes one thing of a header as attackers do (RFC 8725 §2). All else is as it should be.
pub fn attack_header(header: &mut Json, chance: &mut Chance) {
    match chance.below(4) {
        0 => {
            let other = ["none", "HS256", "RS256", "ES256", "EdDSA", "ES384", "Ed25519"];
            set(header, "alg", text(*chance.pick(&other)));
        }
        1 => set(
            header,
            "typ",
            text(*chance.pick(&["JWT", "id+jwt", "AT+JWT", "application/at+jwt", "receipt+jws"])),
        ),
        2 => set(header, "kid", text(*chance.pick(&["ed", "ec", "", "Ed"]))),
        _ => {
            let (name, value) = match chance.below(8) {
                0 => ("jwk", object(vec![("kty", text("OKP"))])),
                1 => ("jku", text("https://evil.example/jwks")),
                2 => ("x5u", text("https://evil.example/x5u")),
                3 => ("x5c", Json::List(vec![text("MII")])),
                4 => ("crit", Json::List(vec![text("b64")])),
                5 => ("b64", Json::Bool(false)),
                6 => ("cty", text("JWT")),
                _ => ("zip", text("DEF")),
            };
            set(header, name, value);
        }
    }
}

/// Sets a claim to a limit of what it may be, or one beyond it.
pub fn move_to_edge(claims: &mut Json, chance: &mut Chance) {
    let edge = |chance: &mut Chance, edges: &[u64]| *chance.pick(edges) + chance.below(3) as u64 - 1;
    match chance.below(4) {
        0 => {
            let exp = edge(chance, &[NOW - LEEWAY, NOW, NOW + 600]);
            set(claims, "exp", number(exp));
            set(claims, "iat", number(exp - 600));
        }
        1 => {
            let iat = NOW - chance.below(500) as u64;
            set(claims, "iat", number(iat));
            set(claims, "exp", number(edge(chance, &[iat + 1, iat + 600, iat + 3600])));
        }
        2 => {
            let moment = edge(chance, &[NOW, NOW + LEEWAY]);
            set(claims, if chance.once_in(2) { "iat" } else { "nbf" }, number(moment));
        }
        _ => {
            let name = *chance.pick(&[
                "server_generation",
                "client_generation",
                "user_generation",
                "grant_generation",
                "nbf",
            ]);
            let most = *chance.pick(&[1 << 53, 1 << 63, 1 << 32, 1]);
            set(claims, name, number(edge(chance, &[most])));
        }
    }
}
