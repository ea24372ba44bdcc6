//! The `resource` parameter (RFC 8707), for both token formats.

use rescind::model::by::By;
use rescind::model::client::{ClientKind, TokenFormat};
use rescind::model::resource_server::Guarding;
use rescind::service::register::{self, NewResourceServer};
use rescind::store;
use serde_json::json;

use crate::harness::client::Tokens;
use crate::harness::fields::Fields;
use crate::jwt::{MAIL, PHOTOS, Stage, claims, client_credentials, stage};

const ALL: &str = "mail read write";

fn refresh(tokens: &Tokens, resource: &str) -> Fields {
    Fields::new(&[
        ("grant_type", "refresh_token"),
        ("refresh_token", &tokens.refresh),
        ("resource", resource),
    ])
}

#[tokio::test]
async fn a_jwt_is_for_one_resource_server_and_each_request_picks_it() {
    let Stage { photos, mail, app, alice, .. } = stage().await;
    let code = alice.authorizes_request(&app, &app.request().with("scope", ALL)).await;
    // Scopes of two APIs, and nothing says which: no token, and the code is not used up.
    app.presents_code(&code).await.refuses(400, "invalid_scope");
    let first = app.asks_tokens(&app.code_request(&code).and("resource", PHOTOS)).await.is(200);
    let first = Tokens::read(&first);
    assert_eq!((first.scope.as_str(), &claims(&first.access)["aud"]), ("read write", &json!(PHOTOS)));
    app.presents_refresh(&first.refresh).await.refuses(400, "invalid_scope");
    let second = Tokens::read(&app.asks_tokens(&refresh(&first, MAIL)).await);
    assert_eq!((second.scope.as_str(), &claims(&second.access)["aud"]), ("mail", &json!(MAIL)));
    assert!(photos.accepts(&first.access).await && mail.accepts(&second.access).await);
    assert!(!photos.accepts(&second.access).await && !mail.accepts(&first.access).await);
    let third = Tokens::read(&app.asks_tokens(&refresh(&second, PHOTOS).and("scope", "read")).await);
    assert_eq!(third.scope, "read", "the refresh token holds both audiences all the time");
}

#[tokio::test]
async fn a_jwt_for_several_resources_is_refused() {
    let Stage { app, alice, .. } = stage().await;
    let code = alice.authorizes_request(&app, &app.request().with("scope", ALL)).await;
    let request = app.code_request(&code).and("resource", PHOTOS).and("resource", MAIL);
    app.asks_tokens(&request).await.refuses(400, "invalid_scope");
    app.asks_tokens(&app.code_request(&code).and("resource", MAIL).and("resource", MAIL)).await.is(200);
}

#[tokio::test]
async fn an_opaque_token_is_narrowed_too() {
    let Stage { world, photos, mail, alice, .. } = stage().await;
    let app = world.confidential_client().await;
    let code = alice.authorizes_request(&app, &app.request().with("scope", ALL)).await;
    let first = Tokens::read(&app.asks_tokens(&app.code_request(&code).and("resource", PHOTOS)).await);
    assert_eq!(first.scope, "read write");
    assert!(photos.accepts(&first.access).await && !mail.accepts(&first.access).await);
    let both = app.refreshes(&first).await;
    assert_eq!(both.scope, ALL);
    assert!(photos.accepts(&both.access).await && mail.accepts(&both.access).await);
    let named = refresh(&both, PHOTOS).and("resource", MAIL);
    assert_eq!(Tokens::read(&app.asks_tokens(&named).await).scope, ALL);
}

#[tokio::test]
async fn a_resource_that_is_unknown_or_not_granted_is_an_invalid_target() {
    let Stage { world, app, alice, .. } = stage().await;
    let code = alice.authorizes_request(&app, &app.request().with("scope", "read")).await;
    let before = world.contents();
    for resource in [
        "https://nobody.example",
        "photos",
        "/photos",
        "https://photos.example#",
        "https://photos.example//",
        "https://photos.example/albums",
        "http://photos.example",
        MAIL,
    ] {
        let request = app.code_request(&code).and("resource", resource);
        app.asks_tokens(&request).await.refuses(400, "invalid_target");
        let request = client_credentials("read").and("resource", resource);
        app.asks_tokens(&request).await.refuses(400, "invalid_target");
    }
    assert_eq!(world.contents(), before, "nothing is used up");
    let tokens = app.redeems(&code).await;
    app.asks_tokens(&refresh(&tokens, MAIL)).await.refuses(400, "invalid_target");
    app.asks_tokens(&refresh(&tokens, PHOTOS)).await.is(200);
}

#[tokio::test]
async fn an_authorization_request_may_name_several() {
    let Stage { world, app, alice, .. } = stage().await;
    let request = app.request().with("scope", ALL);
    let page = alice.is_asked(&request.clone().and("resource", MAIL)).await;
    assert!(page.answer.body.contains("May mail") && !page.answer.body.contains("May read"));
    let answer = alice.answers(&page, "approve").await;
    let tokens = app.redeems(&app.accepts(&answer)).await;
    assert_eq!((tokens.scope.as_str(), &claims(&tokens.access)["aud"]), ("mail", &json!(MAIL)));
    let page = alice.is_asked(&request.clone().and("resource", MAIL).and("resource", PHOTOS)).await;
    assert!(page.answer.body.contains("May mail") && page.answer.body.contains("May read"));
    let state = Some("st/4te ü&=");
    let refused = alice.opens(&request.clone().and("resource", "https://nobody.example")).await;
    refused.redirects_error(&app.redirect_uri, "invalid_target", state, world.issuer());
    let refused = alice.opens(&app.request().with("scope", "mail").and("resource", PHOTOS)).await;
    refused.redirects_error(&app.redirect_uri, "invalid_scope", state, world.issuer());
}

#[tokio::test]
async fn a_client_s_own_jwt_needs_one_audience_as_well() {
    let Stage { world, app, .. } = stage().await;
    app.asks_tokens(&client_credentials(ALL)).await.refuses(400, "invalid_scope");
    let named = client_credentials(ALL).and("resource", MAIL);
    assert_eq!(Tokens::read(&app.asks_tokens(&named).await).scope, "mail");
    let all = Fields::new(&[("grant_type", "client_credentials"), ("resource", PHOTOS)]);
    assert_eq!(Tokens::read(&app.asks_tokens(&all).await).scope, "read write");
    let opaque = world
        .client_with_grant_types(ClientKind::Confidential, &rescind::model::client::GrantType::ALL)
        .await;
    assert_eq!(Tokens::read(&opaque.asks_tokens(&client_credentials(ALL)).await).scope, ALL);
}

/// Named with and without the slash, each resource is the one that is registered.
#[tokio::test]
async fn an_empty_path_and_a_slash_name_the_same_resource() {
    let Stage { world, alice, .. } = stage().await;
    for audience in ["https://with.example/", "https://without.example"] {
        let scope = audience.split(['/', '.']).nth(2).unwrap();
        let api = world.api(audience, &[scope]).await;
        let app = world.client(ClientKind::Confidential, |new| new.token_format = TokenFormat::Jwt).await;
        let bare = audience.trim_end_matches('/');
        for resource in [bare.to_owned(), format!("{bare}/"), bare.replace("https", "HTTPS")] {
            let request = app.request().with("scope", &format!("{scope} read")).and("resource", &resource);
            let code = alice.authorizes_request(&app, &request).await;
            let asked = app.code_request(&code).and("resource", &resource);
            let first = Tokens::read(&app.asks_tokens(&asked).await);
            let second = Tokens::read(&app.asks_tokens(&refresh(&first, &resource)).await);
            for token in [&first.access, &second.access] {
                assert_eq!(claims(token)["aud"], json!(audience), "{resource}");
                assert!(api.accepts(token).await, "{resource}");
            }
        }
        // Both texts in one request are one audience, which a JWT can have.
        let request = app.request().with("scope", scope);
        let code = alice.authorizes_request(&app, &request).await;
        let asked = app.code_request(&code).and("resource", bare).and("resource", &format!("{bare}/"));
        app.asks_tokens(&asked).await.is(200);
    }
}

#[tokio::test]
async fn one_resource_is_registered_once() {
    let Stage { world, .. } = stage().await;
    for audience in ["https://photos.example", "https://photos.example/", "https://Photos.example"] {
        let new = NewResourceServer {
            name: "Other".to_owned(),
            audience: audience.to_owned(),
            scopes: Vec::new(),
            guarding: Guarding::default(),
        };
        let registered =
            register::resource_server(&world.app.store, new, By::operator(world.app.clock.now())).await;
        assert!(matches!(registered, Err(register::Error::Store(store::Error::Exists))), "{audience}");
    }
}
