//! Snapshots from the past: some cache kept them.

use std::time::Instant;

use rescind::model::by::By;
use rescind_guard::{Guard, Revoked};

use crate::middle::{Middle, SNAPSHOT};
use crate::stage::{QUICK, Stage, accepts, is_stale, refuses, until, within};

#[tokio::test(flavor = "multi_thread")]
async fn an_older_snapshot_never_replaces_a_newer_one() {
    let stage = Stage::new().await;
    let middle = Middle::to(stage.address).await;
    let past = stage.api.snapshot().await.to_string();
    let guard = stage.guard(&middle.url).await;
    let [first, lost, next, live] = stage.tokens().await;
    stage.app.revokes(&first).await.is(200);
    stage.reaches_and_knows(&guard).await;
    let through = guard.state().through;
    // The second entry is lost, which makes a gap, and the answer comes from the past.
    middle.rewrites({
        let mut is_first = true;
        move |event| if std::mem::take(&mut is_first) { vec![] } else { vec![event] }
    });
    middle.repeats_snapshot(Some(past));
    let before = middle.asked(SNAPSHOT);
    stage.app.revokes(&lost).await.is(200);
    stage.app.revokes(&next).await.is(200);
    within(middle.is_asked_again(SNAPSHOT, before + 2)).await;
    let state = guard.state();
    assert_eq!((state.through, state.entries, state.counters.snapshots), (through, 1, 1));
    refuses(&guard, &first, Revoked::Token);
    assert!(state.trouble.unwrap().contains("older"));
    middle.repeats_snapshot(None);
    stage.reaches_and_knows(&guard).await;
    for dead in [&first, &lost, &next] {
        refuses(&guard, dead, Revoked::Token);
    }
    accepts(&guard, &live);
}

/// A guard that holds nothing yet can't see that it is old; the stream goes on from there.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_starts_with_a_snapshot_from_the_past_catches_up_before_it_accepts_anything() {
    let stage = Stage::new().await;
    let middle = Middle::to(stage.address).await;
    let [dead, live] = stage.tokens().await;
    middle.repeats_snapshot(Some(stage.api.snapshot().await.to_string()));
    stage.app.revokes(&dead).await.is(200);
    // Neither the stream nor a newer snapshot comes.
    middle.holds(crate::middle::FEED);
    let guard = Guard::start(stage.settings(&middle.url)).unwrap();
    until(|| guard.state().counters.acknowledged > 3).await;
    is_stale(&guard, &dead);
    is_stale(&guard, &live);
    middle.releases(crate::middle::FEED);
    within(guard.ready()).await;
    refuses(&guard, &dead, Revoked::Token);
    accepts(&guard, &live);
    assert_eq!(guard.state().through, stage.head().await);
}

/// It is behind for longer than a stream may hold something back, and nobody holds anything back.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_whose_stream_opens_late_needs_no_second_snapshot() {
    let stage = Stage::new().await;
    let middle = Middle::to(stage.address).await;
    let [dead, live] = stage.tokens().await;
    middle.refuses_streams(true);
    let guard = Guard::start(stage.settings(&middle.url)).unwrap();
    until(|| guard.state().counters.snapshots == 1).await;
    stage.app.revokes(&dead).await.is(200);
    let before = guard.state().counters.acknowledged;
    let from = Instant::now();
    until(|| from.elapsed() > 2 * QUICK.behind && guard.state().counters.acknowledged > before + 4).await;
    middle.refuses_streams(false);
    stage.reaches_and_knows(&guard).await;
    refuses(&guard, &dead, Revoked::Token);
    accepts(&guard, &live);
    let counters = guard.state().counters;
    assert_eq!((counters.snapshots, counters.gaps), (1, 0));
}

/// A withdrawn key would come back with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_with_older_keys_is_older() {
    let stage = Stage::new().await;
    let middle = Middle::to(stage.address).await;
    let past = stage.api.snapshot().await.to_string();
    let guard = stage.guard(&middle.url).await;
    let token = stage.token("read").await;
    accepts(&guard, &token);
    let world = &stage.world;
    let key = world.app.store.signing_keys().await.unwrap().remove(0).key.public.id;
    world.app.keys.withdraw(&world.app.store, key, By::operator(world.app.clock.now())).await.unwrap();
    until(|| guard.verify(&token).is_err()).await;
    middle.repeats_snapshot(Some(past));
    // The next entry is lost, so that the guard asks for a snapshot.
    middle.rewrites(|_| vec![]);
    let before = middle.asked(SNAPSHOT);
    world.ends_all_tokens_of(&stage.app).await;
    within(middle.is_asked_again(SNAPSHOT, before + 2)).await;
    assert_eq!(guard.verify(&token), Err(rescind_guard::Refusal::UnknownKey));
    assert_eq!(guard.state().counters.snapshots, 1);
}
