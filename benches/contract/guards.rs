//! From a revocation to its refusal at a hundred guards, and ten thousand revocations at once.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, params};

use crate::fleet::{self, Fleet};
use crate::jwt::{self, Device};
use crate::load::Latencies;
use crate::seed::World;
use crate::{PORT, Rows, Running};

const GUARDS: usize = 100;
const LATENCY_ROUNDS: usize = 1_000;
const STORM: usize = 10_000;
const CONNECTIONS: usize = 64;
/// Rounds come at different moments of the guards' own rhythm.
const PAUSES: [u64; 5] = [3, 17, 7, 29, 11];
const LONGEST: Duration = Duration::from_secs(60);

const ONE_BY_ONE: &str = "guards: from a revocation's answer to refusal at the last of 100, 1000 rounds, ms";
const AT_ONCE: &str = "guards: 10000 revocations at once, 64 connections, 100 guards";
const WITHDRAWN: &str = "guards: from a key's withdrawal by command to refusal at the last of 100, ms";

/// A world of its own: every device is revoked once.
pub fn measure(runtime: &tokio::runtime::Runtime, rows: &Rows) -> Result<()> {
    if ![ONE_BY_ONE, AT_ONCE, WITHDRAWN].iter().any(|row| rows.hold(row)) {
        return Ok(());
    }
    let many = LATENCY_ROUNDS + STORM + 1;
    let world = World::make(runtime, many * 5)?;
    let issuer = format!("http://127.0.0.1:{PORT}");
    let mut devices = runtime.block_on(jwt::devices(&world, &issuer, many))?;
    ensure!(devices.len() == many, "too few devices");
    let mut storm = devices.split_off(LATENCY_ROUNDS);
    let unrevoked = storm.split_off(STORM);
    let _server = Running::rescind(&world.database, PORT)?;
    let mut fleet =
        Fleet::start(GUARDS, &issuer, std::slice::from_ref(&issuer), &world.server, "https://api.example")?;
    if rows.hold(ONE_BY_ONE) {
        runtime.block_on(one_by_one(&world, &issuer, &devices, &mut fleet))?;
    }
    if rows.hold(AT_ONCE) {
        runtime.block_on(at_once(&world, &issuer, storm, &mut fleet))?;
    }
    if rows.hold(WITHDRAWN) {
        withdrawn(&world, &unrevoked[0], &mut fleet)?;
    }
    Ok(())
}

/// One by one, at the first of several servers on one database, with guards at all of them.
pub fn measure_spread(
    runtime: &tokio::runtime::Runtime,
    rows: &Rows,
    world: &World,
    servers: &[String],
) -> Result<()> {
    if !rows.hold(ONE_BY_ONE) {
        return Ok(());
    }
    let devices = runtime.block_on(jwt::devices(world, &servers[0], LATENCY_ROUNDS))?;
    let mut fleet = Fleet::start(GUARDS, &servers[0], servers, &world.server, "https://api.example")?;
    runtime.block_on(one_by_one(world, &servers[0], &devices, &mut fleet))
}

/// Once, since all that was signed with the one key dies with it.
fn withdrawn(world: &World, device: &Device, fleet: &mut Fleet) -> Result<()> {
    let database = Connection::open(&world.database)?;
    let key: String = database.query_row("SELECT kid FROM signing_keys", [], |row| row.get(0))?;
    ensure!(fleet.ask(&format!("watch {}", device.jwt))? == "armed", "the guards are not ready");
    let began = fleet::now();
    let status = crate::rescind(&world.database, PORT)
        .args(["key", "withdraw", &key])
        .stdout(Stdio::null())
        .status()?;
    let answered = fleet::now();
    ensure!(status.success(), "the key was not withdrawn");
    let refused = fleet.hear_times()?;
    let last = *refused.iter().max().context("a time")?;
    let millis = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64() * 1e3;
    println!(
        "| {WITHDRAWN} | {:.2} from the command's end, {:.2} from its start |",
        millis(last.saturating_sub(answered)),
        millis(last - began)
    );
    Ok(())
}

/// RFC 7009 by the app: the refresh token's family closes.
async fn revoke(client: &reqwest::Client, issuer: &str, authorization: &str, device: &Device) -> Result<()> {
    let answer = client
        .post(format!("{issuer}/oauth/revoke"))
        .header("authorization", authorization)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={}", device.refresh_token))
        .send()
        .await?;
    ensure!(answer.status() == 200, "a revocation was refused: {}", answer.status());
    Ok(())
}

async fn one_by_one(world: &World, issuer: &str, devices: &[Device], fleet: &mut Fleet) -> Result<()> {
    let client = reqwest::Client::new();
    let [mut last, mut each, mut whole] = [(); 3].map(|()| Latencies::default());
    for (device, pause) in devices.iter().zip(PAUSES.iter().cycle()) {
        ensure!(fleet.ask(&format!("watch {}", device.jwt))? == "armed", "the guards are not ready");
        let sent = fleet::now();
        revoke(&client, issuer, &world.client_auth, device).await?;
        let answered = fleet::now();
        let refused = fleet.hear_times()?;
        let newest = *refused.iter().max().context("a time")?;
        // Whoever refused before the answer was out took no time.
        last.add(Duration::from_nanos(newest.saturating_sub(answered)));
        whole.add(Duration::from_nanos(newest - sent));
        for time in refused {
            each.add(Duration::from_nanos(time.saturating_sub(answered)));
        }
        tokio::time::sleep(Duration::from_millis(*pause)).await;
    }
    println!("| {ONE_BY_ONE} | {last} |");
    println!("| the same to refusal at each of the guards, ms | {each} |");
    println!("| the same from the request to refusal at the last, ms | {whole} |");
    Ok(())
}

async fn at_once(world: &World, issuer: &str, devices: Vec<Device>, fleet: &mut Fleet) -> Result<()> {
    let tokens = world.file("storm", "jwt");
    let lines: Vec<&str> = devices.iter().map(|device| device.jwt.as_str()).collect();
    std::fs::write(&tokens, lines.join("\n"))?;
    let tokens = tokens.display();
    ensure!(fleet.ask(&format!("accepted {tokens}"))? == STORM.to_string(), "not all were accepted before");
    let before = ledger_head(world)?;

    let began = (Instant::now(), fleet::now());
    let (devices, next) = (Arc::new(devices), Arc::new(AtomicUsize::new(0)));
    let client = reqwest::Client::new();
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (devices, next, client) = (devices.clone(), next.clone(), client.clone());
            let (issuer, authorization) = (issuer.to_owned(), world.client_auth.clone());
            tokio::spawn(async move {
                while let Some(device) = devices.get(next.fetch_add(1, Ordering::Relaxed)) {
                    revoke(&client, &issuer, &authorization, device).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for sender in senders {
        sender.await??;
    }
    let answered = began.0.elapsed();
    let through = ledger_head(world)?;
    let applied: u64 = fleet.ask(&format!("applied {through}"))?.parse()?;
    let applied = Duration::from_nanos(applied - began.1);
    while confirmed(world, before)? < STORM {
        ensure!(began.0.elapsed() < LONGEST, "only {} are confirmed", confirmed(world, before)?);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let written = began.0.elapsed();

    ensure!(fleet.ask(&format!("revoked {tokens}"))? == STORM.to_string(), "not all are refused");
    let gaps = fleet.ask("gaps")?;
    println!(
        "| {AT_ONCE}, s | answered {:.2}, in force everywhere {:.2}, confirmed by all and written {:.2}; \
         gaps {gaps} |",
        answered.as_secs_f64(),
        applied.as_secs_f64(),
        written.as_secs_f64()
    );
    println!(
        "| the same, from the act to the last guard's acknowledgement, ms | {} |",
        delays(world, before)?
    );
    Ok(())
}

fn ledger_head(world: &World) -> Result<i64> {
    let database = Connection::open(&world.database)?;
    Ok(database.query_row("SELECT coalesce(max(sequence), 0) FROM ledger", [], |row| row.get(0))?)
}

/// Rows after `before` of which the server has written that every guard confirmed them.
fn confirmed(world: &World, before: i64) -> Result<usize> {
    let database = Connection::open(&world.database)?;
    let count =
        "SELECT count(*) FROM confirmations WHERE ledger_sequence > ?1 AND confirmed = ?2 AND instances = ?2";
    let guards = i64::try_from(GUARDS)?;
    let rows: i64 = database.query_row(count, params![before, guards], |row| row.get(0))?;
    Ok(usize::try_from(rows)?)
}

fn delays(world: &World, before: i64) -> Result<Latencies> {
    let database = Connection::open(&world.database)?;
    let mut delays = Latencies::default();
    let mut rows = database.prepare("SELECT last_ms FROM confirmations WHERE ledger_sequence > ?1")?;
    for millis in rows.query_map([before], |row| row.get::<_, i64>(0))? {
        delays.add(Duration::from_millis(millis?.unsigned_abs()));
    }
    Ok(delays)
}
