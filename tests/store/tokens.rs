//! Tokens whose places are taken.

use rescind::model::act::Act;
use rescind::model::id::ReceiptId;
use rescind::model::resource_server::AudienceSet;
use rescind::model::scope::Scope;
use rescind::model::secret::Digest;
use rescind::store::access_tokens::Allowance;
use rescind::store::revocations::Target;
use rescind::store::{self, Tx};

use crate::world::{NOW, World, after, operator};

/// All with the same place.
fn digest(n: u8) -> Digest {
    let mut bytes = [n; 32];
    bytes[..6].copy_from_slice(&Digest::beginning(NOW));
    bytes[6..9].copy_from_slice(&[1, 2, 3]);
    Digest::from_bytes(bytes)
}

#[tokio::test]
async fn up_to_eight_tokens_with_the_same_place_get_neighbouring_places() {
    let world = World::new().await;
    let ana = world.user("ana").await;
    let client = world.client(&ana).await;
    let insert = async |n: u8| {
        let client = client.clone();
        let write = move |tx: &Tx<'_>| {
            let allows = Allowance {
                scope: &Scope::default(),
                audiences: &AudienceSet::default(),
                expires_at: after(60),
            };
            tx.insert_client_access_token(&digest(n), &client, &allows, NOW)
        };
        world.store.write(write).await
    };
    let is_live = async |n: u8| world.store.live_access_token(&digest(n), NOW).await.unwrap().is_some();
    for n in 0..8 {
        assert!(insert(n).await.unwrap());
    }
    assert!(matches!(insert(8).await, Err(store::Error::Unavailable(_))));
    for (n, live) in [(0, true), (3, true), (7, true), (8, false)] {
        assert_eq!(is_live(n).await, live, "token {n}");
    }
    let revoke = async |n: u8| {
        let revoke = move |tx: &Tx<'_>| {
            let token = digest(n);
            let owned = tx.owned_access_token(&token)?.unwrap();
            let target = Target::AccessToken(&token, owned);
            tx.revoke(target, Act::AccessTokenRevoked, &ReceiptId::generate(NOW), &operator())
        };
        world.store.write(revoke).await.unwrap()
    };
    assert!(revoke(3).await);
    for (n, live) in [(0, true), (3, false), (7, true)] {
        assert_eq!(is_live(n).await, live, "token {n}");
    }
    assert!(insert(8).await.unwrap(), "the place that became free");
    assert!(is_live(8).await);
    let suspend = "UPDATE clients SET status = 'suspended'";
    world.beside().run(suspend, &[]);
    assert!(revoke(0).await);
    assert!(!insert(9).await.unwrap(), "a client that may not act gets none, and no error");
}
