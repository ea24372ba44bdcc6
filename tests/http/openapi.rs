//! `docs/openapi.json`: it describes what programs call, all of it and nothing else.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::header;
use rescind::clock::Timestamp;
use rescind::model::act::Act;
use rescind::model::audit::Event;
use rescind::model::client::{ClientKind, GrantType, GrantTypes, TokenFormat};
use rescind::model::secret::AccessToken;
use rescind::model::user::Role;
use rescind::routes::{Caller, TABLE};
use rescind::service::streams::MOST as MOST_STREAMS;
use serde_json::{Value, json};

use crate::harness::answer::Answer;
use crate::harness::api::Api;
use crate::harness::browser::Browser;
use crate::harness::client::{Client, basic};
use crate::harness::described::{DOCUMENT, Given};
use crate::harness::fields::{FORM, Fields};
use crate::harness::listener::acknowledgement;
use crate::harness::{METRICS_TOKEN, Scene, World, scene};

/// Path, method and operation of all that is described.
fn operations() -> Vec<(&'static str, &'static str, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap();
            methods.iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
        .collect()
}

#[test]
fn every_described_operation_is_a_route_with_the_tag_of_its_caller() {
    for (path, method, operation) in operations() {
        let route = TABLE.iter().find(|route| (route.path, route.method) == (path, method));
        let route = route.unwrap_or_else(|| panic!("{method} {path} is no route"));
        let tag = match route.caller {
            Caller::Client => "client",
            Caller::ResourceServer => "resource server",
            Caller::Anybody => "operator",
            Caller::Public | Caller::SignedIn | Caller::Developer | Caller::Admin => "person",
        };
        assert_eq!(operation["tags"], json!([tag]), "{method} {path}");
    }
}

#[test]
fn every_route_for_programs_is_described() {
    let is_for_programs =
        |caller| matches!(caller, Caller::Client | Caller::ResourceServer | Caller::Anybody);
    let described: BTreeSet<_> = operations().into_iter().map(|(path, method, _)| (path, method)).collect();
    for route in TABLE.iter().filter(|route| is_for_programs(route.caller)) {
        let is_file = route.path.starts_with("/static/");
        assert_ne!(
            described.contains(&(route.path, route.method)),
            is_file,
            "{} {}",
            route.method,
            route.path
        );
    }
}

#[test]
fn the_openapi_document_has_the_version_and_every_act() {
    assert_eq!(DOCUMENT["info"]["version"], env!("CARGO_PKG_VERSION"));
    let acts: Vec<&str> = Act::ALL.iter().map(|act| act.as_str()).collect();
    assert_eq!(DOCUMENT["components"]["schemas"]["Act"]["enum"], json!(acts));
    let events: Vec<&str> = Event::ALL.iter().map(|event| event.as_str()).collect();
    assert_eq!(DOCUMENT["components"]["schemas"]["Event"]["enum"], json!(events));
}

/// All answers that are described.
fn described() -> BTreeSet<Given> {
    let mut described = BTreeSet::new();
    for (path, method, operation) in operations() {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let pointer = response["$ref"].as_str().and_then(|pointer| pointer.strip_prefix('#'));
            let response = pointer.map_or(response, |pointer| DOCUMENT.pointer(pointer).unwrap());
            let media = response["content"].as_object().map(|content| content.keys().cloned().collect());
            for media in media.unwrap_or_else(|| vec![String::new()]) {
                described.insert((method.to_owned(), path.to_owned(), status.clone(), media));
            }
        }
    }
    described
}

/// Those who call, and what they call with.
struct Callers {
    world: World,
    api: Api,
    app: Client,
    robot: Client,
    alice: Browser,
    max: Browser,
    receipt: String,
    position: String,
    incarnation: i64,
}

impl Callers {
    async fn asks(&self, path: &str, name: &'static str, value: &str) -> Answer {
        self.world
            .sends(self.world.request("GET", path).header(name, value).body(Body::empty()).unwrap())
            .await
    }

    async fn posts(&self, authorization: &str, path: &str, body: String) -> Answer {
        let request = self.world.request("POST", path).header(header::CONTENT_TYPE, FORM);
        let request = request.header(header::AUTHORIZATION, authorization);
        self.world.sends(request.body(body.into()).unwrap()).await
    }

    /// Every route, as it should be called.
    async fn call_everything(&self) {
        let own = Fields::new(&[("grant_type", "client_credentials"), ("scope", "read")]);
        let token = self.robot.asks_tokens(&own).await;
        let token = serde_json::from_str::<Value>(&token.body).unwrap()["access_token"].clone();
        let token = Fields::new(&[("token", token.as_str().unwrap_or("x"))]);
        self.api.posts(&token).await;
        // Nobody has this one, so the database is asked.
        let unknown = AccessToken::generate(Timestamp::from_millis(1));
        self.api.posts(&Fields::new(&[("token", unknown.expose())])).await;
        self.robot.posts("/oauth/revoke", &token).await;
        self.api.asks("/revocations/snapshot", None).await;
        self.api.acknowledges(&acknowledgement(self.incarnation, 0)).await;
        for path in ["/.well-known/oauth-authorization-server", "/oauth/jwks", "/healthz", "/readyz"] {
            self.world.gets(path).await;
        }
        self.asks("/metrics", "authorization", &format!("Bearer {METRICS_TOKEN}")).await;
        self.alice.gets(&format!("{}/jws", self.receipt)).await;
        self.alice.gets("/account/export").await;
        self.max.gets("/admin/ledger").await;
        self.max.gets("/admin/audit").await;
    }

    /// Every route, by those who may not call it or say nothing that it can read.
    async fn call_everything_wrongly(&self) {
        let wrong = basic(&self.app.id, "wrong");
        let right = basic(&self.robot.id, self.robot.secret.as_ref().unwrap());
        let api = basic(&self.api.id, &self.api.secret);
        let large = format!("token={}", "x".repeat(70_000));
        for (path, right) in
            [("/oauth/token", &right), ("/oauth/revoke", &right), ("/oauth/introspect", &api)]
        {
            self.posts(&wrong, path, "token=x&grant_type=x".to_owned()).await.is(401);
            self.posts(right, path, large.clone()).await.is(413);
        }
        self.posts(&right, "/oauth/token", String::new()).await.is(400);
        self.posts(&right, "/oauth/revoke", String::new()).await.is(400);
        self.api.posts(&Fields::EMPTY).await.is(400);
        self.api.asks("/revocations/feed", None).await.is(400);
        self.api.asks("/revocations/feed", Some("1.0")).await.is(410);
        let mut open = Vec::new();
        for _ in 0..MOST_STREAMS {
            open.push(self.api.opens_feed(&self.position).await);
        }
        self.api.asks("/revocations/feed", Some(&self.position)).await.is(429);
        drop(open);
        self.api.acknowledges(&json!({})).await.is(400);
        self.api.acknowledges(&acknowledgement(1, 0)).await.is(409);
        for path in ["/revocations/feed", "/revocations/snapshot"] {
            self.asks(path, "authorization", &wrong).await.is(401);
        }
        self.posts(&wrong, "/revocations/ack", String::new()).await.is(401);
        self.world.gets("/metrics").await.is(404);
        for path in [&format!("{}/jws", self.receipt), "/account/export", "/admin/ledger", "/admin/audit"] {
            self.world.gets(path).await.is(303);
        }
        self.max.gets("/receipts/rcp_00000000000000000000/jws").await.is(404);
        self.max.gets("/admin/ledger?format=xml").await.is(400);
        self.max.gets("/admin/audit?format=xml").await.is(400);
        self.alice.gets("/admin/ledger?format=json").await.is(403);
        self.alice.gets("/admin/audit?format=json").await.is(403);
    }
}

fn no_statement_works(world: &World) {
    for table in world.contents().keys() {
        world.forces_schema(&format!("ALTER TABLE {table} RENAME TO lost_{table}"));
    }
}

#[tokio::test]
async fn every_answer_that_is_described_is_given_and_no_other() {
    let Scene { world, api, app, alice } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let tokens = alice.connects(&app).await;
    api.introspects(&tokens.access).await;
    app.refreshes(&tokens).await;
    alice.revokes(&app).await.is(303);
    let receipt: String = world.value("SELECT receipt_id FROM ledger");
    let robot = world.client(ClientKind::Confidential, |new| {
        new.grant_types = GrantTypes::new(vec![GrantType::ClientCredentials]);
        new.token_format = TokenFormat::Jwt;
    });
    let robot = robot.await;
    let (receipt, position) = (format!("/receipts/{receipt}"), api.position().await);
    let incarnation = world.value("SELECT incarnation FROM server");
    let callers =
        Callers { world: world.clone(), api, app, robot, alice, max, receipt, position, incarnation };
    callers.call_everything().await;
    for format in ["json", "csv"] {
        // A database that fails cuts a file off.
        callers.max.gets(&format!("/admin/ledger?format={format}")).await;
        callers.max.gets(&format!("/admin/audit?format={format}")).await;
    }
    callers.call_everything_wrongly().await;
    // An endless answer is read in tests/http/feed.rs; here it only begins.
    drop(callers.api.follows_from(&callers.position).await);
    let unread = World::new().await;
    for world in [&world, &unread] {
        no_statement_works(world);
    }
    callers.call_everything().await;
    callers.api.posts(&Fields::new(&[("token", &tokens.access)])).await;
    callers.app.revokes(&tokens.refresh).await;
    // A JWT for the client itself needs no database.
    callers.app.presents_refresh(&tokens.refresh).await.is(503);
    callers.api.asks("/revocations/feed", Some(&callers.position)).await;

    let feed =
        ("get".to_owned(), "/revocations/feed".to_owned(), "200".to_owned(), "text/event-stream".to_owned());
    // What was registered is read once and kept.
    unread.gets("/.well-known/oauth-authorization-server").await;
    let mut given = world.given();
    given.extend(unread.given());
    given.insert(feed);
    let described = described();
    let missing: Vec<_> = described.difference(&given).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert_eq!(described, given);
}
