//! Refreshing (RFC 6749 §6): rotation, the grace for lost answers, and what reuse costs.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::harness::client::Tokens;
use crate::harness::{Scene, scene};

#[tokio::test]
async fn a_refresh_gives_a_new_access_and_refresh_token() {
    let Scene { api, app, alice, .. } = scene().await;
    let first = alice.connects(&app).await;
    let second = app.refreshes(&first).await;
    assert_ne!(second.access, first.access);
    assert_ne!(second.refresh, first.refresh);
    assert_eq!(second.scope, first.scope);
    assert!(api.accepts(&first.access).await, "rotation ends no access token");
    assert!(api.accepts(&second.access).await);
    let answer = app.presents_refresh(&second.refresh).await.is(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("pragma"), Some("no-cache"));
}

#[tokio::test]
async fn within_the_grace_a_repeated_refresh_gives_the_same_answer() {
    let Scene { world, api, app, alice } = scene().await;
    let first = alice.connects(&app).await;
    let second = app.refreshes(&first).await;
    world.advances(9);
    let again = app.refreshes(&first).await;
    assert_eq!(again.refresh, second.refresh, "the same successor");
    assert_ne!(again.access, second.access);
    assert!(api.accepts(&again.access).await);
    assert_eq!(world.ledger(), [""; 0]);
    assert!(app.can_refresh(&again).await);
}

#[tokio::test]
async fn refresh_token_reuse_closes_the_family() {
    let Scene { world, api, app, alice } = scene().await;
    let other = alice.connects(&app).await;
    let first = alice.connects(&app).await;
    let second = app.refreshes(&first).await;
    // Somebody has refreshed with the successor, so no answer was lost.
    let third = app.refreshes(&second).await;
    app.presents_refresh(&first.refresh).await.refuses(400, "invalid_grant");
    assert_eq!(world.ledger(), ["refresh_token_reused"]);
    for tokens in [&first, &second, &third] {
        assert!(!api.accepts(&tokens.access).await);
        assert!(!app.can_refresh(tokens).await);
    }
    assert_eq!(world.ledger(), ["refresh_token_reused"], "a closed family closes once");
    assert!(api.accepts(&other.access).await, "the other device lives on");
    assert!(app.can_refresh(&other).await);
}

#[tokio::test]
async fn after_the_grace_reuse_closes_the_family() {
    let Scene { world, api, app, alice } = scene().await;
    let first = alice.connects(&app).await;
    let second = app.refreshes(&first).await;
    world.advances(10);
    app.presents_refresh(&first.refresh).await.refuses(400, "invalid_grant");
    assert_eq!(world.ledger(), ["refresh_token_reused"]);
    assert!(!api.accepts(&second.access).await);
    assert!(!app.can_refresh(&second).await);
}

#[tokio::test]
async fn repeating_within_the_grace_does_not_prolong_it() {
    let Scene { world, app, alice, .. } = scene().await;
    let first = alice.connects(&app).await;
    app.refreshes(&first).await;
    world.advances(6);
    app.refreshes(&first).await;
    world.advances(6);
    app.presents_refresh(&first.refresh).await.refuses(400, "invalid_grant");
    assert_eq!(world.ledger(), ["refresh_token_reused"]);
}

#[tokio::test]
async fn the_grace_brings_no_revoked_token_back() {
    let Scene { world, api, app, alice } = scene().await;
    let first = alice.connects(&app).await;
    let second = app.refreshes(&first).await;
    app.revokes(&second.refresh).await.is(200);
    app.presents_refresh(&first.refresh).await.refuses(400, "invalid_grant");
    assert!(!api.accepts(&second.access).await);
    assert_eq!(world.ledger(), ["refresh_token_revoked"]);

    let first = alice.connects(&app).await;
    let second = app.refreshes(&first).await;
    alice.revokes(&app).await.is(303);
    app.presents_refresh(&first.refresh).await.refuses(400, "invalid_grant");
    app.presents_refresh(&second.refresh).await.refuses(400, "invalid_grant");

    let first = alice.connects(&app).await;
    app.refreshes(&first).await;
    world.ends_all_tokens_of(&app).await;
    app.presents_refresh(&first.refresh).await.refuses(400, "invalid_grant");
}

#[tokio::test]
async fn fifty_parallel_refreshes_leave_one_live_refresh_token_and_an_open_family() {
    let Scene { world, api, app, alice } = scene().await;
    let first = alice.connects(&app).await;
    let app = Arc::new(app);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (app, first) = (app.clone(), first.clone());
        tasks.spawn(async move { app.refreshes(&first).await });
    }
    let pairs = tasks.join_all().await;
    let successors: BTreeSet<&str> = pairs.iter().map(|pair| pair.refresh.as_str()).collect();
    let access: BTreeSet<&str> = pairs.iter().map(|pair| pair.access.as_str()).collect();
    assert_eq!((successors.len(), access.len()), (1, 50));
    let live = "SELECT count(*) FROM tokens WHERE place / 1048576 % 2 = 1 AND superseded_at IS NULL";
    assert_eq!(world.value::<i64>(live), 1);
    assert_eq!(world.value::<String>("SELECT status FROM families"), "open");
    assert_eq!(world.ledger(), [""; 0]);
    assert!(api.accepts(&pairs[49].access).await);
    app.refreshes(&pairs[49]).await;
}

#[tokio::test]
async fn another_client_s_refresh_token_gives_nothing_and_closes_nothing() {
    let Scene { world, api, app, alice } = scene().await;
    let first = alice.connects(&app).await;
    let second = app.refreshes(&first).await;
    app.refreshes(&second).await;
    let (confidential, public) = (world.confidential_client().await, world.public_client().await);
    for stranger in [&confidential, &public] {
        // A live one, one in its grace, and one whose own client would close the family with it.
        for tokens in [&first, &second] {
            stranger.presents_refresh(&tokens.refresh).await.refuses(400, "invalid_grant");
        }
    }
    // Looking at one is no reuse.
    assert!(!api.accepts(&first.refresh).await);
    assert_eq!(world.ledger(), [""; 0]);
    assert!(api.accepts(&second.access).await);
}

#[tokio::test]
async fn a_scope_may_be_narrowed_for_one_access_token() {
    let Scene { api, app, alice, .. } = scene().await;
    let first = alice.connects(&app).await;
    let narrow = app.refresh_request(&first.refresh).and("scope", "read");
    let second = Tokens::read(&app.asks_tokens(&narrow).await);
    assert_eq!(second.scope, "read");
    assert_eq!(api.introspects(&second.access).await["scope"], "read");
    // The new refresh token has the scope of the presented one (RFC 6749 §6).
    assert_eq!(app.refreshes(&second).await.scope, "read write");
}

#[tokio::test]
async fn a_scope_never_grows() {
    let Scene { world, app, alice, .. } = scene().await;
    let request = app.request().with("scope", "read");
    let first = app.redeems(&alice.authorizes_request(&app, &request).await).await;
    for scope in ["read write", "write", "delete", "read\\"] {
        let wider = app.refresh_request(&first.refresh).and("scope", scope);
        app.asks_tokens(&wider).await.refuses(400, "invalid_scope");
    }
    // The refused request used nothing up.
    let second = app.refreshes(&first).await;
    assert_eq!(second.scope, "read");
    // Nor does a wider consent, given later, reach this device's tokens.
    alice.authorizes(&app).await;
    assert_eq!(app.refreshes(&second).await.scope, "read");
    assert_eq!(world.ledger(), [""; 0]);
}

#[tokio::test]
async fn within_the_grace_a_scope_does_not_grow_either() {
    let Scene { app, alice, .. } = scene().await;
    let request = app.request().with("scope", "read");
    let first = app.redeems(&alice.authorizes_request(&app, &request).await).await;
    app.refreshes(&first).await;
    let wider = app.refresh_request(&first.refresh).and("scope", "read write");
    app.asks_tokens(&wider).await.refuses(400, "invalid_scope");
}

#[tokio::test]
async fn every_revocation_ends_refresh_tokens() {
    let Scene { world, api, app, alice } = scene().await;
    let tokens = alice.connects(&app).await;
    alice.revokes(&app).await.is(303);
    assert!(!api.accepts(&tokens.access).await);
    assert!(!app.can_refresh(&tokens).await);

    let tokens = alice.connects(&app).await;
    world.ends_all_tokens_of(&app).await;
    assert!(!api.accepts(&tokens.access).await);
    assert!(!app.can_refresh(&tokens).await);

    let tokens = alice.connects(&app).await;
    world.ends_everything_of(&alice).await;
    assert!(!api.accepts(&tokens.access).await);
    assert!(!app.can_refresh(&tokens).await);

    alice.signs_in().await;
    let tokens = alice.connects(&app).await;
    world.disables(&alice).await;
    assert!(!api.accepts(&tokens.access).await);
    assert!(!app.can_refresh(&tokens).await);
}

#[tokio::test]
async fn a_revocation_of_one_user_or_app_ends_no_other_tokens() {
    let Scene { world, api, app, alice } = scene().await;
    let bob = world.signed_in("bob").await;
    let other = world.confidential_client().await;
    let (bobs, others) = (bob.connects(&app).await, alice.connects(&other).await);
    alice.connects(&app).await;
    alice.revokes(&app).await.is(303);
    for (app, tokens) in [(&app, &bobs), (&other, &others)] {
        assert!(api.accepts(&tokens.access).await);
        assert!(app.can_refresh(tokens).await);
    }
}

#[tokio::test]
async fn an_unused_refresh_token_expires_and_a_refreshed_one_lives_on() {
    let Scene { world, app, alice, .. } = scene().await;
    let (idle, first) = (alice.connects(&app).await, alice.connects(&app).await);
    world.advances(2_592_000 - 1);
    let second = app.refreshes(&first).await;
    world.advances(1);
    app.presents_refresh(&idle.refresh).await.refuses(400, "invalid_grant");
    assert!(app.can_refresh(&second).await);
    assert_eq!(world.ledger(), [""; 0]);
}

#[tokio::test]
async fn only_a_refresh_token_refreshes() {
    let Scene { app, alice, .. } = scene().await;
    let code = alice.authorizes(&app).await;
    let tokens = alice.connects(&app).await;
    let other_case = format!("rsc_rt_{}", tokens.refresh[7..].to_uppercase());
    let not_tokens = [&code, &tokens.access, &tokens.refresh[..55], &other_case, "x", "rsc_rt_"];
    for text in not_tokens {
        app.presents_refresh(text).await.refuses(400, "invalid_grant");
    }
    assert!(app.can_refresh(&tokens).await);
    app.redeems(&code).await;
}
