//! Several servers on one database, and the short words in which these tests speak to them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rescind::clock::Timestamp;
use rescind::model::by::{Actor, By, PageSession};
use rescind::model::client::{AppName, ClientKind, GrantType, GrantTypes, RedirectUri, TokenFormat};
use rescind::model::id::{ClientId, SessionId, UserId};
use rescind::model::key::Algorithm;
use rescind::model::scope::Scope;
use rescind::model::secret::{AccessToken, AuthorizationCode, Digest, RefreshToken};
use rescind::model::standby::Standby;
use rescind::model::user::{Role, Username};
use rescind::service::authorize::{self, Authorization, Basis, ConsentState};
use rescind::service::issue::{
    self, Access, AccessTokenKind, CodeRequest, IssueContext, Issued, Lives, RefreshRequest, Refreshing,
};
use rescind::service::keys::{KeySettings, Keys};
use rescind::service::register::{self, NewClient, NewResourceServer};
use rescind::service::{revoke, sign_in};
use rescind::store::postgres::address::Address;
use rescind::store::sessions::NewSession;
use rescind::store::{self, Store};
use tempfile::TempDir;
use tokio::sync::Barrier;

use crate::cluster::database::{Database, shared_database};

pub const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub const LIVES: Lives = Lives {
    code: Duration::from_secs(60),
    access_token: Duration::from_secs(3600),
    jwt: Duration::from_secs(3600),
    refresh_token: Duration::from_secs(86_400),
    refresh_grace: Duration::from_secs(10),
};

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A server, as far as its verbs are concerned. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    pub store: Store,
    pub keys: Keys,
}

/// The servers of one database.
pub struct World {
    pub database: Database,
    pub nodes: Vec<Node>,
    _key_file: TempDir,
}

/// A browser that has signed in.
#[derive(Clone)]
pub struct Session(pub SessionId);

/// Starts both at the same moment, and waits for both.
pub async fn at_once<A: Send + 'static, B: Send + 'static>(
    one: impl Future<Output = A> + Send + 'static,
    other: impl Future<Output = B> + Send + 'static,
) -> (A, B) {
    let barrier = Arc::new(Barrier::new(2));
    let theirs = barrier.clone();
    let one = tokio::spawn(async move {
        barrier.wait().await;
        one.await
    });
    let other = tokio::spawn(async move {
        theirs.wait().await;
        other.await
    });
    (one.await.unwrap(), other.await.unwrap())
}

pub fn scope(text: &str) -> Scope {
    Scope::parse(text).unwrap()
}

impl World {
    /// `N` servers with the same key file, and an API with the scope `a`.
    pub async fn with<const N: usize>() -> (Self, [Node; N]) {
        let database = shared_database();
        let key_file = tempfile::tempdir().unwrap();
        let mut nodes = Vec::new();
        for _ in 0..N {
            let store = Store::connect(&Address::parse(&database.url, Standby::Any).unwrap()).await.unwrap();
            let settings = KeySettings { algorithm: Algorithm::EdDsa, rotation: Duration::from_secs(86_400) };
            let keys = Keys::new(key_file.path().join("key"), settings);
            keys.prepare(&store, NOW).await.unwrap();
            nodes.push(Node { store, keys });
        }
        let api = NewResourceServer {
            name: "Photos".to_owned(),
            audience: "https://photos.example".to_owned(),
            scopes: vec![("a".to_owned(), "May a".to_owned())],
            guarding: rescind::model::resource_server::Guarding::default(),
        };
        register::resource_server(&nodes[0].store, api, By::operator(NOW)).await.unwrap();
        let own = nodes.clone().try_into().unwrap_or_else(|_| unreachable!());
        (Self { database, nodes, _key_file: key_file }, own)
    }

    /// Ends the servers, which must not have waited for each other: PostgreSQL notices that only after a second.
    pub async fn close(self) {
        for node in &self.nodes {
            node.store.close().await;
        }
        // Connections tell their numbers when they end.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        assert_eq!(self.number(deadlocks), 0);
    }

    /// The whole number that a statement gives.
    pub fn number(&self, sql: &str) -> i64 {
        self.database.query(sql).parse().unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

impl Session {
    /// The person who acts on a page in this session.
    pub fn by(&self, user: &UserId, now: Timestamp) -> By {
        self.by_as(Role::User, user, now)
    }

    /// The same on a page that asks for a role.
    pub fn by_as(&self, role: Role, user: &UserId, now: Timestamp) -> By {
        let page_session = PageSession { user: user.clone(), session: self.0.clone(), role };
        By::on_page(page_session, IpAddr::from([127, 0, 0, 1]), now)
    }
}

pub fn by_user(user: &UserId) -> By {
    By { actor: Actor::User(user.clone()), ..By::operator(NOW) }
}

impl Node {
    pub async fn user(&self, name: &str, role: Role) -> UserId {
        let (id, name) = (UserId::generate(NOW), Username::parse(name).unwrap());
        let made = id.clone();
        let insert = move |tx: &store::Tx<'_>| tx.insert_user(&id, &name, None, role, "no hash", NOW);
        self.store.write(insert).await.unwrap();
        made
    }

    pub async fn try_client(&self, owner: &UserId, name: &str, domain: &str) -> register::Result<ClientId> {
        let new = NewClient {
            owner: owner.clone(),
            name: AppName::parse(name).unwrap(),
            publisher: "Fotowerk".to_owned(),
            kind: ClientKind::Confidential,
            token_format: TokenFormat::Opaque,
            grant_types: GrantTypes::new(GrantType::ALL.to_vec()),
            scope: None,
            redirect_uris: vec![RedirectUri::parse(&format!("https://{domain}/cb")).unwrap()],
        };
        Ok(register::client(&self.store, new, By::operator(NOW)).await?.0)
    }

    /// An app at a domain of its own.
    pub async fn client(&self, owner: &UserId, domain: &str) -> ClientId {
        self.try_client(owner, "Fotowerk", domain).await.unwrap()
    }

    pub async fn session(&self, name: &str) -> Session {
        let checked = self.store.credentials(&Username::parse(name).unwrap()).await.unwrap().unwrap();
        let id = SessionId::generate(NOW);
        let new = NewSession {
            digest: Digest::of(id.as_str().as_bytes()),
            id: id.clone(),
            device: String::new(),
            data: "{}".to_owned(),
            expires_at: NOW.plus(Duration::from_secs(200_000)),
        };
        let by = by_user(&checked.user);
        assert!(sign_in::begin_session(&self.store, new, checked, by).await.unwrap());
        Session(id)
    }

    /// What the consent page shows now.
    pub async fn look(&self, client: &ClientId, user: &UserId) -> ConsentState {
        authorize::look(&self.store, client, user).await.unwrap().unwrap()
    }

    /// Approves what a consent page showed.
    pub async fn approve(
        &self,
        client: &ClientId,
        seen: ConsentState,
        session: &Session,
        now: Timestamp,
    ) -> Result<AuthorizationCode, authorize::Error> {
        let user = seen.user.clone();
        let authorization = Authorization {
            client: client.clone(),
            user: user.clone(),
            scope: scope("a"),
            answers_to: RedirectUri::parse("https://app.example/cb").unwrap(),
            redirect_uri: None,
            code_challenge: Some(CHALLENGE.to_owned()),
            device: "Firefox on Linux".to_owned(),
        };
        let by = session.by(&user, now);
        authorize::authorize(&self.store, authorization, Basis::Approved(seen), LIVES.code, by).await
    }

    pub async fn consent(&self, client: &ClientId, user: &UserId, session: &Session) -> AuthorizationCode {
        self.approve(client, self.look(client, user).await, session, NOW).await.unwrap()
    }

    async fn terms(&self, client: &ClientId) -> IssueContext {
        IssueContext {
            client: client.clone(),
            address: None,
            kind: AccessTokenKind::Opaque,
            resources: Vec::new(),
            lives: LIVES,
            scopes: self.store.scopes().await.unwrap(),
            successors: self.keys.successors().unwrap(),
            now: NOW,
        }
    }

    pub async fn redeem(&self, client: &ClientId, code: &AuthorizationCode) -> issue::Result<Issued> {
        let request = CodeRequest {
            code: AuthorizationCode::parse(code.expose()).unwrap(),
            redirect_uri: None,
            code_challenge: Some(CHALLENGE.to_owned()),
            refreshing: Refreshing::Yes,
        };
        issue::redeem(&self.store, request, self.terms(client).await).await
    }

    pub async fn refresh(&self, client: &ClientId, token: &RefreshToken) -> issue::Result<Issued> {
        let token = RefreshToken::parse(token.expose()).unwrap();
        issue::refresh(&self.store, RefreshRequest { token, scope: None }, self.terms(client).await).await
    }

    /// A token that the client gets for itself.
    pub async fn own_token(&self, client: &ClientId) -> AccessToken {
        let issued = issue::for_client(&self.store, scope("a"), self.terms(client).await).await.unwrap();
        let Access::Opaque(token) = issued.access_token else { unreachable!() };
        token
    }

    /// The same as a JWT, as an RFC 7009 request carries it.
    pub async fn own_jwt(&self, client: &ClientId) -> String {
        let signing = self.keys.signing(&self.store).await.unwrap();
        let kind = AccessTokenKind::Jwt { issuer: "http://127.0.0.1:8080".into(), signing };
        let terms = IssueContext { kind, ..self.terms(client).await };
        issue::for_client(&self.store, scope("a"), terms).await.unwrap().access_token.expose().to_owned()
    }

    /// Revokes a token of either format for its client.
    pub async fn revoke(&self, client: &ClientId, token: &str) -> revoke::TokenRevocation {
        let token = revoke::Token::read(token, &self.keys.reader(&self.store).await.unwrap()).unwrap();
        revoke::token(&self.store, token, Some(client.clone()), By::operator(NOW)).await.unwrap()
    }

    /// As introspection decides it.
    pub async fn accepts(&self, token: &AccessToken) -> bool {
        self.store.live_access_token(&token.digest(), NOW).await.unwrap().is_some()
    }
}
