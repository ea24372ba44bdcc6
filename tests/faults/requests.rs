//! A valid request for every route.

use axum::body::Body;
use rescind::model::client::{ClientKind, GrantType, GrantTypes, TokenFormat};
use rescind::routes::Route;
use tokio::sync::oneshot;

use crate::http::harness::answer::Answer;
use crate::http::harness::api::Api;
use crate::http::harness::browser::{Browser, ConsentPage};
use crate::http::harness::client::{Client, Tokens};
use crate::http::harness::fields::Fields;
use crate::http::harness::listener::acknowledgement;
use crate::http::harness::{CALLBACK, METRICS_TOKEN, PASSWORD, World};

pub const EMAIL: &str = "carol@mail.example";
const ANOTHER_PASSWORD: &str = "another good password";

/// Alice, whose devices use Dana's app; Bob, whom it asks for the first time; and whoever is signed out.
pub struct Stage {
    pub world: World,
    incarnation: i64,
    api: Api,
    app: Client,
    /// Another app of Alice's, with JWTs.
    jwt_app: Client,
    jwts: Tokens,
    alice: Browser,
    bob: Browser,
    dana: Browser,
    max: Browser,
    nobody: Browser,
    tokens: Tokens,
    grant: String,
    family: String,
}

#[derive(Clone, Copy, Debug)]
enum Who {
    Nobody,
    Alice,
    Bob,
    Dana,
    Max,
    App,
    JwtApp,
    Api,
    /// The API, as its guard.
    Guard,
    /// Prometheus.
    Operator,
}

#[derive(Debug)]
pub struct Request {
    who: Who,
    method: &'static str,
    path: String,
    fields: Fields,
}

/// How many different requests a route is tried with.
pub fn variants(route: &Route) -> usize {
    match route.path {
        "/oauth/token" => 8,
        "/oauth/revoke" if route.method == "post" => 3,
        "/oauth/introspect" => 2,
        "/authorizations/revoke" if route.method == "post" => 2,
        _ => 1,
    }
}

impl Stage {
    pub async fn new() -> Self {
        Self::on(World::new().await).await
    }

    /// One that keeps what goes over the wire.
    pub async fn heard() -> Self {
        let world = World::new().await;
        world.listens();
        Self::on(world).await
    }

    pub async fn on(world: World) -> Self {
        let api = world.api("https://photos.example", &["read", "write"]).await;
        let dana = world.signed_in("dana").await;
        world.forces("UPDATE users SET role = 'developer' WHERE username = 'dana'");
        let max = world.signed_in("max").await;
        world.forces("UPDATE users SET role = 'admin' WHERE username = 'max'");
        let client = async |format| {
            let change = |new: &mut rescind::service::register::NewClient| {
                new.owner = dana.id.clone();
                new.token_format = format;
                new.grant_types = GrantTypes::new(GrantType::ALL.to_vec());
            };
            world.client(ClientKind::Confidential, change).await
        };
        let app = client(TokenFormat::Opaque).await;
        let jwt_app = client(TokenFormat::Jwt).await;
        let (alice, bob) = (world.signed_in("alice").await, world.signed_in("bob").await);
        let nobody = alice.elsewhere();
        let tokens = alice.connects(&app).await;
        let grant = alice.grant_of(&app).await;
        let family = world.value("SELECT id FROM families");
        let incarnation = world.value("SELECT incarnation FROM server");
        let jwts = alice.connects(&jwt_app).await;
        Self {
            incarnation,
            world,
            api,
            app,
            jwt_app,
            jwts,
            alice,
            bob,
            dana,
            max,
            nobody,
            tokens,
            grant,
            family,
        }
    }

    pub async fn sends(&self, request: &Request) -> Answer {
        let Request { who, method, path, fields } = request;
        let browser = match who {
            Who::App => return self.app.posts(path, fields).await,
            Who::JwtApp => return self.jwt_app.posts(path, fields).await,
            Who::Api => return self.api.posts(fields).await,
            Who::Guard if *method == "post" => return self.api.acknowledges(&self.acknowledgement()).await,
            Who::Guard => return self.api.asks(path, Some(&self.position())).await,
            Who::Operator => {
                let request = self.world.request("GET", path);
                let request = request.header("authorization", format!("Bearer {METRICS_TOKEN}"));
                return self.world.sends(request.body(axum::body::Body::empty()).unwrap()).await;
            }
            Who::Nobody => &self.nobody,
            Who::Alice => &self.alice,
            Who::Bob => &self.bob,
            Who::Dana => &self.dana,
            Who::Max => &self.max,
        };
        match *method {
            "get" => browser.gets(path).await,
            _ => browser.posts(path, fields).await,
        }
    }

    /// Sends the head of a form, and its body once the server is waiting for it and `release` has come.
    pub async fn holds_back(
        &self,
        request: &Request,
        waiting: oneshot::Sender<()>,
        release: oneshot::Receiver<()>,
    ) -> Answer {
        let body = request.fields.encode();
        let part = async move {
            waiting.send(()).unwrap();
            release.await.unwrap();
            Ok::<_, std::convert::Infallible>(body)
        };
        let body = Body::from_stream(futures_util::stream::once(part));
        self.person(request).posts_body(&request.path, body).await
    }

    /// Who acts on a page.
    pub fn person(&self, request: &Request) -> &Browser {
        match request.who {
            Who::Alice => &self.alice,
            Who::Bob => &self.bob,
            Who::Dana => &self.dana,
            Who::Max => &self.max,
            other => panic!("{other:?} acts on no page"),
        }
    }

    fn position(&self) -> String {
        format!("{}.0", self.incarnation)
    }

    fn acknowledgement(&self) -> serde_json::Value {
        let mut ack = acknowledgement(self.incarnation, 0);
        ack["seen"] = serde_json::json!([{ "grant_id": self.grant, "family_id": self.family, "at": 1 }]);
        ack
    }

    /// The request of a route, once all that it needs is there.
    pub async fn request(&self, route: &Route, variant: usize) -> Request {
        let none = || Fields::default();
        let client = |path: &str| path.replace("{client_id}", &self.app.id);
        let grant = |path: &str| path.replace("{grant_id}", &self.grant).replace("{family_id}", &self.family);
        let passwords = || Fields::new(&[("current_password", PASSWORD), ("new_password", ANOTHER_PASSWORD)]);
        let (who, path, fields) = match (route.method, route.path) {
            (
                "get",
                "/"
                | "/logout"
                | "/account"
                | "/account/password"
                | "/account/taken-over"
                | "/account/delete",
            ) => (Who::Alice, route.path.to_owned(), none()),
            ("get", "/account/export" | "/authorizations") => (Who::Alice, route.path.to_owned(), none()),
            ("get", "/login" | "/register" | "/healthz" | "/readyz") => {
                (Who::Nobody, route.path.to_owned(), none())
            }
            ("get", "/metrics") => (Who::Operator, route.path.to_owned(), none()),
            ("get", "/.well-known/oauth-authorization-server" | "/oauth/jwks") => {
                (Who::Nobody, route.path.to_owned(), none())
            }
            ("get", "/static/{name}") => (Who::Nobody, "/static/rescind.css".to_owned(), none()),
            ("post", "/login") => {
                let fields = Fields::new(&[("username", "alice"), ("password", PASSWORD), ("next", "")]);
                (Who::Nobody, "/login".to_owned(), fields)
            }
            ("post", "/register") => {
                let fields = [("username", "carol"), ("password", PASSWORD), ("email", EMAIL)];
                let fields = Fields::new(&fields);
                (Who::Nobody, "/register".to_owned(), fields)
            }
            ("post", "/logout") => (Who::Alice, "/logout".to_owned(), none()),
            // Under a standing consent this gives a code.
            ("get", "/oauth/authorize") => {
                (Who::Alice, format!("/oauth/authorize?{}", self.app.request().encode()), none())
            }
            ("post", "/oauth/authorize") => {
                let page: ConsentPage = self.bob.is_asked(&self.app.request()).await;
                (Who::Bob, page.action.clone(), page.form("approve"))
            }
            ("get", "/authorizations/revoke") => {
                (Who::Alice, format!("/authorizations/revoke?grant_id={}", self.grant), none())
            }
            ("post", "/authorizations/revoke") => {
                let chosen = [("grant_id", self.grant.as_str()), ("all", "1")][variant];
                (Who::Alice, "/authorizations/revoke".to_owned(), Fields::new(&[chosen]))
            }
            ("post", "/authorizations/{grant_id}/revoke") => {
                (Who::Alice, grant(route.path), Fields::new(&[("block", "1")]))
            }
            ("post", "/authorizations/{grant_id}/unblock") => {
                let revoke = format!("/authorizations/{}/revoke", self.grant);
                self.alice.posts(&revoke, &Fields::new(&[("block", "1")])).await.is(303);
                (Who::Alice, grant(route.path), none())
            }
            (_, "/authorizations/client/{client_id}") => (Who::Alice, client(route.path), none()),
            (_, path) if path.starts_with("/authorizations/{grant_id}") => (Who::Alice, grant(path), none()),
            ("post", "/account/password") => {
                (Who::Alice, route.path.to_owned(), passwords().and("revoke_apps", "1"))
            }
            ("post", "/account/taken-over" | "/account/delete") => {
                (Who::Alice, route.path.to_owned(), passwords())
            }
            ("get", "/account/sessions/{session_id}/end") => {
                (Who::Alice, "/account/sessions/ses_00000000000000000000/end".to_owned(), none())
            }
            ("post", "/account/sessions/{session_id}/end") => {
                let of_alice = format!("SELECT id FROM sessions WHERE user_id = '{}'", self.alice.id);
                let own: String = self.world.value(&of_alice);
                self.alice.elsewhere().signs_in().await;
                let other: String = self.world.value(&format!("{of_alice} AND id <> '{own}'"));
                (Who::Alice, format!("/account/sessions/{other}/end"), none())
            }
            ("post", "/apps/new" | "/apps/{client_id}") => {
                let fields = [("name", "Album"), ("publisher", ""), ("redirect_uri", CALLBACK)];
                let fields = Fields::new(&fields).and("type", "confidential").and("token_format", "opaque");
                (Who::Dana, client(route.path), fields.and("scope", "read"))
            }
            ("post", "/apps/{client_id}/rotate-secret") => {
                (Who::Dana, client(route.path), Fields::new(&[("overlap_hours", "1")]))
            }
            ("post", "/apps/{client_id}/delete") => {
                (Who::Dana, client(route.path), Fields::new(&[("name", "Prints")]))
            }
            (_, path) if path.starts_with("/apps") => (Who::Dana, client(path), none()),
            ("get", "/receipts/{receipt_id}" | "/receipts/{receipt_id}/jws") => {
                self.alice.revokes(&self.app).await.is(303);
                let receipt: String = self.world.value("SELECT receipt_id FROM ledger");
                (Who::Alice, route.path.replace("{receipt_id}", &receipt), none())
            }
            (_, path) if path.starts_with("/admin") => self.admin_request(route).await,
            ("post", "/oauth/token") => {
                let who = if variant < 5 { Who::App } else { Who::JwtApp };
                (who, route.path.to_owned(), self.token_request(variant).await)
            }
            ("post", "/oauth/revoke") => {
                let token = [&self.tokens.access, &self.tokens.refresh, &self.jwts.access][variant];
                let who = if variant < 2 { Who::App } else { Who::JwtApp };
                (who, route.path.to_owned(), Fields::new(&[("token", token)]))
            }
            ("post", "/oauth/introspect") => {
                let token = [&self.tokens.access, &self.jwts.access][variant];
                (Who::Api, route.path.to_owned(), Fields::new(&[("token", token)]))
            }
            ("get", "/revocations/feed") => {
                // It would never end.
                self.world.app.feed.stop();
                (Who::Guard, route.path.to_owned(), none())
            }
            (_, "/revocations/snapshot" | "/revocations/ack") => (Who::Guard, route.path.to_owned(), none()),
            _ => panic!("no request for {route:?}: please write one here"),
        };
        Request { who, method: route.method, path, fields }
    }

    async fn admin_request(&self, route: &Route) -> (Who, String, Fields) {
        let path = route.path.replace("{client_id}", &self.app.id);
        let path = path.replace("{user_id}", self.bob.id.as_str());
        let path = path.replace("{resource_server_id}", &self.api.id);
        let reason = Fields::new(&[("reason", "Its servers were broken into.")]);
        match route.path {
            "/admin/apps/{client_id}/reinstate" => {
                let suspend = format!("/admin/apps/{}/suspend", self.app.id);
                self.max.posts(&suspend, &reason).await.is(303);
            }
            "/admin/users/{user_id}/enable" => {
                let disable = format!("/admin/users/{}/disable", self.bob.id);
                self.max.posts(&disable, &reason).await.is(303);
            }
            _ => {}
        }
        let fields = match (route.method, route.path) {
            ("get", _) => Fields::default(),
            (_, "/admin/users/{user_id}/role") => reason.and("role", "developer"),
            (_, "/admin/resource-servers/new") => {
                let fields = [("name", "Notes"), ("audience", "https://notes.example")];
                Fields::new(&fields).and("scopes", "notes.read=Read your notes")
            }
            (_, "/admin/resource-servers/{resource_server_id}/edit") => {
                Fields::new(&[("name", "Photos"), ("scopes", "read=See your photos")])
            }
            (_, "/admin/resource-servers/{resource_server_id}/rotate-secret") => {
                Fields::new(&[("overlap_hours", "1")])
            }
            (_, "/admin/resource-servers/{resource_server_id}/delete") => {
                reason.and("name", "https://photos.example")
            }
            (_, "/admin/apps/{client_id}/owner") => reason.and("owner", "max"),
            (_, "/admin/resource-servers/{resource_server_id}") => {
                Fields::new(&[("max_staleness", "20"), ("guard", "none")])
            }
            _ => reason,
        };
        (Who::Max, path, fields)
    }

    /// A code, a refresh token, the app for itself, by either app; and a code and a refresh token that were used before.
    async fn token_request(&self, variant: usize) -> Fields {
        match variant {
            0 => self.app.code_request(&self.alice.authorizes(&self.app).await),
            1 => self.app.refresh_request(&self.tokens.refresh),
            2 => Fields::new(&[("grant_type", "client_credentials"), ("scope", "read")]),
            3 => {
                let code = self.alice.authorizes(&self.app).await;
                self.app.redeems(&code).await;
                self.app.code_request(&code)
            }
            5 => self.jwt_app.code_request(&self.alice.authorizes(&self.jwt_app).await),
            6 => self.jwt_app.refresh_request(&self.jwts.refresh),
            7 => Fields::new(&[("grant_type", "client_credentials"), ("scope", "read")]),
            _ => {
                self.app.refreshes(&self.app.refreshes(&self.tokens).await).await;
                self.app.refresh_request(&self.tokens.refresh)
            }
        }
    }
}
