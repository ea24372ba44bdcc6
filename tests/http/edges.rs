//! What comes before any route: which requests are read at all, and what scripts of other origins may send and read.

use axum::body::Body;
use axum::http::{Request, StatusCode, Version};
use http_body_util::BodyExt as _;
use rescind::routes::TABLE;

use crate::harness::{METRICS_TOKEN, World};

const HOST: &str = "127.0.0.1:8080";

/// Status, content type and body of the answer to a request with exactly these `Host` headers.
async fn with_hosts(world: &World, method: &str, uri: &str, hosts: &[&str]) -> (StatusCode, String, String) {
    let mut request = Request::builder().method(method).uri(uri);
    for host in hosts {
        request = request.header("host", host.as_bytes());
    }
    let response = world.opens(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert!(response.headers().contains_key("x-request-id"));
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    let status = response.status();
    if status != 400 {
        return (status, kind.unwrap_or_default(), String::new());
    }
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, kind.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_request_without_exactly_one_valid_host_is_400_at_every_route() {
    let world = World::new().await;
    let nowhere = [("get", "/nowhere"), ("post", "/static/nothing")];
    let routes = TABLE.iter().map(|route| (route.method, route.path)).chain(nowhere);
    for (method, path) in routes {
        let (method, path) = (method.to_uppercase(), path.replace(['{', '}'], ""));
        for hosts in [&[][..], &[HOST, HOST], &[HOST, "evil.example"], &[""], &["evil.example/path"]] {
            let (status, kind, body) = with_hosts(&world, &method, &path, hosts).await;
            assert_eq!(status, 400, "{method} {path} {hosts:?}");
            let is_described = kind == "application/json" && body.contains("\"invalid_request\"");
            let is_page = kind == "text/html; charset=utf-8" && body.contains("exactly one host");
            assert!(is_described || is_page, "{method} {path} {kind} {body}");
        }
        let (_, _, body) = with_hosts(&world, &method, &path, &["any.example"]).await;
        assert!(!body.contains("Host"), "{method} {path} {body}");
    }
}

#[tokio::test]
async fn scripts_may_read_why_their_request_was_refused() {
    let world = World::new().await;
    for (method, path) in BROWSER_ROUTES {
        let request = Request::builder().method(method).uri(path).header("origin", "https://spa.example");
        let answer = world.opens(request.body(Body::empty()).unwrap()).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["access-control-allow-origin"]),
            (400, &"*".parse().unwrap())
        );
    }
}

#[tokio::test]
async fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
    let world = World::new().await;
    for host in ["id.example", "ID.Example:443", "127.0.0.1", "[::1]:8080", "localhost"] {
        assert_eq!(with_hosts(&world, "GET", "/healthz", &[host]).await.0, 200, "{host}");
    }
    let wrong = [
        "a b", "a,b", "a, b", "user@a", "http://a", "a:b", "a:65536", "a:1:1", "::1", "[::1", "[a]", ":80",
        "ä",
    ];
    for host in wrong {
        assert_eq!(with_hosts(&world, "GET", "/healthz", &[host]).await.0, 400, "{host}");
    }
}

#[tokio::test]
async fn a_target_with_a_host_agrees_with_the_header() {
    let world = World::new().await;
    let uri = "http://id.example:8080/healthz";
    assert_eq!(with_hosts(&world, "GET", uri, &["ID.example:8080"]).await.0, 200);
    for hosts in [&["evil.example"][..], &["id.example"], &[]] {
        assert_eq!(with_hosts(&world, "GET", uri, hosts).await.0, 400, "{hosts:?}");
    }
}

#[tokio::test]
async fn http_1_0_needs_no_host() {
    let world = World::new().await;
    let request = || Request::builder().uri("/healthz").version(Version::HTTP_10);
    let answer = world.opens(request().body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), 200);
    // But what it sends has to be valid.
    let answer = world.opens(request().header("host", "a b").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), 400);
}

#[tokio::test]
async fn the_scheme_of_an_authorization_header_is_known_in_any_case() {
    let world = World::new().await;
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer "] {
        let request = world.request("GET", "/metrics");
        let request = request.header("authorization", format!("{scheme} {METRICS_TOKEN}"));
        world.sends(request.body(Body::empty()).unwrap()).await.is(200);
    }
    for wrong in
        [METRICS_TOKEN.to_owned(), format!("Bearer{METRICS_TOKEN}"), format!("Basic {METRICS_TOKEN}")]
    {
        let request = world.request("GET", "/metrics").header("authorization", wrong);
        world.sends(request.body(Body::empty()).unwrap()).await.is(404);
    }
}

const BROWSER_ROUTES: [(&str, &str); 4] = [
    ("POST", "/oauth/token"),
    ("POST", "/oauth/revoke"),
    ("GET", "/oauth/jwks"),
    ("GET", "/.well-known/oauth-authorization-server"),
];

#[tokio::test]
async fn a_preflight_allows_every_header_and_no_cookies() {
    let world = World::new().await;
    for (method, path) in BROWSER_ROUTES {
        for name in [
            "authorization,content-type",
            "mcp-protocol-version",
            "traceparent,tracestate",
            "x-requested-with",
            "dpop",
            "x-a-header-of-next-year",
        ] {
            let preflight = world
                .request("OPTIONS", path)
                .header("origin", "https://spa.example")
                .header("access-control-request-method", method)
                .header("access-control-request-headers", name);
            let answer = world.opens(preflight.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status(), 200, "{path}");
            let headers = answer.headers();
            assert_eq!(headers["access-control-allow-origin"], "*", "{path}");
            assert_eq!(headers["access-control-allow-headers"], name, "{path}");
            assert_eq!(headers.get("access-control-allow-credentials"), None, "{path}");
        }
    }
}

#[tokio::test]
async fn scripts_read_when_to_try_again_and_how_to_authenticate() {
    let world = World::new().await;
    for (method, path) in BROWSER_ROUTES {
        let request = world.request(method, path).header("origin", "https://spa.example");
        let answer = world.opens(request.body(Body::empty()).unwrap()).await;
        let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap().to_owned();
        for name in ["retry-after", "www-authenticate", "x-request-id"] {
            assert!(exposed.split(',').any(|one| one.trim() == name), "{path}: {name} in {exposed}");
        }
    }
}
