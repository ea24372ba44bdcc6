//! One guard in a process of its own, which measures itself.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rescind::clock::Clock;
use rescind::model::id::{ClientId, FamilyId, GrantId, UserId, random62};
use rescind_guard::wire::Key;
use rescind_guard::{Claims, Guard, Refusal, Settings, Stamp, UserStamp};

use crate::median;
use crate::tokens::{AUDIENCE, Tokens, TokensOfKey};

/// Tokens whose entries are looked for: so many that their places in the table are in no cache.
const STRANGERS: usize = 100_000;
/// Tokens checked between two looks at the clock: as many as fit into the nearest cache.
const BLOCK: usize = 64;
const ROUNDS: usize = 15;

pub fn run() -> Result<()> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let tokens: Tokens = serde_json::from_str(&line)?;
    drop(line);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let settings = Settings::new(tokens.issuer.clone(), "rs_1", "secret", AUDIENCE);
    let guard = runtime.block_on(async {
        let guard = Guard::start(settings)?;
        guard.ready().await;
        anyhow::Ok(guard)
    })?;
    let signed = tokens.signed.iter().flat_map(|signed| &signed.tokens);
    for token in signed.chain(&tokens.revoked) {
        guard.verify(token).context("refused before anything was revoked")?;
    }

    let before = memory()?;
    println!("ready");
    let began = Instant::now();
    runtime.block_on(guard.applied(tokens.entries));
    let applied = began.elapsed();
    // The connection's buffers go back.
    std::thread::sleep(Duration::from_secs(2));
    let bytes = (memory()? - before) / tokens.entries as f64;
    for token in &tokens.revoked {
        ensure!(matches!(guard.verify(token), Err(Refusal::Revoked(_))), "accepted though revoked");
    }

    let entries = tokens.entries;
    let check = check(&guard)?;
    println!("| guards: check of a token with {entries} entries, beyond the signature, ns | {check:.0} |");
    // Of few entries, the connection's own buffers would be the most.
    if entries >= 1_000_000 {
        println!("| the same guard's memory, bytes an entry | {bytes:.1} |");
    }
    println!("| the same guard, entries applied a second | {:.0} |", entries as f64 / applied.as_secs_f64());
    for signed in &tokens.signed {
        let (bare, whole) = verify(&guard, signed)?;
        println!(
            "| {} verify with {entries} entries, of the bare signature check | {:.3}: {:.1} of {:.1} µs |",
            signed.key.alg,
            whole / bare,
            whole / 1e3,
            bare / 1e3
        );
    }
    Ok(())
}

/// Resident memory in bytes.
fn memory() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0)
}

/// Nanoseconds for all that `verify` looks at beyond form and signature. The claims have just been read, as there; the
/// table has not.
fn check(guard: &Guard) -> Result<f64> {
    let now = Clock::System.now();
    let stranger = || Claims {
        sub: UserId::generate(now).to_string(),
        client_id: ClientId::generate(now).to_string(),
        scope: "photos.read".to_owned(),
        jti: Some(format!("tok_{}", random62(22))),
        iat: now.seconds(),
        exp: now.seconds() + 3600,
        stamp: Stamp {
            server_generation: 1,
            client_generation: 1,
            user: Some(UserStamp {
                user_generation: 1,
                grant_id: GrantId::generate(now).to_string(),
                family_id: FamilyId::generate(now).to_string(),
                grant_generation: Some(1),
            }),
        },
        kid: None,
    };
    let strangers: Vec<Claims> = (0..STRANGERS).map(|_| stranger()).collect();
    let mut whole = Duration::ZERO;
    for block in strangers.chunks(BLOCK) {
        let block = block.to_vec();
        let began = Instant::now();
        let accepted = block.iter().filter(|claims| guard.recheck(black_box(claims)).is_ok()).count();
        whole += began.elapsed();
        ensure!(accepted == block.len(), "a token was refused that nothing covers");
    }
    Ok(whole.as_nanos() as f64 / STRANGERS as f64)
}

/// Nanoseconds for the signature alone and for all, medians of rounds that alternate.
fn verify(guard: &Guard, signed: &TokensOfKey) -> Result<(f64, f64)> {
    let key = public_key(&signed.key)?;
    let parts: Vec<(&[u8], Vec<u8>)> = signed
        .tokens
        .iter()
        .map(|token| {
            let (text, signature) = token.rsplit_once('.').context("a signature")?;
            Ok((text.as_bytes(), BASE64_URL_SAFE_NO_PAD.decode(signature)?))
        })
        .collect::<Result<_>>()?;
    let (mut bare, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let good = parts.iter().filter(|(text, signature)| key.verify_sig(text, signature).is_ok()).count();
        bare.push(began.elapsed().as_nanos() as f64 / parts.len() as f64);
        ensure!(good == parts.len(), "a signature does not fit");
        let began = Instant::now();
        let good = signed.tokens.iter().filter(|token| guard.verify(token).is_ok()).count();
        whole.push(began.elapsed().as_nanos() as f64 / parts.len() as f64);
        ensure!(good == parts.len(), "a token was refused");
    }
    Ok((median(&bare), median(&whole)))
}

fn public_key(key: &Key) -> Result<ParsedPublicKey> {
    let x = BASE64_URL_SAFE_NO_PAD.decode(&key.x)?;
    let parsed = match &key.y {
        None => ParsedPublicKey::new(&ED25519, x),
        Some(y) => {
            let point = [vec![4], x, BASE64_URL_SAFE_NO_PAD.decode(y)?].concat();
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        }
    };
    parsed.ok().context("a public key")
}
