//! Many guards in a process of their own, which does as it is told on standard input.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use rescind_guard::{Ended, Guard, Refusal, Settings};
use rustix::time::{ClockId, clock_gettime};

pub const WORD: &str = "--fleet";

/// Nanoseconds on the clock that all processes of a machine share.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The process with the guards, as the benchmark holds it; killed when dropped.
pub struct Fleet {
    child: Child,
    orders: ChildStdin,
    reports: BufReader<ChildStdout>,
}

impl Fleet {
    /// Starts the process and waits until all its guards, spread over the servers at these URLs, know the newest
    /// revocations.
    pub fn start(
        guards: usize,
        issuer: &str,
        servers: &[String],
        (id, secret): &(String, String),
        audience: &str,
    ) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(WORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().context("a pipe")?;
        let reports = BufReader::new(child.stdout.take().context("a pipe")?);
        let mut fleet = Self { child, orders, reports };
        let servers = servers.join(" ");
        let ready = fleet.ask(&format!("{guards} {issuer} {id} {secret} {audience} {servers}"))?;
        ensure!(ready == "ready", "the guards did not start: {ready}");
        Ok(fleet)
    }

    /// One order, one line of answer.
    pub fn ask(&mut self, order: &str) -> Result<String> {
        writeln!(self.orders, "{order}")?;
        self.hear()
    }

    pub fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.reports.read_line(&mut line)? > 0, "the guards' process has ended");
        Ok(line.trim_end().to_owned())
    }

    /// When each guard refused what it was told to watch.
    pub fn hear_times(&mut self) -> Result<Vec<u64>> {
        self.hear()?.split(' ').map(|time| time.parse().context("a time")).collect()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the process does.
pub fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut orders = std::io::stdin().lines();
    let setup = orders.next().context("an order")??;
    let setup: Vec<&str> = setup.split(' ').collect();
    let [count, issuer, id, secret, audience, ref servers @ ..] = setup[..] else {
        bail!("six words are expected, or more")
    };
    let settings = Settings::new(issuer, id, secret, audience);
    let guards = runtime.block_on(start(count.parse()?, &settings, servers))?;
    println!("ready");
    for order in orders {
        let order = order?;
        let (verb, rest) = order.split_once(' ').unwrap_or((&order, ""));
        match verb {
            "watch" => runtime.block_on(watch(&guards, rest))?,
            "accepted" => println!("{}", judged(&guards, rest, |judged| judged.is_ok())?),
            "revoked" => {
                println!("{}", judged(&guards, rest, |judged| matches!(judged, Err(Refusal::Revoked(_))))?);
            }
            "applied" => {
                runtime.block_on(applied(&guards, rest.parse()?));
                println!("{}", now());
            }
            "gaps" => {
                let states = guards.iter().map(Guard::state);
                let missed: u64 =
                    states.map(|state| state.counters.gaps + state.counters.snapshots - 1).sum();
                println!("{missed}");
            }
            _ => bail!("an unknown order: {verb}"),
        }
    }
    Ok(())
}

async fn start(count: usize, settings: &Settings, servers: &[&str]) -> Result<Vec<Guard>> {
    let servers = servers.iter().cycle().take(count);
    let guards = servers
        .map(|server| Guard::start(settings.clone().server(*server)))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    for guard in &guards {
        guard.ready().await;
    }
    Ok(guards)
}

/// Says `armed` once every guard has accepted the token, and then when each has refused it.
async fn watch(guards: &[Guard], token: &str) -> Result<()> {
    let token: Arc<str> = token.into();
    let mut refusals = Vec::with_capacity(guards.len());
    for guard in guards {
        let claims = guard.verify(&token).context("a guard refused a token that was not revoked")?;
        let (guard, token) = (guard.clone(), token.clone());
        refusals.push(tokio::spawn(async move {
            let ended = guard.watch(&claims).await;
            ensure!(matches!(ended, Ended::Revoked(_)), "a token ended otherwise: {ended:?}");
            let judged = guard.verify(&token);
            let is_refused = matches!(judged, Err(Refusal::Revoked(_) | Refusal::UnknownKey));
            ensure!(is_refused, "a revoked token: {judged:?}");
            Ok(now())
        }));
    }
    println!("armed");
    let mut times = Vec::with_capacity(guards.len());
    for refusal in refusals {
        times.push(refusal.await??.to_string());
    }
    println!("{}", times.join(" "));
    Ok(())
}

async fn applied(guards: &[Guard], through: u64) {
    for guard in guards {
        guard.applied(through).await;
    }
}

/// How many of the tokens in `file`, each shown to one of the guards, are judged so.
fn judged(
    guards: &[Guard],
    file: &str,
    is_so: impl Fn(std::result::Result<rescind_guard::Claims, Refusal>) -> bool,
) -> Result<usize> {
    let tokens = std::fs::read_to_string(file)?;
    let places = guards.iter().cycle();
    Ok(tokens.lines().zip(places).filter(|(token, guard)| is_so(guard.verify(token))).count())
}
