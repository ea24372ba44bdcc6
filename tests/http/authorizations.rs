//! `/authorizations`: seeing which apps can reach an account, and taking that back.

use crate::harness::browser::{Browser, From};
use crate::harness::client::{Client, Tokens};
use crate::harness::fields::Fields;
use crate::harness::{Scene, World, scene};

const NONE: Fields = Fields::EMPTY;

/// An app of that name which Alice has connected.
async fn connected(world: &World, alice: &Browser, name: &str) -> (Client, Tokens) {
    let app = world.confidential_client().await;
    world.forces(&format!("UPDATE clients SET name = '{name}' WHERE id = '{}'", app.id));
    let tokens = alice.connects(&app).await;
    (app, tokens)
}

/// The address that ends the one device of the grant.
async fn device_of(alice: &Browser, grant: &str) -> String {
    let page = alice.gets(&format!("/authorizations/{grant}")).await.page(200);
    page.attribute("<ul class=\"rows\">", "href")
}

fn chosen(grants: &[&str]) -> Fields {
    grants.iter().fold(Fields::default(), |fields, grant| fields.and("grant_id", grant))
}

#[tokio::test]
async fn the_list_says_what_each_app_can_do_and_when_it_was_last_used() {
    let Scene { world, api, app, alice } = scene().await;
    alice.gets("/authorizations").await.page(200).shows("No app has access to your account");
    let tokens = alice.connects(&app).await;
    let grant = alice.grant_of(&app).await;
    let page = alice.gets("/authorizations").await.page(200).shows("1 app has access.").shows("Never used");
    let page = page.shows("Prints").shows("by Paper Ltd · app.example").shows("May read · May write");
    page.shows("1 sign-in").shows("1 active access token").shows(&format!("/authorizations/{grant}\""));
    world.advances(300);
    api.introspects(&tokens.access).await;
    world.app.last_used.flush(&world.app.store).await.unwrap();
    world.advances(120);
    alice.connects(&app).await;
    let page = alice.gets("/authorizations").await.page(200).shows("2 minutes ago");
    page.shows("2 sign-ins").shows("2 active access tokens").shows("7 minutes ago");
    world.advances(91 * 86_400);
    alice.signs_in().await;
    alice.gets("/authorizations").await.page(200).shows("Not used for 91 days").shows("No sign-ins");
}

#[tokio::test]
async fn the_list_shows_only_your_own_apps() {
    let Scene { world, app, alice, .. } = scene().await;
    alice.connects(&app).await;
    let bob = world.signed_in("bob").await;
    bob.gets("/authorizations").await.page(200).hides("Prints");
    world.gets("/authorizations").await.asks_to_sign_in("/authorizations");
}

#[tokio::test]
async fn the_list_says_which_apps_have_no_access_now() {
    let Scene { world, app, alice, .. } = scene().await;
    alice.connects(&app).await;
    world.ends_all_tokens_of(&app).await;
    let page = alice.gets("/authorizations").await.page(200).shows("All sign-ins to this app were ended");
    page.shows("No sign-ins").shows("No app has access now.");
    world.forces("UPDATE clients SET status = 'suspended', status_reason = 'It <b>lied</b>.'");
    let page = alice.gets("/authorizations").await.page(200).shows("We suspended this app");
    page.hides("<b>lied");
}

#[tokio::test]
async fn one_app_is_shown_with_its_devices() {
    let Scene { world, app, alice, .. } = scene().await;
    alice.connects(&app).await;
    let grant = alice.grant_of(&app).await;
    let path = format!("/authorizations/{grant}");
    let page = alice.gets(&path).await.page(200).shows("<h1>Prints</h1>").shows("Firefox on Linux");
    page.shows("May read").shows("1 active access token").shows(&format!("{path}/revoke"));
    world.gets(&path).await.asks_to_sign_in(&path);
    let bob = world.signed_in("bob").await;
    bob.gets(&path).await.page(404).hides("Prints");
    for id in [&grant[..23], "grt_00000000000000000000", alice.id.as_str(), &app.id, "x", "revoked"] {
        alice.gets(&format!("/authorizations/{id}")).await.page(404);
    }
}

#[tokio::test]
async fn revoking_an_app_ends_it_and_says_so() {
    let Scene { world, api, app, alice } = scene().await;
    let tokens = [alice.connects(&app).await, alice.connects(&app).await];
    let unused = alice.authorizes(&app).await;
    let grant = alice.grant_of(&app).await;
    let path = format!("/authorizations/{grant}/revoke");
    let page = alice.gets(&path).await.page(200).shows("Revoke Prints’s access?").shows("All 3 sign-ins");
    assert_eq!(page.attribute("<form method=\"post\"", "action"), path);
    for tokens in &tokens {
        assert!(api.accepts(&tokens.access).await, "looking at the page ends nothing");
    }

    let answer = alice.posts(&path, &NONE).await.is(303);
    for tokens in &tokens {
        assert!(!api.accepts(&tokens.access).await);
        assert!(!app.can_refresh(tokens).await);
    }
    app.presents_code(&unused).await.refuses(400, "invalid_grant");
    assert!(answer.location().starts_with("/authorizations?receipt=rcp_"), "{}", answer.location());
    let page = alice.gets(answer.location()).await.page(200).shows("Prints’s access ended at");
    page.shows("No app has access to your account");
    alice.gets("/authorizations?ended=1").await.page(200).shows("Prints");
    let page = alice.gets(&format!("/authorizations/{grant}")).await.page(200);
    page.shows("Access ended at").shows("The app’s access was revoked, by you").hides("Revoke access");
    // The receipt is Alice's.
    let bob = world.signed_in("bob").await;
    bob.gets(answer.location()).await.page(200).hides("Prints");

    // Twice: success without effect.
    let before = world.contents();
    alice.posts(&path, &NONE).await.leads_to(&format!("/authorizations/{grant}"));
    alice.gets(&path).await.leads_to(&format!("/authorizations/{grant}"));
    assert_eq!(world.contents(), before);
    assert_eq!(world.ledger()[0], "app_revoked");
}

#[tokio::test]
async fn a_grant_that_ended_never_comes_back() {
    let Scene { api, app, alice, .. } = scene().await;
    let dead = alice.connects(&app).await;
    let ended = alice.grant_of(&app).await;
    alice.revokes(&app).await.is(303);
    let tokens = alice.connects(&app).await;
    assert_ne!(alice.grant_of(&app).await, ended);
    // A form from before, sent again, ends nothing new.
    alice.posts(&format!("/authorizations/{ended}/revoke"), &NONE).await.is(303);
    assert!(api.accepts(&tokens.access).await);
    assert!(!api.accepts(&dead.access).await);
}

#[tokio::test]
async fn nobody_else_revokes_an_app() {
    let Scene { world, api, app, alice } = scene().await;
    let tokens = alice.connects(&app).await;
    let path = format!("/authorizations/{}/revoke", alice.grant_of(&app).await);
    let before = world.contents();
    alice.elsewhere().posts(&path, &NONE).await.asks_to_sign_in(&path);
    alice.elsewhere().gets(&path).await.asks_to_sign_in(&path);
    for from in From::OTHERS {
        alice.posts_from(from, &path, &NONE).await.page(403);
    }
    assert_eq!(world.contents(), before);
    let bob = world.signed_in("bob").await;
    bob.gets(&path).await.page(404);
    bob.posts(&path, &NONE).await.page(404);
    assert!(api.accepts(&tokens.access).await);
    assert_eq!(world.ledger(), [""; 0]);
}

#[tokio::test]
async fn several_apps_are_revoked_together_and_the_others_stay() {
    let Scene { world, api, alice, .. } = scene().await;
    let (one, ones) = connected(&world, &alice, "One").await;
    let (two, twos) = connected(&world, &alice, "Two").await;
    let (_, threes) = connected(&world, &alice, "Three").await;
    let (first, second) = (alice.grant_of(&one).await, alice.grant_of(&two).await);
    let form = chosen(&[&first, &second, &first]);
    let page = alice.gets(&format!("/authorizations/revoke?{}", form.encode())).await.page(200);
    page.shows("Revoke the access of 2 apps?").shows("One").shows("Two").hides("Three");
    let answer = alice.posts("/authorizations/revoke", &form).await.is(303);
    alice.gets(answer.location()).await.page(200).shows("The access of 2 apps ended at").shows("Three");
    assert!(!api.accepts(&ones.access).await);
    assert!(!api.accepts(&twos.access).await);
    assert!(api.accepts(&threes.access).await);
    assert_eq!(world.value::<i64>("SELECT count(DISTINCT receipt_id) FROM ledger"), 1);
    let before = world.contents();
    alice.posts("/authorizations/revoke", &form).await.leads_to("/authorizations");
    assert_eq!(world.contents(), before);
}

#[tokio::test]
async fn all_apps_are_revoked_at_once() {
    let Scene { world, api, alice, .. } = scene().await;
    let (_, ones) = connected(&world, &alice, "One").await;
    let (two, twos) = connected(&world, &alice, "Two").await;
    let bob = world.signed_in("bob").await;
    let bobs = bob.connects(&two).await;
    let page = alice.gets("/authorizations/revoke?all=1").await.page(200);
    page.shows("Revoke the access of all apps?").shows("One").shows("Two");
    let all = Fields::new(&[("all", "1")]);
    alice.posts("/authorizations/revoke", &all).await.is(303);
    assert!(!api.accepts(&ones.access).await);
    assert!(!api.accepts(&twos.access).await);
    assert!(api.accepts(&bobs.access).await);
    assert!(alice.is_signed_in().await);
    alice.gets("/authorizations/revoke?all=1").await.is(303);
    alice.posts("/authorizations/revoke", &all).await.leads_to("/authorizations");
    assert_eq!(world.ledger(), ["app_revoked", "app_revoked"]);
}

#[tokio::test]
async fn choosing_somebody_elses_app_revokes_nothing_at_all() {
    let Scene { world, api, app, alice } = scene().await;
    let tokens = alice.connects(&app).await;
    let bob = world.signed_in("bob").await;
    let bobs = bob.connects(&app).await;
    let (mine, his) = (alice.grant_of(&app).await, bob.grant_of(&app).await);
    let before = world.contents();
    for form in [
        chosen(&[&mine, &his]),
        chosen(&[&his, &mine]),
        chosen(&[&mine, "grt_00000000000000000000"]),
        chosen(&[&mine, "x"]),
        chosen(&[&mine, &app.id]),
    ] {
        alice.posts("/authorizations/revoke", &form).await.page(404);
    }
    alice.posts("/authorizations/revoke", &NONE).await.page(400).shows("grant_id");
    alice.posts("/authorizations/revoke", &Fields::new(&[("all", "0")])).await.page(400);
    let form = chosen(&[&mine]);
    for from in From::OTHERS {
        alice.posts_from(from, "/authorizations/revoke", &form).await.page(403);
    }
    let path = "/authorizations/revoke";
    alice.elsewhere().posts(path, &form).await.asks_to_sign_in(path);
    assert_eq!(world.contents(), before);
    assert!(api.accepts(&tokens.access).await);
    assert!(api.accepts(&bobs.access).await);
    let page = alice.gets(&format!("{path}?{}", chosen(&[&mine, &his]).encode())).await.page(200);
    page.shows("Revoke the access of 1 app?").hides(&his);
    alice.gets(path).await.is(303);
}

#[tokio::test]
async fn one_device_is_signed_out_and_the_others_stay() {
    let Scene { world, api, app, alice } = scene().await;
    let other = alice.connects(&app).await;
    world.advances(1);
    let tokens = alice.connects(&app).await;
    let grant = alice.grant_of(&app).await;
    let path = device_of(&alice, &grant).await;
    let page = alice.gets(&path).await.page(200).shows("End the sign-in from Firefox on Linux?");
    assert_eq!(page.attribute("<form method=\"post\"", "action"), path);
    let signed_out = alice.posts(&path, &NONE).await;
    let receipt: String = world.value("SELECT receipt_id FROM ledger");
    signed_out.leads_to(&format!("/authorizations/{grant}?receipt={receipt}"));
    assert!(!api.accepts(&tokens.access).await);
    assert!(!app.can_refresh(&tokens).await);
    assert!(api.accepts(&other.access).await);
    assert!(app.can_refresh(&other).await);
    // Twice: success without effect.
    alice.posts(&path, &NONE).await.leads_to(&format!("/authorizations/{grant}"));
    alice.gets(&path).await.leads_to(&format!("/authorizations/{grant}"));
    assert_eq!(world.ledger(), ["device_signed_out"]);
}

#[tokio::test]
async fn nobody_else_signs_a_device_out() {
    let Scene { world, api, app, alice } = scene().await;
    let tokens = alice.connects(&app).await;
    let grant = alice.grant_of(&app).await;
    let path = device_of(&alice, &grant).await;
    let bob = world.signed_in("bob").await;
    bob.connects(&app).await;
    let bobs = bob.grant_of(&app).await;
    let before = world.contents();
    alice.elsewhere().gets(&path).await.asks_to_sign_in(&path);
    alice.elsewhere().posts(&path, &NONE).await.asks_to_sign_in(&path);
    for from in From::OTHERS {
        alice.posts_from(from, &path, &NONE).await.page(403);
    }
    bob.gets(&path).await.page(404);
    bob.posts(&path, &NONE).await.page(404);
    // Nor under a grant of one's own, nor does a mistyped id find anything.
    bob.posts(&path.replace(&grant, &bobs), &NONE).await.page(404);
    alice.posts(&path.replace(&grant, &bobs), &NONE).await.page(404);
    alice.posts(&path.replace("/fam_", "/grt_"), &NONE).await.page(404);
    alice.gets(&path.replace("/fam_", "/grt_")).await.page(404);
    assert_eq!(world.contents(), before);
    assert!(api.accepts(&tokens.access).await);
}

#[tokio::test]
async fn the_deep_link_leads_to_the_app_and_is_404_for_everyone_else() {
    let Scene { world, app, alice, .. } = scene().await;
    alice.connects(&app).await;
    let link = format!("/authorizations/client/{}", app.id);
    let grant = alice.grant_of(&app).await;
    for _ in 0..2 {
        alice.gets(&link).await.leads_to(&format!("/authorizations/{grant}"));
    }
    world.gets(&link).await.asks_to_sign_in(&link);
    // Never authorized, revoked, deleted and unknown are one answer.
    let never = world.signed_in("bob").await.gets(&link).await.page(404).body;
    alice.revokes(&app).await.is(303);
    assert_eq!(alice.gets(&link).await.page(404).body, never);
    world.forces("UPDATE clients SET status = 'deleted'");
    assert_eq!(alice.gets(&link).await.page(404).body, never);
    for id in ["cli_00000000000000000000", "x", alice.id.as_str()] {
        let unknown = alice.gets(&format!("/authorizations/client/{id}")).await.page(404);
        assert_eq!(unknown.body, never, "{id}");
    }
}
