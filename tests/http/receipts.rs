//! `/receipts/{id}`: for those concerned, with the purge's progress and its exact tally.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rescind::jwt::key::Verifier;
use rescind::model::client::{ClientKind, TokenFormat};
use rescind::model::user::Role;
use serde_json::{Value, json};

use crate::harness::ONE_SERVER;
use crate::harness::api::Api;
use crate::harness::client::Client;
use crate::harness::described::is_a;
use crate::harness::engine::database::skips_on_postgres;
use crate::harness::fields::Fields;
use crate::harness::listener::acknowledgement;
use crate::harness::{ISSUER, PASSWORD, Scene, World, scene};

#[tokio::test]
async fn a_receipt_is_shown_only_to_people_concerned() {
    let Scene { world, app, alice, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let dev = world.with_role("developer", Role::Developer).await;
    let bob = world.signed_in("bob").await;
    alice.connects(&app).await;
    let list = alice.revokes(&app).await.location().to_owned();
    let own = format!("/receipts/{}", list.split_once("receipt=").unwrap().1);
    world.gets(&own).await.asks_to_sign_in(&own);
    alice.gets(&own).await.page(200).shows("Prints’s access was revoked").shows("by you").shows("On a page");
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
async fn the_progress_bar_ends_with_the_exact_counts() {
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
        ["access tokens</dt><dd>3", "refresh tokens</dt><dd>3", "codes</dt><dd>4", "sign-ins</dt><dd>4"]
    {
        assert!(page.body.contains(tally), "{tally} in {}", page.body);
    }
}

#[tokio::test]
async fn receipts_of_every_act_count_the_rows_still_to_delete() {
    let Scene { world, app, alice, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let by_user = format!("/admin/users/{}/revoke", alice.id);
    alice.connects(&app).await;
    let receipt = max.posts(&by_user, &Fields::reason()).await.is(303).location().to_owned();
    // An access token, a refresh token, a code, a device and a browser.
    let page = max.gets(&receipt).await.page(200);
    assert_eq!(page.attribute("<progress", "max"), "5");
    world.purges().await;
    max.gets(&receipt)
        .await
        .page(200)
        .shows("browser</dt><dd>1")
        .shows("All access to alice’s account was revoked");

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
    for name in ["Frames", "Albums"] {
        let client = world.public_client().await;
        world.forces(&format!("UPDATE clients SET name = '{name}' WHERE id = '{}'", client.id));
        alice.connects(&client).await;
    }
    let all = Fields::new(&[("all", "1")]);
    let list = alice.posts("/authorizations/revoke", &all).await.location().to_owned();
    let receipt = format!("/receipts/{}", list.split_once("receipt=").unwrap().1);
    let page = alice.gets(&receipt).await.page(200).shows("The access of 3 apps ended");
    let page = page.hides("The app’s access was revoked");
    for name in ["Prints", "Frames", "Albums"] {
        let item = format!("<li>{name}’s access was revoked</li>");
        assert!(page.body.contains(&item), "{item} in {}", page.body);
    }
    assert_eq!(page.body.matches("<progress").count(), 3);
    world.purges().await;
    assert_eq!(alice.gets(&receipt).await.page(200).body.matches("All deleted at").count(), 3);
}

#[tokio::test]
async fn a_reinstatement_shows_no_deleted_rows() {
    let Scene { world, app, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let page = format!("/admin/apps/{}", app.id);
    max.posts(&format!("{page}/suspend"), &Fields::new(&[("reason", "It lied.")])).await.is(303);
    max.posts(&format!("{page}/reinstate"), &Fields::reason()).await.is(303);
    let receipt: String = world.value("SELECT receipt_id FROM ledger WHERE act = 'client_reinstated'");
    let shown = max.gets(&format!("/receipts/{receipt}")).await.page(200).shows("Prints was reinstated");
    shown.hides("Deleted for good");
}

#[tokio::test]
async fn acts_beside_the_list_of_apps_lead_to_their_receipts() {
    let Scene { world, app, alice, .. } = scene().await;
    alice.connects(&app).await;
    let grant = alice.grant_of(&app).await;
    let device: String = world.value("SELECT id FROM families");
    let path = format!("/authorizations/{grant}/devices/{device}/revoke");
    let result = alice.posts(&path, &Fields::default()).await.is(303).location().to_owned();
    let receipt = newest(&world);
    assert_eq!(result, format!("/authorizations/{grant}?receipt={}", receipt.rsplit_once('/').unwrap().1));
    let page = alice.gets(&result).await.page(200).shows("A sign-in to Prints ended at");
    page.shows("Your other sign-ins are not affected.").shows(&format!("href=\"{receipt}\""));
    // It had ended before: there is no other receipt.
    alice.posts(&path, &Fields::default()).await.is(303).leads_to(&format!("/authorizations/{grant}"));

    alice.connects(&app).await;
    let changes = Fields::new(&[("current_password", PASSWORD), ("new_password", "another long password")]);
    let result = alice.posts("/account/password", &changes.and("revoke_apps", "1")).await.is(303);
    let result = result.location().to_owned();
    let receipt = newest(&world);
    let page = alice.gets(&result).await.page(200).shows("Your password is changed");
    page.shows("Prints’s access ended at").shows(&format!("href=\"{receipt}\""));
    alice.gets(&receipt).await.page(200).shows("Prints’s access was revoked");
    let bob = world.signed_in("bob").await;
    let shown = bob.gets(&result.replace("done=password&", "")).await.page(200);
    shown.hides("Prints").hides(&receipt);
}

// Where it is refused

const GUARD: &str = "guard-one-0123456";

async fn acknowledges(api: &Api, instance: &str, through: i64) {
    let mut ack = acknowledgement(api.world.value("SELECT incarnation FROM server"), through);
    ack["instance"] = json!(instance);
    api.acknowledges(&ack).await.is(200);
}

/// The receipt of the newest act.
fn newest(world: &World) -> String {
    let receipt: String = world.value("SELECT receipt_id FROM ledger ORDER BY sequence DESC LIMIT 1");
    format!("/receipts/{receipt}")
}

async fn app_with_jwts(world: &World) -> Client {
    world.client(ClientKind::Confidential, |new| new.token_format = TokenFormat::Jwt).await
}

#[tokio::test]
async fn a_receipt_for_opaque_tokens_is_confirmed_at_once() {
    let Scene { world, app, alice, .. } = scene().await;
    alice.connects(&app).await;
    let revoke = format!("/authorizations/{}/revoke", alice.grant_of(&app).await);
    alice.gets(&revoke).await.page(200).shows("This takes effect at once, everywhere.");
    let list = alice.revokes(&app).await.location().to_owned();
    alice.gets(&list).await.page(200).shows("1 API refuses the revoked access.");
    let page = alice.gets(&newest(&world)).await.page(200);
    page.shows("it looks up every token of this app here").shows("badge confirmed").hides("badge silent");
}

#[tokio::test]
async fn without_a_guard_jwts_work_until_they_expire() {
    let Scene { world, alice, .. } = scene().await;
    let app = app_with_jwts(&world).await;
    alice.connects(&app).await;
    let revoke = format!("/authorizations/{}/revoke", alice.grant_of(&app).await);
    alice.gets(&revoke).await.page(200).shows("may work there for up to 10 minutes");
    // What was given before the app's format was changed is still about.
    world.forces(&format!("UPDATE clients SET token_format = 'opaque' WHERE id = '{}'", app.id));
    world.forces(&format!("UPDATE jwt_spells SET left_at = {}", world.app.clock.now().millis()));
    alice.gets(&revoke).await.page(200).shows("may work there for up to 10 minutes");
    alice.revokes(&app).await.is(303);
    let page = alice.gets(&newest(&world)).await.page(200);
    let page = page.shows("badge silent").shows("may work until they expire").hides("id=\"told\" data-live");
    page.shows("1 API may still accept the revoked access.");
    world.advances(600);
    let page = alice.gets(&newest(&world)).await.page(200).shows("had all expired by").hides("badge silent");
    page.shows("1 API refuses the revoked access.");
}

#[tokio::test]
async fn the_revocation_page_remembers_that_an_app_had_jwts() {
    let Scene { world, alice, .. } = scene().await;
    let dana = world.with_role("dana", Role::Developer).await;
    let app = world
        .client(ClientKind::Confidential, |new| {
            new.owner = dana.id.clone();
            new.token_format = TokenFormat::Jwt;
        })
        .await;
    alice.connects(&app).await;
    let fields =
        Fields::new(&[("name", "Prints"), ("publisher", "Paper Ltd"), ("redirect_uri", &app.redirect_uri)]);
    dana.posts(&format!("/apps/{}", app.id), &fields.and("token_format", "opaque")).await.is(303);
    let revoke = format!("/apps/{}/revoke-tokens", app.id);
    dana.gets(&revoke).await.page(200).shows("may work there for up to 10 minutes");
    world.advances(3901);
    dana.gets(&revoke).await.page(200).shows("This takes effect at once, everywhere.");
}

#[tokio::test]
async fn a_receipt_stays_the_same_when_the_app_changes_its_token_format() {
    let Scene { world, alice, .. } = scene().await;
    let dana = world.with_role("dana", Role::Developer).await;
    let app = world.client(ClientKind::Confidential, |new| new.owner = dana.id.clone()).await;
    let becomes = async |format: &str| {
        let fields = Fields::new(&[
            ("name", "Prints"),
            ("publisher", "Paper Ltd"),
            ("redirect_uri", &app.redirect_uri),
        ]);
        dana.posts(&format!("/apps/{}", app.id), &fields.and("token_format", format)).await.is(303);
        world.advances(5_000);
    };
    let revokes = async || {
        alice.connects(&app).await;
        alice.revokes(&app).await.is(303);
        let receipt = newest(&world);
        world.purges().await;
        world.advances(5_000);
        receipt
    };
    let state = async |receipt: &str| {
        let answer = alice.gets(&format!("{receipt}/jws")).await.is(200);
        let payload = answer.body.split('.').nth(1).unwrap();
        let payload: Value =
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        payload["resource_servers"][0]["state"].as_str().unwrap().to_owned()
    };
    let first = revokes().await;
    assert_eq!(state(&first).await, "looked_up");
    becomes("jwt").await;
    assert_eq!(state(&first).await, "looked_up", "no JWT of it was about then");
    alice.gets(&first).await.page(200).shows("looks up every token of this app").hides("May still work");
    let second = revokes().await;
    assert_eq!(state(&second).await, "unguarded");
    becomes("opaque").await;
    let third = revokes().await;
    becomes("jwt").await;
    becomes("opaque").await;
    let max = world.with_role("max", Role::Admin).await;
    let reason = Fields::new(&[("reason", "It lied.")]);
    max.posts(&format!("/admin/apps/{}/ban", app.id), &reason).await.is(303);
    let states = [state(&first).await, state(&second).await, state(&third).await];
    assert_eq!(states, ["looked_up", "unguarded", "looked_up"]);
}

#[tokio::test]
async fn a_receipt_of_a_whole_account_counts_only_remaining_apps() {
    let Scene { world, alice, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let revoke = format!("/admin/users/{}/revoke", alice.id);
    let at_once = "This takes effect at once, everywhere.";
    rescind::service::drill::begin(&world.app.store, world.app.clock.now()).await.unwrap();
    max.gets(&revoke).await.page(200).shows(at_once);
    let ended = max.posts(&revoke, &Fields::reason()).await.is(303).location().to_owned();
    max.gets(&ended).await.page(200).hides("may work until they expire").shows("badge confirmed");
    world.advances(1);
    let app = app_with_jwts(&world).await;
    max.gets(&revoke).await.page(200).shows("may work there for up to 10 minutes");
    max.gets(&ended).await.page(200).hides("may work until they expire");
    let reason = Fields::new(&[("reason", "It lied.")]);
    max.posts(&format!("/admin/apps/{}/ban", app.id), &reason).await.is(303);
    max.gets(&revoke).await.page(200).shows("may work there for up to 10 minutes");
    world.advances(3901);
    max.gets(&revoke).await.page(200).shows(at_once);
}

#[tokio::test]
async fn guards_confirm_on_the_receipt() {
    if skips_on_postgres(ONE_SERVER) {
        return;
    }
    let Scene { world, api, alice, .. } = scene().await;
    let app = app_with_jwts(&world).await;
    alice.connects(&app).await;
    acknowledges(&api, GUARD, 0).await;
    acknowledges(&api, "guard-two-0123456", 0).await;
    let revoke = format!("/authorizations/{}/revoke", alice.grant_of(&app).await);
    alice.gets(&revoke).await.page(200).shows("within 10 seconds even at an API that can’t be reached");
    let list = alice.revokes(&app).await.location().to_owned();
    let page = alice.gets(&list).await.page(200).shows("1 API may still accept the revoked access.");
    page.shows("<div id=\"ended\" class=\"notice warn\" role=\"status\" data-live>");
    let receipt = newest(&world);
    let page = alice.gets(&receipt).await.page(200).shows("0 of 2 guards confirmed this");
    page.shows("id=\"told\" aria-labelledby=\"services\" data-live").shows("badge silent");
    world.advances(1);
    acknowledges(&api, GUARD, 1).await;
    alice
        .gets(&receipt)
        .await
        .page(200)
        .shows("1 of 2 guards confirmed this. The access may still work there until");
    acknowledges(&api, "guard-two-0123456", 1).await;
    let confirmed = "All 2 guards confirmed this, the last after 1,000 ms.";
    for _ in 0..2 {
        let page = alice.gets(&receipt).await.page(200).shows(confirmed).shows("badge confirmed");
        page.hides("aria-labelledby=\"services\" data-live").shows("1 API refuses the revoked access.");
        // The same from memory and from the database.
        world.app.guards.flush(&world.app.store, world.app.clock.now()).await.unwrap();
    }
    assert_eq!(world.contents()["confirmations"].len(), 1);
    alice.gets(&list).await.page(200).shows("<div id=\"ended\" class=\"notice good\" role=\"status\">");
}

#[tokio::test]
async fn a_confirmation_is_timed_when_its_whole_body_has_arrived() {
    let Scene { world, api, alice, .. } = scene().await;
    let app = app_with_jwts(&world).await;
    alice.connects(&app).await;
    acknowledges(&api, GUARD, 0).await;
    alice.revokes(&app).await;
    // No guard confirms an entry before the server has read it.
    let incarnation = world.app.feed.reached(&world.app.store).await.unwrap().incarnation;
    let mut ack = acknowledgement(incarnation.cast_signed(), 1);
    ack["instance"] = json!(GUARD);
    api.acknowledges_slowly(&ack, 3).await.is(200);
    alice.gets(&newest(&world)).await.page(200).shows("3,000 ms");
}

#[tokio::test]
async fn a_receipt_says_when_a_silent_guard_stops_accepting() {
    if skips_on_postgres(ONE_SERVER) {
        return;
    }
    let Scene { world, api, app, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    acknowledges(&api, GUARD, 0).await;
    world.ends_all_tokens_of(&app).await;
    let receipt = newest(&world);
    max.gets(&receipt)
        .await
        .page(200)
        .shows("Its guard has not confirmed this yet. The access may still work there until");
    world.advances(10);
    let page = max.gets(&receipt).await.page(200).shows("accepts none until it learns of this");
    let page =
        page.shows("It stopped accepting tokens by").shows("a guard that gets no answer accepts nothing");
    let page = page.shows("<span class=\"badge silent\">Refused, not confirmed</span>");
    page.hides("badge confirmed").hides("aria-labelledby=\"services\" data-live");
    world.ends_all_tokens_of(&app).await;
    max.gets(&newest(&world)).await.page(200).shows("No guard was running there");
}

#[tokio::test]
async fn a_receipt_can_be_had_signed() {
    let Scene { world, api, app, alice } = scene().await;
    let bob = world.signed_in("bob").await;
    alice.connects(&app).await;
    acknowledges(&api, GUARD, 0).await;
    alice.revokes(&app).await.is(303);
    let path = format!("{}/jws", newest(&world));
    world.gets(&path).await.asks_to_sign_in(&path);
    bob.gets(&path).await.page(404);
    let read = async || {
        let answer = alice.gets(&path).await.is(200);
        assert_eq!(answer.header("content-type"), Some("application/jose"));
        assert!(answer.header("content-disposition").unwrap().starts_with("attachment; filename=\"rcp_"));
        let parts: Vec<&str> = answer.body.split('.').collect();
        let [header, payload, signature] = parts.try_into().unwrap();
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
        let header: Value = serde_json::from_slice(&decode(header)).unwrap();
        is_a("ReceiptHeader", &header);
        let key = world.app.store.accepted_keys().await.unwrap().keys.remove(0);
        assert_eq!(header, json!({ "typ": "receipt+jws", "alg": "EdDSA", "kid": key.id }));
        let signed = answer.body.rsplit_once('.').unwrap().0;
        assert!(Verifier::new(&key).unwrap().accepts(signed.as_bytes(), &decode(signature)));
        let payload = serde_json::from_slice::<Value>(&decode(payload)).unwrap();
        is_a("Receipt", &payload);
        payload
    };
    let first = read().await;
    assert_eq!((&first["settled"], &first["iss"]), (&json!(false), &json!(ISSUER)));
    assert_eq!(first["resource_servers"][0]["state"], json!("waiting"));
    acknowledges(&api, GUARD, 1).await;
    world.purges().await;
    let last = read().await;
    let grant: String = world.value("SELECT grant_id FROM ledger");
    assert_eq!((&last["settled"], &last["actor_kind"]), (&json!(true), &json!("user")));
    assert_eq!(last["ended"][0]["subject_id"], json!(grant));
    assert_eq!(last["ended"][0]["deleted"]["access_tokens"], json!(1));
    let told = json!([{ "name": "https://photos.example", "audience": "https://photos.example",
        "state": "confirmed", "instances": 1, "confirmed": 1, "last_ms": 0, "open_until": null }]);
    assert_eq!(last["resource_servers"], told);
    assert!(!last.to_string().contains("alice"));
}
