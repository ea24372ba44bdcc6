//! What is remembered of an access token ends with its row, whatever ended that.

use rescind::clock::Clock;
use rescind::model::id::{ClientId, UserId};
use rescind::model::secret::{AccessToken, Digest};
use rescind::service::issue;
use rescind::service::revoke::{self, Authority, Token};

use crate::engine::database::catch_up;
use crate::world::{LIVES, NOW, World, after, opaque, operator};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    ByItself,
    Device,
    App,
    TokensOfClient,
    User,
    Expiry,
}

/// A token of a user's device, one that the client got for itself, and one of somebody else's, who has another app.
struct Tokens {
    world: World,
    user: UserId,
    client: ClientId,
    device: AccessToken,
    own: Digest,
    other: Digest,
}

impl Tokens {
    async fn remembered() -> Self {
        let world = World::new().await;
        let (user, other_user) = (world.user("ana").await, world.user("ben").await);
        let (client, other_client) = (world.client(&user).await, world.client(&other_user).await);
        let device = opaque(world.device(&client, &user, NOW).await.access_token);
        let terms = world.terms(&client, after(1)).await;
        let own = issue::for_client(&world.store, crate::world::scope(), terms).await.unwrap();
        let own = opaque(own.access_token).digest();
        let other = opaque(world.device(&other_client, &other_user, after(2)).await.access_token).digest();
        let tokens = Self { world, user, client, device, own, other };
        assert_eq!(tokens.live().await, [true; 3]);
        tokens
    }

    async fn live(&self) -> [bool; 3] {
        let is_live = async |token| self.world.store.live_access_token(token, NOW).await.unwrap().is_some();
        [is_live(&self.device.digest()).await, is_live(&self.own).await, is_live(&self.other).await]
    }

    async fn end(&self, end: End) {
        let (store, by) = (&self.world.store, operator());
        let stamp = store.live_access_token(&self.device.digest(), NOW).await.unwrap().unwrap().stamp;
        let (user, client) = (self.user.clone(), self.client.clone());
        match end {
            End::ByItself => {
                let token = AccessToken::parse(self.device.expose()).unwrap();
                revoke::token(store, Token::Access(token), Some(client), by).await.map(drop).unwrap();
            }
            End::Device => {
                let (grant, family) = (stamp.grant.unwrap(), stamp.family.unwrap());
                revoke::device(store, user, grant, family, by).await.map(drop).unwrap();
            }
            End::App => revoke::any_grant(store, stamp.grant.unwrap(), by).await.map(drop).unwrap(),
            End::TokensOfClient => {
                let authority = Authority::Provider;
                revoke::client_tokens(store, client, authority, None, by).await.map(drop).unwrap();
            }
            End::User => revoke::user(store, user, None, by).await.map(drop).unwrap(),
            End::Expiry => {}
        }
        let now = if end == End::Expiry { after(3600) } else { NOW };
        catch_up(store, &Clock::fixed(now), LIVES.refresh_grace).await.unwrap();
        assert!(!store.is_purging());
    }
}

#[tokio::test]
async fn a_token_whose_row_was_deleted_leaves_the_cache() {
    for (end, live) in [
        (End::ByItself, [false, true, true]),
        (End::Device, [false, true, true]),
        (End::App, [false, true, true]),
        (End::TokensOfClient, [false, false, true]),
        (End::User, [false, true, true]),
        // Asked for by a clock that was set back: the one that had not expired is there.
        (End::Expiry, [false, true, true]),
    ] {
        let tokens = Tokens::remembered().await;
        tokens.end(end).await;
        assert_eq!(tokens.live().await, live, "{end:?}");
    }
}

#[tokio::test]
async fn other_tokens_stay_in_the_cache_when_one_leaves() {
    for end in [End::ByItself, End::Device, End::App, End::User] {
        let tokens = Tokens::remembered().await;
        tokens.end(end).await;
        let client = tokens.world.client(&tokens.user).await;
        let terms = tokens.world.terms(&client, NOW).await;
        let unasked = issue::for_client(&tokens.world.store, crate::world::scope(), terms).await;
        let unasked = opaque(unasked.unwrap().access_token).digest();
        // Where the store does not see it, rows leave: whoever is found now was remembered.
        tokens.world.beside().run("DELETE FROM tokens", &[]);
        assert_eq!(tokens.live().await, [false, true, true], "{end:?}");
        assert!(tokens.world.store.live_access_token(&unasked, NOW).await.unwrap().is_none());
    }
}
