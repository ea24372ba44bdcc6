//! Every kind of credential, in several hands, on the real router: what the matrix takes away from.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rescind::app::App;
use rescind::clock::Clock;
use rescind::config::Config;
use rescind::model::by::{Actor, By};
use rescind::model::client::TokenFormat;
use rescind::model::id::{ClientId, GrantId, ResourceServerId, SessionId, UserId};
use rescind::model::password::Password;
use rescind::model::resource_server::Guarding;
use rescind::model::secret::{AccessToken, AuthorizationCode, Digest, RefreshToken};
use rescind::model::user::{Role, Username};
use rescind::routes::router;
use rescind::service::issue::IssueContext;
use rescind::service::register::{self, NewResourceServer};
use rescind::service::revoke::{self, Apps, Authority, Token};
use rescind::service::{issue, moderate, resource_servers};
use rescind::store::tokens::stored_digest;
use rusqlite::types::Value;
use tower::ServiceExt as _;

use crate::world::{Held, ISSUER, LIVES, NOW, Session, World, scope};

pub const PASSWORD: &str = "correct-horse-battery";
const AUDIENCE: &str = "https://photos.example";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Access,
    Refresh,
    /// Superseded, and within its grace.
    Spent,
    Code,
    Used,
    Session,
    ClientSecret,
    ApiSecret,
}

/// A credential: how it is proven alive, and the bytes that stand for it in the database.
struct Credential {
    kind: Kind,
    text: String,
    client: Option<ClientId>,
    bytes: Vec<Vec<u8>>,
}

/// A world in which everybody holds something. Names read `owner/client/device/credential`.
pub struct Estate {
    pub world: World,
    app: App,
    router: axum::Router,
    credentials: BTreeMap<String, Credential>,
    /// What `{name}` stands for in a path or form.
    names: BTreeMap<String, String>,
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")))
}

impl Estate {
    /// The app `prints`, which most acts concern, has tokens of this format; others have opaque ones.
    pub async fn new(prints: TokenFormat) -> Self {
        let world = World::new().await;
        let mut estate = Self::around(world, BTreeMap::new(), BTreeMap::new());
        let hash = estate.app.passwords.hash(Password::typed(PASSWORD.to_owned())).await.unwrap();
        for (name, role) in [
            ("admin", Role::Admin),
            ("alice", Role::User),
            ("bob", Role::User),
            ("dora", Role::Developer),
            ("dave", Role::Developer),
        ] {
            let (id, username, hash) = (UserId::generate(NOW), Username::parse(name).unwrap(), hash.clone());
            estate.names.insert(name.to_owned(), id.to_string());
            let insert =
                move |tx: &rescind::store::Tx<'_>| tx.insert_user(&id, &username, None, role, &hash, NOW);
            estate.world.store.write(insert).await.unwrap();
        }
        for (name, browsers) in [("alice", 2), ("bob", 1), ("dora", 1), ("dave", 1), ("admin", 1)] {
            for browser in 1..=browsers {
                estate.sign_in(name, browser).await;
            }
        }
        estate.register_api().await;
        let opaque = TokenFormat::Opaque;
        for (owner, client, format) in
            [("dora", "prints", prints), ("dora", "maps", opaque), ("dave", "chat", opaque)]
        {
            estate.register_client(owner, client, format).await;
        }
        for device in [
            "alice/prints/phone",
            "alice/prints/laptop",
            "alice/maps/phone",
            "alice/chat/phone",
            "bob/prints/phone",
            "bob/maps/phone",
            "dora/prints/phone",
        ] {
            estate.connect(device).await;
        }
        estate
    }

    fn around(
        world: World,
        credentials: BTreeMap<String, Credential>,
        names: BTreeMap<String, String>,
    ) -> Self {
        let config = |name: &str| match name {
            "RESCIND_ISSUER" => Some(ISSUER.to_owned()),
            "RESCIND_DATABASE_URL" => Some(world.database.url()),
            "RESCIND_KEY_FILE" => Some(world.database.key_file().display().to_string()),
            _ => None,
        };
        let app = App::new(Config::read(&config).unwrap(), world.store.clone(), Clock::fixed(NOW)).unwrap();
        Self { world, router: router(app.clone()), app, credentials, names }
    }

    /// The same estate in a database of its own.
    pub async fn copied(&self) -> Self {
        let again = |of: &Credential| Credential {
            kind: of.kind,
            text: of.text.clone(),
            client: of.client.clone(),
            bytes: of.bytes.clone(),
        };
        let credentials = self.credentials.iter().map(|(name, of)| (name.clone(), again(of))).collect();
        Self::around(self.world.copied().await, credentials, self.names.clone())
    }

    fn id<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> T {
        parse(&self.names[name]).unwrap()
    }

    fn client(&self, name: &str) -> ClientId {
        self.id(name, ClientId::parse)
    }

    fn keep(&mut self, name: &str, kind: Kind, text: &str, client: Option<ClientId>, bytes: Vec<Vec<u8>>) {
        self.names.insert(name.to_owned(), text.to_owned());
        self.credentials.insert(name.to_owned(), Credential { kind, text: text.to_owned(), client, bytes });
    }

    fn keep_digest(&mut self, name: &str, kind: Kind, text: &str, client: Option<ClientId>) {
        let refresh = RefreshToken::parse(text).map(|token| token.digest());
        let access = || AccessToken::parse(text).map(|token| token.digest());
        let code = || AuthorizationCode::parse(text).map(|code| code.digest());
        let digest = refresh.or_else(access).or_else(code).unwrap_or_else(|| Digest::of(text.as_bytes()));
        // A token's row holds only a part of its digest.
        self.keep(
            name,
            kind,
            text,
            client,
            vec![digest.as_bytes().to_vec(), stored_digest(&digest).to_vec()],
        );
    }

    /// A JWT leaves no bytes in the database.
    fn keep_access(&mut self, name: &str, token: &issue::Access, client: Option<ClientId>) {
        match token {
            issue::Access::Opaque(token) => self.keep_digest(name, Kind::Access, token.expose(), client),
            issue::Access::Jwt(token) => self.keep(name, Kind::Access, token.expose(), client, Vec::new()),
        }
    }

    async fn sign_in(&mut self, name: &str, browser: usize) {
        let form = format!("username={name}&password={PASSWORD}");
        let (status, cookie, body) = self.sends("POST", "/login", None, None, &form).await;
        assert_eq!(status, 303, "{body}");
        let cookie = cookie.unwrap();
        let value = cookie.split_once('=').unwrap().1.split(';').next().unwrap().to_owned();
        let id = BASE64_URL_SAFE_NO_PAD.decode(&value).unwrap();
        let digest = Digest::of(&id).as_bytes().to_vec();
        self.keep(&format!("{name}/browser/{browser}"), Kind::Session, &value, None, vec![digest]);
    }

    async fn register_api(&mut self) {
        let new = NewResourceServer {
            name: "Photos".to_owned(),
            audience: AUDIENCE.to_owned(),
            scopes: vec![("a".to_owned(), "See photos".to_owned())],
            guarding: Guarding::default(),
        };
        let (id, secret) =
            register::resource_server(&self.world.store, new, By::operator(NOW)).await.unwrap();
        self.names.insert("api".to_owned(), id.to_string());
        self.keep_digest("api/secret", Kind::ApiSecret, secret.expose(), None);
        // Another one, whose secret is being rotated.
        let new = NewResourceServer {
            name: "Mail".to_owned(),
            audience: "https://mail.example".to_owned(),
            scopes: vec![("mail".to_owned(), "See mail".to_owned())],
            guarding: Guarding::default(),
        };
        let store = &self.world.store;
        let (id, first) = register::resource_server(store, new, By::operator(NOW)).await.unwrap();
        let day = Duration::from_secs(86_400);
        let rotated = resource_servers::rotate_secret(store, id.clone(), day, By::operator(NOW));
        let second = rotated.await.unwrap();
        self.names.insert("mail".to_owned(), id.to_string());
        self.keep_digest("mail/secret/earlier", Kind::ApiSecret, first.expose(), None);
        self.keep_digest("mail/secret/newest", Kind::ApiSecret, second.expose(), None);
    }

    async fn register_client(&mut self, owner: &str, name: &str, format: TokenFormat) {
        let owner = self.id(owner, UserId::parse);
        let (id, first) = self.world.client(&owner, &format!("{name}.example"), format).await;
        let day = Duration::from_secs(86_400);
        let second = register::rotate_secret(&self.world.store, id.clone(), owner, day, By::operator(NOW))
            .await
            .unwrap();
        self.names.insert(name.to_owned(), id.to_string());
        self.keep_digest(
            &format!("{name}/secret/earlier"),
            Kind::ClientSecret,
            first.expose(),
            Some(id.clone()),
        );
        self.keep_digest(
            &format!("{name}/secret/newest"),
            Kind::ClientSecret,
            second.expose(),
            Some(id.clone()),
        );
        let issued = issue::for_client(&self.world.store, scope("a"), self.terms(&id).await).await.unwrap();
        self.keep_access(&format!("{name}/own"), &issued.access_token, Some(id));
    }

    async fn terms(&self, client: &ClientId) -> IssueContext {
        self.world.terms(client, NOW).await
    }

    async fn redeem(&self, client: &ClientId, code: &str) -> issue::Issued {
        let request = issue::CodeRequest {
            code: rescind::model::secret::AuthorizationCode::parse(code).unwrap(),
            redirect_uri: None,
            code_challenge: Some(crate::world::CHALLENGE.to_owned()),
            refreshing: issue::Refreshing::Yes,
        };
        issue::redeem(&self.world.store, request, self.terms(client).await).await.unwrap()
    }

    /// One device with a used code, a spent and a current refresh token and an access token of each; and beside it
    /// one whose code nobody has redeemed.
    async fn connect(&mut self, device: &str) {
        let (user, rest) = device.split_once('/').unwrap();
        let client_name = rest.split_once('/').unwrap().0;
        let (user_id, client) = (self.id(user, UserId::parse), self.client(client_name));
        let beside = self.world.beside();
        let of_user = "SELECT id FROM sessions WHERE user_id = ?1 LIMIT 1";
        let session: String = beside.value(of_user, &[user_id.to_string().into()]);
        let session = Session { id: SessionId::parse(&session).unwrap(), digest: Digest::of(b"not needed") };
        let used = self.world.consent(&client, &user_id, &session).await;
        let (family, grant) = self.world.family_of(&beside, &used).unwrap();
        self.names.insert(format!("{user}/{client_name}"), grant.to_string());
        self.names.insert(device.to_owned(), family.to_string());
        let of = Some(client.clone());
        self.keep_digest(&format!("{device}/used"), Kind::Used, used.expose(), of.clone());
        let first = self.redeem(&client, used.expose()).await;
        let spent = first.refresh_token.unwrap();
        let request = issue::RefreshRequest { token: crate::world::copy_refresh(&spent), scope: None };
        let next = issue::refresh(&self.world.store, request, self.terms(&client).await).await.unwrap();
        let newest = next.refresh_token.unwrap();
        self.keep_access(&format!("{device}/first"), &first.access_token, of.clone());
        self.keep_access(&format!("{device}/access"), &next.access_token, of.clone());
        self.keep_digest(&format!("{device}/spent"), Kind::Spent, spent.expose(), of.clone());
        self.keep_digest(&format!("{device}/refresh"), Kind::Refresh, newest.expose(), of.clone());
        let code = self.world.consent(&client, &user_id, &session).await;
        self.keep_digest(&format!("{device}-new/code"), Kind::Code, code.expose(), of);
    }

    // Acting

    async fn sends(
        &self,
        method: &str,
        path: &str,
        cookie: Option<&str>,
        authorization: Option<&str>,
        form: &str,
    ) -> (u16, Option<String>, String) {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &ISSUER[7..]);
        if method == "POST" {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some(cookie) = cookie {
            request =
                request.header(header::COOKIE, format!("rescind={cookie}")).header(header::ORIGIN, ISSUER);
        }
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(form.to_owned())).unwrap()).await;
        let response = response.unwrap();
        let status = response.status().as_u16();
        let cookie = response.headers().get(header::SET_COOKIE).map(|it| it.to_str().unwrap().to_owned());
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, cookie, String::from_utf8(body.to_vec()).unwrap())
    }

    fn filled(&self, text: &str) -> String {
        let mut parts = text.split('{');
        let mut filled = parts.next().unwrap().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap();
            filled.push_str(self.names.get(name).unwrap_or_else(|| panic!("{name} in {text}")));
            filled.push_str(rest);
        }
        filled
    }

    /// Does one step of the matrix; the status of its answer, or 0 where it is no request.
    ///
    /// `who` is a person with a browser, a client, or somebody for whom there is a verb and no page yet.
    pub async fn does(&self, who: &str, step: &str, form: &str) -> u16 {
        let (verb, what) = step.split_once(' ').unwrap();
        let (what, form) = (self.filled(what), self.filled(form));
        if verb == "GET" || verb == "POST" {
            let cookie = self.names.get(&format!("{who}/browser/1")).map(String::as_str);
            let secret =
                self.names.get(&format!("{who}/secret/newest")).or(self.names.get(&format!("{who}/secret")));
            let authorization = secret.map(|secret| basic(&self.names[who], secret));
            return self.sends(verb, &what, cookie, authorization.as_deref(), &form).await.0;
        }
        self.acts(who, verb, &what).await;
        0
    }

    async fn acts(&self, who: &str, verb: &str, what: &str) {
        let store = &self.world.store;
        let admin = self.id("admin", UserId::parse);
        let now = self.app.clock.now();
        let by = if who == "operator" {
            By::operator(now)
        } else {
            By { actor: Actor::Admin(admin.clone()), ..By::operator(now) }
        };
        let (client, user) = (|| ClientId::parse(what).unwrap(), || UserId::parse(what).unwrap());
        let reason = "Spam".to_owned();
        match verb {
            "wait" => self.app.clock.advance(Duration::from_secs(what.parse().unwrap())),
            "suspend" => {
                revoke::suspend_client(store, client(), reason, by).await.unwrap();
            }
            "ban" => {
                revoke::ban_client(store, client(), reason, by).await.unwrap();
            }
            "reinstate" => moderate::reinstate_client(store, client(), admin, by).await.unwrap(),
            "disable" => {
                revoke::disable_user(store, user(), Apps::Keep, by).await.unwrap();
            }
            "disable-with-apps" => {
                revoke::disable_user(store, user(), Apps::Suspend, by.because(reason)).await.unwrap();
            }
            "enable" => moderate::enable_user(store, user(), by).await.unwrap(),
            "rotate-api" => {
                let id = ResourceServerId::parse(what).unwrap();
                resource_servers::rotate_secret(store, id, Duration::ZERO, by).await.unwrap();
            }
            "revoke-user" => {
                revoke::user(store, user(), None, by).await.unwrap();
            }
            "revoke-client" => {
                revoke::client_tokens(store, client(), Authority::Provider, None, by).await.unwrap();
            }
            "revoke-grant" => {
                revoke::any_grant(store, GrantId::parse(what).unwrap(), by).await.unwrap();
            }
            "revoke-token" => {
                let token = Token::read(what, &self.app.keys.reader(store).await.unwrap()).unwrap();
                revoke::token(store, token, None, by).await.unwrap();
            }
            "withdraw-key" => {
                let key = store.accepted_keys().await.unwrap().keys.remove(0).id;
                assert!(self.app.keys.withdraw(store, key, By::operator(now)).await.unwrap());
            }
            "purge" => {
                crate::engine::database::catch_up(store, &self.app.clock, LIVES.refresh_grace).await.unwrap()
            }
            _ => panic!("nobody can {verb}"),
        }
    }

    // Looking

    pub fn all(&self) -> BTreeSet<String> {
        self.credentials.keys().cloned().collect()
    }

    /// The names of the credentials that work, each by what it is for.
    pub async fn alive(&self) -> BTreeSet<String> {
        let now = self.app.clock.now();
        let mut alive = BTreeSet::new();
        let api = basic(&self.names["api"], &self.names["api/secret"]);
        let (mut codes, mut tokens) = (Vec::new(), Vec::new());
        for (name, credential) in &self.credentials {
            let Credential { kind, text, client, .. } = credential;
            let works = match kind {
                Kind::Access => {
                    let form = format!("token={text}");
                    let (status, _, body) =
                        self.sends("POST", "/oauth/introspect", None, Some(&api), &form).await;
                    assert_eq!(status, 200, "{name}: {body}");
                    let active = body.contains("\"active\":true");
                    let token = Held::read(text);
                    let accepted = self.world.accepts(&token, now).await;
                    assert_eq!(active, accepted, "{name}: introspection and the rule");
                    active
                }
                Kind::Session => self.sends("GET", "/account", Some(text), None, "").await.0 == 200,
                Kind::ClientSecret => {
                    let proof = basic(client.as_ref().unwrap().as_str(), text);
                    self.sends("POST", "/oauth/revoke", None, Some(&proof), "token=none").await.0 == 200
                }
                Kind::ApiSecret => {
                    let proof = basic(&self.names[name.split('/').next().unwrap()], text);
                    self.sends("POST", "/oauth/introspect", None, Some(&proof), "token=none").await.0 == 200
                }
                Kind::Code | Kind::Used => {
                    let digest = AuthorizationCode::parse(text).unwrap().digest();
                    codes.push((name.clone(), (client.clone().unwrap(), digest)));
                    false
                }
                Kind::Refresh | Kind::Spent => {
                    let token = RefreshToken::parse(text).unwrap();
                    tokens.push((name.clone(), (client.clone().unwrap(), token)));
                    false
                }
            };
            if works {
                alive.insert(name.clone());
            }
        }
        let (code_names, codes): (Vec<_>, Vec<_>) = codes.into_iter().unzip();
        let (names, tokens): (Vec<_>, Vec<_>) = tokens.into_iter().unzip();
        let tried = self.world.exchangeable(codes, tokens, now).await;
        let usable = tried.current.iter().zip(&tried.again).map(|(current, again)| *current || *again);
        let codes = code_names.into_iter().zip(tried.codes);
        alive.extend(codes.chain(names.into_iter().zip(usable)).filter(|(_, is)| *is).map(|(name, _)| name));
        alive
    }

    /// What the columns of the live schema hold of credentials: `table.column` with the names found in it.
    ///
    /// # Panics
    /// When a column of binary values, or one that is called a digest, holds what this test has not minted.
    pub fn digests(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut known: BTreeMap<Vec<u8>, &str> = BTreeMap::new();
        for (name, credential) in &self.credentials {
            for bytes in &credential.bytes {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                known.insert(hex.to_uppercase().into_bytes(), name);
                known.insert(hex.into_bytes(), name);
                known.insert(BASE64_URL_SAFE_NO_PAD.encode(bytes).into_bytes(), name);
                known.insert(BASE64_STANDARD.encode(bytes).into_bytes(), name);
                known.insert(bytes.clone(), name);
            }
        }
        let beside = self.world.beside();
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for table in beside.tables() {
            // A signing key is nobody's credential: it is public in one column, and sealed in the other. Nor is a salt
            // from which keys of successors are derived: it says nothing without the key file.
            let is_no_credential = ["signing_keys", "successor_keys"].contains(&table.as_str());
            let columns = beside.columns(&table).into_iter().map(|(column, holds_bytes)| {
                let holds_digests = (holds_bytes || column.contains("digest")) && !is_no_credential;
                (format!("{table}.{column}"), holds_digests)
            });
            let columns: Vec<(String, bool)> = columns.collect();
            for (place, _) in columns.iter().filter(|(_, holds_digests)| *holds_digests) {
                found.entry(place.clone()).or_default();
            }
            let rows = beside.contents(&table);
            for ((place, holds_digests), value) in rows.into_iter().flat_map(|row| columns.iter().zip(row)) {
                let bytes = match value {
                    Value::Blob(bytes) => bytes,
                    Value::Text(text) => text.into_bytes(),
                    _ => continue,
                };
                match known.get(&bytes) {
                    Some(name) => {
                        found.entry(place.clone()).or_default().insert((*name).to_owned());
                    }
                    None => {
                        assert!(!holds_digests, "{place} holds a credential that this test has not minted")
                    }
                }
            }
        }
        found
    }

    /// Passwords and secrets made by an act itself are no part of the estate.
    pub fn forget_new(&self) {
        let beside = self.world.beside();
        let known: BTreeSet<&Vec<u8>> = self.credentials.values().flat_map(|it| &it.bytes).collect();
        // A resource server always has a secret: a new one gives way to one that is known.
        let known_secret = Digest::of(self.names["api/secret"].as_bytes());
        let servers = "UPDATE resource_servers SET secret_digest = ?1 WHERE secret_digest NOT IN (?1, ?2)";
        let mail = Digest::of(self.names["mail/secret/newest"].as_bytes());
        beside.run(servers, &[known_secret, mail].map(|digest| digest.as_bytes().to_vec().into()));
        for (table, key) in [("sessions", "digest"), ("client_secrets", "digest"), ("tokens", "digest")] {
            let all: Vec<Vec<u8>> = beside.column(&format!("SELECT {key} FROM {table}"), &[]);
            for made in all.into_iter().filter(|digest| !known.contains(digest)) {
                beside.run(&format!("DELETE FROM {table} WHERE {key} = ?1"), &[made.into()]);
            }
        }
    }
}
