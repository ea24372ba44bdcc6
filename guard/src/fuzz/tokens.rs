//! Tokens: good ones, good ones that were changed and signed again, forgeries and garbage.

use aws_lc_rs::signature::KeyPair as _;
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};

use super::chance::Chance;
use super::changes::{attack_header, change, move_to_edge};
use super::json::{Json, number, object, text};
use super::mint::{Mint, P256_ORDER, der, less, plus_order};
use super::oracle::{Dead, Here, Signed, Verdict, is_opaque, weigh};
use super::{AUDIENCE, ISSUER, LEEWAY, NOW, Tally};
use crate::clock::Clock;
use crate::feed;
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::wire::{self, Acknowledged, Entry, Snapshot, Subject};

/// A token, and what is known about its signature.
struct Input {
    token: String,
    signed: Signed,
}

/// A guard that knows some revocations, and the oracle's copy of them.
pub struct Tokens<'a> {
    mint: &'a Mint,
    shared: Shared,
    dead: Dead,
}

impl<'a> Tokens<'a> {
    pub fn new(mint: &'a Mint) -> Self {
        let settings = Settings::new(ISSUER, "rse_1", "secret", AUDIENCE)
            .server("http://127.0.0.1:1")
            .clock(Clock::movable());
        let shared = Shared::new(settings).unwrap();
        let id = str::to_owned;
        let subjects = [
            Subject::Token { id: id("tok_2") },
            Subject::Family { id: id("fam_3") },
            Subject::Grant { id: id("grt_2"), generation: Some(3) },
            Subject::Grant { id: id("grt_4"), generation: None },
            Subject::Client { id: id("cli_2"), generation: 2 },
            Subject::User { id: id("usr_3"), generation: 4 },
        ];
        let mut dead = Dead::default();
        dead.add(&Subject::Server { generation: 2 });
        subjects.iter().for_each(|subject| dead.add(subject));
        let snapshot = Snapshot {
            version: wire::VERSION,
            issuer: id(ISSUER),
            audience: id(AUDIENCE),
            incarnation: 1,
            through: 1,
            max_staleness: 3600,
            server_generation: 2,
            keys: wire::Keys { keys_version: 1, keys: mint.keys() },
            entries: subjects.map(|subject| Entry { subject, keep: u64::from(u32::MAX) }).to_vec(),
        };
        feed::accept_snapshot(&shared, Ok(snapshot)).unwrap();
        Self { mint, shared, dead }
    }

    /// One input. The guard and the oracle must agree on it.
    pub fn try_one(&self, chance: &mut Chance, tally: &mut Tally) {
        let input = self.draw(chance);
        let is_stale = chance.once_in(64);
        self.set_clocks(is_stale);
        let weighed = |now| {
            let here = Here { issuer: ISSUER, audience: AUDIENCE, now, leeway: LEEWAY, dead: &self.dead };
            weigh(&input.token, input.signed, &here)
        };
        let before = self.shared.state.clock().wall() as u64;
        let judged = self.shared.check_in_memory(&input.token);
        let after = self.shared.state.clock().wall() as u64;
        tally.count(match &judged {
            Ok(_) => "accepted".to_owned(),
            Err(refusal) => format!("{refusal:?}").split('(').next().unwrap().to_owned(),
        });
        let agrees = |verdict: &Verdict| match (verdict, &judged) {
            (Verdict::Accept(_) | Verdict::Either(_), Err(Refusal::Stale)) => is_stale,
            (Verdict::Accept(claims), Ok(accepted)) => claims == accepted && !is_stale,
            (Verdict::Either(claims), Ok(accepted)) => claims == accepted && !is_stale,
            (Verdict::Either(_) | Verdict::Refuse(_), Err(_)) => true,
            (Verdict::Accept(_), Err(_)) | (Verdict::Refuse(_), Ok(_)) => false,
        };
        // The second may have changed between the two readings of the clock.
        let verdicts = [weighed(before), weighed(after)];
        let says =
            || format!("guard: {judged:?}\noracle: {verdicts:?}\n{:?}: {:?}", input.signed, input.token);
        assert!(verdicts.iter().any(agrees), "{}", says());
        if input.token.starts_with("rsc_at_") {
            let expected = if is_opaque(&input.token) { Refusal::Opaque } else { Refusal::Checksum };
            assert_eq!(judged, Err(expected), "{:?}", input.token);
        }
    }

    fn set_clocks(&self, is_stale: bool) {
        let state = &self.shared.state;
        if is_stale {
            state.clock().sleep(std::time::Duration::from_secs(3601));
        } else {
            let answer = Acknowledged { incarnation: 1, through: 1, keys_version: 1, max_staleness: 3600 };
            state.confirm(state.clock().boot(), &state.progress(), &answer);
        }
        state.clock().set_wall(NOW as i64 - state.clock().wall());
    }

    fn draw(&self, chance: &mut Chance) -> Input {
        match chance.below(16) {
            0..10 => self.signed_again(chance),
            10 | 11 => self.garbled(chance),
            12 | 13 => self.forged(chance),
            14 => Input { token: opaque(chance), signed: Signed::Nobody },
            _ => Input { token: rubbish(chance), signed: Signed::Nobody },
        }
    }

    /// Header and claims are changed at random, then signed with the right key. So only reading them can find the
    /// fault.
    fn signed_again(&self, chance: &mut Chance) -> Input {
        let kid = *chance.pick(&["ed", "ec"]);
        let (mut header, mut claims) = (header(kid), claims(chance));
        match chance.below(8) {
            0 => change(&mut header, chance),
            1 => attack_header(&mut header, chance),
            _ => {}
        }
        for _ in 0..chance.below(3) {
            match chance.below(4) {
                0 => move_to_edge(&mut claims, chance),
                _ => change(&mut claims, chance),
            }
        }
        let header = part(&header, chance);
        let payload = part(&claims, chance);
        let signed =
            if chance.once_in(40) { format!("{payload}.{header}") } else { format!("{header}.{payload}") };
        let signature = URL_SAFE_NO_PAD.encode(self.mint.sign(kid, signed.as_bytes()));
        Input { token: format!("{signed}.{signature}"), signed: Signed::By(kid) }
    }

    fn good(&self, kid: &str, chance: &mut Chance) -> (String, Vec<u8>) {
        let (mut head, mut body) = (String::new(), String::new());
        header(kid).write(chance, &mut head);
        claims(chance).write(chance, &mut body);
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(body));
        let signature = self.mint.sign(kid, signed.as_bytes());
        (signed, signature)
    }

    /// A good token, changed as text.
    fn garbled(&self, chance: &mut Chance) -> Input {
        let kid = *chance.pick(&["ed", "ec"]);
        let (signed, signature) = self.good(kid, chance);
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        let mut bytes = token.clone().into_bytes();
        match chance.below(12) {
            0 => bytes.push(*chance.pick(b"=. \nA\0")),
            1 => bytes.insert(0, *chance.pick(b"=. \nA\0")),
            2 => bytes.extend_from_within(..),
            3 => bytes.extend(vec![b'A'; chance.below(9000)]),
            4 => bytes.splice(..0, *b"Bearer ").for_each(drop),
            5 => bytes.retain(|byte| *byte != b'.'),
            _ => chance.garble(&mut bytes),
        }
        let changed = String::from_utf8_lossy(&bytes).into_owned();
        let signed = if changed == token { Signed::By(kid) } else { Signed::Nobody };
        Input { token: changed, signed }
    }

    /// A good token with another signature.
    fn forged(&self, chance: &mut Chance) -> Input {
        let kid = *chance.pick(&["ed", "ec"]);
        let (text, signature) = self.good(kid, chance);
        let mut signed = Signed::Nobody;
        let signature = match chance.below(10) {
            0 => Vec::new(),
            1 => vec![0; 64],
            2 => self.mint.sign(if kid == "ed" { "stranger's ed" } else { "stranger's ec" }, text.as_bytes()),
            3 => self.mint.sign(if kid == "ed" { "ec" } else { "ed" }, text.as_bytes()),
            4 => {
                let key = if kid == "ed" {
                    self.mint.ed.public_key().as_ref()
                } else {
                    self.mint.ec.public_key().as_ref()
                };
                let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, key), text.as_bytes());
                mac.as_ref().to_vec()
            }
            5 => digest::digest(&digest::SHA512, text.as_bytes()).as_ref().to_vec(),
            6 if kid == "ec" => der(&signature),
            7 => [&signature[32..], &signature[..32]].concat(),
            8 if kid == "ec" => {
                signed = Signed::Twisted(kid);
                [signature[..32].to_vec(), less(&P256_ORDER, &signature[32..])].concat()
            }
            8 => [signature[..32].to_vec(), plus_order(&signature[32..])].concat(),
            _ => {
                let mut other = signature.clone();
                other[chance.below(64)] ^= 1 << chance.below(8);
                other
            }
        };
        let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature));
        Input { token, signed }
    }
}

fn header(kid: &str) -> Json {
    let alg = if kid == "ed" { "EdDSA" } else { "ES256" };
    object(vec![("typ", text("at+jwt")), ("alg", text(alg)), ("kid", text(kid))])
}

/// Claims as the server may sign them. Some of these tokens are dead.
fn claims(chance: &mut Chance) -> Json {
    let mut one_of = |kind: &str| text(format!("{kind}_{}", 1 + chance.below(4)));
    let (client, user, grant, family, token) =
        (one_of("cli"), one_of("usr"), one_of("grt"), one_of("fam"), one_of("tok"));
    let mut generation = || number(chance.below(4) + 2);
    let generations: [Json; 4] = std::array::from_fn(|_| generation());
    let [server, of_client, of_user, of_grant] = generations;
    let iat = NOW - chance.below(500) as u64;
    let mut members = vec![
        ("iss", text(ISSUER)),
        ("exp", number(iat + 600)),
        ("aud", text(AUDIENCE)),
        ("sub", if chance.once_in(4) { client.clone() } else { user }),
        ("client_id", client),
        ("iat", number(iat)),
        ("jti", token),
        ("scope", text(*chance.pick(&["", "read", "read write"]))),
        ("server_generation", server),
        ("client_generation", of_client),
    ];
    if members[3].1 != members[4].1 {
        members.extend([
            ("user_generation", of_user),
            ("grant_id", grant),
            ("grant_generation", of_grant),
            ("family_id", family),
        ]);
    }
    object(members)
}

/// An object as a part of a token. Usually written as it should be.
fn part(value: &Json, chance: &mut Chance) -> String {
    let mut written = String::new();
    value.write(chance, &mut written);
    let mut bytes = written.into_bytes();
    if chance.once_in(24) {
        chance.garble(&mut bytes);
    }
    let plain = URL_SAFE_NO_PAD.encode(&bytes);
    match chance.below(100) {
        0 => URL_SAFE.encode(&bytes),
        1 => STANDARD.encode(&bytes),
        2 => {
            // The same bytes with a changed bit that is not decoded, if there is one.
            let mut other = plain.into_bytes();
            if let (true, Some(last)) = (other.len() % 4 > 1, other.last_mut()) {
                *last = if last.is_ascii_digit() { b'_' } else { *last + 1 };
            }
            String::from_utf8(other).unwrap()
        }
        3 => {
            let mut other = plain;
            other.insert(chance.below(other.len() + 1), *chance.pick(&[' ', '\n', '=', '+', 'é', '%']));
            other
        }
        _ => plain,
    }
}

fn opaque(chance: &mut Chance) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let body: String = (0..43).map(|_| char::from(*chance.pick(DIGITS))).collect();
    let mut token = format!("rsc_at_{body}").into_bytes();
    let mut rest = crc32fast::hash(&token) as usize;
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[rest % 62];
        rest /= 62;
    }
    token.extend(digits);
    if chance.once_in(2) {
        chance.garble(&mut token);
    }
    String::from_utf8_lossy(&token).into_owned()
}

fn rubbish(chance: &mut Chance) -> String {
    let mut text = String::new();
    for _ in 0..chance.below(6) {
        match chance.below(4) {
            0 => text.push('.'),
            1 => text.push_str(&URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt","kid":"ed"}"#)),
            2 => Json::any(chance).write(chance, &mut text),
            _ => {
                let bytes: Vec<u8> = (0..chance.below(40)).map(|_| chance.number() as u8).collect();
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
    }
    text
}
