//! Signing keys come and go, and guards with them.

use std::time::Duration;

use rescind::model::by::By;
use rescind::model::id::KeyId;
use rescind_guard::{Ended, Refusal, Revoked};

use crate::middle::{FEED, Middle, SNAPSHOT};
use crate::stage::{Stage, accepts, confirmed, is_stale, until, within};

impl Stage {
    async fn signing_key(&self) -> KeyId {
        let signing = self.world.app.keys.signing(&self.world.app.store).await.unwrap();
        signing.at(self.world.app.clock.now()).unwrap().public().id.clone()
    }

    async fn withdraws(&self, key: KeyId) {
        let app = &self.world.app;
        assert!(app.keys.withdraw(&app.store, key, By::operator(app.clock.now())).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_key_is_refused_by_every_connected_guard() {
    let stage = Stage::new().await;
    let mut guards = Vec::new();
    for _ in 0..5 {
        guards.push(stage.guard(&stage.url()).await);
    }
    let old = stage.token("read").await;
    let version = guards[0].state().keys_version;
    guards.iter().for_each(|guard| accepts(guard, &old));
    stage.withdraws(stage.signing_key().await).await;
    let new = stage.token("read").await;
    for guard in &guards {
        until(|| guard.verify(&old) == Err(Refusal::UnknownKey)).await;
        confirmed(guard).await;
        accepts(guard, &new);
        assert!(guard.state().keys_version > version);
        assert_eq!((guard.state().keys, guard.state().counters.snapshots), (1, 1), "the stream brought it");
    }
    let newcomer = stage.guard(&stage.url()).await;
    assert_eq!(newcomer.verify(&old), Err(Refusal::UnknownKey));
    accepts(&newcomer, &new);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_jwt_ends_when_its_signing_key_is_withdrawn() {
    let stage = Stage::new().await;
    let (guard, clock) = stage.guard_and_clock(&stage.url()).await;
    let watch = async || tokio::spawn(guard.watch(&guard.verify(&stage.token("read").await).unwrap()));
    let (old, first) = (watch().await, stage.signing_key().await);
    let app = &stage.world.app;
    app.keys.rotate(&app.store, By::operator(app.clock.now())).await.unwrap();
    stage.world.advances(60);
    clock.set_wall(60);
    until(|| guard.state().keys == 2).await;
    let new = watch().await;
    stage.withdraws(first).await;
    assert_eq!(within(old).await.unwrap(), Ended::Revoked(Revoked::Key));
    confirmed(&guard).await;
    assert!(!new.is_finished(), "another key signed that one");
    stage.world.ends_all_tokens_of(&stage.app).await;
    assert_eq!(within(new).await.unwrap(), Ended::Revoked(Revoked::Client));
}

/// Withdrawals are revocations: who has not heard of one is not fresh.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_does_not_hear_of_a_withdrawal_goes_stale() {
    let stage = Stage::new().await;
    let middle = Middle::to(stage.address).await;
    let (guard, clock) = stage.guard_and_clock(&middle.url).await;
    let old = stage.token("read").await;
    middle.holds(FEED);
    middle.holds(SNAPSHOT);
    stage.withdraws(stage.signing_key().await).await;
    let before = guard.state().counters.acknowledged;
    until(|| guard.state().counters.acknowledged > before + 3).await;
    clock.sleep(Duration::from_secs(301));
    is_stale(&guard, &old);
    let before = guard.state().counters.acknowledged;
    until(|| guard.state().counters.acknowledged > before + 3).await;
    is_stale(&guard, &old);
    // Signed by a key that this guard has not heard of: it can't tell.
    is_stale(&guard, &stage.token("read").await);
    middle.releases(SNAPSHOT);
    within(guard.ready()).await;
    assert_eq!(guard.verify(&old), Err(Refusal::UnknownKey));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_known_before_it_signs_and_no_token_of_either_is_refused() {
    let stage = Stage::new().await;
    let (guard, clock) = stage.guard_and_clock(&stage.url()).await;
    let old = stage.token("read").await;
    let app = &stage.world.app;
    let next = app.keys.rotate(&app.store, By::operator(app.clock.now())).await.unwrap();
    until(|| guard.state().keys == 2).await;
    confirmed(&guard).await;
    stage.world.advances(60);
    clock.set_wall(60);
    assert_eq!(stage.signing_key().await, next);
    let new = stage.token("read").await;
    accepts(&guard, &new);
    accepts(&guard, &old);
}
