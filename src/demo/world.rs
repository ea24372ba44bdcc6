//! The people, the app and the API that the sample world is made of, and what they sign in with.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::model::by::By;
use crate::model::client::{AppName, ClientKind, GrantTypes, RedirectUri, TokenFormat};
use crate::model::id::{UserId, random62};
use crate::model::password::Password;
use crate::model::resource_server::Guarding;
use crate::model::scope::Scope;
use crate::model::user::{Role, Username};
use crate::service::register::{self, NewClient, NewResourceServer, NewUser};

/// What the sample API calls itself in tokens.
pub const AUDIENCE: &str = "https://photos.example";
/// What the sample app is registered as.
pub const APP_NAME: &str = "Fotowerk";
/// What the app with JWTs is registered as.
pub const GUARDED_APP_NAME: &str = "Leinwand";
/// What they ask for.
pub const SCOPES: [&str; 1] = ["photos.read"];

const PEOPLE: [(&str, Role); 3] = [("alice", Role::User), ("dana", Role::Developer), ("max", Role::Admin)];

/// Where the two apps get their codes.
pub struct Callbacks {
    pub app: String,
    pub guarded_app: String,
}

/// Everything that a run of the demo needs to go on with an earlier one's database.
#[derive(Debug, Serialize, Deserialize)]
pub struct World {
    pub people: Vec<Person>,
    pub client_id: String,
    pub client_secret: String,
    pub guarded_client_id: String,
    pub guarded_client_secret: String,
    pub resource_server_id: String,
    pub resource_server_secret: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Person {
    pub username: String,
    pub password: String,
    pub role: String,
}

impl World {
    /// The world of `file`, or a new one in an empty database, which `file` then keeps.
    ///
    /// # Errors
    /// When the file can't be read or written, or the store fails.
    pub async fn load_or_make(app: &App, file: &Path, callbacks: &Callbacks) -> anyhow::Result<Self> {
        if file.exists() {
            let text = std::fs::read(file).with_context(|| format!("{}", file.display()))?;
            let world = serde_json::from_slice(&text);
            return world.with_context(|| {
                format!("{} is damaged or of another version: take another folder", file.display())
            });
        }
        anyhow::ensure!(
            !app.store.has_admin().await?,
            "there is a database beside it, but {} is missing: take another folder, or empty this one",
            file.display()
        );
        let world = Self::make(app, callbacks).await?;
        let out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
        let out = out.with_context(|| format!("{}", file.display()))?;
        serde_json::to_writer_pretty(out, &world)?;
        Ok(world)
    }

    async fn make(app: &App, callbacks: &Callbacks) -> anyhow::Result<Self> {
        let now = app.clock.now();
        let mut people = Vec::new();
        let mut publisher = None;
        for (name, role) in PEOPLE {
            let password = random62(14);
            let new = NewUser {
                username: Username::parse(name).context("a name")?,
                email: None,
                role,
                password: Password::typed(password.clone()),
            };
            let id = register::user(&app.store, &app.passwords, new, By::operator(now)).await?;
            if role == Role::Developer {
                publisher = Some(id);
            }
            people.push(Person { username: name.to_owned(), password, role: role.as_str().to_owned() });
        }
        let server = NewResourceServer {
            name: "Photos".to_owned(),
            audience: AUDIENCE.to_owned(),
            scopes: vec![
                (SCOPES[0].to_owned(), "See your photos".to_owned()),
                ("photos.write".to_owned(), "Add photos to your albums".to_owned()),
            ],
            guarding: Guarding::default(),
        };
        let (resource_server_id, resource_server_secret) =
            register::resource_server(&app.store, server, By::operator(now)).await?;
        let publisher = publisher.context("a developer")?;
        let shop = (APP_NAME, "Fotowerk Prints", TokenFormat::Opaque);
        let (client_id, client_secret) = add_client(app, publisher.clone(), shop, &callbacks.app).await?;
        let shop = (GUARDED_APP_NAME, "Leinwand Ateliers", TokenFormat::Jwt);
        let (guarded_client_id, guarded_client_secret) =
            add_client(app, publisher, shop, &callbacks.guarded_app).await?;
        Ok(Self {
            people,
            client_id,
            client_secret,
            guarded_client_id,
            guarded_client_secret,
            resource_server_id: resource_server_id.to_string(),
            resource_server_secret: resource_server_secret.expose().to_owned(),
        })
    }
}

/// A shop's name, who is behind it, and how its tokens are made.
type Shop = (&'static str, &'static str, TokenFormat);

async fn add_client(
    app: &App,
    owner: UserId,
    (name, publisher, token_format): Shop,
    redirect_uri: &str,
) -> anyhow::Result<(String, String)> {
    let client = NewClient {
        owner,
        name: AppName::parse(name).map_err(anyhow::Error::msg)?,
        publisher: publisher.to_owned(),
        kind: ClientKind::Confidential,
        token_format,
        grant_types: GrantTypes::default(),
        scope: Some(SCOPES.iter().copied().collect::<Scope>()),
        redirect_uris: vec![RedirectUri::parse(redirect_uri).map_err(anyhow::Error::msg)?],
    };
    let (id, secret) = register::client(&app.store, client, By::operator(app.clock.now())).await?;
    let secret = secret.context("a confidential client has a secret")?;
    Ok((id.to_string(), secret.expose().to_owned()))
}
