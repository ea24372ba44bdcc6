//! The authorization request (RFC 6749 §4.1.1): who may ask, and where answers go.

use axum::body::Body;
use rescind::model::client::{ClientKind, GrantType};

use crate::harness::client::{Client, challenge};
use crate::harness::fields::Fields;
use crate::harness::{CALLBACK, ISSUER, scene};

const STATE: Option<&str> = Some("st/4te ü&=");

/// A page of ours in place of a redirect: nobody knows where an answer would go.
async fn is_refused_on_a_page(app: &Client, request: &Fields) {
    let answer = app.world.gets(&format!("/oauth/authorize?{}", request.encode())).await.page(400);
    assert_eq!(answer.header("location"), None, "{request:?}");
}

#[tokio::test]
async fn a_visitor_signs_in_first_and_then_comes_back_to_the_request() {
    let scene = scene().await;
    let request = scene.app.request();
    let path = format!("/oauth/authorize?{}", request.encode());
    scene.world.gets(&path).await.asks_to_sign_in(&path);
}

#[tokio::test]
async fn a_bad_client_is_told_to_the_person_and_nobody_is_redirected() {
    let scene = scene().await;
    let app = &scene.app;
    for id in [
        "",
        "cli_00000000000000000000",
        &app.id[..app.id.len() - 1],
        &app.id.to_lowercase(),
        &app.id.replacen("cli_", "rse_", 1),
        &scene.api.id,
        "' OR 1=1 --",
        "a\0b",
    ] {
        is_refused_on_a_page(app, &app.request().with("client_id", id)).await;
    }
    is_refused_on_a_page(app, &app.request().without("client_id")).await;
    is_refused_on_a_page(app, &app.request().and("client_id", &app.id)).await;
}

#[tokio::test]
async fn a_client_that_may_not_act_is_told_to_the_person() {
    let scene = scene().await;
    for status in ["suspended", "banned", "deleted"] {
        scene.world.forces(&format!("UPDATE clients SET status = '{status}' WHERE id = '{}'", scene.app.id));
        is_refused_on_a_page(&scene.app, &scene.app.request()).await;
        scene.alice.opens(&scene.app.request()).await.page(400);
    }
}

#[tokio::test]
async fn redirects_match_exactly() {
    let scene = scene().await;
    for uri in [
        "https://app.example/callback/",
        "https://app.example/callback?x=1",
        "https://app.example/Callback",
        "https://APP.example/callback",
        "https://app.example:443/callback",
        "https://app.example/callback#here",
        "https://app.example/x/../callback",
        "https://app.example/%63allback",
        "https://app.example",
        "http://app.example/callback",
        "https://user@app.example/callback",
        "https://app.example@evil.example/callback",
        "https://app.example.evil.example/callback",
        "https://evil.example/https://app.example/callback",
        "//app.example/callback",
        "javascript:alert(1)//https://app.example/callback",
        "callback",
    ] {
        is_refused_on_a_page(&scene.app, &scene.app.request().with("redirect_uri", uri)).await;
    }
    is_refused_on_a_page(&scene.app, &scene.app.request().and("redirect_uri", CALLBACK)).await;
    scene.alice.is_asked(&scene.app.request()).await;
}

#[tokio::test]
async fn a_redirect_may_be_left_out_when_there_is_only_one() {
    let scene = scene().await;
    let request = scene.app.request().without("redirect_uri");
    let code = scene.alice.authorizes_request(&scene.app, &request).await;
    let form = scene.app.code_request(&code).without("redirect_uri");
    scene.app.asks_tokens(&form).await.is(200);
    let two = scene.world.client_with_redirects(&["https://app.example/other", CALLBACK]).await;
    is_refused_on_a_page(&two, &two.request().without("redirect_uri")).await;
    is_refused_on_a_page(&two, &two.request().with("redirect_uri", "")).await;
    scene.alice.authorizes(&two).await;
}

#[tokio::test]
async fn the_port_of_a_loopback_address_is_free_and_nothing_else() {
    let scene = scene().await;
    let app = scene.world.client_with_redirects(&["http://127.0.0.1/cb", "http://[::1]:1/cb"]).await;
    for uri in ["http://127.0.0.1:49152/cb", "http://127.0.0.1/cb", "http://[::1]:49152/cb"] {
        let page = scene.alice.is_asked(&app.request().with("redirect_uri", uri)).await;
        let answer = scene.alice.answers(&page, "deny").await;
        assert!(
            answer.location().starts_with(&format!("{uri}?error=access_denied")),
            "{}",
            answer.location()
        );
    }
    for uri in [
        "http://127.0.0.1:49152/other",
        "http://127.0.0.2:49152/cb",
        "http://localhost:49152/cb",
        "https://127.0.0.1:49152/cb",
        "http://127.0.0.1:49152/cb?x",
    ] {
        is_refused_on_a_page(&app, &app.request().with("redirect_uri", uri)).await;
    }
}

#[tokio::test]
async fn errors_of_the_client_redirect_to_it_with_state_and_iss() {
    let scene = scene().await;
    let request = scene.app.request();
    let cases = [
        (request.clone().without("response_type"), "invalid_request"),
        (request.clone().with("response_type", ""), "invalid_request"),
        (request.clone().with("response_type", "token"), "unsupported_response_type"),
        (request.clone().with("response_type", "code id_token"), "unsupported_response_type"),
        (request.clone().with("scope", "read delete"), "invalid_scope"),
        (request.clone().with("scope", "re\"ad"), "invalid_scope"),
        (request.clone().and("scope", "read"), "invalid_request"),
        (request.clone().and("response_type", "code"), "invalid_request"),
        (request.clone().and("code_challenge", ""), "invalid_request"),
        (request.clone().and("anything", "1").and("anything", "2"), "invalid_request"),
    ];
    for (request, error) in cases {
        let path = format!("/oauth/authorize?{}", request.encode());
        // Before and after signing in.
        scene.world.gets(&path).await.redirects_error(CALLBACK, error, STATE, ISSUER);
        scene.alice.gets(&path).await.redirects_error(CALLBACK, error, STATE, ISSUER);
    }
    assert_eq!(scene.world.value::<i64>("SELECT count(*) FROM authorization_codes"), 0);
}

#[tokio::test]
async fn pkce_cannot_be_left_out_or_weakened() {
    let scene = scene().await;
    let request = scene.app.request();
    let short = &challenge(&scene.app.verifier)[..42];
    let padded = format!("{}=", challenge(&scene.app.verifier));
    for request in [
        request.clone().without("code_challenge").without("code_challenge_method"),
        // Without a method it means plain (RFC 7636 §4.3).
        request.clone().without("code_challenge_method"),
        request.clone().with("code_challenge_method", "plain"),
        request.clone().with("code_challenge_method", "plain").with("code_challenge", &scene.app.verifier),
        request.clone().with("code_challenge_method", "s256"),
        request.clone().without("code_challenge"),
        request.clone().with("code_challenge", short),
        request.clone().with("code_challenge", &padded),
    ] {
        for app in [&scene.app, &scene.world.public_client().await] {
            let request = request.clone().with("client_id", &app.id);
            scene.alice.opens(&request).await.redirects_error(CALLBACK, "invalid_request", STATE, ISSUER);
        }
    }
}

#[tokio::test]
async fn a_client_without_the_grant_type_is_unauthorized() {
    let scene = scene().await;
    let app =
        scene.world.client_with_grant_types(ClientKind::Confidential, &[GrantType::ClientCredentials]).await;
    scene.alice.opens(&app.request()).await.redirects_error(CALLBACK, "unauthorized_client", STATE, ISSUER);
}

#[tokio::test]
async fn a_client_asks_within_its_registration() {
    let scene = scene().await;
    let app = scene.world.client_with_scope("read").await;
    scene.alice.opens(&app.request()).await.redirects_error(CALLBACK, "invalid_scope", STATE, ISSUER);
    let page = scene.alice.is_asked(&app.request().without("scope")).await;
    page.answer.shows("May read").hides("May write");
}

#[tokio::test]
async fn a_client_that_may_ask_for_nothing_gets_invalid_scope() {
    let scene = scene().await;
    let app = scene.world.client_with_scope("gone").await;
    let request = app.request().without("scope");
    scene.alice.opens(&request).await.redirects_error(CALLBACK, "invalid_scope", STATE, ISSUER);
}

#[tokio::test]
async fn state_is_repeated_exactly_or_not_at_all() {
    let scene = scene().await;
    for state in ["a b+c%20d", "\"<>'", "日本", "a=1&b=2", "x#y"] {
        let request = scene.app.request().with("response_type", "token").with("state", state);
        let answer = scene.alice.opens(&request).await;
        answer.redirects_error(CALLBACK, "unsupported_response_type", Some(state), ISSUER);
    }
    let request = scene.app.request().with("response_type", "token");
    let answer = scene.alice.opens(&request.clone().without("state")).await;
    answer.redirects_error(CALLBACK, "unsupported_response_type", None, ISSUER);
    // Of two, neither can be told to be the client's.
    let answer = scene.alice.opens(&request.and("state", "other")).await;
    answer.redirects_error(CALLBACK, "invalid_request", None, ISSUER);
}

#[tokio::test]
async fn the_query_of_a_redirect_uri_is_kept() {
    let scene = scene().await;
    let app = scene.world.client_with_redirects(&["https://app.example/cb?tenant=1"]).await;
    let answer = scene.alice.opens(&app.request().with("response_type", "token")).await;
    answer.redirects_error(
        "https://app.example/cb?tenant=1&error=",
        "unsupported_response_type",
        STATE,
        ISSUER,
    );
}

#[tokio::test]
async fn the_authorization_endpoint_is_closed_to_scripts_of_other_origins() {
    let scene = scene().await;
    let path = format!("/oauth/authorize?{}", scene.app.request().encode());
    for method in ["GET", "OPTIONS", "POST"] {
        let request = scene
            .world
            .request(method, &path)
            .header("origin", "https://spa.example")
            .header("sec-fetch-site", "cross-site")
            .header("access-control-request-method", "GET");
        let answer = scene.world.sends(request.body(Body::empty()).unwrap()).await;
        assert!(!answer.is_open_to_other_origins(), "{method} {:?}", answer.headers);
    }
}
