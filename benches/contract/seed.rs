//! A database with many live tokens, and people who act on it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rescind::app::App;
use rescind::clock::Clock;
use rescind::config::Config;
use rescind::model::by::By;
use rescind::model::client::{AppName, ClientKind, GrantType, GrantTypes, RedirectUri, TokenFormat};
use rescind::model::id::{ClientId, FamilyId, GrantId, Id as _, UserId};
use rescind::model::password::Password;
use rescind::model::resource_server::Guarding;
use rescind::model::secret::{AccessToken, RefreshToken};
use rescind::model::user::{Role, Username};
use rescind::service::register::{self, NewClient, NewResourceServer, NewUser};
use rescind::store::Store;
use rescind::store::tokens::{Kind, NEIGHBOURS, first_place, stored_digest};
use rusqlite::{Connection, params};

use crate::load::{Latencies, Sent, Wrk};

const PASSWORD: &str = "a password for figures";
/// Tokens of one device, devices of one user.
const TOKENS_PER_FAMILY: usize = 5;
const FAMILIES_PER_GRANT: usize = 2;

pub struct World {
    folder: tempfile::TempDir,
    pub database: PathBuf,
    pub large: ClientId,
    pub small: ClientId,
    pub client_auth: String,
    server_auth: String,
    /// Credentials of a client whose tokens are JWTs.
    jwt_auth: String,
    /// The resource server's id and secret.
    pub server: (String, String),
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")))
}

impl World {
    /// One client with `tokens` live access tokens, and one with ten.
    pub fn make(runtime: &tokio::runtime::Runtime, tokens: usize) -> Result<Self> {
        let began = Instant::now();
        let folder = tempfile::tempdir()?;
        let database = folder.path().join("rescind.db");
        let world = runtime.block_on(Self::register(folder, database))?;
        world.fill(&world.large, tokens, "large")?;
        world.fill(&world.small, 10, "small")?;
        eprintln!("{tokens} tokens made in {:.0} s", began.elapsed().as_secs_f64());
        Ok(world)
    }

    async fn register(folder: tempfile::TempDir, database: PathBuf) -> Result<Self> {
        let config = Config::read(&|_| None)?;
        let app = App::new(config, Store::open(&database).await?, Clock::System)?;
        let now = app.clock.now();
        let developer = NewUser {
            username: Username::parse("developer").context("a name")?,
            email: None,
            role: Role::Developer,
            password: Password::typed(PASSWORD.to_owned()),
        };
        let owner = register::user(&app.store, &app.passwords, developer, By::operator(now)).await?;
        let server = NewResourceServer {
            name: "API".to_owned(),
            audience: "https://api.example".to_owned(),
            scopes: vec![("read".to_owned(), "Read".to_owned())],
            guarding: Guarding::default(),
        };
        let (server, server_secret) =
            register::resource_server(&app.store, server, By::operator(now)).await?;
        let client = |name: &str, token_format| NewClient {
            owner: owner.clone(),
            name: AppName::parse(name).unwrap_or_else(|_| unreachable!("a plain name")),
            publisher: "Figures".to_owned(),
            kind: ClientKind::Confidential,
            token_format,
            grant_types: GrantTypes::new(GrantType::ALL.to_vec()),
            scope: None,
            redirect_uris: RedirectUri::parse("https://app.example/callback").into_iter().collect(),
        };
        let (large, secret) =
            register::client(&app.store, client("Large", TokenFormat::Opaque), By::operator(now)).await?;
        let (small, _) =
            register::client(&app.store, client("Small", TokenFormat::Opaque), By::operator(now)).await?;
        let (signed, signed_secret) =
            register::client(&app.store, client("Signed", TokenFormat::Jwt), By::operator(now)).await?;
        app.store.close().await;
        let (secret, signed_secret) = (secret.context("a secret")?, signed_secret.context("a secret")?);
        Ok(Self {
            folder,
            database,
            client_auth: basic(large.as_str(), secret.expose()),
            server_auth: basic(server.as_str(), server_secret.expose()),
            jwt_auth: basic(signed.as_str(), signed_secret.expose()),
            server: (server.to_string(), server_secret.expose().to_owned()),
            large,
            small,
        })
    }

    /// Rows as the server would have written them.
    fn fill(&self, client: &ClientId, tokens: usize, name: &str) -> Result<()> {
        let now = Clock::System.now();
        let later = now.plus(Duration::from_secs(86_400));
        let month = Duration::from_secs(30 * 86_400);
        let families = tokens.div_ceil(TOKENS_PER_FAMILY);
        // Devices came within the last month, one after another.
        let born = |family: usize| {
            let age = month.as_millis() as u64 * (families - family) as u64 / families as u64;
            now.minus(Duration::from_millis(age))
        };
        let family_ids: Vec<FamilyId> =
            (0..families).map(|family| FamilyId::generate(born(family))).collect();
        let of = |family: usize| family_ids[family].born();
        // Refreshed once an hour, a family is written once in twenty-two refreshes: as many are due.
        let kept_until = |family: usize| {
            let slack = month.as_secs() / 32 + 3600;
            let kept = (family as u64).wrapping_mul(2_654_435_761) % slack;
            now.plus(month).plus(Duration::from_secs(kept)).minus(Duration::from_secs(3600))
        };
        let mut access: Vec<(AccessToken, usize)> = (0..tokens)
            .map(|place| place / TOKENS_PER_FAMILY)
            .map(|family| (AccessToken::generate(of(family)), family))
            .collect();
        let refresh: Vec<(RefreshToken, usize)> =
            (0..families).map(|family| (RefreshToken::generate(of(family)), family)).collect();
        let grants = families.div_ceil(FAMILIES_PER_GRANT);
        let users: Vec<UserId> = (0..grants).map(|_| UserId::generate(now)).collect();
        let grant_ids: Vec<GrantId> = (0..grants).map(|_| GrantId::generate(now)).collect();
        let mut database = Connection::open(&self.database)?;
        database.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -262144;")?;
        let tx = database.transaction()?;
        {
            let mut user = tx.prepare("INSERT INTO users (id, username, role, status, status_at, generation, password_hash, password_version, created_at) VALUES (?1, ?2, 'user', 'active', ?3, 1, '', 1, ?3)")?;
            let mut grant = tx.prepare("INSERT INTO grants (id, user_id, client_id, scope, status, generation, server_generation, client_generation, user_generation, first_authorized_at, authorized_at) VALUES (?1, ?2, ?3, 'read', 'open', 1, 1, 1, 1, ?4, ?4)")?;
            let mut family = tx.prepare("INSERT INTO families (id, grant_id, client_id, user_id, server_generation, client_generation, user_generation, status, device, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, 1, 1, 1, 'open', 'Device', ?5, ?6)")?;
            for (place, id) in users.iter().enumerate() {
                user.execute(params![id.as_str(), format!("{name}-{place}"), now.millis()])?;
                grant.execute(params![
                    grant_ids[place].as_str(),
                    id.as_str(),
                    client.as_str(),
                    now.millis()
                ])?;
            }
            for (place, id) in family_ids.iter().enumerate() {
                let of = place / FAMILIES_PER_GRANT;
                family.execute(params![
                    id.as_str(),
                    grant_ids[of].as_str(),
                    client.as_str(),
                    users[of].as_str(),
                    id.born().millis(),
                    kept_until(place).millis()
                ])?;
            }
            let row = |family: usize| {
                let of = family / FAMILIES_PER_GRANT;
                (family_ids[family].unprefixed(), grant_ids[of].unprefixed(), users[of].unprefixed())
            };
            let mut token = tx.prepare("INSERT INTO tokens (place, digest, family_id, grant_id, client_id, user_id, server_generation, client_generation, user_generation, grant_generation, scope, audience, kept_until, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, 1, 1, 1, 'read', ?7, ?8, ?9, ?10) ON CONFLICT (place) DO NOTHING")?;
            let access = access.iter().map(|(secret, family)| {
                (*family, secret.digest(), Kind::Access, Some("https://api.example"), None, later)
            });
            let refresh = refresh.iter().map(|(secret, family)| {
                (
                    *family,
                    secret.digest(),
                    Kind::Refresh,
                    None,
                    Some(kept_until(*family).millis()),
                    now.plus(month),
                )
            });
            // Devices came one after another, and what they refreshed since came by chance: that is how full pages are.
            let mut access: Vec<_> = access.collect();
            access.sort_unstable_by_key(|(_, digest, ..)| digest.token_id().split_off(12));
            for (family, digest, kind, audience, kept_until, expires_at) in refresh.chain(access) {
                let (family, grant, user) = row(family);
                let first = first_place(&digest, kind);
                let mut place = first;
                while token.execute(params![
                    place,
                    stored_digest(&digest),
                    family,
                    grant,
                    client.unprefixed(),
                    user,
                    audience,
                    kept_until,
                    (kind == Kind::Access).then_some(now.millis()),
                    expires_at.millis()
                ])? == 0
                {
                    place += 1;
                    ensure!(place < first + NEIGHBOURS, "no place is free");
                }
            }
        }
        tx.commit()?;
        database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
        access.sort_by_key(|(_, family)| (family * 2_654_435_761) % 4_294_967_291);
        let lines: Vec<&str> = access.iter().map(|(token, _)| token.expose()).collect();
        // By chance, as they end in it.
        let (read, spent) = lines.split_at(lines.len() * 2 / 3);
        let mut read = read.to_vec();
        read.sort_unstable_by_key(|token| &token[token.len() - 20..]);
        std::fs::write(self.file(name, "read"), read.join("\n"))?;
        std::fs::write(self.file(name, "spent"), spent.join("\n"))?;
        // In no order: neighbours would share pages.
        let mut refresh: Vec<_> = refresh.iter().collect();
        refresh.sort_by_key(|(_, family)| (family * 2_654_435_761) % 4_294_967_291);
        let lines: Vec<&str> = refresh.iter().map(|(token, _)| token.expose()).collect();
        std::fs::write(self.file(name, "refresh"), lines.join("\n"))?;
        Ok(())
    }

    pub fn file(&self, name: &str, kind: &str) -> PathBuf {
        self.folder.path().join(format!("{name}-{kind}.txt"))
    }

    pub fn introspection(&self, port: u16, sent: Sent) -> Wrk {
        let url = format!("http://127.0.0.1:{port}/oauth/introspect");
        Wrk::new(url, self.server_auth.clone(), (self.file("large", "read"), "token="), sent)
    }

    pub fn client_credentials(&self, port: u16) -> Wrk {
        let url = format!("http://127.0.0.1:{port}/oauth/token");
        Wrk::constant(url, self.client_auth.clone(), "grant_type=client_credentials")
    }

    /// Of the JWTs in the file that `jwt::sign_all` wrote.
    pub fn jwt_introspection(&self, port: u16) -> Wrk {
        let url = format!("http://127.0.0.1:{port}/oauth/introspect");
        Wrk::new(url, self.server_auth.clone(), (self.file("large", "jwt"), "token="), Sent::Again)
    }

    pub fn jwt_client_credentials(&self, port: u16) -> Wrk {
        let url = format!("http://127.0.0.1:{port}/oauth/token");
        Wrk::constant(url, self.jwt_auth.clone(), "grant_type=client_credentials")
    }

    pub fn refresh(&self, port: u16) -> Wrk {
        let url = format!("http://127.0.0.1:{port}/oauth/token");
        let bodies = (self.file("large", "refresh"), "grant_type=refresh_token&refresh_token=");
        Wrk::new(url, self.client_auth.clone(), bodies, Sent::Once { seconds: 3 })
    }

    pub fn revocation(&self, port: u16) -> Wrk {
        let url = format!("http://127.0.0.1:{port}/oauth/revoke");
        let bodies = (self.file("large", "spent"), "token=");
        Wrk::new(url, self.client_auth.clone(), bodies, Sent::Once { seconds: 3 })
    }

    /// The developer, signed in.
    pub async fn developer(&self, port: u16) -> Result<Developer> {
        let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let issuer = format!("http://127.0.0.1:{port}");
        let body = format!("username=developer&password={}", PASSWORD.replace(' ', "+"));
        let answer = form(&browser, &format!("{issuer}/login"), body).send().await?;
        let cookie = answer.headers().get("set-cookie").context("a session")?.to_str()?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        Ok(Developer { browser, issuer, cookie })
    }

    /// Waits until nothing is left to purge.
    pub async fn purged(&self) -> Result<()> {
        loop {
            let database = Connection::open(&self.database)?;
            let left: i64 =
                database.query_row("SELECT count(*) FROM purges WHERE finished_at IS NULL", [], |row| {
                    row.get(0)
                })?;
            if left == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// A hundred tokens a second that a client gets and revokes at once; counts them, and ends if one is refused.
    pub fn revoking(&self, port: u16, revoked: Arc<AtomicU32>) -> impl Future<Output = Result<()>> + use<> {
        let authorization = self.client_auth.clone();
        let client = reqwest::Client::new();
        let ask = async move |path: &str, body: String| {
            let request = form(&client, &format!("http://127.0.0.1:{port}/oauth/{path}"), body);
            let answer = request.header("authorization", &authorization).send().await?;
            anyhow::Ok(answer.error_for_status()?.text().await?)
        };
        async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            loop {
                ticks.tick().await;
                let answer = ask("token", "grant_type=client_credentials".to_owned()).await?;
                let answer: serde_json::Value = serde_json::from_str(&answer)?;
                let token = answer["access_token"].as_str().context("a token")?;
                ask("revoke", format!("token={token}")).await?;
                revoked.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// How long another client's durable requests take, from before `work` begins until it is done (ten seconds at
    /// least).
    pub async fn others_waiting(
        &self,
        port: u16,
        work: impl AsyncFnOnce() -> Result<()>,
    ) -> Result<Latencies> {
        let (stop, mut stopped) = tokio::sync::watch::channel(false);
        let url = format!("http://127.0.0.1:{port}/oauth/token");
        let authorization = self.client_auth.clone();
        let probe = tokio::spawn(async move {
            let client = reqwest::Client::new();
            let mut latencies = Latencies::default();
            let began = Instant::now();
            while !*stopped.borrow_and_update() || began.elapsed() < Duration::from_secs(10) {
                let sent = Instant::now();
                let request = form(&client, &url, "grant_type=client_credentials".to_owned());
                let answer = request.header("authorization", &authorization).send().await?;
                ensure!(answer.status().is_success(), "a probe was refused: {}", answer.status());
                latencies.add(sent.elapsed());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(latencies)
        });
        work().await?;
        stop.send_replace(true);
        probe.await?
    }
}

fn form(client: &reqwest::Client, url: &str, body: String) -> reqwest::RequestBuilder {
    client.post(url).header("content-type", "application/x-www-form-urlencoded").body(body)
}

pub struct Developer {
    browser: reqwest::Client,
    issuer: String,
    cookie: String,
}

impl Developer {
    /// Presses "Revoke all user tokens"; how long the answer took.
    pub async fn revoke_all(&self, client: &ClientId) -> Result<Duration> {
        let url = format!("{}/apps/{client}/revoke-tokens", self.issuer);
        let request = form(&self.browser, &url, String::new()).header("cookie", &self.cookie);
        let sent = Instant::now();
        let answer = request.send().await?;
        let took = sent.elapsed();
        ensure!(answer.status() == 303, "the act was refused: {}", answer.status());
        Ok(took)
    }
}
