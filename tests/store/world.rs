//! A database in a folder of its own, and the short words in which tests speak to it.

use std::net::IpAddr;
use std::time::Duration;

use rescind::clock::Timestamp;
use rescind::model::by::{By, PageSession};
use rescind::model::client::{AppName, ClientKind, GrantTypes, RedirectUri, TokenFormat};
use rescind::model::id::{ClientId, SessionId, UserId};
use rescind::model::resource_server::Guarding;
use rescind::model::scope::Scope;
use rescind::model::secret::{AccessToken, Digest, SuccessorSecret};
use rescind::model::user::{Role, Username};
use rescind::service::authorize::{self, Authorization, Basis, ConsentState};
use rescind::service::issue::{
    self, Access, AccessTokenKind, CodeRequest, IssueContext, Issued, Lives, RefreshRequest, Refreshing,
};
use rescind::service::register::{self, NewClient, NewResourceServer};
use rescind::service::resource_servers;
use rescind::store::sessions::NewSession;
use rescind::store::users::Credentials;
use rescind::store::{self, Store};

use crate::engine::connection::Connection;
use crate::engine::database::Database;

pub const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub fn after(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

pub const LIVES: Lives = Lives {
    code: Duration::from_secs(60),
    access_token: Duration::from_secs(3600),
    jwt: Duration::from_secs(600),
    refresh_token: Duration::from_secs(86_400),
    refresh_grace: Duration::from_secs(10),
};

/// The one scope that is registered here.
pub fn scope() -> Scope {
    Scope::parse("photos.read").unwrap()
}

pub struct World {
    pub store: Store,
    pub database: Database,
}

impl World {
    pub async fn new() -> Self {
        let database = Database::new();
        let store = database.open().await;
        let photos = NewResourceServer {
            name: "Photos".to_owned(),
            audience: "https://photos.example".to_owned(),
            scopes: vec![("photos.read".to_owned(), "See photos".to_owned())],
            guarding: Guarding::default(),
        };
        register::resource_server(&store, photos, By::operator(NOW)).await.unwrap();
        Self { store, database }
    }

    /// The API gets another secret; the first works for an hour more.
    pub async fn rotates_api_secret(&self) {
        let id = self.store.resource_servers().await.unwrap()[0].id.clone();
        let hour = Duration::from_secs(3600);
        resource_servers::rotate_secret(&self.store, id, hour, By::operator(NOW)).await.unwrap();
    }

    /// A connection beside the store's, as another program would have one.
    pub fn beside(&self) -> Connection {
        self.database.connect()
    }

    /// What a crash leaves: the store goes without being closed, and is opened anew.
    pub async fn reopened(self) -> Self {
        let Self { store, database } = self;
        drop(store);
        let store = database.open().await;
        Self { store, database }
    }

    pub async fn user(&self, name: &str) -> UserId {
        let (id, name) = (UserId::generate(NOW), Username::parse(name).unwrap());
        let made = id.clone();
        let insert = move |tx: &store::Tx<'_>| tx.insert_user(&id, &name, None, Role::User, "no hash", NOW);
        self.store.write(insert).await.unwrap();
        made
    }

    pub async fn client(&self, owner: &UserId) -> ClientId {
        let new = NewClient {
            owner: owner.clone(),
            name: AppName::parse("Fotowerk").unwrap(),
            publisher: "Fotowerk Prints".to_owned(),
            kind: ClientKind::Confidential,
            token_format: TokenFormat::Opaque,
            grant_types: GrantTypes::default(),
            scope: None,
            redirect_uris: vec![RedirectUri::parse("https://app.example/cb").unwrap()],
        };
        register::client(&self.store, new, By::operator(NOW)).await.unwrap().0
    }

    pub async fn terms(&self, client: &ClientId, now: Timestamp) -> IssueContext {
        IssueContext {
            address: None,
            client: client.clone(),
            kind: AccessTokenKind::Opaque,
            resources: Vec::new(),
            lives: LIVES,
            scopes: self.store.scopes().await.unwrap(),
            successors: SuccessorSecret::of_key_file(b"a file"),
            now,
        }
    }

    /// The user authorizes the client on one more device; nobody has redeemed the code yet.
    pub async fn code(&self, client: &ClientId, user: &UserId, now: Timestamp) -> CodeRequest {
        let seen = authorize::look(&self.store, client, user).await.unwrap().unwrap();
        let session = self.session_of(user, &seen).await;
        let authorization = Authorization {
            client: client.clone(),
            user: user.clone(),
            scope: scope(),
            answers_to: RedirectUri::parse("https://app.example/cb").unwrap(),
            redirect_uri: None,
            code_challenge: None,
            device: "Firefox on Linux".to_owned(),
        };
        let basis = Basis::Approved(seen);
        let page_session = PageSession { user: user.clone(), session: session.clone(), role: Role::User };
        let by = By::on_page(page_session, IpAddr::from([127, 0, 0, 1]), now);
        let code = authorize::authorize(&self.store, authorization, basis, LIVES.code, by).await.unwrap();
        let owner = user.clone();
        assert!(self.store.write(move |tx| tx.delete_session_of(&session, &owner)).await.unwrap());
        CodeRequest { code, redirect_uri: None, code_challenge: None, refreshing: Refreshing::Yes }
    }

    /// One device with tokens.
    pub async fn device(&self, client: &ClientId, user: &UserId, now: Timestamp) -> Issued {
        let code = self.code(client, user, now).await;
        issue::redeem(&self.store, code, self.terms(client, now).await).await.unwrap()
    }

    pub async fn refresh(&self, client: &ClientId, issued: Issued, now: Timestamp) -> issue::Result<Issued> {
        let request = RefreshRequest { token: issued.refresh_token.unwrap(), scope: None };
        issue::refresh(&self.store, request, self.terms(client, now).await).await
    }

    /// A session in which the user decides what they saw.
    async fn session_of(&self, user: &UserId, seen: &ConsentState) -> SessionId {
        let checked = Credentials {
            user: user.clone(),
            password_hash: String::new(),
            password_version: 1,
            user_generation: seen.generations.user.unwrap(),
            server_generation: seen.generations.server,
        };
        let id = SessionId::generate(NOW);
        let new = NewSession {
            digest: Digest::of(id.as_str().as_bytes()),
            id: id.clone(),
            device: String::new(),
            data: "{}".to_owned(),
            expires_at: after(1_000_000_000),
        };
        assert!(self.store.write(move |tx| tx.insert_session(&new, &checked, NOW)).await.unwrap());
        id
    }

    pub async fn session(&self, name: &str) -> Digest {
        let checked = self.store.credentials(&Username::parse(name).unwrap()).await.unwrap().unwrap();
        let digest = Digest::of(SessionId::generate(NOW).as_str().as_bytes());
        let new = NewSession {
            digest,
            id: SessionId::generate(NOW),
            device: String::new(),
            data: "{}".to_owned(),
            expires_at: after(3600),
        };
        assert!(self.store.write(move |tx| tx.insert_session(&new, &checked, NOW)).await.unwrap());
        digest
    }
}

pub fn operator() -> By {
    By::operator(NOW)
}

/// The token of a client whose tokens are opaque.
pub fn opaque(access: Access) -> AccessToken {
    match access {
        Access::Opaque(token) => token,
        Access::Jwt(_) => panic!("a JWT"),
    }
}
