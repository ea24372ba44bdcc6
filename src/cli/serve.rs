//! `rescind serve`.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use listenfd::ListenFd;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::app::App;
use crate::cli::connections::{self, Limits};
use crate::cli::failure::Failure;
use crate::cli::holder::{Holder, connect, holder};
use crate::cli::{exposed, print, socket};
use crate::clock::Clock;
use crate::config::{Config, Database, LogFormat};
use crate::routes;
use crate::service::purge;
use crate::store::Store;
use crate::store::sqlite::lock::{Absent, DatabaseLock, resolve};

/// How long requests under way may take once the server is told to stop.
const DRAIN: Duration = Duration::from_secs(6);
/// How long the database may take after that, even if somebody else holds it: supervisors kill
/// what has not stopped after ten seconds.
const CLOSE: Duration = Duration::from_secs(3);
/// How much of that the last notes of use may take.
const FLUSH: Duration = Duration::from_secs(1);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When the database is held by another process or something can't be opened.
pub async fn run(config: Config) -> Result<(), Failure> {
    log_as(config.log);
    let server = Server::start(config).await?;
    if !server.app.store.has_admin().await? {
        let add = "printf '%s\\n' 'a long password' | rescind user add NAME --role admin --password-stdin";
        match server.app.config.log {
            LogFormat::Text => {
                print::print_error(&format!("There is no admin yet. Add the first one:\n  {add}"));
            }
            // A program that reads one JSON object a line gets nothing else.
            LogFormat::Json => tracing::warn!(command = add, "server.has_no_admin"),
        }
    }
    server.run_until_signal().await
}

/// The file of a database, which nobody else has.
async fn locked(file: &Path) -> Result<(PathBuf, DatabaseLock), Failure> {
    let database = resolve(file);
    match holder(&database, Absent::Create).await? {
        Holder::Us(lock) => Ok((database, lock)),
        Holder::Server(_) => {
            let why = format!("another process holds the database {}", database.display());
            Err(Failure::refused(why))
        }
    }
}

/// Sends logs to standard error.
pub fn log_as(format: LogFormat) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let has_colours =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(has_colours)
        // It would panic where standard error is full or closed.
        .log_internal_errors(false);
    // An error means that a test has set logs up before.
    let _ = match format {
        LogFormat::Text => logs.try_init(),
        LogFormat::Json => logs.json().try_init(),
    };
}

/// The sockets that a supervisor passed (`LISTEN_FDS`), or one at `address`, as `setting` names it; and the address of the
/// first.
///
/// # Errors
/// When one of them can't be served: it would accept connections, and nobody would answer.
pub async fn listen(address: SocketAddr, setting: &str) -> anyhow::Result<(Vec<TcpListener>, SocketAddr)> {
    let mut passed = ListenFd::from_env();
    let mut listeners = Vec::new();
    for number in 0..passed.len() {
        let listener = passed_listener(&mut passed, number);
        listeners.push(listener.with_context(|| format!("passed socket {} (LISTEN_FDS)", number + 1))?);
    }
    if listeners.is_empty() {
        listeners.push(TcpListener::bind(address).await.with_context(|| format!("{setting} {address}"))?);
    }
    let addresses: Vec<SocketAddr> =
        listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>().context("the listener")?;
    for address in &addresses {
        tracing::info!(%address, "server.listens");
    }
    let first = addresses.first().copied().context("the listener")?;
    Ok((listeners, first))
}

fn passed_listener(passed: &mut ListenFd, number: usize) -> anyhow::Result<TcpListener> {
    let only = "only TCP sockets that listen can be served";
    let listener = passed.take_tcp_listener(number).context(only)?.context(only)?;
    anyhow::ensure!(SockRef::from(&listener).is_listener().context(only)?, only);
    listener.local_addr().context(only)?;
    listener.set_nonblocking(true)?;
    Ok(TcpListener::from_std(listener)?)
}

/// Ready once SIGTERM or SIGINT has come; each of several may wait for it.
pub type StopSignal = Shared<BoxFuture<'static, ()>>;

/// From now on SIGTERM and SIGINT end the process only by way of what this gives, and SIGHUP does nothing: settings are
/// read only at the start, so there is nothing to reload. To be called before anybody can connect, or a signal that
/// comes early ends the process together with the requests it has accepted.
///
/// # Errors
/// When signals can't be heard.
pub fn listen_for_signals() -> anyhow::Result<StopSignal> {
    let hear = |kind| signal(kind).context("signals");
    drop(hear(SignalKind::hangup())?);
    let mut terminate = hear(SignalKind::terminate())?;
    let mut interrupt = hear(SignalKind::interrupt())?;
    let signalled = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Ok(signalled.boxed().shared())
}

/// Serves until `done` is; calls `stop`, and answers what has arrived. Waits for `others`, too, which `stop` has told.
///
/// # Errors
/// When threads can't be started.
pub async fn serve_until(
    listeners: Vec<TcpListener>,
    router: impl Fn() -> axum::Router,
    limits: Limits,
    done: impl Future<Output = ()>,
    stop: impl FnOnce() + Send + 'static,
    others: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let (stopped, mut stopping) = watch::channel(());
    let stopped_when_done = async move {
        done.await;
        stop();
        stopped.send_replace(());
    };
    let serve = async {
        connections::serve(listeners, router, limits, stopped_when_done).await?;
        others.await;
        Ok::<_, std::io::Error>(())
    };
    tokio::select! {
        served = serve => served.context("threads")?,
        () = async {
            // An error means that the sender went with the finished server.
            if stopping.changed().await.is_ok() {
                tokio::time::sleep(DRAIN).await;
            } else {
                std::future::pending::<()>().await;
            }
        } => tracing::warn!("server.drain_cut_short"),
    }
    Ok(())
}

/// A started server: it listens, and its workers run.
pub struct Server {
    pub app: App,
    pub stop_signal: StopSignal,
    listeners: Vec<TcpListener>,
    commands: tokio::task::JoinHandle<()>,
    stop_commands: watch::Sender<()>,
    workers: Vec<tokio::task::JoinHandle<()>>,
    /// Of an SQLite database.
    lock: Option<DatabaseLock>,
}

impl Server {
    /// Takes the lock, opens the database, listens and starts the workers.
    ///
    /// # Errors
    /// When one of these can't be done.
    pub async fn start(config: Config) -> Result<Self, Failure> {
        Self::begin(config, None).await
    }

    /// The same, on a socket that listens already.
    ///
    /// # Errors
    /// When one of the others can't be done.
    pub async fn start_on(config: Config, listener: TcpListener) -> Result<Self, Failure> {
        Self::begin(config, Some(listener)).await
    }

    async fn begin(config: Config, listener: Option<TcpListener>) -> Result<Self, Failure> {
        let stop_signal = listen_for_signals()?;
        // Nothing of a file is touched before it is certain that nobody else has it.
        let file = match &config.database {
            Database::Sqlite(file) => Some(locked(file).await?),
            Database::Postgres(_) => None,
        };
        let (listeners, address) = match listener {
            Some(listener) => {
                let address = listener.local_addr().context("the listener")?;
                (vec![listener], address)
            }
            None => listen(config.listen, "RESCIND_LISTEN").await?,
        };
        let (store, socket) = match &config.database {
            Database::Postgres(url) => {
                let store = connect(&config, url).await?;
                store.belong_to(config.issuer.as_str()).await?;
                (store, None)
            }
            Database::Sqlite(database) => {
                let database = resolve(database);
                (Store::open(&database).await?, Some(socket::listen(&database)?))
            }
        };
        let grace = config.lives.refresh_grace;
        let app =
            App::new(config, store, Clock::System).map_err(|error| Failure::refused(error.to_string()))?;
        app.keys.prepare(&app.store, app.clock.now()).await?;
        let database = file.as_ref().map(|(database, _)| database.as_path());
        exposed::warn(&exposed::server_files(&app.config, database));
        let (stop_commands, stopping) = watch::channel(());
        let commands = {
            let app = app.clone();
            tokio::spawn(async move {
                if let Some(socket) = socket {
                    socket::serve(socket, app, stopping).await;
                }
            })
        };
        let workers = vec![
            tokio::spawn(purge::run(app.store.clone(), app.clock.clone(), grace)),
            tokio::spawn(app.keys.clone().run(app.store.clone(), app.clock.clone())),
            tokio::spawn(app.last_used.clone().run(app.store.clone())),
            tokio::spawn(app.feed.clone().run(app.store.clone(), app.guards.clone(), app.clock.clone())),
            tokio::spawn(app.guards.clone().run(app.store.clone(), app.clock.clone())),
        ];
        tracing::info!(%address, issuer = app.config.issuer.as_str(), "server.started");
        Ok(Self {
            app,
            stop_signal,
            listeners,
            commands,
            stop_commands,
            workers,
            lock: file.map(|(_, lock)| lock),
        })
    }

    /// Serves until SIGTERM or SIGINT, then lets requests under way finish.
    ///
    /// # Errors
    /// When threads can't be started.
    pub async fn run_until_signal(self) -> Result<(), Failure> {
        self.run_until(std::future::pending::<()>()).await
    }

    /// The same, and until `done` is.
    ///
    /// # Errors
    /// When threads can't be started.
    pub async fn run_until<T>(self, done: impl Future<Output = T>) -> Result<(), Failure> {
        let feed = self.app.feed.clone();
        let limits = Limits::idle(self.app.config.idle_timeout);
        let stop = move || {
            // Streams would never finish by themselves.
            feed.stop();
            self.stop_commands.send_replace(());
        };
        let commands = async {
            // An error means that it panicked, which is logged.
            let _ = self.commands.await;
        };
        let stop_signal = self.stop_signal;
        let done = async {
            tokio::select! {
                () = stop_signal => {}
                _ = done => {}
            }
        };
        let router = || routes::router(self.app.of_thread());
        serve_until(self.listeners, router, limits, done, stop, commands).await?;
        for worker in self.workers {
            worker.abort();
        }
        let close = async {
            match tokio::time::timeout(FLUSH, self.app.last_used.flush(&self.app.store)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(error = %error, "last_used.flush_failed"),
                Err(_) => tracing::warn!("last_used.flush_cut_short"),
            }
            if let Err(error) = self.app.guards.flush(&self.app.store, self.app.clock.now()).await {
                tracing::warn!(error = %error, "guards.flush_failed");
            }
            self.app.store.close().await;
        };
        if tokio::time::timeout(CLOSE, close).await.is_err() {
            tracing::warn!("store.close_cut_short");
        }
        drop(self.lock);
        tracing::info!("server.stopped");
        Ok(())
    }
}
