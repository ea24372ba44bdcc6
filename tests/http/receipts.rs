//! `/receipts/{id}`: for those concerned, with the purge's progress and its exact tally.

use rescind::model::user::Role;

use crate::harness::fields::Fields;
use crate::harness::{Scene, scene};

#[tokio::test]
async fn a_receipt_is_for_those_concerned() {
    let Scene { world, app, alice, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let dev = world.with_role("developer", Role::Developer).await;
    let bob = world.signed_in("bob").await;
    alice.connects(&app).await;
    let list = alice.revokes(&app).await.location().to_owned();
    let own = format!("/receipts/{}", list.split_once("receipt=").unwrap().1);
    world.gets(&own).await.asks_to_sign_in(&own);
    alice.gets(&own).await.page(200).shows("Prints’s access ended").shows("by you").shows("On a page");
    max.gets(&own).await.page(200).shows("by the user, alice");
    bob.gets(&own).await.page(404);
    dev.gets(&own).await.page(404).hides("alice");
    for id in ["rcp_00000000000000000000", "rcp_", "x", app.id.as_str()] {
        max.gets(&format!("/receipts/{id}")).await.page(404);
    }

    let reason = Fields::new(&[("reason", "It lied.")]);
    let path = format!("/admin/apps/{}/suspend", app.id);
    let shared = max.posts(&path, &reason).await.is(303).location().to_owned();
    for concerned in [&alice, &dev] {
        let page = concerned.gets(&shared).await.page(200).shows("Prints was suspended").shows("It lied.");
        page.shows("by an admin").hides("by an admin, ").hides("/admin/");
    }
    bob.gets(&shared).await.page(404);
}

#[tokio::test]
async fn the_bar_ends_in_the_exact_tally() {
    let Scene { world, app, alice, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    for _ in 0..3 {
        alice.connects(&app).await;
    }
    alice.authorizes(&app).await;
    let path = format!("/admin/apps/{}/suspend", app.id);
    let receipt =
        max.posts(&path, &Fields::new(&[("reason", "It lied.")])).await.is(303).location().to_owned();
    let page = max.gets(&receipt).await.page(200).shows("data-live").shows("<noscript>");
    // 3 access tokens, 3 refresh tokens, 4 codes, 4 devices.
    assert_eq!(page.attribute("<progress", "max"), "14");
    assert_eq!(page.attribute("<progress", "value"), "0");
    world
        .app
        .store
        .write(|tx| tx.purge_dead_slice(2, rescind::clock::Timestamp::from_millis(0)))
        .await
        .unwrap();
    let page = max.gets(&receipt).await.page(200);
    assert_eq!(
        (page.attribute("<progress", "max"), page.attribute("<progress", "value")),
        ("14".into(), "2".into())
    );
    world.purges().await;
    let page =
        max.gets(&receipt).await.page(200).hides("data-live").hides("<progress").shows("All deleted at");
    for tally in
        ["access tokens</dt><dd>3", "refresh tokens</dt><dd>3", "codes</dt><dd>4", "devices</dt><dd>4"]
    {
        assert!(page.body.contains(tally), "{tally} in {}", page.body);
    }
}

#[tokio::test]
async fn every_kind_of_act_counts_what_is_left() {
    let Scene { world, app, alice, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let by_user = format!("/admin/users/{}/revoke", alice.id);
    alice.connects(&app).await;
    let receipt = max.posts(&by_user, &Fields::default()).await.is(303).location().to_owned();
    // An access token, a refresh token, a code, a device and a browser.
    let page = max.gets(&receipt).await.page(200);
    assert_eq!(page.attribute("<progress", "max"), "5");
    world.purges().await;
    max.gets(&receipt)
        .await
        .page(200)
        .shows("browser</dt><dd>1")
        .shows("All access to alice’s account ended");

    alice.signs_in().await;
    alice.connects(&app).await;
    let list = alice.revokes(&app).await.location().to_owned();
    let receipt = format!("/receipts/{}", list.split_once("receipt=").unwrap().1);
    assert_eq!(alice.gets(&receipt).await.page(200).attribute("<progress", "max"), "4");
    world.purges().await;
    alice.gets(&receipt).await.page(200).hides("<progress");
}

#[tokio::test]
async fn a_long_receipt_lists_each_app() {
    let Scene { world, app, alice, .. } = scene().await;
    alice.connects(&app).await;
    for _ in 0..2 {
        alice.connects(&world.public_client().await).await;
    }
    let all = Fields::new(&[("all", "1")]);
    let list = alice.posts("/authorizations/revoke", &all).await.location().to_owned();
    let receipt = format!("/receipts/{}", list.split_once("receipt=").unwrap().1);
    let page = alice.gets(&receipt).await.page(200).shows("The access of 3 apps ended");
    assert_eq!(page.body.matches("<progress").count(), 3);
    world.purges().await;
    assert_eq!(alice.gets(&receipt).await.page(200).body.matches("All deleted at").count(), 3);
}

#[tokio::test]
async fn an_act_that_gives_back_has_nothing_to_delete() {
    let Scene { world, app, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let page = format!("/admin/apps/{}", app.id);
    max.posts(&format!("{page}/suspend"), &Fields::new(&[("reason", "It lied.")])).await.is(303);
    max.posts(&format!("{page}/reinstate"), &Fields::default()).await.is(303);
    let receipt: String = world.value("SELECT receipt_id FROM ledger WHERE act = 'client_reinstated'");
    let shown = max.gets(&format!("/receipts/{receipt}")).await.page(200).shows("Prints was reinstated");
    shown.hides("Deleted for good");
}
