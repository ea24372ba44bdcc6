//! A server for each test, and the gestures of those who use it: `alice.authorizes(&app)`, `app.redeems(&code)`,
//! `api.introspects(&token)`, `alice.revokes(&app)`.
//!
//! The clock stands still until [`World::advances`]. Every answer is checked for what all answers have in common.

pub mod answer;
pub mod api;
pub mod browser;
pub mod client;
pub mod described;
pub mod fields;
pub mod listener;

#[allow(dead_code, reason = "each suite that has it uses some of it")]
#[path = "../engine"]
pub mod engine {
    pub mod connection;
    pub mod database;
    #[path = "../postgres"]
    pub mod postgres {
        pub mod cluster;
    }
}

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::BodyExt as _;
use rescind::app::App;
use rescind::clock::Clock;
use rescind::config::Config;
use rescind::model::by::By;
use rescind::model::client::{AppName, ClientKind, GrantType, GrantTypes, RedirectUri, TokenFormat};
use rescind::model::id::{ClientId, GrantId, UserId};
use rescind::model::password::Password;
use rescind::model::resource_server::Guarding;
use rescind::model::scope::Scope;
use rescind::model::user::{Role, Username};
use rescind::routes::router;
use rescind::service::register::{self, NewClient, NewResourceServer, NewUser};
use rescind::service::revoke::{self, Apps, Authority};
use rusqlite::types::{FromSql, Value};
use tokio::task::AbortHandle;
use tower::ServiceExt as _;

use answer::Answer;
use api::Api;
use browser::Browser;
use client::Client;
use described::Given;
use engine::connection::Connection;
use engine::database::{Database, is_postgres};
use fields::Fields;

/// Why a test of leases and confirmations is for SQLite: it moves the clock, and several servers settle them in their own
/// time. `tests/postgres/guards.rs` tests these.
pub const ONE_SERVER: &str = "several servers share leases in their own time";

pub const ISSUER: &str = "http://127.0.0.1:8080";
pub const CALLBACK: &str = "https://app.example/callback";
/// Who shows it may read metrics.
pub const METRICS_TOKEN: &str = "a-token-for-metrics";
pub const PASSWORD: &str = "correct horse battery";

/// A server with a database of its own.
#[derive(Clone)]
pub struct World {
    pub app: App,
    router: Router,
    workers: Arc<Vec<AbortHandle>>,
    pub database: Arc<Database>,
    /// What went over the wire, while somebody listens.
    wire: Arc<Mutex<Option<Vec<String>>>>,
    /// The described answers that came.
    given: Arc<Mutex<BTreeSet<Given>>>,
}

/// What most tests begin with: an API with the scopes `read` and `write`, a confidential client that may ask for
/// both, and Alice, who is signed in.
pub struct Scene {
    pub world: World,
    pub api: Api,
    pub app: Client,
    pub alice: Browser,
}

pub async fn scene() -> Scene {
    scene_in(World::new().await).await
}

pub async fn scene_in(world: World) -> Scene {
    let api = world.api("https://photos.example", &["read", "write"]).await;
    let app = world.confidential_client().await;
    let alice = world.signed_in("alice").await;
    Scene { world, api, app, alice }
}

impl World {
    pub async fn new() -> Self {
        Self::at(ISSUER, Clock::fixed(Clock::System.now())).await
    }

    pub async fn at(issuer: &str, clock: Clock) -> Self {
        Self::build(Database::new(), issuer, clock, &[]).await
    }

    #[allow(dead_code, reason = "for faults of the database (tests/faults)")]
    pub async fn on(database: Database) -> Self {
        Self::build(database, ISSUER, Clock::fixed(Clock::System.now()), &[]).await
    }

    /// With these settings beside those that every test needs.
    #[allow(dead_code, reason = "tests/faults has no use for it")]
    pub async fn with_settings(settings: &[(&str, &str)]) -> Self {
        Self::build(Database::new(), ISSUER, Clock::fixed(Clock::System.now()), settings).await
    }

    async fn build(database: Database, issuer: &str, clock: Clock, settings: &[(&str, &str)]) -> Self {
        let config = Config::read(&|name| match name {
            "RESCIND_ISSUER" => Some(issuer.to_owned()),
            "RESCIND_METRICS_TOKEN" => Some(METRICS_TOKEN.to_owned()),
            "RESCIND_DATABASE_URL" => Some(database.url()),
            "RESCIND_KEY_FILE" => Some(database.key_file().display().to_string()),
            _ => settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()),
        })
        .unwrap();
        let store = database.open().await;
        let app = App::new(config, store, clock).unwrap();
        app.keys.prepare(&app.store, app.clock.now()).await.unwrap();
        let feed = app.feed.clone().run(app.store.clone(), app.guards.clone(), app.clock.clone());
        let mut workers = vec![tokio::spawn(feed).abort_handle()];
        if is_postgres() {
            // Receipts wait until the leases of all servers were read.
            let guards = app.guards.clone().run(app.store.clone(), app.clock.clone());
            workers.push(tokio::spawn(guards).abort_handle());
        }
        let (router, database, workers) = (router(app.clone()), Arc::new(database), Arc::new(workers));
        Self { router, app, workers, database, wire: Arc::default(), given: Arc::default() }
    }

    /// Ends the server, for tests that use many.
    #[allow(dead_code, reason = "most tests have one, which ends with them")]
    pub async fn ends(&self) {
        self.workers.iter().for_each(AbortHandle::abort);
        self.app.store.close().await;
    }

    pub fn issuer(&self) -> &str {
        self.app.config.issuer.as_str()
    }

    /// A request builder with what every caller sends.
    pub fn request(&self, method: &str, path: &str) -> axum::http::request::Builder {
        let host = self.issuer().split_once("://").unwrap().1;
        Request::builder().method(method).uri(path).header(header::HOST, host)
    }

    pub async fn sends(&self, mut request: Request<Body>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let what = format!("{} {}", request.method(), request.uri());
        if self.wire.lock().unwrap().is_some() {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            self.hears(&format!("{} {:?}\n{}", head.uri, head.headers, String::from_utf8_lossy(&body)));
            request = Request::from_parts(head, body.into());
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let answer = Answer::read(&what, response).await;
        self.hears(&format!("{:?}\n{}", answer.headers, answer.body));
        self.given.lock().unwrap().extend(described::check(&what, &method, &path, &answer));
        answer
    }

    fn hears(&self, text: &str) {
        if let Some(heard) = self.wire.lock().unwrap().as_mut() {
            heard.push(text.to_owned());
        }
    }

    /// The answer as it comes, for those that never end.
    pub async fn opens(&self, request: Request<Body>) -> axum::response::Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn gets(&self, path: &str) -> Answer {
        self.sends(self.request("GET", path).body(Body::empty()).unwrap()).await
    }

    /// A form by whoever knows the address, with no proof of anything.
    pub async fn posts(&self, path: &str, fields: &Fields) -> Answer {
        let request = self.request("POST", path).header(header::CONTENT_TYPE, fields::FORM);
        self.sends(request.body(fields.encode().into()).unwrap()).await
    }

    /// What Prometheus reads.
    pub async fn metrics(&self) -> String {
        let request = self.request("GET", "/metrics");
        let request = request.header(header::AUTHORIZATION, format!("Bearer {METRICS_TOKEN}"));
        self.sends(request.body(Body::empty()).unwrap()).await.is(200).body
    }

    /// The answers of `docs/openapi.json` that came so far.
    #[allow(dead_code, reason = "tests/faults has no use for it")]
    pub fn given(&self) -> BTreeSet<Given> {
        self.given.lock().unwrap().clone()
    }

    pub fn advances(&self, seconds: u64) {
        self.app.clock.advance(Duration::from_secs(seconds));
    }

    /// Somebody sets the clock.
    pub fn goes_back(&self, seconds: i64) {
        let Clock::Fixed(millis) = &self.app.clock else { panic!("the system's clock") };
        millis.fetch_sub(seconds * 1000, Ordering::SeqCst);
    }

    // Who and what there is

    /// A person with an account and a browser; not signed in.
    pub async fn person(&self, name: &str) -> Browser {
        let new = NewUser {
            username: Username::parse(name).unwrap(),
            email: None,
            role: Role::User,
            password: Password::chosen(PASSWORD.to_owned()).unwrap(),
        };
        let now = self.app.clock.now();
        let id = register::user(&self.app.store, &self.app.passwords, new, By::operator(now)).await.unwrap();
        Browser::new(self.clone(), name, id)
    }

    pub async fn signed_in(&self, name: &str) -> Browser {
        let person = self.person(name).await;
        person.signs_in().await;
        person
    }

    /// A person with a role, signed in; the one of that name, if there is one.
    pub async fn with_role(&self, name: &str, role: Role) -> Browser {
        let person = match self.app.store.user_id(&Username::parse(name).unwrap()).await.unwrap() {
            Some(id) => Browser::new(self.clone(), name, id),
            None => self.person(name).await,
        };
        self.forces(&format!("UPDATE users SET role = '{}' WHERE id = '{}'", role.as_str(), person.id));
        person.signs_in().await;
        person
    }

    /// A resource server; each scope's description is `May <name>`.
    pub async fn api(&self, audience: &str, scopes: &[&str]) -> Api {
        let new = NewResourceServer {
            name: audience.to_owned(),
            audience: audience.to_owned(),
            scopes: scopes.iter().map(|&name| (name.to_owned(), format!("May {name}"))).collect(),
            guarding: Guarding::default(),
        };
        let (id, secret) =
            register::resource_server(&self.app.store, new, By::operator(self.app.clock.now()))
                .await
                .unwrap();
        Api { world: self.clone(), id: id.to_string(), secret: secret.expose().to_owned() }
    }

    pub async fn confidential_client(&self) -> Client {
        self.client(ClientKind::Confidential, |_| {}).await
    }

    pub async fn public_client(&self) -> Client {
        self.client(ClientKind::Public, |_| {}).await
    }

    pub async fn client_with_redirects(&self, uris: &[&str]) -> Client {
        let uris = uris.iter().map(|uri| RedirectUri::parse(uri).unwrap()).collect();
        self.client(ClientKind::Confidential, |new| new.redirect_uris = uris).await
    }

    pub async fn client_with_scope(&self, scope: &str) -> Client {
        self.client(ClientKind::Confidential, |new| new.scope = Scope::parse(scope)).await
    }

    pub async fn client_with_grant_types(&self, kind: ClientKind, types: &[GrantType]) -> Client {
        self.client(kind, |new| new.grant_types = GrantTypes::new(types.to_vec())).await
    }

    pub async fn client(&self, kind: ClientKind, change: impl FnOnce(&mut NewClient)) -> Client {
        let mut new = NewClient {
            owner: self.developer().await,
            name: AppName::parse("Prints").unwrap(),
            publisher: "Paper Ltd".to_owned(),
            kind,
            token_format: TokenFormat::Opaque,
            grant_types: GrantTypes::default(),
            scope: None,
            redirect_uris: vec![RedirectUri::parse(CALLBACK).unwrap()],
        };
        change(&mut new);
        let redirect_uri = new.redirect_uris[0].as_str().to_owned();
        let (id, secret) =
            register::client(&self.app.store, new, By::operator(self.app.clock.now())).await.unwrap();
        Client::new(self.clone(), id.as_str(), secret.map(|secret| secret.expose().to_owned()), redirect_uri)
    }

    async fn developer(&self) -> UserId {
        let name = Username::parse("developer").unwrap();
        match self.app.store.user_id(&name).await.unwrap() {
            Some(id) => id,
            None => self.person("developer").await.id,
        }
    }

    /// Deletes all that is dead or expired, as the worker does.
    pub async fn purges(&self) {
        engine::database::catch_up(&self.app.store, &self.app.clock, Duration::ZERO).await.unwrap();
    }

    // What operators do

    pub async fn ends_all_tokens_of(&self, app: &Client) {
        let by = By::operator(self.app.clock.now());
        let id = ClientId::parse(&app.id).unwrap();
        revoke::client_tokens(&self.app.store, id, Authority::Provider, None, by).await.unwrap().unwrap();
    }

    pub async fn ends_everything_of(&self, person: &Browser) {
        let by = By::operator(self.app.clock.now());
        revoke::user(&self.app.store, person.id.clone(), None, by).await.unwrap().unwrap();
    }

    pub async fn suspends(&self, app: &Client) {
        let by = By::operator(self.app.clock.now());
        let suspended =
            revoke::suspend_client(&self.app.store, ClientId::parse(&app.id).unwrap(), String::new(), by);
        suspended.await.unwrap().unwrap();
    }

    pub async fn disables(&self, person: &Browser) {
        let by = By::operator(self.app.clock.now());
        let disabled = revoke::disable_user(&self.app.store, person.id.clone(), Apps::Keep, by);
        disabled.await.unwrap().unwrap();
    }

    pub async fn ends_grant(&self, grant: &str) {
        let by = By::operator(self.app.clock.now());
        revoke::any_grant(&self.app.store, GrantId::parse(grant).unwrap(), by).await.unwrap().unwrap();
    }

    pub async fn changes_password_of(&self, person: &Browser, password: &str) {
        let password = Password::chosen(password.to_owned()).unwrap();
        let name = Username::parse(&person.name).unwrap();
        let by = By::operator(self.app.clock.now());
        let set = register::set_password(&self.app.store, &self.app.passwords, name, password, by);
        set.await.unwrap().unwrap();
    }

    // What lies in the database

    /// A connection of the test's own.
    pub fn connects(&self) -> Connection {
        self.database.connect()
    }

    /// One value of one row.
    pub fn value<T: FromSql>(&self, sql: &str) -> T {
        self.connects().value(sql, &[])
    }

    /// For states that no gesture reaches yet.
    pub fn forces(&self, sql: &str) {
        assert!(self.connects().run(sql, &[]) > 0, "{sql}");
    }

    /// The same for the tables themselves.
    pub fn forces_schema(&self, sql: &str) {
        self.connects().batch(sql);
    }

    /// The acts in the ledger, oldest first.
    pub fn ledger(&self) -> Vec<String> {
        self.connects().column("SELECT act FROM ledger ORDER BY sequence", &[])
    }

    /// Every row of every table, as text; but not `head`, which counts what caches have to read again.
    pub fn contents(&self) -> BTreeMap<String, Vec<String>> {
        let database = self.connects();
        let text = |row: &Vec<Value>| {
            let cell = |value: &Value| match value {
                Value::Text(text) => text.clone(),
                Value::Blob(bytes) => format!("{bytes:?}"),
                other => format!("{other:?}"),
            };
            row.iter().map(cell).collect::<Vec<_>>().join("|")
        };
        let rows = |table: &String| {
            let mut rows: Vec<String> = database.contents(table).iter().map(text).collect();
            rows.sort();
            rows
        };
        // What servers that share a database write in their own time.
        let shared = ["head", "guard_instances", "confirmations"];
        let is_shared = |table: &str| is_postgres() && shared.contains(&table);
        let tables = database.tables().into_iter().filter(|table| !is_shared(table));
        tables.map(|table| (table.clone(), rows(&table))).collect()
    }
}

#[allow(dead_code, reason = "for the search for secrets (tests/faults)")]
impl World {
    /// Keeps what goes over the wire from now on.
    pub fn listens(&self) {
        *self.wire.lock().unwrap() = Some(Vec::new());
    }

    /// What was kept.
    pub fn heard(&self) -> Vec<String> {
        self.wire.lock().unwrap().clone().unwrap_or_default()
    }

    /// The database's files, byte by byte.
    pub fn bytes(&self) -> Vec<u8> {
        let files = ["rescind.db", "rescind.db-wal"].map(|name| self.database.folder().join(name));
        files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect()
    }
}
