//! The whole flow by clients that nobody here wrote, against a server on a real port with the real clock: the crate
//! `oauth2`, and the npm packages `oauth4webapi`, `openid-client` and `simple-oauth2` (`tests/stock/`, after `npm ci`). The npm package
//! `jose` checks a signed receipt.

use std::net::SocketAddr;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use oauth2::basic::{BasicClient, BasicErrorResponseType};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, IntrospectionUrl,
    PkceCodeChallenge, RedirectUrl, RequestTokenError, Scope, TokenIntrospectionResponse as _,
    TokenResponse as _, TokenUrl,
};
use rescind::clock::Clock;
use rescind::model::client::{ClientKind, GrantType, GrantTypes, RedirectUri, TokenFormat};
use rescind::routes::router;
use serde_json::{Value, json};

use crate::harness::browser::Browser;
use crate::harness::client::Client;
use crate::harness::described::is_a;
use crate::harness::fields::Fields;
use crate::harness::{PASSWORD, Scene, World, scene_in};

const CALLBACK: &str = "http://127.0.0.1:49152/callback";

/// A world whose server listens on a port of its own.
async fn on_a_real_port() -> (Scene, Client) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let world = World::at(&issuer, Clock::System).await;
    let service = router(world.app.clone()).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    let app = world.client_with_redirects(&[CALLBACK]).await;
    (scene_in(world).await, app)
}

/// A URL of the flow, opened and allowed in Alice's browser: what came back with the code.
async fn allowed(alice: &Browser, url: &url::Url) -> (String, String) {
    let page = alice.gets(&format!("{}?{}", url.path(), url.query().unwrap())).await.page(200);
    let page = crate::harness::browser::ConsentPage::read(page);
    let answer = alice.answers(&page, "approve").await;
    (answer.param("code").unwrap(), answer.param("state").unwrap())
}

async fn flow_of_the_oauth2_crate(auth: AuthType) {
    let (Scene { world, api, alice, .. }, app) = on_a_real_port().await;
    let at = |path: &str| format!("{}{path}", world.issuer());
    let client = BasicClient::new(ClientId::new(app.id.clone()))
        .set_client_secret(ClientSecret::new(app.secret.clone().unwrap()))
        .set_auth_type(auth)
        .set_auth_uri(AuthUrl::new(at("/oauth/authorize")).unwrap())
        .set_token_uri(TokenUrl::new(at("/oauth/token")).unwrap())
        .set_redirect_uri(RedirectUrl::new(CALLBACK.to_owned()).unwrap());
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();

    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, csrf) = client
        .authorize_url(CsrfToken::new_random)
        .add_scope(Scope::new("read".to_owned()))
        .set_pkce_challenge(challenge)
        .url();
    let (code, state) = allowed(&alice, &url).await;
    assert_eq!(&state, csrf.secret());
    let code = AuthorizationCode::new(code);
    let tokens = client.exchange_code(code).set_pkce_verifier(verifier).request_async(&http).await.unwrap();
    assert_eq!(tokens.scopes().unwrap(), &[Scope::new("read".to_owned())]);
    let refresh_token = tokens.refresh_token().unwrap();
    let fresh = client.exchange_refresh_token(refresh_token).request_async(&http).await.unwrap();

    let guard = BasicClient::new(ClientId::new(api.id.clone()))
        .set_client_secret(ClientSecret::new(api.secret.clone()))
        .set_introspection_url(IntrospectionUrl::new(at("/oauth/introspect")).unwrap());
    let facts = guard.introspect(fresh.access_token()).request_async(&http).await.unwrap();
    assert!(facts.active());
    assert_eq!(facts.client_id().unwrap().as_str(), app.id);

    alice.revokes(&app).await.is(303);
    let facts = guard.introspect(fresh.access_token()).request_async(&http).await.unwrap();
    assert!(!facts.active());
    let refused = client.exchange_refresh_token(fresh.refresh_token().unwrap()).request_async(&http).await;
    match refused.unwrap_err() {
        RequestTokenError::ServerResponse(answer) => {
            assert_eq!(answer.error(), &BasicErrorResponseType::InvalidGrant);
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oauth2_crate_with_basic_authentication() {
    flow_of_the_oauth2_crate(AuthType::BasicAuth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oauth2_crate_with_the_secret_in_the_body() {
    flow_of_the_oauth2_crate(AuthType::RequestBody).await;
}

/// Runs a program of `tests/stock/`, which `npm ci` has prepared.
async fn node(script: &str, arguments: &[&str]) -> Output {
    let mut node = Command::new("node");
    node.current_dir(env!("CARGO_MANIFEST_DIR")).arg(format!("tests/stock/{script}")).args(arguments);
    let output = tokio::task::spawn_blocking(move || node.output()).await.unwrap();
    output.expect("node runs: install Node.js, then `npm ci` in tests/stock")
}

/// Runs a journey of `tests/stock/`, for a client with or without a secret and tokens of either format.
async fn journey(script: &str, kind: ClientKind, token_format: TokenFormat) {
    let (Scene { world, api, .. }, _) = on_a_real_port().await;
    let carol = world.person("carol").await;
    let app = world
        .client(kind, |new| {
            new.redirect_uris = vec![RedirectUri::parse(CALLBACK).unwrap()];
            new.token_format = token_format;
        })
        .await;
    let settings = json!({
        "issuer": world.issuer(),
        "client_id": app.id,
        "client_secret": app.secret,
        "redirect_uri": CALLBACK,
        "scope": "read write",
        "token_format": token_format.as_str(),
        "audience": "https://photos.example",
        "username": carol.name,
        "password": PASSWORD,
        "resource_server_id": api.id,
        "resource_server_secret": api.secret,
    });
    let output = node(script, &[&settings.to_string()]).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("no report from {script} (`npm ci` in tests/stock?): {errors}"));
    assert!(output.status.success() && report["ok"] == true, "{script}: {report:#} {errors}");
    assert!(report["steps"].as_array().unwrap().len() >= 10, "{script}: {report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn oauth4webapi_as_a_confidential_client() {
    journey("oauth4webapi.mjs", ClientKind::Confidential, TokenFormat::Opaque).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oauth4webapi_as_a_public_client() {
    journey("oauth4webapi.mjs", ClientKind::Public, TokenFormat::Opaque).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client_as_a_confidential_client() {
    journey("openid-client.mjs", ClientKind::Confidential, TokenFormat::Opaque).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client_as_a_public_client() {
    journey("openid-client.mjs", ClientKind::Public, TokenFormat::Opaque).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oauth4webapi_with_jwts_which_it_validates() {
    journey("oauth4webapi.mjs", ClientKind::Confidential, TokenFormat::Jwt).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client_with_jwts() {
    journey("openid-client.mjs", ClientKind::Public, TokenFormat::Jwt).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn simple_oauth2_revokes_all_its_tokens() {
    let (Scene { world, api, alice, .. }, app) = on_a_real_port().await;
    let settings = json!({
        "issuer": world.issuer(),
        "client_id": app.id,
        "client_secret": app.secret,
        "code": alice.authorizes(&app).await,
        "redirect_uri": CALLBACK,
        "code_verifier": app.verifier,
    });
    let output = node("simple-oauth2.mjs", &[&settings.to_string()]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tokens: Value = serde_json::from_slice(&output.stdout).unwrap();
    let [access, refresh] = ["access_token", "refresh_token"].map(|name| tokens[name].as_str().unwrap());
    assert!(!api.accepts(access).await);
    app.presents_refresh(refresh).await.refuses(400, "invalid_grant");
    assert_eq!(world.ledger(), ["access_token_revoked", "refresh_token_revoked"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn jose_checks_a_signed_receipt_by_the_published_key() {
    let (Scene { world, alice, .. }, app) = on_a_real_port().await;
    alice.connects(&app).await;
    alice.revokes(&app).await.is(303);
    let id: String = world.value("SELECT receipt_id FROM ledger");
    let signed = alice.gets(&format!("/receipts/{id}/jws")).await.is(200).body;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("receipt.jws");
    let checks = async |text: &str| {
        std::fs::write(&file, text).unwrap();
        node("receipt.mjs", &[world.issuer(), file.to_str().unwrap()]).await
    };
    let read = checks(&signed).await;
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let receipt: Value = serde_json::from_slice(&read.stdout).unwrap();
    assert_eq!(receipt["receipt_id"], json!(id));
    is_a("Receipt", &receipt);
    // The same signature under another payload, and an access token's type.
    let [header, _, signature] = <[&str; 3]>::try_from(signed.split('.').collect::<Vec<_>>()).unwrap();
    let other = BASE64_URL_SAFE_NO_PAD.encode(receipt.to_string().replace("user", "none"));
    let forged = checks(&format!("{header}.{other}.{signature}")).await;
    assert!(!forged.status.success());
    let errors = String::from_utf8_lossy(&forged.stderr).into_owned();
    assert!(errors.contains("signature verification failed"), "{errors}");
    let robot = world.client(ClientKind::Confidential, |new| {
        new.token_format = TokenFormat::Jwt;
        new.grant_types = GrantTypes::new(vec![GrantType::ClientCredentials]);
    });
    let answer = robot.await.asks_tokens(&Fields::new(&[("grant_type", "client_credentials")])).await.json();
    let token = checks(answer["access_token"].as_str().unwrap()).await;
    assert!(!token.status.success());
    let errors = String::from_utf8_lossy(&token.stderr).into_owned();
    assert!(errors.contains("typ is at+jwt"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_over_a_real_connection_is_answered_like_any_other() {
    let (Scene { world, .. }, _) = on_a_real_port().await;
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let form = Fields::new(&[("username", "alice"), ("password", PASSWORD)]).encode();
    let login = |origin: &str| {
        http.post(format!("{}/login", world.issuer()))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", origin.to_owned())
            .body(form.clone())
            .send()
    };
    assert_eq!(login(world.issuer()).await.unwrap().status(), 303);
    assert_eq!(login("https://evil.example").await.unwrap().status(), 403);
    let large = http.post(format!("{}/oauth/token", world.issuer()));
    let large = large.header("content-type", "application/x-www-form-urlencoded").body("a".repeat(70_000));
    assert_eq!(large.send().await.unwrap().status(), 413);
}
