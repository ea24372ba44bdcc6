//! The same endpoints on PostgreSQL. The database server shares the processors with everything else.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use tokio_postgres::NoTls;

use crate::load::{SECONDS, Sent, Wrk};
use crate::seed::World;
use crate::{
    PORT, ROUNDS, Rows, Running, alternate, guards, jwt, median, other_endpoints, rescind, revoke_all,
};

const MORE_PORTS: [u16; 2] = [18_093, 18_094];
/// What a server asks for in a second at least, when it has none of the tokens in memory.
const SLOWEST: usize = 8_000;

/// Fills the empty database at `url`, and measures servers on it.
pub fn measure(runtime: &tokio::runtime::Runtime, rows: &Rows, tokens: usize, url: &str) -> Result<()> {
    let world = World::make(runtime, tokens)?;
    runtime.block_on(jwt::sign_all(&world, &format!("http://127.0.0.1:{PORT}")))?;
    ensure!(rescind(&world.database, PORT).args(["migrate", "--to", url]).status()?.success(), "migrate");
    let server = Running::start(&mut serve(&world, url, PORT), PORT)?;
    let name = format!("introspection, {tokens} tokens");
    if rows.hold(&name) {
        alternate(&[(
            &format!("{name}, for the first time"),
            &world.introspection(PORT, Sent::Once { seconds: 2 }),
        )])?;
        let again = world.introspection(PORT, Sent::Again);
        ask_for_all(&again, tokens)?;
        alternate(&[(&name, &again)])?;
    }
    several_servers(runtime, rows, &world, url, tokens)?;
    other_endpoints(rows, &world, &server)?;
    if rows.hold("revoke all") {
        runtime.block_on(revoke_all(&world, async || purged(url).await))?;
    }
    Ok(())
}

fn serve(world: &World, url: &str, port: u16) -> Command {
    let mut server = rescind(&world.database, port);
    server
        .env("RESCIND_KEY_FILE", world.database.with_added_extension("key"))
        .env("RESCIND_DATABASE_URL", url)
        .env("RESCIND_ISSUER", format!("http://127.0.0.1:{PORT}"))
        .arg("serve");
    server
}

/// Until the server has all tokens in memory.
fn ask_for_all(again: &Wrk, tokens: usize) -> Result<()> {
    for round in 0..ROUNDS {
        again.run_for(round, u32::try_from(tokens / ROUNDS / SLOWEST)?.max(1))?;
    }
    Ok(())
}

/// Two more servers: what introspection costs the database, and how long guards at all of them take.
fn several_servers(
    runtime: &tokio::runtime::Runtime,
    rows: &Rows,
    world: &World,
    url: &str,
    tokens: usize,
) -> Result<()> {
    let ports = [PORT, MORE_PORTS[0], MORE_PORTS[1]];
    let _more = MORE_PORTS
        .iter()
        .map(|&port| Running::start(&mut serve(world, url, port), port))
        .collect::<Result<Vec<_>>>()?;
    for several in 1..=ports.len() {
        let name = format!("introspection at servers that share the database: {several}");
        if rows.hold(&name) {
            ask_for_all(&world.introspection(ports[several - 1], Sent::Again), tokens)?;
            // On few processors the database may answer too late for so much load. The other rows are measured all the same.
            if let Err(error) = at_once(runtime, world, url, &ports[..several], &name) {
                println!("| {name} | {} |", error.to_string().lines().next().unwrap_or_default());
            }
        }
    }
    let servers = ports.map(|port| format!("http://127.0.0.1:{port}"));
    guards::measure_spread(runtime, rows, world, &servers)
}

fn at_once(
    runtime: &tokio::runtime::Runtime,
    world: &World,
    url: &str,
    ports: &[u16],
    name: &str,
) -> Result<()> {
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let before = runtime.block_on(processor_time(url))?;
        let rate: f64 = std::thread::scope(|scope| {
            let run = |&port| scope.spawn(move || world.introspection(port, Sent::Again).run(round));
            let runs: Vec<_> = ports.iter().map(run).collect();
            runs.into_iter().map(|run| run.join().expect("a load panicked")).sum::<Result<_>>()
        })?;
        let spent = runtime.block_on(processor_time(url))? - before;
        rates.push(rate);
        costs.push(spent / (rate * f64::from(SECONDS)) * 1e6);
    }
    let (rate, cost) = (median(&rates), median(&costs));
    println!("| {name} | {rate:.0} requests a second | {cost:.1} µs of the database for each |");
    Ok(())
}

/// What the database's processes for its connections have used, in seconds.
async fn processor_time(url: &str) -> Result<f64> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    let processes = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
        AND backend_type = 'client backend'";
    let mut ticks = 0;
    for row in client.query(processes, &[]).await? {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", row.get::<_, i32>(0)))?;
        let fields: Vec<&str> = stat.rsplit(')').next().context("a name")?.split_whitespace().collect();
        // User and system time, in hundredths of a second.
        for field in [fields[11], fields[12]] {
            ticks += field.parse::<u32>()?;
        }
    }
    Ok(f64::from(ticks) / 100.0)
}

/// Waits until nothing is left to purge.
async fn purged(url: &str) -> Result<()> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    while !client.query("SELECT 1 FROM purges WHERE finished_at IS NULL LIMIT 1", &[]).await?.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    Ok(())
}
