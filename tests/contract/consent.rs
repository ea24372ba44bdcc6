//! A consent page that stood open through a revocation, whatever the clock did.

use std::time::Duration;

use rescind::model::by::{Actor, By};
use rescind::model::client::TokenFormat;
use rescind::model::user::Role;
use rescind::service::authorize::{Basis, Error, look};
use rescind::service::revoke::all_grants;

use crate::world::{NOW, World, scope};

#[tokio::test]
async fn a_consent_page_is_outdated_by_a_revocation_under_a_clock_that_was_set_back() {
    let world = World::new().await;
    let alice = world.user("alice", Role::Developer).await;
    let (client, _) = world.client(&alice, "app.example", TokenFormat::Opaque).await;
    let session = world.session("alice").await;
    world.consent(&client, &alice, &session).await;
    all_grants(&world.store, alice.clone(), By { actor: Actor::User(alice.clone()), ..By::operator(NOW) })
        .await
        .unwrap()
        .unwrap();
    let seen = look(&world.store, &client, &alice).await.unwrap().unwrap();
    world.consent(&client, &alice, &session).await;
    let earlier = NOW.minus(Duration::from_secs(60));
    all_grants(
        &world.store,
        alice.clone(),
        By { actor: Actor::User(alice.clone()), ..By::operator(earlier) },
    )
    .await
    .unwrap()
    .unwrap();
    let basis = Basis::Approved(seen);
    let given = world.authorize(&client, &alice, &session, scope("a"), basis, NOW).await;
    assert!(matches!(given, Err(Error::Ask)), "the page showed nothing of that revocation");
}
