//! Accounts, whose last admin stays, and signing keys.

use std::time::Duration;

use rescind::model::by::By;
use rescind::model::user::Role;
use rescind::service::revoke::{self, Apps};
use rescind::service::{moderate, register};

use super::world::{NOW, Node, World, at_once};

/// How an admin stops being one.
#[derive(Clone, Copy, Debug)]
enum End {
    Disabled,
    Demoted,
    Deleted,
}

async fn end(node: Node, how: End, admin: rescind::model::id::UserId) -> bool {
    let by = By::operator(NOW);
    match how {
        End::Disabled => match revoke::disable_user(&node.store, admin, Apps::Keep, by).await {
            Err(revoke::Error::LastAdmin) => false,
            ended => ended.unwrap().is_some(),
        },
        End::Deleted => match revoke::delete_user(&node.store, admin, by).await {
            Err(revoke::Error::LastAdmin) => false,
            ended => ended.unwrap().is_some(),
        },
        End::Demoted => match moderate::set_role(&node.store, admin, Role::User, by).await {
            Err(moderate::Error::LastAdmin) => false,
            ended => {
                ended.unwrap();
                true
            }
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_admin_is_left() {
    let (world, [one, other]) = World::with().await;
    let ways = [End::Disabled, End::Demoted, End::Deleted];
    for round in 0..45 {
        let admins = [
            one.user(&format!("a{round}"), Role::Admin).await,
            one.user(&format!("b{round}"), Role::Admin).await,
        ];
        let [first, second] = admins;
        let (how, also) = (ways[round % 3], ways[round / 3 % 3]);
        let (first, second) = at_once(end(one.clone(), how, first), end(other.clone(), also, second)).await;
        assert_ne!(first, second, "{round}: {how:?} {also:?}");
        let left = "SELECT count(*) FROM users WHERE role = 'admin' AND status = 'active'";
        assert_eq!(world.number(left), 1, "{round}: {how:?} {also:?}");
        world.database.query("UPDATE users SET role = 'user'");
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_owns_no_app() {
    let (world, [one, other]) = World::with().await;
    let mut orders = [0; 2];
    for round in 0..80 {
        let owner = one.user(&format!("dev{round}"), Role::Developer).await;
        let registration = {
            let (node, owner) = (one.clone(), owner.clone());
            async move { node.try_client(&owner, "Fotowerk", "app.example").await }
        };
        let deletion = {
            let (store, owner) = (other.store.clone(), owner.clone());
            async move { revoke::delete_user(&store, owner, By::operator(NOW)).await }
        };
        let (registered, deleted) = at_once(registration, deletion).await;
        match (registered, deleted) {
            (Ok(_), Err(revoke::Error::HasApps)) => orders[0] += 1,
            (Err(register::Error::NoOwner), Ok(Some(_))) => orders[1] += 1,
            both => panic!("{round}: {both:?}"),
        }
    }
    assert!(orders.iter().all(|rounds| *rounds > 0), "{orders:?}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rotations_publish_one_key() {
    let (world, [one, other]) = World::with().await;
    for round in 1..=40 {
        // Later than the last key began to sign.
        let now = NOW.plus(Duration::from_secs(100 * round));
        let [mine, yours] = [&one, &other].map(|node| {
            let node = node.clone();
            async move { node.keys.rotate(&node.store, By::operator(now)).await.unwrap() }
        });
        let (mine, yours) = at_once(mine, yours).await;
        assert_eq!(mine, yours, "{round}");
        let keys = i64::try_from(round).unwrap() + 1;
        assert_eq!(world.number("SELECT count(*) FROM signing_keys"), keys, "{round}");
    }
    world.close().await;
}
