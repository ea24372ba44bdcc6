//! Answers that go on and on, and what an API tells of the tokens that it has seen.

use std::time::Duration;

use axum::body::Body;
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::{StreamExt as _, stream};
use rescind_guard::{Claims, Ended, Guard, Revoked};

use crate::http::harness::fields::Fields;
use crate::middle::{ACK, FEED, Middle};
use crate::stage::{Stage, accepts, until, within};

type Watching = tokio::task::JoinHandle<Ended>;

fn watch(guard: &Guard, token: &str) -> Watching {
    tokio::spawn(guard.watch(&guard.verify(token).unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_token_ends_with_each_revocation_that_covers_it_and_no_other() {
    let stage = Stage::new().await;
    let guard = stage.guard(&stage.url()).await;
    let own = stage.token("read").await;
    let bob = stage.world.signed_in("bob").await;
    let of_bob = bob.connects(&stage.app).await.access;
    let (own, of_bob) = (watch(&guard, &own), watch(&guard, &of_bob));
    let alice = &stage.alice;

    let tokens = alice.connects(&stage.app).await;
    let ended = watch(&guard, &tokens.access);
    stage.app.revokes(&tokens.access).await.is(200);
    assert_eq!(within(ended).await.unwrap(), Ended::Revoked(Revoked::Token));

    let tokens = alice.connects(&stage.app).await;
    let (ended, goes_on) = (watch(&guard, &tokens.access), watch(&guard, &stage.alice_s_token().await));
    stage.app.revokes(&tokens.refresh).await.is(200);
    assert_eq!(within(ended).await.unwrap(), Ended::Revoked(Revoked::Family));

    let grant = alice.grant_of(&stage.app).await;
    alice.posts(&format!("/authorizations/{grant}/revoke"), &Fields::default()).await.is(303);
    assert_eq!(within(goes_on).await.unwrap(), Ended::Revoked(Revoked::Grant));

    let ended = watch(&guard, &stage.alice_s_token().await);
    stage.world.ends_everything_of(alice).await;
    assert_eq!(within(ended).await.unwrap(), Ended::Revoked(Revoked::User));

    // None of that was theirs.
    assert!(!own.is_finished() && !of_bob.is_finished());
    stage.world.ends_all_tokens_of(&stage.app).await;
    for ended in [own, of_bob] {
        assert_eq!(within(ended).await.unwrap(), Ended::Revoked(Revoked::Client));
    }
    let late = guard.verify(&stage.token("read").await).unwrap();
    stage.world.ends_all_tokens_of(&stage.app).await;
    stage.reaches(&guard).await;
    assert_eq!(within(guard.watch(&late)).await, Ended::Revoked(Revoked::Client), "dead before it began");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_token_ends_when_it_expires_and_when_the_guard_is_stale() {
    let stage = Stage::new().await;
    let middle = Middle::to(stage.address).await;
    let (guard, clock) = stage.guard_and_clock(&middle.url).await;
    let (expires, unknown) = (stage.token("read").await, stage.token("read").await);
    let ended = watch(&guard, &expires);
    clock.set_wall(600);
    assert_eq!(within(ended).await.unwrap(), Ended::Expired);
    clock.set_wall(-600);
    let ended = watch(&guard, &unknown);
    middle.holds(ACK);
    middle.holds(FEED);
    clock.sleep(Duration::from_secs(301));
    assert_eq!(within(ended).await.unwrap(), Ended::Stale);
}

/// A stream over HTTP, behind the layer.
async fn ticks(Extension(guard): Extension<Guard>, Extension(claims): Extension<Claims>) -> Body {
    let ticks = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Some((Ok::<_, std::io::Error>("tick\n"), ()))
    });
    Body::from_stream(ticks.take_until(Box::pin(guard.watch(&claims))))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_closes_when_what_opened_it_is_revoked() {
    let stage = Stage::new().await;
    let guard = stage.guard(&stage.url()).await;
    let app = Router::new().route("/ticks", get(ticks)).layer(guard.layer()).layer(Extension(guard.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ticks", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let [dead, live] = stage.tokens().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let opens = async |token: &str| {
        let answer = http.get(&url).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer
    };
    let (mut closing, mut open) = (opens(&dead).await, opens(&live).await);
    for stream in [&mut closing, &mut open] {
        assert_eq!(stream.chunk().await.unwrap().unwrap(), "tick\n");
    }
    stage.app.revokes(&dead).await.is(200);
    within(async { while closing.chunk().await.unwrap().is_some() {} }).await;
    assert_eq!(http.get(&url).bearer_auth(&dead).send().await.unwrap().status(), 401);
    assert!(open.chunk().await.unwrap().is_some());
    stage.world.ends_all_tokens_of(&stage.app).await;
    within(async { while open.chunk().await.unwrap().is_some() {} }).await;
}

/// Nobody asks the server about JWTs, so the guard says which it has seen.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_with_jwts_was_last_used_when_an_api_accepted_its_token() {
    let stage = Stage::new().await;
    let line = crate::line::Line::to(Some(stage.address)).await;
    let guard = stage.guard(&line.url).await;
    let used = |table: &str| -> Option<i64> {
        stage.world.value(&format!("SELECT last_used_at FROM {table} WHERE status = 'open'"))
    };
    let now = stage.world.app.clock.now();
    let token = stage.alice_s_token().await;
    stage.alice.gets("/authorizations").await.page(200).shows("Never used");
    crate::stage::confirmed(&guard).await;
    stage.world.app.last_used.flush(&stage.world.app.store).await.unwrap();
    assert_eq!(used("grants"), None, "being issued is no use");
    // What an acknowledgement could not carry goes with a later one.
    line.is(crate::line::Passage::Cut);
    accepts(&guard, &token);
    until(|| guard.state().trouble.is_some()).await;
    line.is(crate::line::Passage::Open);
    let is_noted = async || {
        stage.world.app.last_used.flush(&stage.world.app.store).await.unwrap();
        used("families").is_some()
    };
    within(async {
        while !is_noted().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    // Whole seconds, and never later than the server's now.
    for table in ["families", "grants"] {
        let at = used(table).unwrap();
        assert!((now.millis() - 1000..=now.millis()).contains(&at), "{table}: {at} of {now:?}");
    }
    stage.alice.gets("/authorizations").await.page(200).shows("Last used").hides("Never used");
}
