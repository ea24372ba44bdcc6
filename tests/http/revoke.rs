//! `POST /oauth/revoke` (RFC 7009).

use axum::body::Body;

use crate::harness::client::basic;
use crate::harness::fields::Fields;
use crate::harness::{Scene, scene};

fn hinted(token: &str, hint: &str) -> Fields {
    Fields::new(&[("token", token), ("token_type_hint", hint)])
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_its_access_tokens_too() {
    let Scene { world, api, app, alice } = scene().await;
    let other = alice.connects(&app).await;
    let first = alice.connects(&app).await;
    let second = app.refreshes(&first).await;
    let answer = app.revokes(&second.refresh).await.is(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.json(), serde_json::json!({}));
    assert!(!api.accepts(&first.access).await);
    assert!(!api.accepts(&second.access).await);
    assert!(!app.can_refresh(&second).await);
    assert_eq!(world.ledger(), ["refresh_token_revoked"]);
    assert!(api.accepts(&other.access).await, "the other device lives on");
    assert!(app.can_refresh(&other).await);
    alice.grant_of(&app).await;
}

#[tokio::test]
async fn revoking_a_superseded_refresh_token_closes_the_family_as_well() {
    let Scene { world, api, app, alice } = scene().await;
    let first = alice.connects(&app).await;
    let second = app.refreshes(&first).await;
    app.revokes(&first.refresh).await.is(200);
    assert!(!api.accepts(&second.access).await);
    assert!(!app.can_refresh(&second).await);
    assert_eq!(world.ledger(), ["refresh_token_revoked"]);
}

#[tokio::test]
async fn revoking_an_access_token_ends_only_that_one() {
    let Scene { world, api, app, alice } = scene().await;
    let first = alice.connects(&app).await;
    let second = app.refreshes(&first).await;
    app.revokes(&first.access).await.is(200);
    assert!(!api.accepts(&first.access).await);
    assert!(api.accepts(&second.access).await);
    assert!(app.can_refresh(&second).await);
    assert_eq!(world.ledger(), ["access_token_revoked"]);
}

#[tokio::test]
async fn revoking_twice_succeeds_and_changes_nothing_more() {
    let Scene { world, app, alice, .. } = scene().await;
    let tokens = alice.connects(&app).await;
    for token in [&tokens.access, &tokens.refresh, &tokens.access, &tokens.refresh] {
        app.revokes(token).await.is(200);
    }
    assert_eq!(world.ledger(), ["access_token_revoked", "refresh_token_revoked"]);
}

#[tokio::test]
async fn revoking_an_unknown_or_expired_token_is_200() {
    let Scene { world, app, alice, .. } = scene().await;
    let code = alice.authorizes(&app).await;
    let tokens = alice.connects(&app).await;
    let before = world.contents();
    let none = "rsc_at_0000000000000000000000000000000000000000000";
    for text in [none, "x", &tokens.access[..55], &tokens.refresh.to_uppercase(), &code, &app.id] {
        assert_eq!(app.revokes(text).await.is(200).json(), serde_json::json!({}));
    }
    assert_eq!(world.contents(), before);
    world.advances(3600);
    app.revokes(&tokens.access).await.is(200);
    assert!(app.can_refresh(&tokens).await);
}

#[tokio::test]
async fn a_wrong_hint_does_not_hide_a_token() {
    let Scene { api, app, alice, .. } = scene().await;
    for hint in ["access_token", "banana", ""] {
        let tokens = alice.connects(&app).await;
        app.posts("/oauth/revoke", &hinted(&tokens.refresh, hint)).await.is(200);
        assert!(!app.can_refresh(&tokens).await, "{hint}");
    }
    for hint in ["refresh_token", "banana", ""] {
        let tokens = alice.connects(&app).await;
        app.posts("/oauth/revoke", &hinted(&tokens.access, hint)).await.is(200);
        assert!(!api.accepts(&tokens.access).await, "{hint}");
    }
}

#[tokio::test]
async fn another_clients_token_is_refused_and_lives_on() {
    let Scene { world, api, app, alice } = scene().await;
    let tokens = alice.connects(&app).await;
    let (confidential, public) = (world.confidential_client().await, world.public_client().await);
    for stranger in [&confidential, &public] {
        for token in [&tokens.access, &tokens.refresh] {
            stranger.revokes(token).await.refuses(400, "invalid_request");
        }
    }
    assert_eq!(world.ledger(), [""; 0]);
    assert!(api.accepts(&tokens.access).await);
    assert!(app.can_refresh(&tokens).await);
}

#[tokio::test]
async fn a_public_client_revokes_its_own() {
    let Scene { world, api, alice, .. } = scene().await;
    let app = world.public_client().await;
    let tokens = alice.connects(&app).await;
    app.revokes(&tokens.refresh).await.is(200);
    assert!(!api.accepts(&tokens.access).await);
    assert!(!app.can_refresh(&tokens).await);
}

#[tokio::test]
async fn a_caller_that_is_no_client_revokes_nothing() {
    let Scene { world, api, app, alice } = scene().await;
    let tokens = alice.connects(&app).await;
    let form = Fields::new(&[("token", &tokens.refresh)]);
    world.posts("/oauth/revoke", &form).await.refuses(400, "invalid_client");
    let unproven = form.clone().and("client_id", &app.id);
    world.posts("/oauth/revoke", &unproven).await.refuses(400, "invalid_client");
    for header in [basic(&app.id, "wrong"), basic(&api.id, &api.secret), format!("Bearer {}", tokens.access)]
    {
        let answer = app.posts_as(&header, "/oauth/revoke", &form).await.refuses(401, "invalid_client");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Basic"));
    }
    let both = form.and("client_id", &app.id).and("client_secret", app.secret.as_ref().unwrap());
    app.posts("/oauth/revoke", &both).await.refuses(400, "invalid_request");
    assert!(api.accepts(&tokens.access).await);
}

#[tokio::test]
async fn a_request_without_a_token_is_an_invalid_request() {
    let Scene { app, .. } = scene().await;
    app.posts("/oauth/revoke", &Fields::default()).await.refuses(400, "invalid_request");
    app.revokes("").await.refuses(400, "invalid_request");
}

#[tokio::test]
async fn browser_apps_may_revoke_only_by_post() {
    let Scene { world, app, .. } = scene().await;
    let preflight = world
        .request("OPTIONS", "/oauth/revoke")
        .header("origin", "https://spa.example")
        .header("access-control-request-method", "POST");
    let answer = world.sends(preflight.body(Body::empty()).unwrap()).await.is(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let answer = app.revokes("x").await.is(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    world.gets("/oauth/revoke?token=x").await.is(405);
}

#[tokio::test]
async fn a_revocation_that_could_not_be_written_is_not_reported_as_success() {
    let Scene { world, api, app, alice } = scene().await;
    let tokens = alice.connects(&app).await;
    let locker = world.connects();
    locker.lock();
    // The two wait for the lock side by side.
    let (refresh, access) = tokio::join!(app.revokes(&tokens.refresh), app.revokes(&tokens.access));
    for answer in [refresh, access] {
        let answer = answer.refuses(503, "temporarily_unavailable");
        assert!(answer.header("retry-after").is_some());
    }
    drop(locker);
    assert!(api.accepts(&tokens.access).await);
    app.revokes(&tokens.refresh).await.is(200);
    assert!(!api.accepts(&tokens.access).await);
}
