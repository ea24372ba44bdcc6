//! `rescind guard` over HTTP: how each proxy asks, and what an operator sees.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::program::{Place, Server};
use crate::proxy::documented;
use crate::visitor::World;

const SCOPES: [&str; 2] = ["photos.read=See your photos", "photos.write=Add photos"];
const LONG: Duration = Duration::from_secs(20);

/// A server and a sidecar.
struct Scene {
    place: Place,
    world: World,
    server: Server,
    sidecar: Server,
    http: reqwest::Client,
}

impl Scene {
    async fn with(settings: &[(&str, &str)]) -> Self {
        Self::of("jwt", settings).await
    }

    /// With access tokens of this format.
    async fn of(format: &str, settings: &[(&str, &str)]) -> Self {
        let place = Place::new();
        let world = World::register_with(&place, format, &SCOPES);
        let server = place.serve();
        let sidecar = place.guard(&world.resource_server, &server.address, settings);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let scene = Self { place, world, server, sidecar, http };
        let ready = async {
            while scene.get("/readyz").await.status() != 200 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LONG, ready).await.expect("it becomes ready");
        scene
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.sidecar.address)
    }

    async fn get(&self, path: &str) -> Response {
        self.http.get(self.url(path)).send().await.unwrap()
    }

    async fn token_for(&self, scope: &str) -> String {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        let issued: Value = self.world.at(&self.server).token(&form).await.json().await.unwrap();
        issued["access_token"].as_str().unwrap().to_owned()
    }

    /// The status with a good token for `photos.read`, and these headers.
    async fn asks(&self, path: &str, headers: &[(&str, &str)]) -> u16 {
        let token = self.token_for("photos.read").await;
        let request = self.http.get(self.url(path)).bearer_auth(token);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send().await.unwrap().status().as_u16()
    }
}

fn challenge(answer: &Response) -> Option<&str> {
    answer.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap())
}

fn identity(headers: &HeaderMap) -> [&str; 3] {
    ["x-rescind-subject", "x-rescind-client", "x-rescind-scope"].map(|name| headers[name].to_str().unwrap())
}

#[tokio::test]
async fn an_ambiguous_path_is_refused_from_every_proxy() {
    let scene = Scene::with(&[]).await;
    let token = scene.token_for("photos.read").await;
    for path in
        ["/api/secret/../../public", "/api/%2e%2E/x", "/api/..%2fx", "/api//x", "/api;/x", "/api/%5cx"]
    {
        let asked = |name: &str| {
            let request = scene.http.get(scene.url("/verify?scope=photos.read")).bearer_auth(&token);
            request.header(name, path).send()
        };
        for name in ["x-original-uri", "x-forwarded-uri"] {
            assert_eq!(asked(name).await.unwrap().status(), 403, "{path}");
        }
    }
    // A client resolves %2e%2e before it sends it.
    for path in ["/api/..%2fx", "/api//x", "/api;/x", "/api/%5cx"] {
        let request = scene.http.get(scene.url(&format!("/ext_authz{path}"))).bearer_auth(&token);
        assert_eq!(request.send().await.unwrap().status(), 403, "{path}");
    }
    let fine = scene.http.get(scene.url("/verify?scope=photos.read")).bearer_auth(&token);
    assert_eq!(fine.header("x-forwarded-uri", "/api/x?of=../y").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_proxy_that_asks_in_the_way_of_envoy_gets_an_answer_that_only_the_headers_bound() {
    let scene = Scene::with(&[]).await;
    let block = documented("Envoy", "yaml");
    let prefix = block.lines().find_map(|line| line.trim().strip_prefix("path_prefix: ")).unwrap();
    let demand = block.lines().find_map(|line| line.trim().strip_prefix("- { key: ")).unwrap();
    let (name, value) = demand.trim_end_matches(" }").split_once(", value: ").unwrap();
    let client = scene.world.client.0.as_str();
    let token = scene.token_for("photos.read").await;
    // Method, host, path and query are the original ones.
    for (method, path) in [
        (Method::GET, "/"),
        (Method::POST, "/photos/1?scope=of+another+meaning&scopes=&audience="),
        (Method::DELETE, "/photos/%ff/metrics?%2e%2e//%"),
        (Method::HEAD, "/verify?scope=photos.fly"),
        (Method::OPTIONS, "/healthz"),
        (Method::PATCH, "/?"),
    ] {
        let ask = || {
            let request = scene.http.request(method.clone(), scene.url(&format!("{prefix}{path}")));
            request.header("host", "photos.example").header("content-length", "0")
        };
        let answer = ask().header(name, value).bearer_auth(&token).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{method} {path}");
        assert_eq!(identity(answer.headers()), [client, client, "photos.read"]);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let answer = ask().header(name, value).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), challenge(&answer)),
            (401, Some(r#"Bearer realm="urn:photos""#)),
            "{method} {path}"
        );
        let answer = ask().header(name, "photos.write").bearer_auth(&token).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{method} {path}");
    }
    let second = format!("{prefix}/photos?access_token={token}");
    assert_eq!(scene.asks(&second, &[]).await, 401, "one token in two ways");
    for outside in ["/ext_authz", "/ext_authzz/", "/verify/", "/verify/photos", "/"] {
        assert_eq!(scene.asks(outside, &[]).await, 404, "{outside}");
    }
}

#[tokio::test]
async fn a_proxy_that_asks_in_the_way_of_traefik_or_caddy_gets_the_same_whatever_the_original_was() {
    let scene = Scene::with(&[]).await;
    let block = documented("Traefik", "yaml");
    let address =
        block.lines().find_map(|line| line.trim().strip_prefix("address: \"http://127.0.0.1:8090")).unwrap();
    let traefik = address.trim_end_matches('"').to_owned();
    let block = documented("Caddy", "caddy");
    let caddy = block.lines().find_map(|line| line.trim().strip_prefix("uri ")).unwrap().to_owned();
    let client = scene.world.client.0.as_str();
    let read = scene.token_for("photos.read").await;
    let write = scene.token_for("photos.write").await;
    for path in [traefik, caddy] {
        for (method, original) in
            [("GET", "/photos"), ("POST", "/photos?scope=photos.write"), ("DELETE", "/%ff?%")]
        {
            let ask = || {
                let request = scene.http.get(scene.url(&path)).header("x-forwarded-method", method);
                let request =
                    request.header("x-forwarded-uri", original).header("x-forwarded-proto", "https");
                request.header("x-forwarded-host", "photos.example").header("x-forwarded-for", "192.0.2.1")
            };
            let answer = ask().bearer_auth(&read).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(identity(answer.headers()), [client, client, "photos.read"]);
            assert_eq!(ask().bearer_auth(&write).send().await.unwrap().status(), 403, "{path}");
            assert_eq!(ask().send().await.unwrap().status(), 401, "{path}");
        }
    }
}

#[tokio::test]
async fn demands_in_a_query_add_to_the_settings_and_none_is_ignored() {
    let settings = [("RESCIND_GUARD_SCOPES", "photos.read"), ("RESCIND_GUARD_REALM", "photos")];
    let scene = Scene::with(&settings).await;
    let (scope, audience) = ("x-rescind-require-scope", "x-rescind-require-audience");
    for (path, headers, status) in [
        ("/verify", &[][..], 200),
        ("/verify?scope=photos.read", &[], 200),
        ("/verify?audience=urn%3Aphotos", &[(scope, "photos.read"), (audience, "urn:photos")], 200),
        ("/verify?scope=photos.write", &[], 403),
        ("/verify?scope=photos.read+photos.write", &[], 403),
        ("/verify?scope=photos.read&scope=photos.write", &[], 403),
        ("/verify", &[(scope, "photos.write")], 403),
        ("/verify", &[(scope, "photos.read"), (scope, "photos.write")], 403),
        ("/verify?scope=photos.write", &[(scope, "photos.read")], 403),
        ("/verify", &[(scope, "")], 403),
        ("/verify", &[(scope, "\"")], 403),
        ("/verify?audience=urn:films", &[], 401),
        ("/verify?audience=urn:photos&audience=urn:films", &[], 401),
        ("/verify?audience=urn:films", &[(audience, "urn:photos")], 401),
        ("/verify", &[(audience, "urn:films")], 401),
        ("/verify", &[(audience, "")], 401),
        ("/verify?scope=", &[], 500),
        ("/verify?scopes=photos.write", &[], 500),
        ("/verify?scope=photos.read&of=cats", &[], 500),
        ("/verify?audience=films", &[], 500),
    ] {
        assert_eq!(scene.asks(path, headers).await, status, "{path} {headers:?}");
    }
    assert!(scene.sidecar.log().contains("verify.misconfigured"));
    // What the settings want, no proxy and nobody outside can take back.
    let lacking = scene.token_for("photos.write").await;
    for path in ["/verify", "/verify?scope=photos.write", "/ext_authz/photos", "/watch"] {
        let ask = scene.http.get(scene.url(path)).header(scope, "photos.write").bearer_auth(&lacking);
        let answer = ask.send().await.unwrap();
        assert_eq!(answer.status(), 403, "{path}");
        let said = challenge(&answer).unwrap();
        assert!(said.starts_with("Bearer realm=\"photos\", error=\"insufficient_scope\""), "{said}");
    }
    let elsewhere = scene.http.get(scene.url("/verify?audience=urn:films"));
    let answer = elsewhere.bearer_auth(scene.token_for("photos.read").await).send().await.unwrap();
    let said = "Bearer realm=\"photos\", error=\"invalid_token\", \
        error_description=\"The access token is for another audience\"";
    assert_eq!(challenge(&answer), Some(said));
}

#[tokio::test]
async fn a_request_without_a_good_token_gets_the_challenge_of_rfc_6750() {
    let scene = Scene::with(&[]).await;
    let good = scene.token_for("photos.read").await;
    // Another signature: the last character alone may be the same by chance.
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    for (authorization, error) in [
        (vec![], None),
        (vec!["Basic eDp5".to_owned()], None),
        (vec!["Bearer".to_owned()], Some("invalid_request")),
        (vec!["Bearer a b".to_owned()], Some("invalid_request")),
        (vec![format!("Bearer {good}"), format!("Bearer {good}")], Some("invalid_request")),
        (vec![format!("Bearer {forged}")], Some("invalid_token")),
        (vec!["Bearer rsc_at_x".to_owned()], Some("invalid_token")),
        (vec!["Bearer x".to_owned()], Some("invalid_token")),
    ] {
        let request = scene.http.get(scene.url("/verify"));
        let request =
            authorization.iter().fold(request, |request, value| request.header("authorization", value));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 401, "{authorization:?}");
        let said = challenge(&answer).unwrap();
        match error {
            None => assert_eq!(said, r#"Bearer realm="urn:photos""#, "who sends no token made no mistake"),
            Some(error) => assert!(
                said.starts_with(&format!("Bearer realm=\"urn:photos\", error=\"{error}\"")),
                "{said}"
            ),
        }
        assert!(answer.headers().keys().all(|name| !name.as_str().starts_with("x-rescind")));
    }
}

#[tokio::test]
async fn logs_hold_no_token_and_no_secret_even_at_their_most_talkative() {
    for format in ["opaque", "jwt"] {
        let scene = Scene::of(format, &[("RUST_LOG", "trace")]).await;
        let token = scene.token_for("photos.read").await;
        for path in ["/verify", "/ext_authz/photos", "/verify?scope=photos.write"] {
            scene.http.get(scene.url(path)).bearer_auth(&token).send().await.unwrap();
        }
        let log = scene.sidecar.log();
        assert!(log.contains("TRACE"), "{format}");
        let (id, secret) = &scene.world.resource_server;
        let basic = BASE64_STANDARD.encode(format!("{id}:{secret}"));
        for secret in [token.as_str(), secret, &basic, "rsc_"] {
            let line = log.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{secret} is in {line:?}");
        }
    }
}

#[tokio::test]
async fn opaque_tokens_are_asked_about_unless_the_settings_refuse_them() {
    let scene = Scene::of("opaque", &[]).await;
    assert_eq!(scene.asks("/verify", &[]).await, 200);
    let scene = Scene::of("opaque", &[("RESCIND_GUARD_OPAQUE", "refuse")]).await;
    assert_eq!(scene.asks("/verify", &[]).await, 401);
}

#[tokio::test]
async fn an_application_that_watches_a_token_is_told_when_it_dies() {
    let scene = Scene::with(&[]).await;
    let watch = async |token: &str| {
        let answer = scene.http.get(scene.url("/watch")).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer
    };
    assert_eq!(scene.get("/watch").await.status(), 401);
    let visitor = scene.world.at(&scene.server);
    let cookie = visitor.sign_in().await;
    let (revoked, kept) = (visitor.authorize(&cookie).await, visitor.authorize(&cookie).await);
    let mut watched = [watch(&revoked.access).await, watch(&kept.access).await];
    let ended = scene.place.run_with(&["revoke", "token", "-"], &revoked.refresh);
    assert_eq!(ended.exit, 0, "{}", ended.err);
    let [first, second] = &mut watched;
    let line = tokio::time::timeout(LONG, first.chunk()).await.expect("it is told").unwrap().unwrap();
    let line: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(line, json!({ "ended": "revoked", "what": "family" }));
    assert!(first.chunk().await.unwrap().is_none(), "and the answer ends");
    let silent = tokio::time::timeout(Duration::from_millis(100), second.chunk()).await;
    assert!(silent.is_err(), "the other token lives on");
    // Nor does an open answer hold up whoever stops the sidecar.
    scene.sidecar.signal("-TERM");
    let stopped = async {
        while !scene.sidecar.log().contains("guard.stopped") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, stopped).await.expect("it stops");
    assert!(!scene.sidecar.log().contains("drain_cut_short"));
    let line: Value = serde_json::from_slice(&second.chunk().await.unwrap().unwrap()).unwrap();
    assert_eq!(line, json!({ "ended": "unknown" }));
}

#[tokio::test]
async fn operators_see_whether_it_is_ready_and_what_it_has_counted() {
    let token = "sixteen-letters-or-more";
    let scene = Scene::with(&[("RESCIND_METRICS_TOKEN", token), ("RESCIND_GUARD_MAX_STALENESS", "1")]).await;
    assert_eq!(scene.asks("/verify", &[]).await, 200);
    assert_eq!(scene.http.get(scene.url("/verify")).bearer_auth("x").send().await.unwrap().status(), 401);
    for wrong in ["", "wrong-but-long-enough"] {
        let answer = scene.http.get(scene.url("/metrics")).bearer_auth(wrong).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{wrong:?}");
    }
    let read = async || {
        let request =
            scene.http.get(scene.url("/metrics")).header("authorization", format!("bearer {token}"));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap()
    };
    let metrics = read().await;
    for line in [
        "rescind_guard_fresh 1",
        "rescind_guard_max_staleness_seconds 1",
        "rescind_guard_accepted_total 1",
        "rescind_guard_refused_total{reason=\"malformed\"} 1",
        "rescind_guard_snapshots_total 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
    scene.server.signal("-STOP");
    let stale = async {
        while scene.get("/readyz").await.status() != 503 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, stale).await.expect("it is not ready any more");
    assert!(read().await.contains("\nrescind_guard_fresh 0\n"));
    assert_eq!(scene.get("/healthz").await.status(), 200, "the process is well");
    scene.server.signal("-CONT");
}

/// How many instances the newest receipt counts on, and how many of them have confirmed.
fn confirmations(place: &Place) -> (i64, i64) {
    let database = rusqlite::Connection::open(place.database()).unwrap();
    database.busy_timeout(LONG).unwrap();
    let newest = "SELECT instances, confirmed FROM confirmations \
        WHERE ledger_sequence = (SELECT max(sequence) FROM ledger)";
    let read = || database.query_row(newest, [], |row| Ok((row.get(0)?, row.get(1)?))).ok();
    let began = std::time::Instant::now();
    std::iter::repeat_with(read)
        .take_while(|_| began.elapsed() < LONG)
        .flatten()
        .next()
        .expect("the receipt is settled")
}

#[tokio::test]
async fn receipts_count_on_a_sidecar_until_it_was_stopped() {
    let scene = Scene::with(&[]).await;
    let revoke = |place: &Place| {
        let ended = place.run(&["revoke", "client", &scene.world.client.0, "--json"]);
        assert!(ended.json()["receipt"].is_string());
    };
    revoke(&scene.place);
    assert_eq!(confirmations(&scene.place), (1, 1));
    assert_eq!(scene.sidecar.stop().0, Some(0));
    revoke(&scene.place);
    assert_eq!(confirmations(&scene.place), (0, 0), "nobody waits for one that took its leave");
}

#[test]
fn json_is_one_object_and_the_sidecar_runs_on() {
    use std::io::{BufRead as _, BufReader};

    let place = Place::new();
    let world = World::register_with(&place, "jwt", &SCOPES);
    let mut program = place.program(&["guard", "--json"]);
    program
        .env("RESCIND_GUARD_LISTEN", "127.0.0.1:0")
        // Nobody listens there: it starts nevertheless, and is not ready.
        .env("RESCIND_GUARD_SERVER", "http://127.0.0.1:9")
        .env("RESCIND_GUARD_ID", &world.resource_server.0)
        .env("RESCIND_GUARD_SECRET", &world.resource_server.1)
        .env("RESCIND_GUARD_AUDIENCE", "urn:photos");
    let mut child = program.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ready["audience"], "urn:photos");
    assert_eq!(ready["issuer"], "http://127.0.0.1:8080");
    let address = ready["address"].as_str().unwrap();
    assert!(std::net::TcpStream::connect(address).is_ok());
    // Where one listens, another can't.
    let second = program.env("RESCIND_GUARD_LISTEN", address).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("RESCIND_GUARD_LISTEN"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn faults_of_its_settings_are_reported_together_and_no_database_is_made() {
    let place = Place::new();
    let output = place
        .program(&["guard", "--json"])
        .env("RESCIND_GUARD_ID", "photos")
        .env("RESCIND_GUARD_SECRET", "a secret that must not be repeated")
        .env("RESCIND_GUARD_LISTEN", "here")
        .env("RESCIND_GUARD_LEEWAY", "5s")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let faults = String::from_utf8(output.stderr).unwrap();
    for name in
        ["_ID", "_SECRET", "_LISTEN", "_LEEWAY", "_AUDIENCE"].map(|name| format!("RESCIND_GUARD{name}"))
    {
        assert!(faults.contains(&name), "{name} is not in {faults}");
    }
    assert!(!faults.contains("repeated"), "{faults}");
    assert!(!place.database().exists());
}
