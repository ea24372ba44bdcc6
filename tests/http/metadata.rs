//! `GET /.well-known/oauth-authorization-server` (RFC 8414).

use axum::body::Body;
use rescind::clock::Clock;
use serde_json::json;

use crate::harness::{ISSUER, World};

const PATH: &str = "/.well-known/oauth-authorization-server";

#[tokio::test]
async fn metadata_names_every_endpoint_and_leaves_nothing_to_defaults() {
    let world = World::new().await;
    world.api("https://photos.example", &["write", "read"]).await;
    let body = world.gets(PATH).await.is(200).json();
    // Byte for byte (RFC 8414 §3.3).
    assert_eq!(body["issuer"], ISSUER);
    for (member, path) in [
        ("authorization_endpoint", "/oauth/authorize"),
        ("token_endpoint", "/oauth/token"),
        ("revocation_endpoint", "/oauth/revoke"),
        ("introspection_endpoint", "/oauth/introspect"),
        ("jwks_uri", "/oauth/jwks"),
        ("revocation_feed_endpoint", "/revocations/feed"),
        ("authorizations_management_uri", "/authorizations"),
    ] {
        assert_eq!(body[member], format!("{ISSUER}{path}"));
        // What it names is there.
        assert_ne!(world.gets(path).await.status, 404, "{path}");
    }
    for (member, values) in [
        ("response_types_supported", json!(["code"])),
        ("response_modes_supported", json!(["query"])),
        ("grant_types_supported", json!(["authorization_code", "refresh_token", "client_credentials"])),
        ("code_challenge_methods_supported", json!(["S256"])),
        ("authorization_response_iss_parameter_supported", json!(true)),
        (
            "token_endpoint_auth_methods_supported",
            json!(["client_secret_basic", "client_secret_post", "none"]),
        ),
        (
            "revocation_endpoint_auth_methods_supported",
            json!(["client_secret_basic", "client_secret_post", "none"]),
        ),
        (
            "introspection_endpoint_auth_methods_supported",
            json!(["client_secret_basic", "client_secret_post"]),
        ),
        ("scopes_supported", json!(["read", "write"])),
    ] {
        assert_eq!(body[member], values, "{member}");
    }
}

#[tokio::test]
async fn no_list_is_empty() {
    let world = World::new().await;
    let body = world.gets(PATH).await.is(200).json();
    assert_eq!(body.get("scopes_supported"), None);
    for (member, value) in body.as_object().unwrap() {
        assert!(value.as_array().is_none_or(|list| !list.is_empty()), "{member}");
    }
}

#[tokio::test]
async fn the_issuer_is_the_configured_one_for_every_host_header() {
    let world = World::at("https://id.example", Clock::System).await;
    let request = world.request("GET", PATH).header("x-forwarded-host", "evil.example");
    let body = world.sends(request.body(Body::empty()).unwrap()).await.is(200).json();
    assert_eq!(body["issuer"], "https://id.example");
    assert_eq!(body["token_endpoint"], "https://id.example/oauth/token");
}

#[tokio::test]
async fn browser_apps_may_read_it_without_cookies() {
    let world = World::new().await;
    let request = world.request("GET", PATH).header("origin", "https://spa.example");
    let answer = world.sends(request.body(Body::empty()).unwrap()).await.is(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert_eq!(answer.header("set-cookie"), None);
}

#[tokio::test]
async fn health_needs_no_sign_in() {
    let world = World::new().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(world.gets(path).await.is(200).body, "ok\n");
    }
    world.app.store.close().await;
    assert_eq!(world.gets("/healthz").await.is(200).body, "ok\n");
}

#[tokio::test]
async fn files_are_cached_and_known_again_by_their_tag() {
    let world = World::new().await;
    for (name, media) in
        [("rescind.css", "text/css"), ("rescind.js", "text/javascript"), ("icon.svg", "image/svg+xml")]
    {
        let answer = world.gets(&format!("/static/{name}")).await.is(200);
        assert!(answer.header("content-type").unwrap().starts_with(media), "{name}");
        let tag = answer.header("etag").unwrap();
        let request = world.request("GET", &format!("/static/{name}")).header("if-none-match", tag);
        world.sends(request.body(Body::empty()).unwrap()).await.is(304);
    }
    for name in ["demo.css", "..%2fCargo.toml", "nothing"] {
        world.gets(&format!("/static/{name}")).await.is(404);
    }
}
