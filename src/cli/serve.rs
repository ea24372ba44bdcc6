//! `rescind serve`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::app::App;
use crate::cli::command::{Failure, Holder, holder};
use crate::cli::connections;
use crate::cli::socket;
use crate::clock::Clock;
use crate::config::{Config, LogFormat};
use crate::routes;
use crate::service::purge;
use crate::store::Store;
use crate::store::lock::DatabaseLock;

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
    if !server.app.store.has_admin()? {
        let add = "printf '%s\\n' 'a long password' | rescind user add NAME --role admin --password-stdin";
        match server.app.config.log {
            LogFormat::Text => eprintln!("There is no admin yet. Add the first one:\n  {add}"),
            // Whoever reads a JSON object a line gets nothing else.
            LogFormat::Json => tracing::warn!(command = add, "server.has_no_admin"),
        }
    }
    server.run_until_told().await
}

/// Sends logs to standard error.
pub fn log_as(format: LogFormat) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error means that a test has set logs up before.
    let _ = match format {
        LogFormat::Text => logs.try_init(),
        LogFormat::Json => logs.json().try_init(),
    };
}

/// The socket that a supervisor passed (`LISTEN_FDS`), or one at `address`, as `setting` names it.
pub async fn listen(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    let passed = listenfd::ListenFd::from_env().take_tcp_listener(0).context("the passed socket")?;
    let Some(passed) = passed else {
        return TcpListener::bind(address).await.with_context(|| format!("{setting} {address}"));
    };
    passed.set_nonblocking(true).context("the passed socket")?;
    TcpListener::from_std(passed).context("the passed socket")
}

/// Serves until SIGTERM or SIGINT, or until `done` is; calls `stop`, and lets requests under way finish.
///
/// # Errors
/// When signals can't be heard, or threads can't be started.
pub async fn serve_until<T: Send>(
    listener: TcpListener,
    router: impl Fn() -> axum::Router,
    done: impl Future<Output = T> + Send + 'static,
    stop: impl FnOnce() + Send + 'static,
) -> Result<(), Failure> {
    let (stopped, mut stopping) = watch::channel(());
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    let told = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
            _ = done => {}
        }
        stop();
        stopped.send_replace(());
    };
    let serve = connections::serve(listener, router, connections::PATIENCE, told);
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
    pub address: SocketAddr,
    listener: TcpListener,
    workers: Vec<tokio::task::JoinHandle<()>>,
    lock: DatabaseLock,
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
        let database = config.database.clone();
        let lock = match holder(&database).await? {
            Holder::Us(lock) => lock,
            Holder::Server(_) => {
                let why = format!("another process holds the database {}", database.display());
                return Err(Failure::refused(why));
            }
        };
        let listener = match listener {
            Some(listener) => listener,
            None => listen(config.listen, "RESCIND_LISTEN").await?,
        };
        let address = listener.local_addr().context("the listener")?;
        let store = Store::open(&database).await?;
        let socket = socket::listen(&database)?;
        let grace = config.lives.refresh_grace;
        let app =
            App::new(config, store, Clock::System).map_err(|error| Failure::refused(error.to_string()))?;
        app.keys.prepare(&app.store, app.clock.now()).await?;
        let workers = vec![
            tokio::spawn(socket::serve(socket, app.clone())),
            tokio::spawn(purge::run(app.store.clone(), app.clock.clone(), grace)),
            tokio::spawn(app.keys.clone().run(app.store.clone(), app.clock.clone())),
            tokio::spawn(app.last_used.clone().run(app.store.clone())),
            tokio::spawn(app.feed.clone().run(app.store.clone(), app.guards.clone(), app.clock.clone())),
            tokio::spawn(app.guards.clone().run(app.store.clone(), app.clock.clone())),
        ];
        tracing::info!(%address, issuer = app.config.issuer.as_str(), "server.started");
        Ok(Self { app, address, listener, workers, lock })
    }

    /// Serves until SIGTERM or SIGINT, then lets requests under way finish.
    ///
    /// # Errors
    /// When signals can't be heard, or threads can't be started.
    pub async fn run_until_told(self) -> Result<(), Failure> {
        self.run_until(std::future::pending::<()>()).await
    }

    /// The same, and until `done` is.
    ///
    /// # Errors
    /// When signals can't be heard, or threads can't be started.
    pub async fn run_until<T: Send>(
        self,
        done: impl Future<Output = T> + Send + 'static,
    ) -> Result<(), Failure> {
        let feed = self.app.feed.clone();
        // Streams would never finish by themselves.
        let stop = move || feed.stop();
        serve_until(self.listener, || routes::router(self.app.of_thread()), done, stop).await?;
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
