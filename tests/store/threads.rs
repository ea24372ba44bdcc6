//! What one thread keeps in memory ends with what is done on another.

use std::time::Duration;

use futures_util::FutureExt as _;
use rescind::model::act::Act;
use rescind::model::by::By;
use rescind::model::client::{AppName, RedirectUri, TokenFormat};
use rescind::model::id::{ClientId, ReceiptId, UserId};
use rescind::model::resource_server::AudienceSet;
use rescind::model::secret::Digest;
use rescind::service::register::{self, ClientEdit};
use rescind::service::revoke;
use rescind::store::Tx;
use rescind::store::access_tokens::OwnedToken;
use rescind::store::revocations::Target;
use rescind::thread;
use tokio::runtime::Handle;

use crate::engine::database::is_postgres;
use crate::live::digest_of;
use crate::world::{NOW, World, after, operator};

/// A world with a client and a device of it, and the device's token.
async fn device() -> (World, UserId, ClientId, Digest) {
    let world = World::new().await;
    let ana = world.user("ana").await;
    let client = world.client(&ana).await;
    let token = digest_of(&world.device(&client, &ana, NOW).await.access_token);
    (world, ana, client, token)
}

/// What `look` finds on each of the threads that answer requests. On SQLite it does not wait; on PostgreSQL it asks.
fn everywhere<T: Send + PartialEq + std::fmt::Debug>(look: impl AsyncFn() -> T + Sync) -> T {
    let here = Handle::current();
    let on = |number| {
        std::thread::scope(|scope| {
            let looking = scope.spawn(|| {
                thread::set_number(number);
                if is_postgres() { here.block_on(look()) } else { look().now_or_never().unwrap() }
            });
            looking.join().unwrap()
        })
    };
    let first = on(0);
    for number in 1..thread::count().get() {
        assert_eq!(on(number), first, "thread {number}");
    }
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn every_thread_sees_at_once_a_change_answered_on_another() {
    let (world, ana, client, token) = device().await;
    let store = &world.store;
    let facts = store.live_access_token(&token, NOW).await.unwrap().unwrap();
    let opaque = async || store.live_access_token(&token, NOW).await.unwrap().is_some();
    let jwt = async || !store.is_dead(&facts).await.unwrap();
    let asks = async || store.client_and_secrets(&client, NOW).await.unwrap().unwrap();
    let secrets = async || asks().await.secrets(NOW).cloned().collect::<Vec<_>>();
    let registered = async || {
        let client = asks().await;
        (client.name.as_str().to_owned(), client.token_format, client.status.is_active())
    };

    assert_eq!(everywhere(registered), ("Fotowerk".to_owned(), TokenFormat::Opaque, true));
    let edit = ClientEdit {
        name: AppName::parse("Album").unwrap(),
        publisher: "Fotowerk Prints".to_owned(),
        redirect_uris: vec![RedirectUri::parse("https://app.example/cb").unwrap()],
        scope: None,
        token_format: TokenFormat::Jwt,
    };
    register::edit_client(store, client.clone(), ana.clone(), edit, By::operator(NOW)).await.unwrap();
    assert_eq!(everywhere(registered), ("Album".to_owned(), TokenFormat::Jwt, true));

    let earlier = everywhere(secrets);
    let overlap = Duration::ZERO;
    register::rotate_secret(store, client.clone(), ana.clone(), overlap, By::operator(NOW)).await.unwrap();
    let later = everywhere(secrets);
    assert_eq!((earlier.len(), later.len()), (1, 1));
    assert_ne!(earlier, later);

    assert!(everywhere(opaque) && everywhere(jwt));
    let (id, by) = (client.clone(), operator());
    revoke::suspend_client(store, id, "It misbehaves.".to_owned(), by).await.unwrap();
    assert!(!everywhere(opaque) && !everywhere(jwt));
    assert!(!everywhere(registered).2);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_thread_refuses_a_jwt_that_was_revoked_by_itself() {
    let (world, _, client, token) = device().await;
    let store = &world.store;
    let mut facts = store.live_access_token(&token, NOW).await.unwrap().unwrap();
    "jti".clone_into(&mut facts.id);
    let lives = async || !store.is_dead(&facts).await.unwrap();
    assert!(everywhere(lives));
    let revoke = move |tx: &Tx<'_>| {
        let owned = OwnedToken {
            client: client.clone(),
            grant: None,
            user: None,
            audiences: AudienceSet::stored("api"),
        };
        let target = Target::Jwt("jti", after(600), owned);
        tx.revoke(target, Act::AccessTokenRevoked, &ReceiptId::generate(NOW), &operator())
    };
    assert!(store.write(revoke).await.unwrap());
    assert!(!everywhere(lives));
}
