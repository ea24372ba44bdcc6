//! Events that are lost, repeated, reordered, unreadable: whatever a proxy makes of the stream, nothing that was
//! revoked is accepted, and nothing else is refused for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rescind_guard::{Guard, Refusal, Revoked};

use crate::middle::Middle;
use crate::stage::{Stage, accepts, is_stale, refuses, until, within};

async fn stage() -> (Stage, Middle, Guard) {
    let stage = Stage::new().await;
    let middle = Middle::to(stage.address).await;
    let guard = stage.guard(&middle.url).await;
    (stage, middle, guard)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_three_times_counts_once() {
    let (stage, middle, guard) = stage().await;
    middle.rewrites(|event| vec![event.clone(), event.clone(), event]);
    let [one, other, live] = stage.tokens().await;
    for token in [&one, &other] {
        stage.app.revokes(token).await.is(200);
    }
    stage.reaches_and_knows(&guard).await;
    refuses(&guard, &one, Revoked::Token);
    refuses(&guard, &other, Revoked::Token);
    accepts(&guard, &live);
    let state = guard.state();
    assert_eq!((state.counters.gaps, state.counters.snapshots, state.entries), (0, 1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_after_a_lost_one_is_a_gap_and_the_guard_reads_a_new_snapshot() {
    let (stage, middle, guard) = stage().await;
    let [lost, next, live] = stage.tokens().await;
    let mut first = true;
    middle.rewrites(move |event| if std::mem::take(&mut first) { vec![] } else { vec![event] });
    for token in [&lost, &next] {
        stage.app.revokes(token).await.is(200);
    }
    stage.reaches_and_knows(&guard).await;
    refuses(&guard, &lost, Revoked::Token);
    refuses(&guard, &next, Revoked::Token);
    accepts(&guard, &live);
    let counters = guard.state().counters;
    assert!(counters.gaps >= 1 && counters.snapshots >= 2, "{counters:?}");
}

/// No event follows that would show the gap: the answers to acknowledgements show it.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_notices_that_the_last_event_is_lost() {
    let (stage, middle, guard) = stage().await;
    let [lost, live] = stage.tokens().await;
    middle.rewrites(|_| vec![]);
    stage.app.revokes(&lost).await.is(200);
    stage.reaches_and_knows(&guard).await;
    refuses(&guard, &lost, Revoked::Token);
    accepts(&guard, &live);
    assert!(guard.state().counters.snapshots >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_in_the_wrong_order_are_a_gap() {
    let (stage, middle, guard) = stage().await;
    let [one, other, live] = stage.tokens().await;
    let mut waiting = None;
    middle.rewrites(move |event| match waiting.take() {
        Some(earlier) => vec![event, earlier],
        None => {
            waiting = Some(event);
            vec![]
        }
    });
    for token in [&one, &other] {
        stage.app.revokes(token).await.is(200);
    }
    stage.reaches_and_knows(&guard).await;
    refuses(&guard, &one, Revoked::Token);
    refuses(&guard, &other, Revoked::Token);
    accepts(&guard, &live);
    assert!(guard.state().counters.gaps >= 1);
}

/// Entries of all kinds through a proxy that does what it likes with each. At any moment, whatever a guard says that
/// it has applied is refused; and in the end it has all.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_drops_repeats_and_reorders_events_hides_no_revocation() {
    use std::hash::{BuildHasher as _, RandomState};
    let seed = RandomState::new().hash_one("events");
    println!("seed {seed}");
    let (stage, middle, guard) = stage().await;
    let mut number = seed;
    let mut kept: Vec<String> = Vec::new();
    middle.rewrites(move |event| {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match number >> 61 {
            0 => vec![],
            1 => vec![event.clone(), event],
            2 => {
                kept.push(event);
                vec![]
            }
            3 => std::iter::once(event).chain(kept.drain(..)).collect(),
            4 => kept.drain(..).chain([event]).collect(),
            _ => vec![event],
        }
    });
    let (ended, seen) = watch(guard.clone());
    for _ in 0..60 {
        let token = stage.token("read").await;
        accepts(&guard, &token);
        stage.app.revokes(&token).await.is(200);
        ended.send((stage.head().await, token)).unwrap();
    }
    stage.reaches_and_knows(&guard).await;
    let live = stage.token("read").await;
    accepts(&guard, &live);
    drop(ended);
    let (checked, dead) = within(seen).await.unwrap();
    assert!(checked > 0);
    for (_, token) in &dead {
        refuses(&guard, token, Revoked::Token);
    }
    assert_eq!(dead.len(), 60);
    assert!(guard.state().counters.gaps > 0, "the proxy was tame: {:?}", guard.state());
}

/// A token and the sequence of its revocation.
type Revocation = (u64, String);
/// How often something was checked, and what was revoked.
type Seen = tokio::task::JoinHandle<(u64, Vec<Revocation>)>;

/// Holds what the guard says that it has applied against what it accepts, as long as revocations are told of.
fn watch(guard: Guard) -> (std::sync::mpsc::Sender<Revocation>, Seen) {
    let (told, ended) = std::sync::mpsc::channel::<Revocation>();
    let watching = tokio::task::spawn_blocking(move || {
        let (mut dead, mut checked) = (Vec::new(), 0);
        loop {
            match ended.try_recv() {
                Ok(revoked) => dead.push(revoked),
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return (checked, dead),
                Err(std::sync::mpsc::TryRecvError::Empty) => std::thread::yield_now(),
            }
            let through = guard.state().through;
            for (sequence, token) in dead.iter().rev().take(8) {
                if *sequence <= through {
                    let verdict = guard.verify(token);
                    assert_eq!(verdict, Err(Refusal::Revoked(Revoked::Token)), "{sequence} of {through}");
                    checked += 1;
                }
            }
        }
    });
    (told, watching)
}

/// What can't be read takes something away, and nobody knows what.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_can_t_be_read_makes_the_guard_stale_until_a_snapshot_can_be() {
    let (stage, middle, guard) = stage().await;
    let [dead, live] = stage.tokens().await;
    let whole = stage.api.snapshot().await.to_string();
    let strange = |text: &str| text.replace("\"kind\":\"token\"", "\"kind\":\"tenant\"");
    middle.rewrites(move |event| vec![strange(&event)]);
    // As a newer server would tell it: with an entry of that kind in its snapshots too.
    let newer =
        whole.replace("\"entries\":[]", "\"entries\":[{\"kind\":\"tenant\",\"id\":\"x\",\"keep\":60}]");
    assert_ne!(newer, whole);
    middle.repeats_snapshot(Some(newer));
    stage.app.revokes(&dead).await.is(200);
    until(|| !guard.state().is_fresh).await;
    is_stale(&guard, &live);
    // Answers to acknowledgements do not help.
    let before = guard.state().counters.acknowledged;
    until(|| guard.state().counters.acknowledged > before + 5).await;
    is_stale(&guard, &live);
    is_stale(&guard, &dead);
    assert!(guard.state().trouble.is_some());
    middle.repeats_snapshot(None);
    within(guard.ready()).await;
    refuses(&guard, &dead, Revoked::Token);
    accepts(&guard, &live);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_a_snapshot_is_refused() {
    let stage = Stage::new().await;
    let live = stage.token("read").await;
    let middle = Middle::to(stage.address).await;
    let whole = stage.api.snapshot().await;
    let with = |member: &str, value: serde_json::Value| {
        let mut changed = whole.clone();
        changed[member] = value;
        changed.to_string()
    };
    middle.repeats_snapshot(Some(String::new()));
    let guard = Guard::start(stage.settings(&middle.url)).unwrap();
    for text in [
        String::new(),
        "<html>Please sign in to this network</html>".to_owned(),
        whole.to_string()[..80].to_owned(),
        with("version", 2.into()),
        with("issuer", "https://id.example".into()),
        with("audience", "https://mail.example".into()),
        with("through", (-1).into()),
        with("entries", serde_json::Value::Null),
    ] {
        middle.repeats_snapshot(Some(text.clone()));
        let before = middle.asked(crate::middle::SNAPSHOT);
        // The first of these may have got the answer of before.
        within(middle.is_asked_again(crate::middle::SNAPSHOT, before + 2)).await;
        is_stale(&guard, &live);
        assert_eq!(guard.state().incarnation, None, "{text}");
    }
    middle.repeats_snapshot(None);
    within(guard.ready()).await;
    accepts(&guard, &live);
}

/// Revocations go on while the guard reads one snapshot after the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_misses_nothing_during_many_gaps() {
    let (stage, middle, guard) = stage().await;
    let passes = Arc::new(AtomicBool::new(false));
    let lost = Arc::new(AtomicU64::new(0));
    let (may_pass, counted) = (passes.clone(), lost.clone());
    middle.rewrites(move |event| {
        if may_pass.load(Ordering::SeqCst) {
            return vec![event];
        }
        // Every second one.
        if counted.fetch_add(1, Ordering::SeqCst) % 2 == 0 { vec![] } else { vec![event] }
    });
    let mut dead = Vec::new();
    for _ in 0..40 {
        let token = stage.token("read").await;
        stage.app.revokes(&token).await.is(200);
        dead.push(token);
    }
    passes.store(true, Ordering::SeqCst);
    stage.reaches_and_knows(&guard).await;
    for token in &dead {
        refuses(&guard, token, Revoked::Token);
    }
    accepts(&guard, &stage.token("read").await);
}
