//! What one guard costs its resource server: time for each token, memory for each entry.
//!
//! The guard runs in a process of its own, so that its memory is all that grows there. Its feed comes from here, so that
//! it can be as long as it must.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::routing::{get, post};
use rescind::clock::{Clock, Timestamp};
use rescind::jwt::claims::{Claims, NewClaims};
use rescind::jwt::key::{PrivateKey, SealedKey};
use rescind::jwt::key_file::KeyFile;
use rescind::jwt::token::Jwt;
use rescind::model::id::{ClientId, FamilyId, GrantId, UserId};
use rescind::model::key::Algorithm;
use rescind::model::scope::Scope;
use rescind::model::stamp::{Generations, Stamp};
use rescind_guard::wire::{Ack, Acknowledged, Entry, EntryEvent, Keys, Snapshot, Subject, VERSION};
use tokio::sync::watch;

use crate::Rows;
use crate::tokens::{AUDIENCE, Tokens, TokensOfKey, WORD};

/// Tokens that a guard is given, of each algorithm.
const TOKENS: usize = 1_000;
const REVOKED: usize = 100;
const LIFE: std::time::Duration = std::time::Duration::from_secs(3600);

/// A feed that anybody may read.
struct Feed {
    issuer: String,
    keys: Keys,
    entries: Vec<Entry>,
    /// Whether they are sent.
    sending: watch::Sender<bool>,
}

pub fn measure(runtime: &tokio::runtime::Runtime, rows: &Rows) -> Result<()> {
    for entries in [10_000, 1_000_000] {
        if rows.hold(&format!("guards: check of a token with {entries} entries")) {
            runtime.block_on(with_entries(entries))?;
        }
    }
    Ok(())
}

async fn with_entries(count: usize) -> Result<()> {
    let now = Clock::System.now();
    let folder = tempfile::tempdir()?;
    let keys = Algorithm::ALL.map(|algorithm| private_key(algorithm, folder.path(), now));
    let [eddsa, es256] = keys;
    let keys = [eddsa?, es256?];
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let issuer = format!("http://{}", listener.local_addr()?);
    let families: Vec<FamilyId> = (0..REVOKED).map(|_| FamilyId::generate(now)).collect();
    let sign = |family: FamilyId, key: &PrivateKey| signed(&issuer, family, key, now);
    let tokens = Tokens {
        issuer: issuer.clone(),
        entries: u64::try_from(count)?,
        signed: keys
            .iter()
            .map(|key| {
                let tokens =
                    (0..TOKENS).map(|_| sign(FamilyId::generate(now), key)).collect::<Result<_>>()?;
                Ok(TokensOfKey { key: key.public().jwk(), tokens })
            })
            .collect::<Result<_>>()?,
        revoked: families.iter().map(|family| sign(family.clone(), &keys[0])).collect::<Result<_>>()?,
    };
    let mut entries: Vec<Entry> =
        (REVOKED..count).map(|place| Entry { subject: subject(place, now), keep: 7_500 }).collect();
    entries.extend(
        families.iter().map(|id| Entry { subject: Subject::Family { id: id.to_string() }, keep: 7_500 }),
    );
    let feed = Feed {
        issuer,
        keys: Keys { keys_version: 1, keys: keys.iter().map(|key| key.public().jwk()).collect() },
        entries,
        sending: watch::Sender::new(false),
    };
    let feed = Arc::new(feed);
    let router = axum::Router::new()
        .route("/revocations/snapshot", get(snapshot))
        .route("/revocations/feed", get(stream))
        .route("/revocations/ack", post(acknowledge))
        .with_state(feed.clone());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let told =
        tokio::task::spawn_blocking(move || in_process(&tokens, || feed.sending.send_replace(true))).await?;
    server.abort();
    print!("{}", told?);
    Ok(())
}

fn private_key(algorithm: Algorithm, folder: &Path, now: Timestamp) -> Result<PrivateKey> {
    let file = KeyFile::open_or_make(&folder.join("key"))?;
    Ok(SealedKey::generate(algorithm, &file, now)?.unseal(&file)?)
}

fn signed(issuer: &str, family: FamilyId, key: &PrivateKey, now: Timestamp) -> Result<String> {
    let stamp = Stamp {
        family: Some(family),
        grant: Some(GrantId::generate(now)),
        client: ClientId::generate(now),
        user: Some(UserId::generate(now)),
        generations: Generations { server: 1, client: 1, user: Some(1) },
    };
    let allows = NewClaims {
        issuer,
        audience: AUDIENCE,
        scope: &Scope::parse("photos.read photos.write").context("a scope")?,
        stamp: &stamp,
        grant_generation: Some(1),
    };
    Ok(Jwt::sign(&Claims::new(allows, now, LIFE), key).context("a signature")?.expose().to_owned())
}

/// Of every kind that comes in numbers.
fn subject(place: usize, now: Timestamp) -> Subject {
    match place % 4 {
        0 => Subject::Token { id: format!("tok_{}", rescind::model::id::random62(22)) },
        1 => Subject::Family { id: FamilyId::generate(now).to_string() },
        2 => Subject::Grant { id: GrantId::generate(now).to_string(), generation: None },
        _ => Subject::User { id: UserId::generate(now).to_string(), generation: 2 },
    }
}

async fn snapshot(State(feed): State<Arc<Feed>>) -> Json<Snapshot> {
    Json(Snapshot {
        version: VERSION,
        issuer: feed.issuer.clone(),
        audience: AUDIENCE.to_owned(),
        incarnation: 1,
        through: 0,
        max_staleness: 60,
        server_generation: 1,
        keys: feed.keys.clone(),
        entries: Vec::new(),
    })
}

/// Everything, as soon as it is asked for, and then nothing.
async fn stream(State(feed): State<Arc<Feed>>) -> ([(&'static str, &'static str); 1], Body) {
    const PIECE: usize = 256;
    let pieces = futures_util::stream::unfold((feed, 0), |(feed, sent)| async move {
        let mut sending = feed.sending.subscribe();
        if sent >= feed.entries.len() || sending.wait_for(|sending| *sending).await.is_err() {
            return std::future::pending().await;
        }
        let mut text = String::new();
        for (place, entry) in feed.entries.iter().enumerate().skip(sent).take(PIECE) {
            let event = EntryEvent { prev: place as u64, at: 0, entry: entry.clone() };
            let data = serde_json::to_string(&event).ok()?;
            text.push_str(&format!("id: 1.{}\nevent: entry\ndata: {data}\n\n", place + 1));
        }
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(text)), (feed, sent + PIECE)))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(pieces))
}

async fn acknowledge(Json(ack): Json<Ack>) -> Json<Acknowledged> {
    let Ack { incarnation, through, keys_version, .. } = ack;
    Json(Acknowledged { incarnation, through, keys_version, max_staleness: 60 })
}

/// Lets the process measure, and returns its lines of the table; `send` is called once it wants the entries.
fn in_process(tokens: &Tokens, send: impl FnOnce() -> bool) -> Result<String> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(WORD)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut orders = child.stdin.take().context("a pipe")?;
    let mut reports = BufReader::new(child.stdout.take().context("a pipe")?);
    writeln!(orders, "{}", serde_json::to_string(tokens)?)?;
    let mut line = String::new();
    reports.read_line(&mut line)?;
    ensure!(line.trim_end() == "ready", "the guard did not start: {line}");
    send();
    let mut told = String::new();
    std::io::Read::read_to_string(&mut reports, &mut told)?;
    ensure!(child.wait()?.success(), "the guard's process failed");
    Ok(told)
}
