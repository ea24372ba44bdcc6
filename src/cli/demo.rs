//! `rescind demo`: a whole world on loopback.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use rescind_guard::Guard;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::cli::connections::{self, Limits};
use crate::cli::failure::Failure;
use crate::cli::print::print;
use crate::cli::serve::{Server, log_as};
use crate::config::{Config, LogFormat};
use crate::demo::world::{APP_NAME, AUDIENCE, Callbacks, GUARDED_APP_NAME, Person, SCOPES, World};
use crate::demo::{sample_api, sample_app};

/// How long requests under way at the sample apps and the API may take after the server has ended.
const SAMPLES: Duration = Duration::from_secs(1);

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

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When an address is taken or the database can't be made.
pub async fn run(options: Options) -> Result<(), Failure> {
    log_as(LogFormat::Text);
    let Some([app_address, api_address, guarded_address]) = neighbours(options.listen) else {
        return Err(Failure::usage(
            "--listen has to be a loopback address and a port up to 65532".to_owned(),
        ));
    };
    let temporary = tempfile::tempdir().context("a temporary folder")?;
    let folder = options.data.unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    let issuer = format!("http://{}", options.listen);
    let database = format!("sqlite://{}", folder.join("rescind.db").display());
    let config = Config::read(&|name| match name {
        "RESCIND_DATABASE_URL" => Some(database.clone()),
        "RESCIND_ISSUER" => Some(issuer.clone()),
        "RESCIND_LISTEN" => Some(options.listen.to_string()),
        _ => None,
    })
    .map_err(|faults| Failure::usage(faults.to_string()))?;
    let [app_listener, api_listener, guarded_listener] =
        [listen(app_address).await?, listen(api_address).await?, listen(guarded_address).await?];
    let limits = Limits::idle(config.idle_timeout);
    let server = Server::start(config).await?;
    let url = |address: SocketAddr| format!("http://{address}");
    let (app_url, api_url, guarded_url) = (url(app_address), url(api_address), url(guarded_address));
    let callbacks =
        Callbacks { app: format!("{app_url}/callback"), guarded_app: format!("{guarded_url}/callback") };
    let world = World::load_or_make(&server.app, &folder.join("demo.json"), &callbacks).await?;

    let (id, secret) = (world.resource_server_id.clone(), world.resource_server_secret.clone());
    let guard =
        Guard::start(rescind_guard::Settings::new(&issuer, &id, &secret, AUDIENCE)).context("the guard")?;
    let api = sample_api::Settings {
        issuer: issuer.clone(),
        resource_server_id: id,
        resource_server_secret: secret,
        audience: AUDIENCE.to_owned(),
    };
    let api = sample_api::router(api, &guard)?;
    let app = sample_app::Settings {
        issuer: issuer.clone(),
        client_id: world.client_id.clone(),
        client_secret: Some(world.client_secret.clone()),
        redirect_uri: callbacks.app,
        api: api_url.clone(),
        call: "GET /photos",
        checking: "The token is opaque: the API asks the server about it at every call.",
        cookie: "fotowerk",
        scopes: SCOPES.iter().map(|&scope| scope.to_owned()).collect(),
        name: APP_NAME.to_owned(),
    };
    let guarded_app = sample_app::Settings {
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
    let [app, guarded_app] = [sample_app::router(app)?, sample_app::router(guarded_app)?];
    let mut samples = JoinSet::new();
    for (listener, router) in [(app_listener, app), (api_listener, api), (guarded_listener, guarded_app)] {
        let told = server.told.clone();
        samples.spawn(async move {
            connections::serve(vec![listener], move || router.clone(), limits, told).await
        });
    }

    if options.json {
        let ready = json!({
            "issuer": issuer, "app": app_url, "api": api_url, "guarded_app": guarded_url, "people": world.people,
        });
        print(&format!("{ready}\n"))?;
    } else {
        let person =
            |person: &Person| format!("  {:<8} {}   ({})\n", person.username, person.password, person.role);
        let people: String = world.people.iter().map(person).collect();
        print(&format!(
            "The sample app {APP_NAME}:  {app_url}   (opaque tokens, looked up at every call)\n\
             The sample app {GUARDED_APP_NAME}:  {guarded_url}   (JWTs, checked by the API itself)\n\
             Their users' dashboard:   {issuer}/authorizations\n\
             The sample API:           {api_url}\n\nSign in as\n{people}\n\
             Connect them, then revoke their access: a page turns red on its app's next call. Ctrl-C ends the demo.\n"
        ))?;
    }
    server.run_until_told().await?;
    let finished = async { while samples.join_next().await.is_some() {} };
    if tokio::time::timeout(SAMPLES, finished).await.is_err() {
        tracing::warn!("demo.drain_cut_short");
    }
    Ok(())
}

fn neighbours(server: SocketAddr) -> Option<[SocketAddr; 3]> {
    let next = |step: u16| Some(SocketAddr::new(server.ip(), server.port().checked_add(step)?));
    if !server.ip().is_loopback() || server.port() == 0 {
        return None;
    }
    Some([next(1)?, next(2)?, next(3)?])
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    Ok(TcpListener::bind(address).await.with_context(|| format!("{address} can't be listened on"))?)
}
