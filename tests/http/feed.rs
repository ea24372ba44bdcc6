//! `/revocations/…`: what resource servers are told, as `docs/feed.md` says.

use std::time::Duration;

use axum::body::Body;
use rescind::model::by::By;
use rescind::model::client::{ClientKind, GrantType};
use rescind::model::user::Role;
use rescind::service::streams::MOST as MOST_STREAMS;
use serde_json::{Value, json};

use crate::harness::client::basic;
use crate::harness::engine::database::skips_on_postgres;
use crate::harness::fields::Fields;
use crate::harness::listener::acknowledgement;
use crate::harness::{ISSUER, PASSWORD, Scene, scene};

const PATHS: [(&str, &str); 3] =
    [("GET", "/revocations/snapshot"), ("GET", "/revocations/feed"), ("POST", "/revocations/ack")];

fn incarnation(scene: &Scene) -> i64 {
    scene.world.value("SELECT incarnation FROM server")
}

fn keys_version(scene: &Scene) -> i64 {
    scene.world.value("SELECT keys_version FROM server")
}

fn newest(scene: &Scene) -> i64 {
    scene.world.value("SELECT max(sequence) FROM ledger")
}

#[tokio::test]
async fn only_resource_servers_may_ask() {
    let scene = scene().await;
    let other = scene.world.api("https://mail.example", &["mail"]).await;
    for (method, path) in PATHS {
        let refused = [
            None,
            Some(basic(&scene.app.id, scene.app.secret.as_ref().unwrap())),
            Some(basic(&scene.api.id, &other.secret)),
            Some(basic(&scene.api.id, "")),
            Some("Basic".to_owned()),
        ];
        for authorization in refused {
            let mut request = scene.world.request(method, path).header("last-event-id", "1.0");
            if let Some(authorization) = &authorization {
                request = request.header("authorization", authorization);
            }
            let answer = scene.world.sends(request.body(Body::from("{}")).unwrap()).await;
            let answer = answer.refuses(401, "invalid_client");
            assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"rescind\""));
        }
    }
}

#[tokio::test]
async fn a_snapshot_without_entries_has_every_member() {
    let scene = scene().await;
    let snapshot = scene.api.snapshot().await;
    let expected = json!({
        "version": 1, "issuer": ISSUER, "audience": "https://photos.example", "incarnation": incarnation(&scene),
        "through": 0, "max_staleness": 10, "server_generation": 1, "keys_version": keys_version(&scene),
        "keys": scene.world.gets("/oauth/jwks").await.json()["keys"], "entries": [],
    });
    assert_eq!(snapshot, expected);
    let began: u64 = snapshot["incarnation"].as_u64().unwrap();
    assert!(began > 1_700_000_000_000, "{began}");
}

/// Each act, and the entry that it gives.
#[tokio::test]
async fn every_act_adds_its_entry_to_the_feed() {
    let scene = scene().await;
    let Scene { world, api, app, alice } = &scene;
    let max = world.with_role("max", Role::Admin).await;
    let dana = world.with_role("dana", Role::Developer).await;
    let own = world.client(ClientKind::Confidential, |new| new.owner = dana.id.clone()).await;
    let mut listener = api.follows().await;
    let open_family = || world.value::<String>("SELECT id FROM families WHERE status = 'open'");

    let tokens = alice.connects(app).await;
    app.revokes(&tokens.access).await.is(200);
    let (kind, id) = listener.hears().await;
    assert_eq!(kind, "token");
    assert!(!id.is_empty() && !tokens.access.contains(&id));
    let family = open_family();
    app.revokes(&tokens.refresh).await.is(200);
    assert_eq!(listener.hears().await, ("family".to_owned(), family));

    // A code that is used twice, and a refresh token.
    let code = alice.authorizes(app).await;
    app.redeems(&code).await;
    let family = open_family();
    app.presents_code(&code).await.refuses(400, "invalid_grant");
    assert_eq!(listener.hears().await, ("family".to_owned(), family));
    let tokens = alice.connects(app).await;
    let family = open_family();
    app.refreshes(&app.refreshes(&tokens).await).await;
    app.presents_refresh(&tokens.refresh).await.refuses(400, "invalid_grant");
    assert_eq!(listener.hears().await, ("family".to_owned(), family));

    alice.connects(app).await;
    let grant = alice.grant_of(app).await;
    let family = open_family();
    let device = format!("/authorizations/{grant}/devices/{family}/revoke");
    alice.posts(&device, &Fields::default()).await.is(303);
    assert_eq!(listener.hears().await, ("family".to_owned(), family));
    alice.revokes(app).await.is(303);
    assert_eq!(listener.hears().await, ("grant".to_owned(), grant));

    let (client, user) = (app.id.clone(), alice.id.to_string());
    world.ends_all_tokens_of(app).await;
    let event = listener.next().await.unwrap();
    assert_eq!((&event.data["kind"], &event.data["id"]), (&json!("client"), &json!(client)));
    assert_eq!(event.data["generation"], json!(2));
    let reason = Fields::new(&[("reason", "It lied.")]);
    let admin = |act: &str| format!("/admin/apps/{client}/{act}");
    max.posts(&admin("suspend"), &reason).await.is(303);
    assert_eq!(listener.hears().await, ("client".to_owned(), client.clone()));
    // What is given back is no entry.
    max.posts(&admin("reinstate"), &Fields::reason()).await.is(303);
    max.posts(&admin("ban"), &reason).await.is(303);
    assert_eq!(listener.hears().await, ("client".to_owned(), client.clone()));
    dana.posts(&format!("/apps/{}/delete", own.id), &Fields::new(&[("name", "Prints")])).await.is(303);
    assert_eq!(listener.hears().await, ("client".to_owned(), own.id.clone()));

    world.ends_everything_of(alice).await;
    assert_eq!(listener.hears().await, ("user".to_owned(), user.clone()));
    alice.signs_in().await;
    let passwords = Fields::new(&[("current_password", PASSWORD), ("new_password", "another good password")]);
    alice.posts("/account/taken-over", &passwords).await.is(303);
    assert_eq!(listener.hears().await, ("user".to_owned(), user.clone()));
    max.posts(&format!("/admin/users/{user}/disable"), &Fields::reason()).await.is(303);
    assert_eq!(listener.hears().await, ("user".to_owned(), user.clone()));
    let bob = world.signed_in("bob").await;
    bob.posts("/account/delete", &passwords).await.is(303);
    assert_eq!(listener.hears().await, ("user".to_owned(), bob.id.to_string()));
    assert!(listener.hears_nothing().await);
}

#[tokio::test]
async fn events_form_a_chain_and_have_their_remaining_time() {
    let scene = scene().await;
    let mut listener = scene.api.follows().await;
    let started = scene.world.app.clock.now().millis();
    let mut prev = 0;
    for _ in 0..3 {
        scene.world.ends_all_tokens_of(&scene.app).await;
        let event = listener.next().await.unwrap();
        let sequence = newest(&scene);
        assert_eq!(event.id, Some(format!("{}.{sequence}", incarnation(&scene))));
        assert_eq!((event.data["prev"].clone(), event.data["at"].clone()), (json!(prev), json!(started)));
        assert_eq!(event.data["keep"], json!(7500));
        prev = sequence;
    }
    scene.world.advances(100);
    let mut again = scene.api.follows_from(&format!("{}.1", incarnation(&scene))).await;
    let event = again.next().await.unwrap();
    assert_eq!((&event.data["prev"], &event.data["keep"]), (&json!(1), &json!(7400)));
}

#[tokio::test]
async fn entries_of_a_grant_go_to_every_api_it_ever_covered_and_others_to_all() {
    let scene = scene().await;
    let Scene { world, api: photos, app, alice } = &scene;
    let mail = world.api("https://mail.example", &["mail"]).await;
    let notes = world.api("https://notes.example", &["notes"]).await;
    let (mut at_photos, mut at_mail, mut at_notes) =
        (photos.follows().await, mail.follows().await, notes.follows().await);
    for scope in ["read", "mail"] {
        app.redeems(&alice.authorizes_request(app, &app.request().with("scope", scope)).await).await;
    }
    let first: String = world.value("SELECT min(id) FROM families");
    let grant = alice.grant_of(app).await;
    // The first device was given photos alone, but the grant both.
    alice.posts(&format!("/authorizations/{grant}/devices/{first}/revoke"), &Fields::default()).await.is(303);
    alice.revokes(app).await.is(303);
    for listener in [&mut at_photos, &mut at_mail] {
        assert_eq!(listener.hears().await, ("family".to_owned(), first.clone()));
        assert_eq!(listener.hears().await, ("grant".to_owned(), grant.clone()));
    }
    assert!(at_notes.hears_nothing().await);
    world.ends_all_tokens_of(app).await;
    for (listener, prev) in [(&mut at_photos, 2), (&mut at_mail, 2), (&mut at_notes, 0)] {
        let event = listener.next().await.unwrap();
        assert_eq!((&event.data["kind"], &event.data["prev"]), (&json!("client"), &json!(prev)));
    }
    // Snapshots tell the same.
    let kinds = |snapshot: Value| -> Vec<String> {
        let entries = snapshot["entries"].as_array().unwrap().iter();
        let mut kinds: Vec<_> = entries.map(|entry| entry["kind"].as_str().unwrap().to_owned()).collect();
        kinds.sort();
        kinds
    };
    assert_eq!(kinds(photos.snapshot().await), ["client", "family", "grant"]);
    assert_eq!(kinds(mail.snapshot().await), ["client", "family", "grant"]);
    assert_eq!(kinds(notes.snapshot().await), ["client"]);
}

#[tokio::test]
async fn the_entry_of_a_client_s_own_token_goes_to_its_audience() {
    let scene = scene().await;
    let mail = scene.world.api("https://mail.example", &["mail"]).await;
    let types = [GrantType::ClientCredentials];
    let robot = scene.world.client_with_grant_types(ClientKind::Confidential, &types).await;
    let form = Fields::new(&[("grant_type", "client_credentials"), ("scope", "mail")]);
    let token = robot.asks_tokens(&form).await.json()["access_token"].as_str().unwrap().to_owned();
    let (mut at_photos, mut at_mail) = (scene.api.follows().await, mail.follows().await);
    robot.revokes(&token).await.is(200);
    assert_eq!(at_mail.hears().await.0, "token");
    assert!(at_photos.hears_nothing().await);
    assert_eq!(scene.api.snapshot().await["through"], json!(0));
    assert_eq!(mail.snapshot().await["through"], json!(1));
}

#[tokio::test]
async fn entries_of_earlier_versions_grants_go_to_every_api() {
    let scene = scene().await;
    let mail = scene.world.api("https://mail.example", &["mail"]).await;
    scene.alice.connects(&scene.app).await;
    scene.world.forces("UPDATE grants SET audiences = NULL");
    let mut at_mail = mail.follows().await;
    scene.alice.connects(&scene.app).await;
    scene.alice.revokes(&scene.app).await.is(303);
    assert_eq!(at_mail.hears().await.0, "grant");
}

#[tokio::test]
async fn a_snapshot_holds_the_strongest_entry_for_as_long_as_it_matters() {
    let scene = scene().await;
    for _ in 0..3 {
        scene.world.ends_all_tokens_of(&scene.app).await;
    }
    scene.world.advances(500);
    let snapshot = scene.api.snapshot().await;
    let expected = json!([{ "kind": "client", "id": scene.app.id, "generation": 4, "keep": 7000 }]);
    assert_eq!((&snapshot["entries"], &snapshot["through"]), (&expected, &json!(3)));
    // The purge takes nothing from it.
    scene.world.purges().await;
    assert_eq!(scene.api.snapshot().await, snapshot);
    scene.world.advances(7000);
    let later = scene.api.snapshot().await;
    assert_eq!((&later["entries"], &later["through"]), (&json!([]), &json!(3)));
}

#[tokio::test]
async fn a_stream_resumes_at_its_position() {
    let scene = scene().await;
    for _ in 0..5 {
        scene.world.ends_all_tokens_of(&scene.app).await;
    }
    let mut listener = scene.api.follows_from(&format!("{}.2", incarnation(&scene))).await;
    for sequence in 3..=5 {
        let event = listener.next().await.unwrap();
        assert_eq!(event.id, Some(format!("{}.{sequence}", incarnation(&scene))));
        assert_eq!(event.data["prev"], json!(sequence - 1));
    }
    assert!(listener.hears_nothing().await);
    scene.world.ends_all_tokens_of(&scene.app).await;
    assert_eq!(listener.next().await.unwrap().data["prev"], json!(5));
}

#[tokio::test]
async fn a_position_that_can_t_be_resumed_is_a_gap() {
    let scene = scene().await;
    scene.world.ends_all_tokens_of(&scene.app).await;
    let begun = incarnation(&scene);
    for position in [format!("{}.1", begun - 1), format!("{}.1", begun + 1), format!("{begun}.2")] {
        let answer = scene.api.asks("/revocations/feed", Some(&position)).await.is(410);
        assert_eq!(answer.json(), json!({ "error": "gap" }), "{position}");
    }
    // Entries that guards have forgotten by themselves.
    scene.world.advances(7501);
    scene.api.asks("/revocations/feed", Some(&format!("{begun}.0"))).await.is(410);
    scene.api.follows_from(&format!("{begun}.1")).await;
    for position in [None, Some(""), Some("1"), Some("x.1"), Some("1.-1"), Some("1.99999999999999999999")] {
        let answer = scene.api.asks("/revocations/feed", position).await.refuses(400, "invalid_request");
        assert!(answer.body.contains("Last-Event-ID"), "{position:?}");
    }
}

/// One reader takes nothing while more is revoked than the server keeps at hand; another one reads on.
#[tokio::test]
async fn a_slow_reader_is_disconnected_and_delays_nobody() {
    let scene = scene().await;
    let mut slow = scene.api.follows().await;
    let mut quick = scene.api.follows().await;
    let begun = incarnation(&scene);
    let rows = 40_000;
    let insert = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
         INSERT INTO ledger (sequence, receipt_id, at, act, actor_kind, origin, subject_kind, subject_id) \
         SELECT (SELECT coalesce(max(sequence), 0) FROM ledger) + i, 'rcp_00000000000000' || (100000 + i), {}, \
         'app_revoked', 'user', 'page', 'grant', 'grt_00000000000000' || (100000 + i) FROM n",
        scene.world.app.clock.now().millis()
    );
    assert_eq!(scene.world.connects().adds_to_ledger(&insert, &[]), rows);
    // Whoever writes besides the server does not wake it; its own act does.
    let last = rows + 1;
    scene.world.ends_all_tokens_of(&scene.app).await;
    let mut prev = 0;
    for sequence in 1..=last {
        let event = quick.next().await.expect("an event");
        assert_eq!((event.id, &event.data["prev"]), (Some(format!("{begun}.{sequence}")), &json!(prev)));
        prev = sequence;
    }
    assert_eq!(slow.next().await, None);
    // It comes back and misses nothing: what is no longer at hand is in the database.
    let mut again = scene.api.follows_from(&format!("{begun}.0")).await;
    for sequence in 1..=last {
        assert_eq!(again.next().await.expect("an event").id, Some(format!("{begun}.{sequence}")));
    }
    assert_eq!(scene.api.snapshot().await["entries"].as_array().unwrap().len(), last);
}

/// More rows for others than the server keeps at hand, and so old that their streams can't be resumed there.
#[tokio::test]
async fn a_quiet_stream_resumes_after_many_entries_for_other_apis() {
    let scene = scene().await;
    let mail = scene.world.api("https://mail.example", &["mail"]).await;
    scene.world.ends_all_tokens_of(&scene.app).await;
    let position = scene.api.position().await;
    let rows = 40_000;
    let insert = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) INSERT INTO ledger \
         (sequence, receipt_id, at, act, actor_kind, origin, subject_kind, subject_id, audiences) \
         SELECT (SELECT coalesce(max(sequence), 0) FROM ledger) + i, 'rcp_00000000000000' || (100000 + i), {}, \
         'app_revoked', 'user', 'page', 'grant', 'grt_00000000000000' || (100000 + i), 'https://mail.example' FROM n",
        scene.world.app.clock.now().millis()
    );
    assert_eq!(scene.world.connects().adds_to_ledger(&insert, &[]), rows);
    scene.world.advances(7501);
    scene.world.ends_all_tokens_of(&scene.app).await;
    let newest = newest(&scene);
    let mut listening = scene.world.app.feed.position();
    listening.wait_for(|position| *position == newest).await.unwrap();

    let mut listener = scene.api.follows_from(&position).await;
    let event = listener.next().await.unwrap();
    assert_eq!(event.id, Some(format!("{}.{newest}", incarnation(&scene))));
    assert_eq!((&event.data["kind"], &event.data["prev"]), (&json!("client"), &json!(1)));
    // One that has missed nothing hears what comes next.
    let mut again = scene.api.follows_from(&event.id.unwrap()).await;
    scene.world.ends_all_tokens_of(&scene.app).await;
    for listener in [&mut listener, &mut again] {
        assert_eq!(listener.next().await.unwrap().data["prev"], json!(newest));
    }
    mail.asks("/revocations/feed", Some(&position)).await.is(410);
}

#[tokio::test]
async fn a_thousand_guards_that_come_back_at_once_hold_nobody_up() {
    let scene = scene().await;
    for _ in 0..20 {
        scene.world.ends_all_tokens_of(&scene.app).await;
    }
    let position = format!("{}.0", incarnation(&scene));
    let mut listeners = Vec::new();
    for _ in 0..1_000 {
        listeners.push(scene.api.follows_from(&position).await);
    }
    let began = std::time::Instant::now();
    scene.world.ends_all_tokens_of(&scene.app).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    for listener in &mut listeners {
        for sequence in 1..=21 {
            assert_eq!(listener.next().await.unwrap().data["prev"], json!(sequence - 1));
        }
    }
}

#[tokio::test]
async fn a_resource_server_has_a_limit_of_open_streams() {
    let scene = scene().await;
    let mail = scene.world.api("https://mail.example", &["mail"]).await;
    let position = scene.api.position().await;
    let mut open = Vec::new();
    for _ in 0..MOST_STREAMS {
        let response = scene.api.opens_feed(&position).await;
        assert_eq!(response.status(), 200);
        open.push(response);
    }
    let answer = scene.api.asks("/revocations/feed", Some(&position)).await;
    let answer = answer.refuses(429, "temporarily_unavailable");
    assert_eq!(answer.header("retry-after"), Some("5"));
    // Requests that open no stream do not count, and other resource servers have streams of their own.
    scene.api.asks("/revocations/feed", Some("1.0")).await.is(429);
    mail.follows().await;
    scene.api.snapshot().await;

    // The first one goes away before it has read anything, the next one in the middle of it.
    drop(open.pop());
    let mut listener = scene.api.follows_from(&position).await;
    scene.api.asks("/revocations/feed", Some(&position)).await.is(429);
    scene.world.ends_all_tokens_of(&scene.app).await;
    assert_eq!(listener.hears().await.0, "client");
    drop(listener);
    scene.api.follows_from(&position).await;
    // All that were refused, or answered without a stream, have left nothing behind.
    for position in ["1.0", &format!("{}.9", incarnation(&scene))] {
        scene.api.asks("/revocations/feed", Some(position)).await.is(410);
    }
    let again = scene.api.opens_feed(&position).await;
    assert_eq!(again.status(), 200);
    assert_eq!(scene.api.opens_feed(&position).await.status(), 429);
}

#[tokio::test]
async fn the_stream_ends_when_the_server_stops() {
    let scene = scene().await;
    let mut listener = scene.api.follows().await;
    scene.world.app.feed.stop();
    assert_eq!(listener.next().await, None);
}

#[tokio::test]
async fn keys_are_announced_when_they_change() {
    let scene = scene().await;
    let mut listener = scene.api.follows().await;
    let app = &scene.world.app;
    let before = scene.api.snapshot().await;
    app.keys.rotate(&app.store, By::operator(app.clock.now())).await.unwrap();
    let event = listener.next().await.unwrap();
    assert_eq!((event.name.as_deref(), event.id), (Some("keys"), None));
    assert_eq!(event.data["keys"].as_array().unwrap().len(), 2);
    assert_eq!(event.data["keys"], scene.world.gets("/oauth/jwks").await.json()["keys"]);
    let answer = scene.api.acknowledges(&acknowledgement(incarnation(&scene), 0)).await.json();
    for told in [&event.data, &answer, &scene.api.snapshot().await] {
        assert_eq!(told["keys_version"], json!(keys_version(&scene)));
        assert_ne!(told["keys_version"], before["keys_version"]);
    }
}

#[tokio::test]
async fn a_silent_stream_sends_heartbeats() {
    let scene = scene().await;
    let mut listener = scene.api.follows().await;
    let heartbeat = tokio::time::timeout(Duration::from_secs(7), listener.heartbeat()).await;
    assert_eq!(heartbeat.unwrap(), ": still here");
}

#[tokio::test]
async fn an_acknowledgement_is_answered_with_the_newest_position() {
    let scene = scene().await;
    let begun = incarnation(&scene);
    let answer = scene.api.acknowledges(&acknowledgement(begun, 0)).await.is(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let expected = |through: i64| json!({ "incarnation": begun, "through": through, "keys_version": keys_version(&scene), "max_staleness": 10 });
    assert_eq!(answer.json(), expected(0));
    for sequence in 1..=20 {
        scene.world.ends_all_tokens_of(&scene.app).await;
        // Whoever asks after the revocation was answered hears of it.
        let answer = scene.api.acknowledges(&acknowledgement(begun, sequence - 1)).await;
        assert_eq!(answer.json(), expected(sequence));
    }
    let answer = scene.api.acknowledges(&acknowledgement(begun - 1, 0)).await.is(409);
    assert_eq!(answer.json(), json!({ "error": "gap" }));
}

#[tokio::test]
async fn a_bad_acknowledgement_is_refused_naming_the_member() {
    let scene = scene().await;
    let good = acknowledgement(incarnation(&scene), 0);
    let seen = json!({ "grant_id": "grt_1", "family_id": "fam_1", "at": 1 });
    for (member, value) in [
        ("instance", json!("short")),
        ("instance", json!("a guard with spaces")),
        ("instance", json!("x".repeat(65))),
        ("instance", json!(1)),
        ("instance", Value::Null),
        ("incarnation", json!(-1)),
        ("incarnation", json!("1")),
        ("through", json!(1.5)),
        ("through", json!(1_u64 << 53)),
        ("keys_version", Value::Null),
        ("leaving", json!("yes")),
        ("seen", json!({})),
        ("seen", json!(vec![seen.clone(); 1001])),
        ("seen", json!([1])),
    ] {
        let mut ack = good.clone();
        ack[member] = value.clone();
        let answer = scene.api.acknowledges(&ack).await.refuses(400, "invalid_request");
        assert!(answer.body.contains(member), "{member} {value}: {}", answer.body);
    }
    for member in ["instance", "incarnation", "through", "keys_version"] {
        let mut ack = good.clone();
        ack.as_object_mut().unwrap().remove(member);
        let answer = scene.api.acknowledges(&ack).await.refuses(400, "invalid_request");
        assert!(answer.body.contains(member), "{member}: {}", answer.body);
    }
    for body in ["", "{", "[]", "null", "\u{0}", "instance=1"] {
        let request = scene.world.request("POST", "/revocations/ack");
        let request = request.header("authorization", basic(&scene.api.id, &scene.api.secret));
        let answer = scene.world.sends(request.body(Body::from(body)).unwrap()).await;
        answer.refuses(400, "invalid_request");
    }
    let mut ack = good;
    ack["later"] = json!({ "unknown": true });
    scene.api.acknowledges(&ack).await.is(200);
}

#[tokio::test]
async fn the_feed_answers_503_without_the_database() {
    let scene = scene().await;
    let ack = acknowledgement(incarnation(&scene), 0);
    scene.api.acknowledges(&ack).await.is(200);
    // A table that is not there can't be read.
    scene.world.forces_schema("ALTER TABLE ledger RENAME TO gone");
    let answer = scene.api.acknowledges(&ack).await.refuses(503, "temporarily_unavailable");
    assert_eq!(answer.header("retry-after"), Some("5"));
    for path in ["/revocations/snapshot", "/revocations/feed"] {
        let position = format!("{}.0", ack["incarnation"]);
        scene.api.asks(path, Some(&position)).await.refuses(503, "temporarily_unavailable");
    }
    scene.world.forces_schema("ALTER TABLE gone RENAME TO ledger");
    scene.api.acknowledges(&ack).await.is(200);
}

/// Nothing could be revoked: what is read is no longer what the next start would find.
#[tokio::test]
async fn the_feed_answers_503_when_the_database_file_was_removed() {
    if skips_on_postgres("there is no file") {
        return;
    }
    let scene = scene().await;
    let ack = acknowledgement(incarnation(&scene), 0);
    let file = scene.world.database.path();
    let aside = file.with_extension("aside");
    std::fs::rename(&file, &aside).unwrap();
    scene.api.acknowledges(&ack).await.refuses(503, "temporarily_unavailable");
    std::fs::rename(&aside, &file).unwrap();
    scene.api.acknowledges(&ack).await.is(200);
}
