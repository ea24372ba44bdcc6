//! Revocations in the time after `exp` in which a guard still accepts a token (RFC 7519 §4.1.4).

use std::time::Duration;

use rescind::model::client::{ClientKind, GrantType, GrantTypes, TokenFormat};
use rescind_guard::{Clock, Guard, Revoked};

use crate::http::harness::client::Client;
use crate::http::harness::fields::Fields;
use crate::stage::{Stage, accepts, refuses, within};

/// A JWT lives for ten minutes; this is a minute before the end of the longest leeway.
const IN_THE_LEEWAY: u64 = 600 + 240;

/// A guard with the longest leeway that there may be, and its clock.
async fn guard(stage: &Stage) -> (Guard, Clock) {
    let clock = Clock::movable();
    let settings = stage.settings(&stage.url()).leeway(Duration::from_secs(300)).clock(clock.clone());
    let guard = Guard::start(settings).unwrap();
    within(guard.ready()).await;
    (guard, clock)
}

/// An app whose access tokens are the last of their families to expire.
async fn app_without_refresh_tokens(stage: &Stage) -> Client {
    let change = |new: &mut rescind::service::register::NewClient| {
        new.token_format = TokenFormat::Jwt;
        new.grant_types = GrantTypes::new(vec![GrantType::AuthorizationCode]);
    };
    stage.world.client(ClientKind::Confidential, change).await
}

/// Time passes for the server and the guard, and the server deletes what has expired.
async fn wait(stage: &Stage, clock: &Clock, seconds: u64) {
    stage.world.advances(seconds);
    clock.set_wall(seconds.try_into().unwrap());
    stage.world.purges().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jwt_revoked_in_the_leeway_after_its_expiry_is_refused() {
    let stage = Stage::new().await;
    let (guard, clock) = guard(&stage).await;
    let [dead, live] = stage.tokens().await;
    wait(&stage, &clock, IN_THE_LEEWAY).await;
    accepts(&guard, &dead);
    stage.app.revokes(&dead).await.is(200);
    stage.reaches(&guard).await;
    refuses(&guard, &dead, Revoked::Token);
    accepts(&guard, &live);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_family_closed_in_the_leeway_after_its_last_token_expired_is_refused() {
    let stage = Stage::new().await;
    let app = app_without_refresh_tokens(&stage).await;
    let (guard, clock) = guard(&stage).await;
    let dead = stage.alice.connects(&app).await.access;
    let (grant, family): (String, String) =
        (stage.world.value("SELECT grant_id FROM families"), stage.world.value("SELECT id FROM families"));
    let live = stage.alice.connects(&app).await.access;
    wait(&stage, &clock, IN_THE_LEEWAY).await;
    accepts(&guard, &dead);
    let device = format!("/authorizations/{grant}/devices/{family}/revoke");
    stage.alice.posts(&device, &Fields::default()).await.is(303);
    stage.reaches(&guard).await;
    refuses(&guard, &dead, Revoked::Family);
    accepts(&guard, &live);
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_a_thousand_revoked_tokens_the_family_closes_in_the_leeway_too() {
    let stage = Stage::new().await;
    let app = app_without_refresh_tokens(&stage).await;
    let (guard, clock) = guard(&stage).await;
    let dead = stage.alice.connects(&app).await.access;
    let live = stage.alice.connects(&app).await.access;
    wait(&stage, &clock, IN_THE_LEEWAY).await;
    let now = stage.world.app.clock.now().millis();
    stage.world.forces(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
         INSERT INTO revoked_tokens (id, client_id, expires_at) SELECT 'tok_' || i, '{}', {now} FROM n",
        app.id
    ));
    app.revokes(&dead).await.is(200);
    stage.reaches(&guard).await;
    refuses(&guard, &dead, Revoked::Family);
    accepts(&guard, &live);
}
