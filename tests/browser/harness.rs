//! The processes of a browser test: the demo world, chromedriver and its browser, started per test and gone after it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use tempfile::TempDir;
use thirtyfour::prelude::*;
use tokio::sync::{Mutex, MutexGuard};

use crate::page;

/// How long a process may take until it is ready: a debug build on a busy machine.
const START: Duration = Duration::from_secs(30);

/// How often a process is started before the test gives up.
const STARTS: usize = 5;

/// `cargo test` runs the tests of a binary side by side; two browsers on two cores only make each other late.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// The demo world and a browser to walk through it.
pub struct World {
    pub driver: WebDriver,
    pub demo: Announcement,
    // Dropped in this order: the browser before its driver, the driver before what it looks at.
    _chromedriver: Chromedriver,
    server: Server,
    _turn: MutexGuard<'static, ()>,
}

/// What `rescind demo --json` prints once it is ready.
#[derive(Debug, Deserialize)]
pub struct Announcement {
    pub issuer: String,
    pub app: String,
    pub guarded_app: String,
    pub people: Vec<Person>,
}

#[derive(Debug, Deserialize)]
pub struct Person {
    pub username: String,
    pub password: String,
    pub role: String,
}

impl World {
    /// Starts a world, walks the journey, and ends everything before the outcome is known to the caller.
    ///
    /// # Errors
    /// The journey's own, with the page on which it ended; or that something did not start.
    pub async fn walk(name: &str, journey: impl AsyncFnOnce(&World) -> Result<()>) -> Result<()> {
        let world = World::start().await?;
        let outcome = match journey(&world).await {
            Ok(()) => Ok(()),
            Err(error) => Err(world.report(name, &error).await),
        };
        let quit = world.driver.clone().quit().await;
        outcome.and(quit.context("the browser did not quit"))
    }

    async fn start() -> Result<World> {
        let turn = ONE_AT_A_TIME.lock().await;
        let (server, demo) = tried(Server::start)?;
        let chromedriver = tried(Chromedriver::start)?;
        let driver = chromedriver.browser().await?;
        Ok(World { driver, demo, _chromedriver: chromedriver, server, _turn: turn })
    }

    /// What went wrong, on which page, and what the server said last.
    async fn report(&self, name: &str, error: &anyhow::Error) -> anyhow::Error {
        let _ = page::screenshot(&self.driver, &format!("{name}-failed")).await;
        let seen = page::describe(&self.driver).await;
        let log = tail(&self.server.log);
        // chromedriver sends its own stack along, without a single name in it.
        let error = format!("{error:#}");
        let error: Vec<&str> = error.lines().filter(|line| !line.contains("<unknown>")).collect();
        let error = error.join("\n");
        anyhow!("{name}: {error}\n  on the page: {seen}\n  the server's last lines:\n{log}")
    }

    /// The demo's database.
    pub fn database(&self) -> PathBuf {
        self.server.folder.path().join("data").join("rescind.db")
    }

    /// Runs `rescind` on the demo's database, through the server that holds it; what it prints as JSON.
    ///
    /// # Errors
    /// It was refused.
    pub fn command(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let output = Command::new(env!("CARGO_BIN_EXE_rescind"))
            .args(arguments)
            .arg("--json")
            .env("RESCIND_DATABASE_URL", format!("sqlite://{}", self.database().display()))
            .stdin(Stdio::null())
            .output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).with_context(|| format!("rescind {arguments:?}: {complaint}"))
    }

    /// The demo's person of that role.
    ///
    /// # Errors
    /// There is none.
    pub fn person(&self, role: &str) -> Result<&Person> {
        let found = self.demo.people.iter().find(|person| person.role == role);
        found.with_context(|| format!("the demo has nobody with the role {role:?}"))
    }
}

/// Another process may take a port between the look that found it free and its use: chromedriver chooses one for IPv4 and
/// then wants the same for IPv6. So a start that fails is tried again.
fn tried<T>(start: fn() -> Result<T>) -> Result<T> {
    let mut outcome = start();
    for _ in 1..STARTS {
        if outcome.is_ok() {
            break;
        }
        outcome = start();
    }
    outcome
}

/// `rescind demo` with data of its own.
struct Server {
    child: Child,
    log: PathBuf,
    folder: TempDir,
}

impl Server {
    fn start() -> Result<(Server, Announcement)> {
        let port = four_free_ports()?;
        let folder = tempfile::tempdir().context("a folder for the demo's data")?;
        let log = folder.path().join("server.log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_rescind"));
        command.args(["demo", "--json", "--listen", &format!("127.0.0.1:{port}"), "--data"]);
        command.arg(folder.path().join("data"));
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RESCIND_"))
        {
            command.env_remove(name);
        }
        let mut child = spawn(&mut command, &log)?;
        let line = first_line(&mut child, |line| Some(line.to_owned()));
        let server = Server { child, log, folder };
        let line =
            line.with_context(|| format!("rescind demo did not become ready:\n{}", tail(&server.log)))?;
        let demo = serde_json::from_str(&line)
            .with_context(|| format!("rescind demo announced itself with {line:?}"))?;
        Ok((server, demo))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A chromedriver on a port that it chose itself, and the profile folder of its one browser.
struct Chromedriver {
    child: Child,
    port: u16,
    log: PathBuf,
    folder: TempDir,
}

impl Chromedriver {
    fn start() -> Result<Chromedriver> {
        let folder = tempfile::tempdir().context("a folder for the browser's profile")?;
        let log = folder.path().join("chromedriver.log");
        let mut child = spawn(Command::new("chromedriver").arg("--port=0"), &log)?;
        // "ChromeDriver was started successfully on port 41321."
        let port = first_line(&mut child, |line| {
            let (_, port) = line.split_once("successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        let mut started = Chromedriver { child, port: 0, log, folder };
        started.port =
            port.with_context(|| format!("chromedriver did not start:\n{}", tail(&started.log)))?;
        Ok(started)
    }

    async fn browser(&self) -> Result<WebDriver> {
        let mut capabilities = DesiredCapabilities::chrome();
        for flag in [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--lang=en",
            "--window-size=1280,900",
        ] {
            capabilities.add_arg(flag)?;
        }
        capabilities.add_arg(&format!("--user-data-dir={}", self.folder.path().join("profile").display()))?;
        let driver = WebDriver::new(format!("http://127.0.0.1:{}", self.port), capabilities).await;
        driver.with_context(|| format!("the browser did not start:\n{}", tail(&self.log)))
    }
}

impl Drop for Chromedriver {
    fn drop(&mut self) {
        // Asked to shut down, chromedriver takes its browsers along; killed, it would leave them behind.
        if ask_to_shut_down(self.port).is_ok() {
            let deadline = Instant::now() + Duration::from_secs(5);
            while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(20));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask_to_shut_down(port: u16) -> std::io::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
    stream.read(&mut [0; 64]).map(drop)
}

fn spawn(command: &mut Command, log: &Path) -> Result<Child> {
    let program = command.get_program().to_string_lossy().into_owned();
    let log = std::fs::File::create(log).with_context(|| format!("creating {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    command
        .spawn()
        .with_context(|| format!("starting {program} (scripts/test.sh installs what the tests need)"))
}

/// The first line of standard output that `pick` takes. What follows is read too, so that the process never blocks on it.
fn first_line<T: Send + 'static>(child: &mut Child, pick: fn(&str) -> Option<T>) -> Result<T> {
    let output = child.stdout.take().context("standard output is not piped")?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(found) = pick(&line) {
                let _ = sender.send(found);
            }
        }
    });
    receiver.recv_timeout(START).map_err(|error| match error {
        mpsc::RecvTimeoutError::Timeout => {
            anyhow!("nothing of the kind within {} s", START.as_secs())
        }
        mpsc::RecvTimeoutError::Disconnected => anyhow!("it ended, or closed its output, first"),
    })
}

fn four_free_ports() -> Result<u16> {
    for _ in 0..100 {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
        let port = first.local_addr()?.port();
        let free = |port: Option<u16>| {
            port.is_some_and(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        };
        if (1..4).all(|step| free(port.checked_add(step))) {
            return Ok(port);
        }
    }
    bail!("no four free ports in a row")
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].iter().map(|line| format!("    {line:.160}\n")).collect()
}
