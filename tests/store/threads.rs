//! What one thread keeps in memory ends with what is done on another.

use std::time::Duration;

use rescind::model::by::By;
use rescind::model::client::{AppName, RedirectUri, TokenFormat};
use rescind::model::id::{ClientId, UserId};
use rescind::model::secret::Digest;
use rescind::model::stamp::is_live;
use rescind::service::register::{self, ClientEdit};
use rescind::service::revoke;
use rescind::store::revoked_tokens::JwtStanding;
use rescind::thread;

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

/// What `look` finds on each of the threads that answer requests.
fn everywhere<T: Send + PartialEq + std::fmt::Debug>(look: impl Fn() -> T + Sync) -> T {
    let on = |number| {
        std::thread::scope(|scope| {
            let looking = scope.spawn(|| {
                thread::set_number(number);
                look()
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

#[tokio::test]
async fn every_thread_sees_at_once_what_was_answered_on_another() {
    let (world, ana, client, token) = device().await;
    let store = &world.store;
    let facts = store.live_access_token(&token, NOW).unwrap().unwrap();
    let opaque = || store.live_access_token(&token, NOW).unwrap().is_some();
    let expires_at = after(600);
    let jwt = || {
        let lives =
            |now: &JwtStanding| !now.is_revoked && is_live(facts.stamp.generations, now.now, expires_at, NOW);
        store.jwt_standing("jti", &facts.stamp, lives).unwrap().is_some()
    };
    let asks = || store.client_and_secrets(&client, NOW).unwrap().unwrap();
    let secrets = || asks().secrets(NOW).cloned().collect::<Vec<_>>();
    let registered = || (asks().name.as_str().to_owned(), asks().token_format, asks().status.is_active());

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

#[tokio::test]
async fn every_thread_refuses_a_jwt_that_was_revoked_by_itself() {
    let (world, _, client, token) = device().await;
    let store = &world.store;
    let facts = store.live_access_token(&token, NOW).unwrap().unwrap();
    let lives = || store.jwt_standing("jti", &facts.stamp, |now| !now.is_revoked).unwrap().is_some();
    assert!(everywhere(lives));
    store.write(move |tx| tx.insert_revoked_token("jti", &client, after(600))).await.unwrap();
    assert!(!everywhere(lives));
}
