//! Load by wrk, and the bare server that it is compared with.

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::ROUNDS;

pub const SECONDS: u32 = 5;

/// What wrk sends: each request the next body of a file.
pub struct Wrk {
    url: String,
    authorization: String,
    /// The lines are put behind `prefix`; the file has enough for all rounds.
    bodies: Option<(PathBuf, &'static str)>,
    sent: Sent,
}

/// How often each line may be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Again,
    /// A third of the lines has to last so long.
    Once {
        seconds: u32,
    },
}

impl Wrk {
    pub fn new(url: String, authorization: String, bodies: (PathBuf, &'static str), sent: Sent) -> Self {
        Self { url, authorization, bodies: Some(bodies), sent }
    }

    /// One body for all.
    pub fn constant(url: String, authorization: String, body: &'static str) -> Self {
        Self { url, authorization, bodies: Some((PathBuf::new(), body)), sent: Sent::Again }
    }

    pub fn bare(port: u16) -> Self {
        let url = format!("http://127.0.0.1:{port}/");
        Self { url, authorization: String::new(), bodies: None, sent: Sent::Again }
    }

    fn script(&self, round: usize) -> Result<String> {
        let mut script = String::new();
        let Some((file, prefix)) = &self.bodies else { return Ok(script) };
        // Written out once: to let wrk format each request would take a third of the time that it is answered in.
        let (host, path) = self.url.trim_start_matches("http://").split_once('/').context("a path")?;
        let authorization = &self.authorization;
        writeln!(
            script,
            "local head = 'POST /{path} HTTP/1.1\\r\\nHost: {host}\\r\\nAuthorization: {authorization}\\r\\n' ..\n\
             'Content-Type: application/x-www-form-urlencoded\\r\\nContent-Length: '\n\
             local function post(body) return head .. #body .. '\\r\\n\\r\\n' .. body end"
        )?;
        if file.as_os_str().is_empty() {
            writeln!(script, "function request() return post('{prefix}') end")?;
            return Ok(script);
        }
        // A third of the lines for each round. The line after them is no token, and refused.
        let text = std::fs::read_to_string(file)?;
        let third = text.lines().count() / ROUNDS;
        let begin: usize = text.split_inclusive('\n').take(round * third).map(str::len).sum();
        let (file, once) = (file.display(), self.sent != Sent::Again);
        // Read as it goes: so many lines in memory make wrk itself slower.
        writeln!(
            script,
            "local file, sent = io.open('{file}'), 0\n\
             file:seek('set', {begin})\n\
             function request() sent = sent + 1\n\
             if {once} and sent > {third} then return post('{prefix}') end\n\
             local line = file:read()\n\
             if not line then file:seek('set', 0) line = file:read() end\n\
             return post('{prefix}' .. line) end"
        )?;
        Ok(script)
    }

    /// Requests a second.
    pub fn run(&self, round: usize) -> Result<f64> {
        match self.sent {
            Sent::Again => self.run_for(round, SECONDS),
            Sent::Once { seconds } => self.run_for(round, seconds),
        }
    }

    /// The same, for this many seconds.
    pub fn run_for(&self, round: usize, seconds: u32) -> Result<f64> {
        let script = tempfile::Builder::new().suffix(".lua").tempfile()?;
        std::fs::write(script.path(), self.script(round)?)?;
        let output = Command::new("wrk")
            .args(["-t1", "-c32", &format!("-d{seconds}s"), "-s"])
            .arg(script.path())
            .arg(&self.url)
            .output()
            .context("wrk (Debian's package wrk)")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
        ensure!(!text.contains("Non-2xx"), "{}: some answers were refusals: {text}", self.url);
        let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")).context("a rate")?;
        Ok(rate.trim().parse()?)
    }
}

/// A bare axum server on two threads that answers 200 bytes of static JSON.
pub fn serve_bare(port: u16) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let body = format!("{{\"active\":true,\"padding\":\"{}\"}}", "x".repeat(172));
        let answer = move || {
            let body = body.clone();
            async move { ([(axum::http::header::CONTENT_TYPE, "application/json")], body) }
        };
        let router = axum::Router::new().route("/", axum::routing::get(answer));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        axum::serve(listener, router).await?;
        Ok(())
    })
}

/// Times of single requests.
#[derive(Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn add(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    fn at(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let place = (sorted.len() as f64 * share) as usize;
        sorted.get(place.min(sorted.len().saturating_sub(1))).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|share| self.at(share));
        write!(out, "p50 {p50:.2}, p99 {p99:.2}, p99.9 {p999:.2}, max {max:.2} of {}", self.0.len())
    }
}
