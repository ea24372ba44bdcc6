//! `rescind demo`: a whole world on loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use rescind_guard::Guard;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::cli::connections::{self, Limits};
use crate::cli::failure::Failure;
use crate::cli::print::print;
use crate::cli::serve::{Server, log_as};
use crate::config::{Config, LogFormat};
use crate::demo::settings::Settings;
use crate::demo::world::{APP_NAME, AUDIENCE, Callbacks, GUARDED_APP_NAME, Person, SCOPES, World};
use crate::demo::{sample_api, sample_app};

/// How long requests under way at the sample apps and the API may take after the server has ended.
const DRAIN: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub struct Options {
    /// Loopback address and port of the server; the next three are for a sample app, the sample API and an app with JWTs
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Keep the database and the sign-in data here; without it they end with the demo
    #[arg(long)]
    data: Option<PathBuf>,
    /// Print one JSON object once ready
    #[arg(long)]
    json: bool,
}

/// Where the parts of the sample world are reached.
struct Urls {
    issuer: String,
    app: String,
    api: String,
    guarded_app: String,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When an address is taken or the database can't be made.
pub async fn run(options: Options) -> Result<(), Failure> {
    log_as(LogFormat::Text);
    let Some(addresses) = next_addresses(options.listen) else {
        return Err(Failure::usage(
            "--listen has to be a loopback address and a port up to 65532".to_owned(),
        ));
    };
    let temporary = tempfile::tempdir().context("a temporary folder")?;
    let folder = options.data.unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    let url = |address: SocketAddr| format!("http://{address}");
    let [app, api, guarded_app] = addresses.map(url);
    let urls = Urls { issuer: url(options.listen), app, api, guarded_app };
    let config = config(options.listen, &urls.issuer, &folder)?;
    let [app, api, guarded_app] = addresses;
    let listeners = [listen(app).await?, listen(api).await?, listen(guarded_app).await?];
    let limits = Limits::idle(config.idle_timeout);
    let server = Server::start(config).await?;
    let callbacks = Callbacks {
        app: format!("{}/callback", urls.app),
        guarded_app: format!("{}/callback", urls.guarded_app),
    };
    let world = World::load_or_make(&server.app, &folder.join("demo.json"), &callbacks).await?;
    let routers = routers(&world, &urls, callbacks)?;
    let mut samples = JoinSet::new();
    for (listener, router) in listeners.into_iter().zip(routers) {
        let stop = server.stop_signal.clone();
        samples.spawn(async move {
            connections::serve(vec![listener], move || router.clone(), limits, stop).await
        });
    }
    print(&if options.json { ready_json(&world, &urls) } else { ready_text(&world, &urls) })?;
    server.run_until_signal().await?;
    let finished = async { while samples.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, finished).await.is_err() {
        tracing::warn!("demo.drain_cut_short");
    }
    Ok(())
}

fn config(listen: SocketAddr, issuer: &str, folder: &Path) -> Result<Config, Failure> {
    Config::read(&|name| match name {
        "RESCIND_DATABASE_URL" => Some(format!("sqlite://{}", folder.join("rescind.db").display())),
        "RESCIND_ISSUER" => Some(issuer.to_owned()),
        "RESCIND_LISTEN" => Some(listen.to_string()),
        _ => None,
    })
    .map_err(|faults| Failure::usage(faults.to_string()))
}

/// The sample app, the sample API and the sample app with JWTs.
fn routers(world: &World, urls: &Urls, callbacks: Callbacks) -> anyhow::Result<[Router; 3]> {
    let (id, secret) = (&world.resource_server_id, &world.resource_server_secret);
    let guard = Guard::start(rescind_guard::Settings::new(&urls.issuer, id, secret, AUDIENCE));
    let api = sample_api::Settings {
        issuer: urls.issuer.clone(),
        resource_server_id: id.clone(),
        resource_server_secret: secret.clone(),
        audience: AUDIENCE.to_owned(),
    };
    let app = Settings {
        issuer: urls.issuer.clone(),
        client_id: world.client_id.clone(),
        client_secret: Some(world.client_secret.clone()),
        redirect_uri: callbacks.app,
        api: urls.api.clone(),
        call: "GET /photos",
        checking: "The token is opaque: the API asks the server about it at every call.",
        cookie: "fotowerk",
        scopes: SCOPES.iter().map(|&scope| scope.to_owned()).collect(),
        name: APP_NAME.to_owned(),
    };
    let guarded_app = Settings {
        client_id: world.guarded_client_id.clone(),
        client_secret: Some(world.guarded_client_secret.clone()),
        redirect_uri: callbacks.guarded_app,
        call: "GET /guarded/photos",
        checking: "The token is a JWT: the API checks it by itself and asks nobody. \
            It hears of a revocation by the server's feed.",
        cookie: "leinwand",
        name: GUARDED_APP_NAME.to_owned(),
        ..app.clone()
    };
    let api = sample_api::router(api, &guard.context("the guard")?)?;
    Ok([sample_app::router(app)?, api, sample_app::router(guarded_app)?])
}

fn ready_json(world: &World, urls: &Urls) -> String {
    let Urls { issuer, app, api, guarded_app } = urls;
    let ready = json!({
        "issuer": issuer, "app": app, "api": api, "guarded_app": guarded_app, "people": world.people,
    });
    format!("{ready}\n")
}

fn ready_text(world: &World, urls: &Urls) -> String {
    let Urls { issuer, app, api, guarded_app } = urls;
    let person =
        |person: &Person| format!("  {:<8} {}   ({})\n", person.username, person.password, person.role);
    let people: String = world.people.iter().map(person).collect();
    format!(
        "The sample app {APP_NAME}:  {app}   (opaque tokens, looked up at every call)\n\
         The sample app {GUARDED_APP_NAME}:  {guarded_app}   (JWTs, checked by the API itself)\n\
         Their users' dashboard:   {issuer}/authorizations\n\
         The sample API:           {api}\n\nSign in as\n{people}\n\
         Connect them, then revoke their access: a page turns red on its app's next call. Ctrl-C ends the demo.\n"
    )
}

/// For the sample app, the sample API and the sample app with JWTs.
fn next_addresses(server: SocketAddr) -> Option<[SocketAddr; 3]> {
    let next = |step: u16| Some(SocketAddr::new(server.ip(), server.port().checked_add(step)?));
    if !server.ip().is_loopback() || server.port() == 0 {
        return None;
    }
    Some([next(1)?, next(2)?, next(3)?])
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    Ok(TcpListener::bind(address).await.with_context(|| format!("{address} can't be listened on"))?)
}
