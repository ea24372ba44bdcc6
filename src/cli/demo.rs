//! `rescind demo`: a whole world on loopback.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;
use tokio::net::TcpListener;

use crate::cli::command::Failure;
use crate::cli::serve::{Server, log_as};
use crate::config::{Config, LogFormat};
use crate::demo::world::{APP_NAME, AUDIENCE, SCOPES, World};
use crate::demo::{sample_api, sample_app};

#[derive(clap::Args)]
pub struct Options {
    /// Loopback address and port of the server; the sample app takes the next port, the API the one after
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
    let Some([app_address, api_address]) = neighbours(options.listen) else {
        return Err(Failure::usage(
            "--listen has to be a loopback address and a port up to 65533".to_owned(),
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
    let [app_listener, api_listener] = [listen(app_address).await?, listen(api_address).await?];
    let server = Server::start(config).await?;
    let (app_url, api_url) = (format!("http://{app_address}"), format!("http://{api_address}"));
    let redirect_uri = format!("{app_url}/callback");
    let world = World::load_or_make(&server.app, &folder.join("demo.json"), &redirect_uri).await?;

    let api = sample_api::router(sample_api::Settings {
        issuer: issuer.clone(),
        resource_server_id: world.resource_server_id.clone(),
        resource_server_secret: world.resource_server_secret.clone(),
        audience: AUDIENCE.to_owned(),
    })?;
    let app = sample_app::router(sample_app::Settings {
        issuer: issuer.clone(),
        client_id: world.client_id.clone(),
        client_secret: Some(world.client_secret.clone()),
        redirect_uri,
        api: api_url.clone(),
        scopes: SCOPES.iter().map(|&scope| scope.to_owned()).collect(),
        name: APP_NAME.to_owned(),
    })?;
    tokio::spawn(async move { axum::serve(app_listener, app).await });
    tokio::spawn(async move { axum::serve(api_listener, api).await });

    if options.json {
        println!("{}", json!({ "issuer": issuer, "app": app_url, "api": api_url, "people": world.people }));
    } else {
        println!("The sample app {APP_NAME}:  {app_url}");
        println!("Its users' dashboard:     {issuer}/authorizations");
        println!("The sample API:           {api_url}/photos\n\nSign in as");
        for person in &world.people {
            println!("  {:<8} {}   ({})", person.username, person.password, person.role);
        }
        println!(
            "\nConnect {APP_NAME}, then revoke its access: its page turns red on its next call. Ctrl-C ends the demo."
        );
    }
    server.run_until_told().await
}

fn neighbours(server: SocketAddr) -> Option<[SocketAddr; 2]> {
    let next = |step: u16| Some(SocketAddr::new(server.ip(), server.port().checked_add(step)?));
    if !server.ip().is_loopback() || server.port() == 0 {
        return None;
    }
    Some([next(1)?, next(2)?])
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    Ok(TcpListener::bind(address).await.with_context(|| format!("{address} can't be listened on"))?)
}
