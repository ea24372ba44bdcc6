//! What no form of ours sends: a clear 4xx, and nothing changes. And rules that hold for the whole table of routes.

use axum::body::Body;
use axum::http::header;
use rescind::routes::{Caller, Route, TABLE};

use crate::harness::answer::Answer;
use crate::harness::browser::{Browser, From};
use crate::harness::client::basic;
use crate::harness::engine::database::is_postgres;
use crate::harness::fields::{FORM, Fields};
use crate::harness::{PASSWORD, Scene, World, scene};

const LARGEST: usize = 64 * 1024;
const PROTOCOL: [&str; 3] = ["/oauth/token", "/oauth/revoke", "/oauth/introspect"];

/// The paths of these routes, with what Alice owns in place of their parameters. Alice may open them all.
async fn paths(scene: &Scene, wanted: impl Fn(&Route) -> bool) -> Vec<String> {
    scene.world.forces("UPDATE users SET role = 'admin' WHERE username = 'alice'");
    scene.world.forces("UPDATE clients SET owner_id = (SELECT id FROM users WHERE username = 'alice')");
    if scene.world.ledger().is_empty() {
        scene.world.ends_all_tokens_of(&scene.world.confidential_client().await).await;
    }
    let receipt: String = scene.world.value("SELECT min(receipt_id) FROM ledger");
    let grant = match scene.world.value::<i64>("SELECT count(*) FROM grants") {
        0 => {
            scene.alice.connects(&scene.app).await;
            scene.alice.grant_of(&scene.app).await
        }
        _ => scene.alice.grant_of(&scene.app).await,
    };
    let family: String = scene.world.value("SELECT id FROM families");
    let session: String = scene.world.value("SELECT id FROM sessions");
    let fill = |path: &str| {
        path.replace("{grant_id}", &grant)
            .replace("{session_id}", &session)
            .replace("{family_id}", &family)
            .replace("{client_id}", &scene.app.id)
            .replace("{user_id}", scene.alice.id.as_str())
            .replace("{receipt_id}", &receipt)
            .replace("{resource_server_id}", &scene.api.id)
            .replace("{name}", "rescind.css")
    };
    let paths: Vec<_> = TABLE.iter().filter(|route| wanted(route)).map(|route| fill(route.path)).collect();
    assert!(!paths.is_empty() && paths.iter().all(|path| !path.contains('{')), "{paths:?}");
    paths
}

/// Metrics do not exist for Alice.
fn is_get(route: &Route) -> bool {
    route.method == "get" && is_for_browsers(route) && route.path != "/metrics"
}

fn is_page(route: &Route) -> bool {
    matches!(route.caller, Caller::Public | Caller::SignedIn | Caller::Developer | Caller::Admin)
}

/// Resource servers alone call the others, and `tests/http/feed.rs` does.
fn is_for_browsers(route: &Route) -> bool {
    route.caller != Caller::ResourceServer
}

fn takes_a_form(route: &Route) -> bool {
    route.method == "post" && route.path != "/revocations/ack"
}

/// Posts raw bytes as Alice's browser does; for the protocol endpoints also as the client and the API.
async fn posts_raw(scene: &Scene, path: &str, content_type: Option<&str>, body: Vec<u8>) -> Answer {
    let Scene { world, api, app, alice } = scene;
    let authorization = match path {
        "/oauth/introspect" => basic(&api.id, &api.secret),
        _ => basic(&app.id, app.secret.as_ref().unwrap()),
    };
    let mut request = world
        .request("POST", path)
        .header(header::COOKIE, format!("rescind={}", alice.session().unwrap()))
        .header(header::AUTHORIZATION, authorization)
        .header(header::ORIGIN, world.issuer())
        .header("sec-fetch-site", "same-origin");
    if let Some(content_type) = content_type {
        request = request.header(header::CONTENT_TYPE, content_type);
    }
    world.sends(request.body(Body::from(body)).unwrap()).await
}

/// That the answer is a page for people and JSON for programs.
fn speaks_to_its_caller(path: &str, answer: Answer, status: u16) {
    if PROTOCOL.contains(&path) {
        answer.refuses(status, "invalid_request");
    } else {
        answer.page(status);
    }
}

// Rules for the whole table

#[tokio::test]
async fn every_page_that_needs_a_session_asks_visitors_to_sign_in() {
    let scene = scene().await;
    let visitor = scene.alice.elsewhere();
    for path in paths(&scene, |route| route.caller == Caller::SignedIn && route.method == "get").await {
        visitor.gets(&path).await.asks_to_sign_in(&path);
    }
    let posts = paths(&scene, |route| route.caller == Caller::SignedIn && route.method == "post").await;
    let before = scene.world.contents();
    for path in posts {
        visitor.posts(&path, &Fields::new(&[("all", "1")])).await.asks_to_sign_in(&path);
    }
    assert_eq!(scene.world.contents(), before);
}

#[tokio::test]
async fn every_form_of_a_page_refuses_other_sites() {
    let scene = scene().await;
    let posts = paths(&scene, |route| is_page(route) && route.method == "post").await;
    let before = scene.world.contents();
    for path in posts {
        for from in From::OTHERS {
            let answer = scene.alice.posts_from(from, &path, &Fields::new(&[("all", "1")])).await;
            answer.page(403).shows("another site");
        }
    }
    assert_eq!(scene.world.contents(), before);
}

#[tokio::test]
async fn get_requests_change_nothing() {
    let scene = scene().await;
    let gets = paths(&scene, is_get).await;
    let before = scene.world.contents();
    for path in &gets {
        for query in ["", "?all=1", "?ended=1", "?decision=approve&seen=1.1.1.-"] {
            let answer = scene.alice.gets(&format!("{path}{query}")).await;
            assert!(matches!(answer.status.as_u16(), 200 | 303 | 400), "{path}{query} {}", answer.status);
            if is_page_path(path) {
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
            }
        }
    }
    assert_eq!(scene.world.contents(), before);
}

fn is_page_path(path: &str) -> bool {
    !["/static", "/healthz", "/readyz", "/.well-known", "/oauth/jwks"]
        .iter()
        .any(|start| path.starts_with(start))
}

#[tokio::test]
async fn every_form_refuses_other_types_of_content() {
    let scene = scene().await;
    let posts = paths(&scene, takes_a_form).await;
    let before = scene.world.contents();
    for path in &posts {
        for content_type in ["application/json", "text/plain", "multipart/form-data; boundary=x", "", "é"] {
            let body = b"all=1&grant_type=client_credentials&decision=approve&token=x".to_vec();
            let answer = posts_raw(&scene, path, Some(content_type), body).await;
            let status = if PROTOCOL.contains(&path.as_str()) { 400 } else { 415 };
            speaks_to_its_caller(path, answer, status);
        }
    }
    assert_eq!(scene.world.contents(), before);
    let form = format!("{FORM}; charset=UTF-8").to_uppercase();
    posts_raw(&scene, "/oauth/introspect", Some(&form), b"token=x".to_vec()).await.is(200);
}

#[tokio::test]
async fn every_form_refuses_bodies_over_64_kib() {
    let scene = scene().await;
    let posts = paths(&scene, takes_a_form).await;
    let before = scene.world.contents();
    for path in &posts {
        let mut body = b"all=1&x=".to_vec();
        body.resize(LARGEST + 1, b'a');
        let answer = posts_raw(&scene, path, Some(FORM), body).await;
        speaks_to_its_caller(path, answer, 413);
    }
    assert_eq!(scene.world.contents(), before);
    let mut body = b"token=".to_vec();
    body.resize(LARGEST, b'a');
    posts_raw(&scene, "/oauth/introspect", Some(FORM), body).await.is(200);
}

/// As many names as fit into the largest body. What is refused here is refused before anything of it is decoded
/// (`model::params` has that test), so it costs one look at each byte.
#[tokio::test]
async fn every_form_refuses_thousands_of_parameters() {
    let scene = scene().await;
    let posts = paths(&scene, takes_a_form).await;
    let before = scene.world.contents();
    let names = |count: usize| (0..count).map(|number| format!("{number:x}&")).collect::<String>();
    for path in &posts {
        let answer = posts_raw(&scene, path, Some(FORM), names(12_000).into_bytes()).await;
        speaks_to_its_caller(path, answer, 400);
    }
    assert_eq!(scene.world.contents(), before);
    for path in PROTOCOL {
        let answer = posts_raw(&scene, path, Some(FORM), names(101).into_bytes()).await;
        answer.refuses(400, "invalid_request").shows("too many parameters");
    }
}

#[tokio::test]
async fn every_path_refuses_thousands_of_parameters() {
    let scene = scene().await;
    let names: String = (0..2_000).map(|number| format!("{number}&")).collect();
    for path in ["/authorizations", "/authorizations/revoke", "/logout", "/admin/ledger"] {
        scene.world.forces("UPDATE users SET role = 'admin' WHERE username = 'alice'");
        scene.alice.gets(&format!("{path}?{names}")).await.page(400).shows("1,100");
    }
    let visitor = scene.alice.elsewhere();
    visitor.gets(&format!("/login?{names}")).await.page(400);
    for person in [&visitor, &scene.alice] {
        let request = format!("/oauth/authorize?{}&{names}", scene.app.request().encode());
        person.gets(&request).await.page(400).shows("more than 100 parameters");
    }
    // The request inside `next` is no request then, and the page is an ordinary one.
    let next =
        Fields::new(&[("next", &format!("/oauth/authorize?{}&{names}", scene.app.request().encode()))]);
    visitor.gets(&format!("/login?{}", next.encode())).await.page(200).hides("Prints");
}

#[tokio::test]
async fn every_form_refuses_bytes_that_are_not_text() {
    let scene = scene().await;
    let posts = paths(&scene, takes_a_form).await;
    let before = scene.world.contents();
    for path in &posts {
        for body in
            [&b"all=1&x=%00"[..], b"all=1&x=\0", b"all=1&x=%FF", b"all=1&x=\xff", b"%C3=1", b"x=%ED%A0%80"]
        {
            let answer = posts_raw(&scene, path, Some(FORM), body.to_vec()).await;
            speaks_to_its_caller(path, answer, 400);
        }
    }
    assert_eq!(scene.world.contents(), before);
}

#[tokio::test]
async fn every_path_refuses_bytes_that_are_not_text() {
    let scene = scene().await;
    let gets = paths(&scene, is_get).await;
    for path in &gets {
        for query in ["?next=%00", "?grant_id=%FF", "?client_id=%C3", "?%ED%A0%80=1"] {
            let status = scene.alice.gets(&format!("{path}{query}")).await.status.as_u16();
            // Pages that read no query do not mind what stands there.
            assert!(matches!(status, 200 | 303 | 400), "{path}{query} {status}");
        }
    }
    for path in ["/authorizations?x=%FF", "/authorizations/revoke?grant_id=%00", "/logout?next=%C3"] {
        scene.alice.gets(path).await.page(400);
    }
    scene.alice.elsewhere().gets("/login?next=%00").await.page(400);
    scene.alice.gets("/oauth/authorize?client_id=%FF").await.page(400);
    for path in ["/authorizations/%FF", "/authorizations/%00", "/authorizations/client/%FF", "/static/%FF"] {
        scene.alice.gets(path).await.page(404);
    }
    for path in ["/authorizations/%FF/revoke", "/authorizations/%00/devices/%FF/revoke"] {
        scene.alice.posts(path, &Fields::default()).await.page(404);
    }
}

#[tokio::test]
async fn every_other_method_is_refused_on_a_page() {
    let scene = scene().await;
    for path in paths(&scene, is_page).await {
        for method in ["PUT", "DELETE", "PATCH"] {
            let request = scene.world.request(method, &path).header("sec-fetch-site", "same-origin");
            scene.world.sends(request.body(Body::empty()).unwrap()).await.page(405);
        }
    }
    scene.alice.posts("/authorizations", &Fields::default()).await.page(405);
    scene.alice.posts("/", &Fields::default()).await.page(405);
}

#[tokio::test]
async fn an_unknown_path_shows_a_404_page() {
    let scene = scene().await;
    for path in [
        "/nothing",
        "/authorizations/",
        "/login/",
        "/oauth",
        "/oauth/nothing",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/x",
        "/static/",
        "/../etc/passwd",
        "//evil.example/",
        "/%2e%2e/x",
    ] {
        scene.alice.gets(path).await.page(404).shows("Page not found");
        scene.world.posts(path, &Fields::default()).await.page(404);
    }
}

// Parameters

#[tokio::test]
async fn a_parameter_that_comes_twice_is_refused_and_named() {
    let Scene { world, api, app, alice } = scene().await;
    let code = alice.authorizes(&app).await;
    let request = app.code_request(&code);
    let before = world.contents();
    for name in ["grant_type", "code", "redirect_uri", "code_verifier"] {
        for value in [request.get(name), "", "other"] {
            let twice = request.clone().and(name, value);
            let answer = app.asks_tokens(&twice).await.refuses(400, "invalid_request");
            assert!(answer.body.contains(&format!("{name} stands more than once")), "{}", answer.body);
        }
    }
    // Unknown ones too; a name that is no name is not repeated to anybody.
    let twice = request.clone().and("x\"<>", "1").and("x\"<>", "2");
    let answer = app.asks_tokens(&twice).await.refuses(400, "invalid_request");
    assert!(!answer.body.contains("<>"), "{}", answer.body);
    let twice = Fields::new(&[("token", "a"), ("token", "a")]);
    app.posts("/oauth/revoke", &twice).await.refuses(400, "invalid_request");
    api.posts(&twice).await.refuses(400, "invalid_request");
    assert_eq!(world.contents(), before);
    // An unknown one that stands once is ignored (RFC 6749 §3.2).
    app.asks_tokens(&request.and("audience", "x")).await.is(200);
}

#[tokio::test]
async fn an_id_of_another_kind_opens_nothing() {
    let scene = scene().await;
    let tokens = scene.alice.connects(&scene.app).await;
    let grant = scene.alice.grant_of(&scene.app).await;
    let family: String = scene.world.value("SELECT id FROM families");
    for id in [scene.alice.id.as_str(), &scene.app.id, &family, &scene.api.id, &tokens.access, "' OR 1=1 --"]
    {
        let id = url::form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>();
        scene.alice.gets(&format!("/authorizations/{id}")).await.page(404);
        scene.alice.posts(&format!("/authorizations/{id}/revoke"), &Fields::default()).await.page(404);
        let device = format!("/authorizations/{grant}/devices/{}/revoke", id.replace("fam_", "ses_"));
        scene.alice.posts(&device, &Fields::default()).await.page(404);
    }
    assert!(scene.api.accepts(&tokens.access).await);
}

#[tokio::test]
async fn headers_that_are_not_text_are_refused_or_ignored() {
    let scene = scene().await;
    let raw = |bytes: &[u8]| axum::http::HeaderValue::from_bytes(bytes).unwrap();
    let request = scene
        .world
        .request("POST", "/oauth/token")
        .header(header::CONTENT_TYPE, FORM)
        .header(header::AUTHORIZATION, raw(b"Basic \xff\xfe"));
    scene.world.sends(request.body(Body::empty()).unwrap()).await.refuses(401, "invalid_client");
    let request = scene
        .world
        .request("POST", "/oauth/token")
        .header(header::CONTENT_TYPE, FORM)
        .header(header::AUTHORIZATION, basic(&scene.app.id, scene.app.secret.as_ref().unwrap()))
        .header(header::AUTHORIZATION, "Basic eDp5");
    scene.world.sends(request.body(Body::empty()).unwrap()).await.refuses(401, "invalid_client");
    for (name, value) in [(header::COOKIE, &b"rescind=\xff"[..]), (header::USER_AGENT, b"\xff")] {
        let request = scene.world.request("GET", "/authorizations").header(name, raw(value));
        scene.world.sends(request.body(Body::empty()).unwrap()).await.asks_to_sign_in("/authorizations");
    }
}

#[tokio::test]
async fn sign_in_refuses_any_text_that_is_not_a_user_name() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let long = "a".repeat(60_000);
    for name in ["' OR 1=1 --", "<script>", "名前", "..", long.as_str(), "alice\u{202e}"] {
        let form = Fields::new(&[("username", name), ("password", PASSWORD)]);
        alice.posts("/login", &form).await.page(401).hides("<script>1").hides(PASSWORD);
    }
    alice.types(&long, "").await.page(401);
    alice.signs_in().await;
}

// A database that does not answer

#[tokio::test]
async fn without_the_database_no_request_succeeds() {
    let Scene { world, api, app, alice } = scene().await;
    let tokens = alice.connects(&app).await;
    let code = alice.authorizes(&app).await;
    let grant = alice.grant_of(&app).await;
    let page = alice.is_asked(&world.public_client().await.request()).await;
    world.app.store.close().await;
    let before = world.contents();
    for answer in [
        app.presents_code(&code).await,
        app.presents_refresh(&tokens.refresh).await,
        app.revokes(&tokens.access).await,
        app.revokes(&tokens.refresh).await,
    ] {
        let answer = answer.refuses(503, "temporarily_unavailable");
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
    let visitor: Browser = alice.elsewhere();
    for answer in [
        alice.gets("/authorizations").await,
        alice.posts(&format!("/authorizations/{grant}/revoke"), &Fields::default()).await,
        alice.posts("/authorizations/revoke", &Fields::new(&[("all", "1")])).await,
        alice.answers(&page, "approve").await,
        alice.posts("/logout", &Fields::default()).await,
        visitor.types(PASSWORD, "").await,
    ] {
        let answer = answer.page(503);
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert_eq!(answer.header("set-cookie"), None);
    }
    assert_eq!(world.contents(), before);
    // What was not revoked is not reported as revoked. On PostgreSQL another server may have revoked it.
    if is_postgres() {
        api.posts(&Fields::new(&[("token", &tokens.access)])).await.refuses(503, "temporarily_unavailable");
    } else {
        assert!(api.accepts(&tokens.access).await);
    }
}
