//! `rescind drill`: revokes an app of its own again and again, and times how long a guard goes on accepting it.
//!
//! The time of a round begins when the revocation's answer has been read, and ends when a check of the token that began
//! afterwards has refused it. So it is what somebody could still do with a token after they were told that it is dead,
//! and never too short: a guard that knew before the answer counts with the time of the check only.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rescind_guard::{Claims, Ended, Guard, OpaqueTokens, Refusal, Settings};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::app::App;
use crate::cli::command::Command;
use crate::cli::drill_step::{Canary, Step};
use crate::cli::failure::Failure;
use crate::cli::holder::{Holder, connect, holder};
use crate::cli::print::Output;
use crate::cli::serve::Server;
use crate::cli::socket;
use crate::cli::token_endpoint::TokenEndpoint;
use crate::clock::Clock;
use crate::config::{Config, Database};
use crate::model::canary::{AUDIENCE, PATIENCE, SCOPE, Times};
use crate::store::sqlite::lock::Absent;

#[derive(clap::Args)]
pub struct Options {
    /// How many times to mint a token, revoke it and wait for its refusal: 1 to 10000. A round's time goes from the
    /// revocation's answer to the end of the check that refused the token
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Start a server on a temporary database and drill that one
    #[arg(long)]
    standalone: bool,
    /// Where the server is reached, if not at its issuer
    #[arg(long, conflicts_with = "standalone")]
    server: Option<String>,
    #[command(flatten)]
    pub output: Output,
}

impl Options {
    pub const fn is_standalone(&self) -> bool {
        self.standalone
    }
}

/// Drills the server that runs on the database of `config`.
///
/// # Errors
/// With the exit code; 1 when the guard had not learned of a revocation long after its answer.
pub async fn run(config: Config, options: Options) -> Result<Value, Failure> {
    let database = match &config.database {
        Database::Sqlite(database) => database.clone(),
        Database::Postgres(url) => {
            let store = connect(&config, url).await?;
            let app = App::new(config, store, Clock::System);
            let app = app.map_err(|error| Failure::refused(error.to_string()))?;
            let result = drive(&Steps::Here(app.clone()), options.rounds, options.server).await;
            app.store.close().await;
            return result;
        }
    };
    match holder(&database, Absent::Leave).await? {
        Holder::Server(_) => drive(&Steps::InServer(database), options.rounds, options.server).await,
        Holder::Us(_) => Err(Failure::refused(format!(
            "no server runs on the database {}: start it, or give --standalone",
            database.display()
        ))),
    }
}

/// Drills a server that is started for it, on a database that goes with it.
///
/// # Errors
/// As [`run`].
pub async fn run_standalone(options: Options) -> Result<Value, Failure> {
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let listener = TcpListener::bind("127.0.0.1:0").await.context("a port on loopback")?;
    let issuer = format!("http://{}", listener.local_addr().context("a port on loopback")?);
    let database = folder.path().join("rescind.db");
    let config = Config::read(&|name| match name {
        "RESCIND_DATABASE_URL" => Some(format!("sqlite://{}", database.display())),
        "RESCIND_ISSUER" => Some(issuer.clone()),
        _ => None,
    })
    .map_err(|faults| Failure::usage(faults.to_string()))?;
    let server = Server::start_on(config, listener).await?;
    let (done, drill_ended) = tokio::sync::oneshot::channel();
    let driving = async {
        let result = drive(&Steps::InServer(database), options.rounds, None).await;
        // An error means that the server has ended already.
        let _ = done.send(());
        result
    };
    let (served, result) = tokio::join!(server.run_until(drill_ended), driving);
    served.and(result)
}

/// Where a drill's steps are done.
enum Steps {
    /// In the server that holds this database; each step has a connection of its own.
    InServer(PathBuf),
    /// In this process, beside the servers that share the database.
    Here(App),
}

impl Steps {
    async fn take(&self, step: Step) -> Result<Value, Failure> {
        let command = Command::Drill(step);
        match self {
            Self::InServer(database) => {
                let stream = socket::connect(database).await.context("the server's local socket")?;
                socket::ask(stream, &command).await
            }
            Self::Here(app) => command.execute(app).await,
        }
    }
}

async fn drive(steps: &Steps, rounds: u32, server: Option<String>) -> Result<Value, Failure> {
    let canary = steps.take(Step::Begin).await?;
    let canary: Canary =
        serde_json::from_value(canary).context("the server's answer: are the versions the same?")?;
    let server = server.unwrap_or_else(|| canary.issuer.clone());
    let tokens = TokenEndpoint::new(&server, &canary.client, &canary.client_secret, SCOPE)?;
    let settings = Settings::new(&canary.issuer, &canary.server, &canary.server_secret, AUDIENCE);
    let settings = settings.server(&server).opaque_tokens(OpaqueTokens::Refuse);
    let guard = Guard::start(settings).map_err(|error| Failure::usage(format!("the guard: {error}")))?;
    let result = measure(steps, &canary, &tokens, &guard, rounds).await;
    guard.shutdown().await;
    match result {
        Ok(times) => {
            let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            let [p50_us, p99_us, max_us] = [times.p50, times.p99, times.max].map(micros);
            steps.take(Step::Passed { rounds, p50_us, p99_us, max_us }).await?;
            let ms = |micros: u64| Value::from(micros as f64 / 1000.0);
            Ok(json!({ "rounds": rounds, "p50_ms": ms(p50_us), "p99_ms": ms(p99_us), "max_ms": ms(max_us) }))
        }
        Err(Stopped::Unheard { rounds }) => {
            steps.take(Step::Failed { rounds }).await?;
            Err(Failure::refused(format!(
                "{} seconds after a revocation's answer the guard had not learned of it; good rounds before: {rounds}",
                PATIENCE.as_secs()
            )))
        }
        Err(Stopped::Failed(failure)) => Err(failure),
    }
}

/// Why a drill did not come to its end.
enum Stopped {
    /// What it is there to find.
    Unheard { rounds: u32 },
    /// Something else went wrong, which says nothing about revocations.
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

async fn measure(
    steps: &Steps,
    canary: &Canary,
    tokens: &TokenEndpoint,
    guard: &Guard,
    rounds: u32,
) -> Result<Times, Stopped> {
    let mut generation = canary.generation;
    let mut times = Vec::new();
    for round in 0..rounds {
        let token = tokens.token().await?;
        let claims = wait_until_accepted(guard, &token).await?;
        let step = Step::Revoke { client: canary.client.clone(), generation };
        let answer = steps.take(step).await?;
        let answered = Instant::now();
        match tokio::time::timeout(PATIENCE, wait_until_refused(guard, &token, &claims)).await {
            Ok(refused) => refused?,
            Err(_) => return Err(Stopped::Unheard { rounds: round }),
        }
        times.push(answered.elapsed());
        generation = answer["generation"].as_i64().context("the server's answer")?;
    }
    Ok(Times::of(times).context("a round")?)
}

/// The claims of a fresh token, once the guard knows enough to accept it.
async fn wait_until_accepted(guard: &Guard, token: &str) -> Result<Claims, Failure> {
    let accept = async {
        loop {
            match guard.verify(token) {
                Err(Refusal::Stale) => guard.ready().await,
                verified => return verified,
            }
        }
    };
    match tokio::time::timeout(PATIENCE, accept).await {
        Ok(verified) => {
            verified.map_err(|refusal| Failure::refused(format!("a fresh token was refused: {refusal}")))
        }
        Err(_) => {
            let trouble = guard.state().trouble.unwrap_or_else(|| "it hears nothing".to_owned());
            Err(Failure::refused(format!("the guard did not get ready: {trouble}")))
        }
    }
}

/// Returns once the guard refuses the token because it was revoked. What a guard refuses only because it knows
/// nothing does not count.
async fn wait_until_refused(guard: &Guard, token: &str, claims: &Claims) -> Result<(), Failure> {
    loop {
        match guard.verify(token) {
            Err(Refusal::Revoked(_)) => return Ok(()),
            Err(Refusal::Stale) => guard.ready().await,
            Err(refusal) => {
                return Err(Failure::refused(format!("the guard refused for another reason: {refusal}")));
            }
            Ok(_) => {
                if guard.watch(claims).await == Ended::Expired {
                    return Err(Failure::refused("the token expired before it was refused".to_owned()));
                }
            }
        }
    }
}
