//! `POST /oauth/introspect` (RFC 7662), for registered resource servers.

use axum::body::Body;
use serde_json::json;

use crate::harness::client::basic;
use crate::harness::fields::Fields;
use crate::harness::{ISSUER, Scene, scene};

#[tokio::test]
async fn a_live_access_token_is_described() {
    let Scene { world, api, app, alice } = scene().await;
    let tokens = alice.connects(&app).await;
    let now = world.app.clock.now().seconds();
    let facts = api.introspects(&tokens.access).await;
    for (member, value) in [
        ("active", json!(true)),
        ("scope", json!("read write")),
        ("client_id", json!(app.id)),
        ("token_type", json!("Bearer")),
        ("sub", json!(alice.id.as_str())),
        ("aud", json!("https://photos.example")),
        ("iss", json!(ISSUER)),
        ("iat", json!(now)),
        ("exp", json!(now + 3600)),
        ("grant_id", json!(alice.grant_of(&app).await)),
    ] {
        assert_eq!(facts[member], value, "{member}");
    }
    // Again and again: looking changes nothing.
    let before = world.contents();
    assert_eq!(api.introspects(&tokens.access).await, facts);
    assert_eq!(world.contents(), before);
}

#[tokio::test]
async fn a_token_is_active_until_it_expires() {
    let Scene { world, api, app, alice } = scene().await;
    let tokens = alice.connects(&app).await;
    world.advances(3599);
    assert!(api.accepts(&tokens.access).await);
    world.advances(1);
    assert!(!api.accepts(&tokens.access).await);
}

#[tokio::test]
async fn anything_but_a_live_access_token_is_only_called_inactive() {
    let Scene { api, app, alice, .. } = scene().await;
    let code = alice.authorizes(&app).await;
    let tokens = alice.connects(&app).await;
    let body = &tokens.access[7..];
    for text in [
        tokens.refresh.as_str(),
        &code,
        &tokens.access[..55],
        &format!("{}0", tokens.access),
        &format!(" {}", tokens.access),
        &tokens.access.to_uppercase(),
        &tokens.access.to_lowercase(),
        &format!("rsc_at_{}", body.to_uppercase()),
        &format!("rsc_rt_{body}"),
        "rsc_at_",
        "x",
        &app.id,
        app.secret.as_ref().unwrap(),
        &"x".repeat(10_000),
    ] {
        assert!(!api.accepts(text).await, "{text}");
    }
    assert!(api.accepts(&tokens.access).await);
}

#[tokio::test]
async fn the_next_introspection_after_a_revocation_is_inactive() {
    let Scene { world, api, app, alice } = scene().await;
    let tokens = alice.connects(&app).await;
    alice.revokes(&app).await.is(303);
    assert!(!api.accepts(&tokens.access).await);
    let tokens = alice.connects(&app).await;
    world.ends_grant(&alice.grant_of(&app).await).await;
    assert!(!api.accepts(&tokens.access).await);
    let tokens = alice.connects(&app).await;
    app.revokes(&tokens.refresh).await.is(200);
    assert!(!api.accepts(&tokens.access).await);
    // A client that comes back does not bring its tokens with it.
    let tokens = alice.connects(&app).await;
    world.suspends(&app).await;
    assert!(!api.accepts(&tokens.access).await);
    world.forces("UPDATE clients SET status = 'active', generation = generation + 1");
    assert!(!api.accepts(&tokens.access).await);
    assert!(!app.can_refresh(&tokens).await);
}

#[tokio::test]
async fn only_resource_servers_may_ask() {
    let Scene { world, api, app, alice } = scene().await;
    let tokens = alice.connects(&app).await;
    let form = Fields::new(&[("token", &tokens.access)]);
    let other = world.api("https://mail.example", &["mail"]).await;
    let refused = [
        None,
        // A client's credentials open nothing here, not even for its own tokens.
        Some(basic(&app.id, app.secret.as_ref().unwrap())),
        Some(basic(&api.id, &other.secret)),
        Some(basic(&api.id, &api.secret[..55])),
        Some(basic(&api.id, "")),
        Some(basic("rse_00000000000000000000", &api.secret)),
        Some(format!("Bearer {}", tokens.access)),
        Some("Basic".to_owned()),
    ];
    for authorization in refused {
        let answer = api.posts_as(authorization.as_deref(), &form).await.refuses(401, "invalid_client");
        assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"rescind\""), "{authorization:?}");
        assert!(!answer.body.contains("active"));
    }
    for (id, secret) in [
        (&app.id, app.secret.as_ref().unwrap()),
        (&api.id, &other.secret),
        (&api.id, &String::new()),
        (&String::new(), &api.secret),
    ] {
        let posted = form.clone().and("client_id", id).and("client_secret", secret);
        let answer = api.posts_as(None, &posted).await.refuses(401, "invalid_client");
        assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"rescind\""), "{id}");
    }
}

#[tokio::test]
async fn a_resource_server_authenticates_by_header_or_by_body_and_not_by_both() {
    let Scene { api, app, alice, .. } = scene().await;
    let tokens = alice.connects(&app).await;
    let form = Fields::new(&[("token", &tokens.access)]);
    let posted = form.clone().and("client_id", &api.id).and("client_secret", &api.secret);
    assert_eq!(api.posts_as(None, &posted).await.is(200).json()["active"], true);
    let header = basic(&api.id, &api.secret);
    api.posts_as(Some(&header), &posted).await.refuses(400, "invalid_request");
    let wrong = posted.with("client_secret", "wrong");
    api.posts_as(Some(&header), &wrong).await.refuses(400, "invalid_request");
    let named = form.clone().and("client_id", &api.id);
    assert_eq!(api.posts_as(Some(&header), &named).await.is(200).json()["active"], true);
    let other = form.and("client_id", &app.id);
    api.posts_as(Some(&header), &other).await.refuses(400, "invalid_request");
}

#[tokio::test]
async fn a_resource_server_learns_only_about_tokens_for_itself() {
    let Scene { world, api, app, alice } = scene().await;
    let mail = world.api("https://mail.example", &["mail"]).await;
    let tokens = alice.connects(&app).await;
    assert!(api.accepts(&tokens.access).await);
    assert!(!mail.accepts(&tokens.access).await);
}

#[tokio::test]
async fn scopes_are_trimmed_to_the_resource_server_that_asks() {
    let Scene { world, api, app, alice } = scene().await;
    let mail = world.api("https://mail.example", &["mail"]).await;
    let request = app.request().with("scope", "mail read");
    let tokens = app.redeems(&alice.authorizes_request(&app, &request).await).await;
    assert_eq!(tokens.scope, "mail read");
    let (to_photos, to_mail) =
        (api.introspects(&tokens.access).await, mail.introspects(&tokens.access).await);
    assert_eq!((&to_photos["scope"], &to_photos["aud"]), (&json!("read"), &json!("https://photos.example")));
    assert_eq!((&to_mail["scope"], &to_mail["aud"]), (&json!("mail"), &json!("https://mail.example")));
}

#[tokio::test]
async fn a_hint_changes_nothing() {
    let Scene { api, app, alice, .. } = scene().await;
    let tokens = alice.connects(&app).await;
    for hint in ["access_token", "refresh_token", "banana"] {
        let form = Fields::new(&[("token", &tokens.access), ("token_type_hint", hint)]);
        assert_eq!(api.posts(&form).await.json()["active"], true, "{hint}");
        let form = form.with("token", &tokens.refresh);
        assert_eq!(api.posts(&form).await.json(), json!({ "active": false }), "{hint}");
    }
}

#[tokio::test]
async fn a_request_without_a_token_is_refused() {
    let Scene { api, .. } = scene().await;
    api.posts(&Fields::default()).await.refuses(400, "invalid_request");
    api.posts(&Fields::new(&[("token", "")])).await.refuses(400, "invalid_request");
    api.posts(&Fields::new(&[("token", "a"), ("token", "b")])).await.refuses(400, "invalid_request");
}

#[tokio::test]
async fn introspection_accepts_only_post_and_is_closed_to_scripts() {
    let Scene { world, api, app, alice } = scene().await;
    let tokens = alice.connects(&app).await;
    let authorization = basic(&api.id, &api.secret);
    for method in ["GET", "OPTIONS", "PUT"] {
        let request = world
            .request(method, &format!("/oauth/introspect?token={}", tokens.access))
            .header("origin", "https://spa.example")
            .header("access-control-request-method", "POST")
            .header("authorization", &authorization);
        let answer = world.sends(request.body(Body::empty()).unwrap()).await.is(405);
        assert!(!answer.is_open_to_other_origins(), "{method} {:?}", answer.headers);
    }
    let answer = api.posts(&Fields::new(&[("token", &tokens.access)])).await.is(200);
    assert!(!answer.is_open_to_other_origins());
}
