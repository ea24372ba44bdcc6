//! `GET /oauth/jwks`, and the course of a signing key.

use std::sync::Arc;

use rescind::model::by::By;
use rescind::model::id::KeyId;
use rescind::model::key::{SigningKey, Use};
use serde_json::Value;

use crate::harness::World;

async fn published(world: &World) -> Vec<String> {
    let answer = world.gets("/oauth/jwks").await.is(200);
    assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
    let body = answer.json();
    let keys = body["keys"].as_array().unwrap();
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn key(world: &World, id: &KeyId) -> SigningKey {
    let rows = world.app.store.signing_keys().await.unwrap();
    rows.into_iter().find(|row| row.key.public.id == *id).unwrap().key
}

impl World {
    pub async fn rotates_keys(&self) -> KeyId {
        self.app.keys.rotate(&self.app.store, By::operator(self.app.clock.now())).await.unwrap()
    }

    pub async fn withdraws(&self, id: &KeyId) -> bool {
        self.app.keys.withdraw(&self.app.store, id.clone(), By::operator(self.app.clock.now())).await.unwrap()
    }

    /// As the worker does every few seconds.
    pub async fn keeps_keys(&self) {
        self.app.keys.keep(&self.app.store, self.app.clock.now()).await.unwrap();
    }

    /// The key that signs now.
    pub async fn signing_key(&self) -> KeyId {
        let signing = self.app.keys.signing(&self.app.store).await.unwrap();
        signing.at(self.app.clock.now()).unwrap().public().id.clone()
    }
}

#[tokio::test]
async fn the_first_key_signs_at_once_and_only_its_public_part_is_published() {
    let world = World::new().await;
    let body = world.gets("/oauth/jwks").await.is(200).json();
    let members: std::collections::BTreeSet<&str> =
        body["keys"][0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"].into());
    assert_eq!(body["keys"][0]["alg"], "EdDSA");
    assert_eq!(body["keys"][0]["kid"], world.signing_key().await.as_str());
    let stored: Vec<u8> = world.value("SELECT sealed_key FROM signing_keys");
    // PKCS#8 begins so; what is stored is sealed.
    assert!(
        !stored.windows(4).any(|part| part == [0x30, 0x51, 0x02, 0x01] || part == [0x30, 0x2e, 0x02, 0x01])
    );
}

#[tokio::test]
async fn browser_apps_may_read_the_keys() {
    let world = World::new().await;
    let request = world.request("GET", "/oauth/jwks").header("origin", "https://app.example");
    let answer = world.sends(request.body(axum::body::Body::empty()).unwrap()).await.is(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn a_key_is_published_a_minute_before_it_signs() {
    let world = World::new().await;
    let first = world.signing_key().await;
    let second = world.rotates_keys().await;
    assert_eq!(published(&world).await.len(), 2);
    assert_eq!(key(&world, &second).await.state(world.app.clock.now()), Use::Published);
    assert_eq!(world.rotates_keys().await, second, "the one that waits is the next");
    world.advances(59);
    assert_eq!(world.signing_key().await, first);
    world.advances(1);
    assert_eq!(world.signing_key().await, second);
    assert_eq!(key(&world, &first).await.state(world.app.clock.now()), Use::Retired);
}

#[tokio::test]
async fn a_retired_key_loses_its_private_part_first_and_is_accepted_until_its_tokens_expire() {
    let world = World::new().await;
    let first = world.signing_key().await;
    world.rotates_keys().await;
    world.advances(60);
    world.keeps_keys().await;
    let sealed = format!("SELECT sealed_key IS NULL FROM signing_keys WHERE kid = '{first}'");
    assert!(world.value::<bool>(&sealed));
    world.advances(3600);
    world.keeps_keys().await;
    assert!(published(&world).await.contains(&first.to_string()));
    let version = world.app.store.keys_version_now().await.unwrap();
    world.advances(300);
    world.keeps_keys().await;
    assert!(!published(&world).await.contains(&first.to_string()));
    assert_eq!(world.app.store.keys_version_now().await.unwrap(), version + 1, "the accepted keys changed");
}

#[tokio::test]
async fn a_withdrawn_key_leaves_at_once_and_another_signs() {
    let world = World::new().await;
    let first = world.signing_key().await;
    let mut version = world.app.store.keys_version();
    version.mark_unchanged();
    assert!(world.withdraws(&first).await);
    assert!(version.has_changed().unwrap(), "whoever waits hears it");
    let next = world.signing_key().await;
    assert_ne!(next, first);
    assert_eq!(published(&world).await, [next.to_string()]);
    assert_eq!(key(&world, &first).await.state(world.app.clock.now()), Use::Withdrawn);
    assert!(!world.withdraws(&first).await, "again is success without effect");
    assert_eq!(world.signing_key().await, next);
    let unknown = KeyId::generate(world.app.clock.now());
    let refused =
        world.app.keys.withdraw(&world.app.store, unknown, By::operator(world.app.clock.now())).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn withdrawing_a_key_that_waits_leaves_one_that_signs() {
    let world = World::new().await;
    let first = world.signing_key().await;
    let waiting = world.rotates_keys().await;
    assert!(world.withdraws(&waiting).await);
    let next = world.signing_key().await;
    assert!(next != first && next != waiting);
    // The one before it is accepted still, and signs nothing when the minute is over.
    assert_eq!(published(&world).await.len(), 2);
    world.advances(61);
    assert_eq!(world.signing_key().await, next);
}

#[tokio::test]
async fn withdrawing_a_retired_key_changes_nothing_else() {
    let world = World::new().await;
    let first = world.signing_key().await;
    let second = world.rotates_keys().await;
    world.advances(60);
    assert!(world.withdraws(&first).await);
    assert_eq!(world.signing_key().await, second);
    assert_eq!(published(&world).await, [second.to_string()]);
}

#[tokio::test]
async fn keys_rotate_on_schedule() {
    let world = World::new().await;
    let first = world.signing_key().await;
    let thirty_days = 30 * 86_400;
    world.advances(thirty_days - 61);
    world.keeps_keys().await;
    assert_eq!(published(&world).await.len(), 1);
    world.advances(1);
    world.keeps_keys().await;
    assert_eq!(published(&world).await.len(), 2);
    world.keeps_keys().await;
    assert_eq!(published(&world).await.len(), 2, "one at a time");
    assert_eq!(world.signing_key().await, first);
    world.advances(60);
    assert_ne!(world.signing_key().await, first);
}

#[tokio::test]
async fn a_clock_that_goes_back_leaves_a_key_that_signs() {
    let world = World::new().await;
    world.rotates_keys().await;
    world.advances(120);
    world.keeps_keys().await;
    let signing = world.app.keys.signing(&world.app.store).await.unwrap();
    let hour_ago = world.app.clock.now().minus(std::time::Duration::from_secs(3600));
    assert!(signing.at(hour_ago).is_ok());
}

#[tokio::test]
async fn an_edited_app_does_not_make_the_server_open_its_keys_again() {
    let world = World::new().await;
    let reader = async || world.app.keys.reader(&world.app.store).await.unwrap();
    let (first, version) = (reader().await, world.app.store.held().version());
    world.api("https://photos.example", &["read"]).await;
    assert_ne!(world.app.store.held().version(), version);
    assert!(Arc::ptr_eq(&first, &reader().await), "the keys are the same");
    world.rotates_keys().await;
    let second = reader().await;
    assert!(!Arc::ptr_eq(&first, &second), "a key was published");
    assert!(world.withdraws(&world.signing_key().await).await);
    assert!(!Arc::ptr_eq(&second, &reader().await), "a key was withdrawn");
}

#[tokio::test]
async fn keys_in_the_feed_equal_those_of_the_jwks_endpoint() {
    let world = World::new().await;
    let accepted = world.app.store.accepted_keys().await.unwrap();
    assert_eq!(accepted.version, world.app.store.keys_version_now().await.unwrap());
    let jwk = serde_json::to_value(accepted.keys[0].jwk()).unwrap();
    let listed: Value = world.gets("/oauth/jwks").await.json();
    assert_eq!(jwk, listed["keys"][0]);
}
