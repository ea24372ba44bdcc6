//! The revocation contract in figures: `cargo bench`.
//!
//! Every throughput is given as a share of a bare axum server that answers a static JSON, the two alternating in the
//! same run (few tokens and many, too), medians of three. `cargo bench -- 500000` makes fewer than a million tokens (of too
//! few, those that are used once run out),
//! `cargo bench -- 1000000 introspection postgres://…` measures on an empty PostgreSQL database, which is filled for it.
//! `cargo bench -- 1000000 refresh` measures the rows alone whose name holds that word; `cargo bench -- 1000000 guards` needs
//! no million and makes none.

mod checks;
mod fleet;
mod guards;
mod jwt;
mod load;
mod postgres;
mod seed;
mod tokens;
mod verify;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use load::{Latencies, Sent, Wrk};
use seed::World;

const BARE: &str = "--bare";
const BARE_PORT: u16 = 18_090;
const PORT: u16 = 18_091;
const FEW_PORT: u16 = 18_092;
const ROUNDS: usize = 3;
const FEW_TOKENS: usize = 10_000;
const JWT_INTROSPECTION: &str = "JWT introspection";

fn main() -> Result<()> {
    let mut arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let on_postgres = arguments.pop_if(|last| last.starts_with("postgres://"));
    match arguments.first().map(String::as_str) {
        Some(BARE) => return load::serve_bare(BARE_PORT),
        Some(fleet::WORD) => return fleet::run(),
        Some(tokens::WORD) => return verify::run(),
        _ => {}
    }
    let many = arguments.first().map_or(Ok(1_000_000), |text| text.parse()).context("a number of tokens")?;
    let rows = Rows { named: arguments.get(1).cloned().unwrap_or_default() };
    let runtime = tokio::runtime::Runtime::new()?;
    if let Some(url) = on_postgres {
        let _bare = Running::start(Command::new(std::env::current_exe()?).arg(BARE), BARE_PORT)?;
        return postgres::measure(&runtime, &rows, many, &url);
    }
    checks::measure(&runtime, &rows)?;
    guards::measure(&runtime, &rows)?;
    if rows.named.starts_with("guards") {
        return Ok(());
    }
    let _bare = Running::start(Command::new(std::env::current_exe()?).arg(BARE), BARE_PORT)?;
    endpoints(&runtime, &rows, many)
}

/// Which rows of the table are measured.
struct Rows {
    named: String,
}

impl Rows {
    fn hold(&self, name: &str) -> bool {
        name.contains(&self.named)
    }

    /// One line of the table: medians of three, alternating with bare axum.
    fn measure(&self, name: &str, wrk: &Wrk) -> Result<()> {
        if self.hold(name) {
            alternate(&[(name, wrk)])?;
        }
        Ok(())
    }
}

/// A line for each of the loads, which take turns with each other and with bare axum; their rates, round by round.
fn alternate<const LOADS: usize>(loads: &[(&str, &Wrk); LOADS]) -> Result<[Vec<f64>; LOADS]> {
    let mut rates = [const { Vec::new() }; LOADS];
    let mut shares = [const { Vec::new() }; LOADS];
    for round in 0..ROUNDS {
        let bare = Wrk::bare(BARE_PORT).run(round)?;
        for (load, (_, wrk)) in loads.iter().enumerate() {
            let rate = wrk.run(round)?;
            rates[load].push(rate);
            shares[load].push(rate / bare);
        }
    }
    for ((name, _), (rates, shares)) in loads.iter().zip(rates.iter().zip(&shares)) {
        let (rate, share) = (median(rates), median(shares));
        println!("| {name} | {share:.3} of bare axum | {rate:.0} requests a second |");
    }
    Ok(rates)
}

/// The program, on this database and port.
fn rescind(database: &Path, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rescind"));
    command
        .env("RESCIND_DATABASE_URL", format!("sqlite://{}", database.display()))
        .env("RESCIND_LISTEN", format!("127.0.0.1:{port}"))
        .env("RESCIND_ISSUER", format!("http://127.0.0.1:{port}"))
        .env("RUST_LOG", "error");
    command
}

/// A process that listens; killed when dropped.
struct Running {
    child: Child,
    /// From its start until it answered.
    took: Duration,
}

impl Running {
    #[allow(clippy::zombie_processes, reason = "waited for when dropped")]
    fn start(command: &mut Command, port: u16) -> Result<Self> {
        let is_taken = std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        ensure!(!is_taken, "something else listens on {port}");
        let began = Instant::now();
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(began.elapsed() < Duration::from_secs(20), "nothing listens on {port}");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Self { child, took: began.elapsed() })
    }

    fn rescind(database: &Path, port: u16) -> Result<Self> {
        Self::start(rescind(database, port).arg("serve"), port)
    }

    /// Resident memory in MiB.
    fn memory(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The endpoints with this many tokens, and the release binary.
fn endpoints(runtime: &tokio::runtime::Runtime, rows: &Rows, tokens: usize) -> Result<()> {
    let world = World::make(runtime, tokens)?;
    if rows.hold(JWT_INTROSPECTION) {
        runtime.block_on(jwt::sign_all(&world, &format!("http://127.0.0.1:{PORT}")))?;
    }
    let server = Running::rescind(&world.database, PORT)?;
    println!("| cold start, s | {:.3} |", server.took.as_secs_f64());
    std::thread::sleep(Duration::from_secs(2));
    println!("| idle memory, MiB | {:.1} |", server.memory()?);
    let binary = std::fs::metadata(env!("CARGO_BIN_EXE_rescind"))?.len();
    println!("| binary, MB | {:.1} |", binary as f64 / 1e6);
    introspection(runtime, rows, &world, tokens)?;
    other_endpoints(rows, &world, &server)?;
    if rows.hold("revoke all") {
        runtime.block_on(revoke_all(&world, async || world.purged().await))?;
    }
    Ok(())
}

/// The endpoints beside introspection of opaque tokens, and what the server has in memory after them.
fn other_endpoints(rows: &Rows, world: &World, server: &Running) -> Result<()> {
    rows.measure("client_credentials, durable", &world.client_credentials(PORT))?;
    rows.measure(JWT_INTROSPECTION, &world.jwt_introspection(PORT))?;
    rows.measure("JWT client_credentials", &world.jwt_client_credentials(PORT))?;
    rows.measure("refresh with rotation, durable", &world.refresh(PORT))?;
    rows.measure("RFC 7009 revocation, durable", &world.revocation(PORT))?;
    println!("| memory after load, MiB | {:.1} |", server.memory()?);
    Ok(())
}

/// With many tokens, each for the first time; then again, beside the same with few: all rows, if any is measured.
fn introspection(runtime: &tokio::runtime::Runtime, rows: &Rows, world: &World, tokens: usize) -> Result<()> {
    let few_tokens = FEW_TOKENS.min(tokens);
    let [few_name, many_name] = [few_tokens, tokens].map(|tokens| format!("introspection, {tokens} tokens"));
    if !rows.hold(&few_name) && !rows.hold(&many_name) {
        return Ok(());
    }
    let first = world.introspection(PORT, Sent::Once { seconds: 2 });
    alternate(&[(&format!("{many_name}, for the first time"), &first)])?;
    let many_load = world.introspection(PORT, Sent::Again);
    for round in 0..ROUNDS {
        // All that have not been asked for yet.
        many_load.run(round)?;
    }
    let few_world = World::make(runtime, few_tokens)?;
    let _server = Running::rescind(&few_world.database, FEW_PORT)?;
    let [few, many] =
        alternate(&[(&few_name, &few_world.introspection(FEW_PORT, Sent::Again)), (&many_name, &many_load)])?;
    let shares: Vec<f64> = many.iter().zip(few).map(|(many, few)| many / few).collect();
    println!("| introspection with {tokens} tokens, of that with {few_tokens} | {:.3} |", median(&shares));
    let mut shares = Vec::new();
    let mut paces = Vec::new();
    for round in 0..ROUNDS {
        let bare = Wrk::bare(BARE_PORT).run(round)?;
        let revoked = Arc::<AtomicU32>::default();
        let revoking = runtime.spawn(world.revoking(PORT, revoked.clone()));
        shares.push(many_load.run(round)? / bare);
        revoking.abort();
        paces.push(f64::from(revoked.load(Ordering::Relaxed)) / f64::from(load::SECONDS));
    }
    let (share, pace) = (median(&shares), median(&paces));
    ensure!(pace > 90.0, "a hundred a second were to be revoked, not {pace}");
    println!("| {many_name}, while {pace:.0} others a second are revoked | {share:.3} of bare axum |");
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The developer's page: "revoke all user tokens" of a client with all the tokens, beside one with ten.
async fn revoke_all(world: &World, purged: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
    let developer = world.developer(PORT).await?;
    let control = world.others_waiting(PORT, async || Ok(())).await?;
    println!("| others waiting without a purge, ms | {control} |");
    let mut large = Latencies::default();
    let beside = world
        .others_waiting(PORT, async || {
            large.add(developer.revoke_all(&world.large).await?);
            purged().await
        })
        .await?;
    println!("| others waiting while the rows are purged, ms | {beside} |");
    let mut small = Latencies::default();
    for _ in 1..200 {
        small.add(developer.revoke_all(&world.small).await?);
        large.add(developer.revoke_all(&world.large).await?);
    }
    println!("| revoke all of the large client, 200 rounds, ms | {large} |");
    println!("| revoke all of a client with ten tokens, ms | {small} |");
    Ok(())
}
