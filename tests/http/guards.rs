//! Leases, and what guards confirm: what `POST /revocations/ack` does beside its answer.

use std::time::Duration;

use rescind::clock::Timestamp;
use rescind::model::by::By;
use rescind::model::confirmation::{Confirmation, Guarded};
use rescind::model::id::ResourceServerId;
use rescind::model::resource_server::{Guard, Guarding, MaxStaleness, ResourceServer};
use rescind::model::secret::Digest;
use rescind::model::user::Role;
use rescind::service::acknowledge::{Lease, MOST_GUARDS};
use rescind::service::guards::{Acknowledgement, Guards, Servers};
use rescind::store::guards::Settled;
use serde_json::{Value, json};

use crate::harness::ONE_SERVER;
use crate::harness::api::Api;
use crate::harness::engine::database::{is_postgres, skips_on_postgres};
use crate::harness::fields::Fields;
use crate::harness::listener::acknowledgement;
use crate::harness::{Scene, World, scene};

const ONE: &str = "guard-one-0123456";
const TWO: &str = "guard-two-0123456";

/// An acknowledgement of everything up to now, or up to `through`.
async fn confirms(api: &Api, instance: &str, through: i64) -> Value {
    let incarnation = api.world.value("SELECT incarnation FROM server");
    let mut ack = acknowledgement(incarnation, through);
    ack["instance"] = json!(instance);
    api.acknowledges(&ack).await.is(200).json()
}

async fn leaves(api: &Api, instance: &str) {
    let incarnation = api.world.value("SELECT incarnation FROM server");
    let mut ack = acknowledgement(incarnation, 0);
    ack["instance"] = json!(instance);
    ack["leaving"] = json!(true);
    api.acknowledges(&ack).await.is(200);
}

/// Ends something everywhere; its sequence, once the server's own reader has seen it.
async fn revokes(scene: &Scene) -> i64 {
    scene.world.ends_all_tokens_of(&scene.app).await;
    let app = &scene.world.app;
    app.feed.reached(&app.store).await.unwrap().sequence
}

fn known(world: &World, api: &Api, sequence: i64) -> Confirmation {
    of(&world.app.guards.unsettled(&[sequence]), api)
}

fn of(settled: &[Settled], api: &Api) -> Confirmation {
    let mut found = settled.iter().filter(|settled| settled.server.as_str() == api.id);
    let confirmation = found.next().expect("a confirmation").confirmation;
    assert!(found.next().is_none());
    confirmation
}

async fn flushes(world: &World) {
    world.app.guards.flush(&world.app.store, world.app.clock.now()).await.unwrap();
}

fn kept(world: &World) -> Vec<String> {
    world.contents()["confirmations"].clone()
}

#[tokio::test]
async fn a_receipt_waits_for_every_guard_whose_lease_runs() {
    if skips_on_postgres(ONE_SERVER) {
        return;
    }
    let scene = scene().await;
    let Scene { world, api, .. } = &scene;
    confirms(api, ONE, 0).await;
    world.advances(3);
    confirms(api, TWO, 0).await;
    let at = world.app.clock.now();
    let sequence = revokes(&scene).await;
    let until = Some(at.plus(Duration::from_secs(10)));
    assert_eq!(known(world, api, sequence), Confirmation::awaited(2, until));
    world.advances(1);
    confirms(api, ONE, sequence).await;
    let one = known(world, api, sequence);
    assert_eq!((one.confirmed, one.last, one.open_until), (1, Some(Duration::from_secs(1)), until));
    // To say the same twice changes nothing, and neither does a lower number.
    world.advances(1);
    confirms(api, ONE, sequence).await;
    confirms(api, TWO, sequence - 1).await;
    assert_eq!(known(world, api, sequence), one);
    assert!(!one.is_settled(world.app.clock.now()));
    confirms(api, TWO, sequence).await;
    let both = known(world, api, sequence);
    assert_eq!((both.confirmed, both.last, both.open_until), (2, Some(Duration::from_secs(2)), None));
    flushes(world).await;
    assert_eq!(
        kept(world),
        [format!("Integer({sequence})|{}|running|Integer(2)|Integer(2)|Integer(2000)|Null", api.id)]
    );
    assert!(world.app.guards.unsettled(&[sequence]).is_empty());
}

#[tokio::test]
async fn a_silent_guard_is_open_until_its_lease_ends() {
    if skips_on_postgres(ONE_SERVER) {
        return;
    }
    let scene = scene().await;
    let Scene { world, api, .. } = &scene;
    confirms(api, ONE, 0).await;
    let until = world.app.clock.now().plus(Duration::from_secs(10));
    world.advances(4);
    let sequence = revokes(&scene).await;
    flushes(world).await;
    assert!(kept(world).is_empty(), "it is not settled yet");
    // It goes on for this entry's sake no longer, however often it says that it lacks it.
    world.advances(5);
    confirms(api, ONE, sequence - 1).await;
    assert_eq!(known(world, api, sequence), Confirmation::awaited(1, Some(until)));
    world.advances(1);
    assert!(known(world, api, sequence).is_settled(world.app.clock.now()));
    flushes(world).await;
    let row = format!(
        "Integer({sequence})|{}|running|Integer(1)|Integer(0)|Null|Integer({})",
        api.id,
        until.millis()
    );
    assert_eq!(kept(world), [row]);
    // What is kept never changes.
    confirms(api, ONE, sequence).await;
    flushes(world).await;
    assert_eq!(kept(world).len(), 1);
}

#[tokio::test]
async fn a_receipt_does_not_wait_for_guards_that_accept_nothing() {
    if skips_on_postgres(ONE_SERVER) {
        return;
    }
    let scene = scene().await;
    let Scene { world, api, .. } = &scene;
    confirms(api, ONE, 0).await;
    confirms(api, TWO, 0).await;
    leaves(api, TWO).await;
    let first = revokes(&scene).await;
    assert_eq!(known(world, api, first).instances, 1);
    // It leaves instead of confirming.
    leaves(api, ONE).await;
    assert_eq!(known(world, api, first).open_until, None);
    let second = revokes(&scene).await;
    assert_eq!(known(world, api, second), Confirmation::awaited(0, None));
    // Whoever begins after the act owes nothing for it.
    confirms(api, ONE, 0).await;
    assert_eq!(known(world, api, second).instances, 0);
    // A lease that has run out is none.
    world.advances(10);
    let third = revokes(&scene).await;
    assert_eq!(known(world, api, third).instances, 0);
}

#[tokio::test]
async fn without_a_guard_it_is_open_until_tokens_expire() {
    let scene = scene().await;
    let Scene { world, api, .. } = &scene;
    let mail = world.api("https://mail.example", &["mail"]).await;
    confirms(&mail, ONE, 0).await;
    world.forces("UPDATE resource_servers SET guard = 'none' WHERE audience = 'https://mail.example'");
    // The registration is read anew once another one is made.
    world.api("https://notes.example", &["notes"]).await;
    let at = world.app.clock.now();
    let sequence = revokes(&scene).await;
    let unguarded = Confirmation::unguarded(at, Duration::from_secs(600));
    let settled = async || world.app.store.settled_of(&receipt(world)).await.unwrap();
    if is_postgres() {
        // Several servers settle it in their own time. One that has just begun first waits for what others may know: by
        // this clock, which stands still.
        for round in 1..500 {
            if settled().await.len() == 3 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            if round % 100 == 0 {
                world.advances(4);
            }
        }
    }
    for api in [api, &mail].into_iter().filter(|_| !is_postgres()) {
        assert_eq!(known(world, api, sequence), unguarded);
    }
    flushes(world).await;
    let kept = settled().await;
    assert_eq!((kept.len(), of(&kept, api).guarded), (3, Guarded::None));
    assert_eq!((of(&kept, api), of(&kept, &mail)), (unguarded, unguarded));
}

fn receipt(world: &World) -> rescind::model::id::ReceiptId {
    let id: String = world.value("SELECT receipt_id FROM ledger ORDER BY sequence DESC LIMIT 1");
    rescind::model::id::ReceiptId::parse(&id).unwrap()
}

#[tokio::test]
async fn leases_and_their_missing_confirmations_survive_a_restart() {
    if skips_on_postgres(ONE_SERVER) {
        return;
    }
    let scene = scene().await;
    let Scene { world, api, .. } = &scene;
    confirms(api, ONE, 0).await;
    confirms(api, TWO, 0).await;
    let settled = revokes(&scene).await;
    confirms(api, ONE, settled).await;
    confirms(api, TWO, settled).await;
    flushes(world).await;
    let sequence = revokes(&scene).await;
    confirms(api, ONE, sequence).await;
    let restored = async || {
        let guards = Guards::new(Duration::from_secs(600), Servers::One);
        guards.restore(&world.app.store, world.app.clock.now()).await.unwrap();
        guards
    };
    let after = restored().await;
    assert!(after.unsettled(&[settled]).is_empty(), "what is kept is not counted anew");
    let confirmation = of(&after.unsettled(&[sequence]), api);
    assert_eq!((confirmation.instances, confirmation.confirmed), (2, 0));
    // Leases are written ahead: never shorter than what was promised.
    let promised = world.app.clock.now().plus(Duration::from_secs(10));
    assert!(confirmation.open_until.unwrap() >= promised);
    world.advances(31);
    assert!(of(&after.unsettled(&[sequence]), api).is_settled(world.app.clock.now()));
    // Written while the server did not run: told after the next start, and by then every lease is over.
    world.advances(60);
    assert_eq!(of(&restored().await.unsettled(&[sequence]), api).instances, 2);
}

#[tokio::test]
async fn a_lease_lasts_as_long_as_the_registration_says() {
    if skips_on_postgres(ONE_SERVER) {
        return;
    }
    let scene = scene().await;
    let Scene { world, app, .. } = &scene;
    let new = rescind::service::register::NewResourceServer {
        name: "Slow".to_owned(),
        audience: "https://slow.example".to_owned(),
        scopes: Vec::new(),
        guarding: Guarding { guard: Guard::Expected, max_staleness: MaxStaleness::new(300).unwrap() },
    };
    let now = world.app.clock.now();
    let (id, secret) =
        rescind::service::register::resource_server(&world.app.store, new, By::operator(now)).await.unwrap();
    let slow = Api { world: world.clone(), id: id.to_string(), secret: secret.expose().to_owned() };
    assert_eq!(confirms(&slow, ONE, 0).await["max_staleness"], json!(300));
    assert_eq!(slow.snapshot().await["max_staleness"], json!(300));
    world.ends_all_tokens_of(app).await;
    let sequence = world.app.feed.reached(&world.app.store).await.unwrap().sequence;
    let until = Some(now.plus(Duration::from_secs(300)));
    assert_eq!(known(world, &slow, sequence), Confirmation::awaited(1, until));
}

#[tokio::test]
async fn guards_report_uses_only_of_grants_for_their_api() {
    let scene = scene().await;
    let Scene { world, api, app, alice } = &scene;
    let mail = world.api("https://mail.example", &["mail"]).await;
    alice.connects(app).await;
    let grant = alice.grant_of(app).await;
    let family: String = world.value("SELECT id FROM families");
    let now = world.app.clock.now().seconds();
    let used = || world.value::<Option<i64>>("SELECT last_used_at FROM families");
    let report = async |api: &Api, grant: &str, family: &str, at: i64| {
        let mut ack = acknowledgement(world.value("SELECT incarnation FROM server"), 0);
        ack["seen"] = json!([{ "grant_id": grant, "family_id": family, "at": at }]);
        api.acknowledges(&ack).await.is(200);
        world.app.last_used.flush(&world.app.store).await.unwrap();
    };
    report(&mail, &grant, &family, now).await;
    report(api, "grt_00000000000000000000", &family, now).await;
    report(api, &grant, "fam_00000000000000000000", now).await;
    report(api, "x", "", now).await;
    assert_eq!(used(), None);
    report(api, &grant, &family, now - 5).await;
    assert_eq!(used(), Some((now - 5) * 1000));
    assert_eq!(world.value::<i64>("SELECT last_used_at FROM grants"), (now - 5) * 1000);
    // Nobody uses anything in the future.
    world.advances(120);
    report(api, &grant, &family, now + 999_999).await;
    assert_eq!(used(), Some(world.app.clock.now().millis()));
}

// What admins see and decide

#[tokio::test]
async fn admins_see_how_fresh_each_guard_is() {
    if skips_on_postgres(ONE_SERVER) {
        return;
    }
    let scene = scene().await;
    let Scene { world, api, alice, .. } = &scene;
    let max = world.with_role("max", Role::Admin).await;
    let page = format!("/admin/resource-servers/{}", api.id);
    alice.gets(&page).await.page(403);
    max.gets("/admin/resource-servers/rse_00000000000000000000").await.page(404);
    max.gets("/admin/resource-servers").await.page(200).shows("No guard yet").hides("badge confirmed");
    max.gets(&page).await.page(200).shows("No guard has connected yet");
    let version: i64 = world.value("SELECT keys_version FROM server");
    let acknowledges = async |instance: &str, through: i64| {
        let mut ack = acknowledgement(world.value("SELECT incarnation FROM server"), through);
        ack["instance"] = json!(instance);
        ack["keys_version"] = json!(version);
        api.acknowledges(&ack).await.is(200);
    };
    acknowledges(ONE, 0).await;
    acknowledges(TWO, 0).await;
    max.gets("/admin/resource-servers").await.page(200).shows("2 of 2 up to date").shows("badge confirmed");
    let sequence = revokes(&scene).await;
    acknowledges(ONE, sequence).await;
    let shown = max.gets(&page).await.page(200).shows("1 of 2 up to date").shows("Catching up");
    shown.shows("Up to date").shows("guard-on").hides(ONE);
    world.advances(5);
    acknowledges(ONE, sequence).await;
    world.advances(5);
    max.gets(&page).await.page(200).shows("1 of 1 up to date").shows("Silent: accepts nothing");
    world.advances(10);
    max.gets(&page).await.page(200).shows("None running");
}

#[tokio::test]
async fn admins_set_whether_a_guard_is_expected_and_its_max_staleness() {
    let scene = scene().await;
    let Scene { world, api, alice, .. } = &scene;
    let max = world.with_role("max", Role::Admin).await;
    let page = format!("/admin/resource-servers/{}", api.id);
    confirms(api, ONE, 0).await;
    let fields = |seconds: &str, guard: &str| Fields::new(&[("max_staleness", seconds), ("guard", guard)]);
    let before = world.contents();
    for (seconds, guard) in
        [("0", "expected"), ("301", "none"), ("x", "none"), ("", "none"), ("5", "both"), ("5", "")]
    {
        max.posts(&page, &fields(seconds, guard))
            .await
            .page(422)
            .shows("a whole number of seconds from 1 to 300");
    }
    alice.posts(&page, &fields("5", "none")).await.page(403);
    max.posts("/admin/resource-servers/rse_00000000000000000000", &fields("5", "none")).await.page(404);
    assert_eq!(world.contents(), before);
    max.posts(&page, &fields(" 60 ", "expected")).await.leads_to(&page);
    assert_eq!(confirms(api, ONE, 0).await["max_staleness"], json!(60));
    assert_eq!(max.gets(&page).await.page(200).attribute("id=\"max_staleness\"", "value"), "60");
    max.posts(&page, &fields("60", "none")).await.leads_to(&page);
    max.gets("/admin/resource-servers").await.page(200).shows("No guard");
    let sequence = revokes(&scene).await;
    assert_eq!(known(world, api, sequence).guarded, Guarded::None);
}

#[test]
fn one_guard_too_many_is_refused_and_known_ones_continue() {
    let now = Timestamp::from_millis(1_790_000_000_000);
    let (id, secret) = (ResourceServerId::generate(now), Digest::of(b""));
    let server = ResourceServer::new(id, "Photos", "https://photos.example", secret, Guarding::default());
    let guards = Guards::new(Duration::from_secs(600), Servers::One);
    let acknowledges = |instance: &str, at: Timestamp| {
        guards.acknowledged(&server, instance, Acknowledgement { through: 0, keys_version: 1, at })
    };
    for number in 0..MOST_GUARDS {
        assert!(matches!(acknowledges(&format!("{number:016}"), now), Lease::New(_)), "{number}");
    }
    assert!(matches!(acknowledges("another_instance", now), Lease::TooMany));
    assert!(matches!(acknowledges("0000000000000007", now), Lease::Known));
    // Once leases have ended there is room, although the silent are still shown.
    let later = now.plus(server.guarding.max_staleness.duration());
    assert!(matches!(acknowledges("another_instance", later), Lease::New(_)));
}
