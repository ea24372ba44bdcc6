//! A database in a folder of its own, and the short words in which these tests speak to it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rescind::clock::Timestamp;
use rescind::model::by::{Actor, By, PageSession};
use rescind::model::client::{AppName, ClientKind, GrantType, GrantTypes, RedirectUri, TokenFormat};
use rescind::model::id::{ClientId, FamilyId, GrantId, SessionId, UserId};
use rescind::model::key::Algorithm;
use rescind::model::resource_server::Guarding;
use rescind::model::scope::Scope;
use rescind::model::secret::{AccessToken, AuthorizationCode, ClientSecret, Digest, RefreshToken};
use rescind::model::user::{Role, Username};
use rescind::service::authorize::{self, Authorization, Basis};
use rescind::service::issue::{
    self, Access, AccessTokenKind, CodeRequest, IssueContext, Issued, Lives, RefreshRequest, Refreshing,
};
use rescind::service::keys::{KeySettings, Keys};
use rescind::service::register::{self, NewClient, NewResourceServer};
use rescind::service::revoke::Token;
use rescind::service::sign_in;
use rescind::store::access_tokens::AccessTokenFacts;
use rescind::store::authorization_codes::Redemption;
use rescind::store::refresh_tokens::Repetition;
use rescind::store::sessions::NewSession;
use rescind::store::tokens::stored_digest;
use rescind::store::users::Credentials;
use rescind::store::{self, Store, held};

use crate::engine::connection::{Connection, read};
use crate::engine::database::Database;

pub const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub const LIVES: Lives = Lives {
    code: Duration::from_secs(60),
    access_token: Duration::from_secs(3600),
    // As long as an opaque one, so that one model holds for both.
    jwt: Duration::from_secs(3600),
    refresh_token: Duration::from_secs(86_400),
    refresh_grace: Duration::from_secs(10),
};
pub const SESSION_LIFE: Duration = Duration::from_secs(200_000);

pub const ISSUER: &str = "http://127.0.0.1:8080";
pub const AUDIENCE: &str = "https://photos.example";

/// S256 of the verifier in RFC 7636, appendix B: what codes are asked for with here.
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

#[derive(Clone)]
pub struct World {
    pub store: Store,
    pub keys: Keys,
    pub database: Arc<Database>,
}

/// A browser that has signed in.
#[derive(Clone)]
pub struct Session {
    pub id: SessionId,
    pub digest: Digest,
}

impl Session {
    /// The person who acts on a page in this session.
    pub fn by(&self, user: &UserId, now: Timestamp) -> By {
        let page_session = PageSession { user: user.clone(), session: self.id.clone(), role: Role::User };
        By::on_page(page_session, IpAddr::from([127, 0, 0, 1]), now)
    }
}

/// What can be exchanged at this moment, tried out in a transaction that is then undone.
#[derive(Default)]
pub struct Exchangeable {
    pub codes: Vec<bool>,
    /// As the newest of its family.
    pub current: Vec<bool>,
    /// Once more, within the grace.
    pub again: Vec<bool>,
}

/// Takes what was tried out past the transaction that is undone.
enum Undone {
    Store(store::Error),
    Tried(Exchangeable),
}

impl From<store::Error> for Undone {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

pub fn scope(text: &str) -> Scope {
    Scope::parse(text).unwrap()
}

pub fn copy(code: &AuthorizationCode) -> AuthorizationCode {
    AuthorizationCode::parse(code.expose()).unwrap()
}

pub fn copy_refresh(token: &RefreshToken) -> RefreshToken {
    RefreshToken::parse(token.expose()).unwrap()
}

/// An access token of either format, as whoever got it has it.
#[derive(Clone)]
pub struct Held(String);

impl Held {
    pub fn read(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub fn new(token: &Access) -> Self {
        Self(token.expose().to_owned())
    }

    pub fn is_jwt(&self) -> bool {
        self.0.contains('.')
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

fn keys_of(database: &Database) -> Keys {
    let settings = KeySettings { algorithm: Algorithm::EdDsa, rotation: Duration::from_secs(86_400) };
    Keys::new(database.key_file(), settings)
}

impl World {
    pub async fn new() -> Self {
        let database = Arc::new(Database::new());
        let store = database.open().await;
        let keys = keys_of(&database);
        keys.prepare(&store, NOW).await.unwrap();
        Self { store, keys, database }
    }

    /// An API with these scopes: JWTs have an audience. Its id and secret.
    pub async fn api(&self, scopes: &[&str]) -> (String, String) {
        let new = NewResourceServer {
            name: "Photos".to_owned(),
            audience: AUDIENCE.to_owned(),
            scopes: scopes.iter().map(|&name| (name.to_owned(), format!("May {name}"))).collect(),
            guarding: Guarding::default(),
        };
        let (id, secret) = register::resource_server(&self.store, new, By::operator(NOW)).await.unwrap();
        (id.to_string(), secret.expose().to_owned())
    }

    /// A connection beside the store's, as another program would have one.
    pub fn beside(&self) -> Connection {
        self.database.connect()
    }

    /// The same once more, in a database of its own. The store of this one must be closed.
    pub async fn copied(&self) -> Self {
        let database = Arc::new(self.database.copied());
        Self { keys: keys_of(&database), store: database.open().await, database }
    }

    /// One more server on the same database, which has to be PostgreSQL.
    pub async fn another_server(&self) -> Self {
        let database = self.database.clone();
        Self { keys: keys_of(&database), store: database.open().await, database }
    }

    /// The server ends and starts anew.
    pub async fn restart(&mut self) {
        self.store.close().await;
        self.store = self.database.open().await;
        self.keys = keys_of(&self.database);
    }

    pub async fn user(&self, name: &str, role: Role) -> UserId {
        let (id, name) = (UserId::generate(NOW), Username::parse(name).unwrap());
        let made = id.clone();
        let insert = move |tx: &store::Tx<'_>| tx.insert_user(&id, &name, None, role, "no hash", NOW);
        self.store.write(insert).await.unwrap();
        made
    }

    /// A confidential client for every grant type, at a domain of its own.
    pub async fn client(
        &self,
        owner: &UserId,
        domain: &str,
        token_format: TokenFormat,
    ) -> (ClientId, ClientSecret) {
        let new = NewClient {
            owner: owner.clone(),
            name: AppName::parse("Fotowerk").unwrap(),
            publisher: "Fotowerk Prints".to_owned(),
            kind: ClientKind::Confidential,
            token_format,
            grant_types: GrantTypes::new(GrantType::ALL.to_vec()),
            scope: None,
            redirect_uris: vec![RedirectUri::parse(&format!("https://{domain}/cb")).unwrap()],
        };
        let (id, secret) = register::client(&self.store, new, By::operator(NOW)).await.unwrap();
        (id, secret.unwrap())
    }

    pub async fn credentials(&self, name: &str) -> Option<Credentials> {
        self.store.credentials(&Username::parse(name).unwrap()).await.unwrap()
    }

    /// `None` when the account has moved since `checked` was read.
    pub async fn begin_session(&self, checked: Credentials, now: Timestamp) -> Option<Session> {
        let id = SessionId::generate(now);
        let digest = Digest::of(id.as_str().as_bytes());
        let new = NewSession {
            digest,
            id: id.clone(),
            device: String::new(),
            data: "{}".to_owned(),
            expires_at: now.plus(SESSION_LIFE),
        };
        let by = By { actor: Actor::User(checked.user.clone()), ..By::operator(now) };
        let begun = sign_in::begin_session(&self.store, new, checked, by).await.unwrap();
        begun.then_some(Session { id, digest })
    }

    pub async fn session(&self, name: &str) -> Session {
        self.begin_session(self.credentials(name).await.unwrap(), NOW).await.unwrap()
    }

    pub async fn authorize(
        &self,
        client: &ClientId,
        user: &UserId,
        session: &Session,
        asked: Scope,
        basis: Basis,
        now: Timestamp,
    ) -> Result<AuthorizationCode, authorize::Error> {
        let authorization = Authorization {
            client: client.clone(),
            user: user.clone(),
            scope: asked,
            answers_to: RedirectUri::parse("https://app.example/cb").unwrap(),
            redirect_uri: None,
            code_challenge: Some(CHALLENGE.to_owned()),
            device: "Firefox on Linux".to_owned(),
        };
        authorize::authorize(&self.store, authorization, basis, LIVES.code, session.by(user, now)).await
    }

    /// The user looks at the consent page and approves.
    pub async fn consent(&self, client: &ClientId, user: &UserId, session: &Session) -> AuthorizationCode {
        let seen = authorize::look(&self.store, client, user).await.unwrap().unwrap();
        self.authorize(client, user, session, scope("a"), Basis::Approved(seen), NOW).await.unwrap()
    }

    /// The family and the grant of a code, unless it is purged.
    pub fn family_of(&self, beside: &Connection, code: &AuthorizationCode) -> Option<(FamilyId, GrantId)> {
        let find = "SELECT family_id, grant_id FROM authorization_codes WHERE digest = ?1";
        let row = beside.row(find, &[code.digest().as_bytes().to_vec().into()])?;
        let [family, grant] = [0, 1].map(|place: usize| read::<String>(&row[place]));
        Some((FamilyId::parse(&family).unwrap(), GrantId::parse(&grant).unwrap()))
    }

    pub async fn terms(&self, client: &ClientId, now: Timestamp) -> IssueContext {
        let kind = match self.store.client(client).await.unwrap().unwrap().token_format {
            TokenFormat::Opaque => AccessTokenKind::Opaque,
            TokenFormat::Jwt => AccessTokenKind::Jwt {
                issuer: ISSUER.into(),
                signing: self.keys.signing(&self.store).await.unwrap(),
            },
        };
        let scopes = self.store.scopes().await.unwrap();
        let successors = self.keys.successors().unwrap();
        let client = client.clone();
        IssueContext {
            client,
            address: None,
            kind,
            resources: Vec::new(),
            lives: LIVES,
            scopes,
            successors,
            now,
        }
    }

    pub async fn redeem(
        &self,
        client: &ClientId,
        code: &AuthorizationCode,
        now: Timestamp,
    ) -> issue::Result<Issued> {
        let request = CodeRequest {
            code: copy(code),
            redirect_uri: None,
            code_challenge: Some(CHALLENGE.to_owned()),
            refreshing: Refreshing::Yes,
        };
        issue::redeem(&self.store, request, self.terms(client, now).await).await
    }

    pub async fn refresh(
        &self,
        client: &ClientId,
        token: &RefreshToken,
        now: Timestamp,
    ) -> issue::Result<Issued> {
        let request = RefreshRequest { token: copy_refresh(token), scope: None };
        issue::refresh(&self.store, request, self.terms(client, now).await).await
    }

    /// What introspection finds, if the token is live.
    pub async fn facts(&self, token: &Held, now: Timestamp) -> Option<AccessTokenFacts> {
        if let Some(token) = AccessToken::parse(&token.0) {
            return self.store.live_access_token(&token.digest(), now).await.unwrap();
        }
        loop {
            let held = self.store.held();
            let found = self.find(&held, token, now).await;
            if held.was_current().await.unwrap() {
                return found.filter(|facts| !self.store.is_dead_here(facts));
            }
        }
    }

    /// A token that has not expired, whether or not it was revoked.
    pub async fn find(
        &self,
        held: &held::Held<'_>,
        token: &Held,
        now: Timestamp,
    ) -> Option<AccessTokenFacts> {
        match AccessToken::parse(&token.0) {
            Some(token) => held.access_token(&token.digest(), now).await.unwrap(),
            None => self.keys.jwt(&self.store, held, &token.0, ISSUER, now).await.unwrap(),
        }
    }

    /// The client's generation that the token was minted under, dead or alive.
    pub async fn client_generation_of(&self, token: &Held) -> i64 {
        let Some(opaque) = AccessToken::parse(&token.0) else {
            let claims = self.keys.reader(&self.store).await.unwrap().read(&token.0).unwrap();
            return claims.stamp().unwrap().generations.client;
        };
        let row = "SELECT client_generation FROM tokens WHERE digest = ?1";
        self.beside().value(row, &[stored_digest(&opaque.digest()).to_vec().into()])
    }

    /// The token as an RFC 7009 request carries it.
    pub async fn shown(&self, token: &Held) -> Token {
        Token::read(&token.0, &self.keys.reader(&self.store).await.unwrap()).unwrap()
    }

    /// As introspection decides it.
    pub async fn accepts(&self, token: &Held, now: Timestamp) -> bool {
        self.facts(token, now).await.is_some()
    }

    /// Tries to exchange each of these, and undoes it: the statements are those that exchange.
    pub async fn exchangeable(
        &self,
        codes: Vec<(ClientId, Digest)>,
        refresh: Vec<(ClientId, RefreshToken)>,
        now: Timestamp,
    ) -> Exchangeable {
        let successors = self.keys.successors().unwrap();
        let tried = self.store.write(move |tx| {
            let mut tried = Exchangeable::default();
            for (client, code) in codes.clone() {
                let code_challenge = Some(CHALLENGE.to_owned());
                let with = Redemption { code, client, redirect_uri: None, code_challenge };
                tried.codes.push(tx.use_authorization_code(&with, now)?.is_some());
            }
            // All of these first: what comes after closes windows.
            for (client, token) in &refresh {
                let again =
                    tx.repeated_refresh_token(token, client, &successors, LIVES.refresh_grace, now)?;
                tried.again.push(matches!(again, Some(Repetition::Repeatable(..))));
            }
            for (client, token) in &refresh {
                let current = tx.current_refresh_token(&token.digest(), client, now)?;
                tried.current.push(match current {
                    Some(current) => tx.supersede_refresh_token(&current, now)?,
                    None => false,
                });
            }
            Err::<(), _>(Undone::Tried(tried))
        });
        match tried.await {
            Err(Undone::Tried(tried)) => tried,
            Err(Undone::Store(error)) => panic!("{error}"),
            Ok(()) => unreachable!(),
        }
    }
}
