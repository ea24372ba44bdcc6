//! Apps that are registered and changed while another server bans, gives away or registers.

use std::time::Duration;

use rescind::model::by::By;
use rescind::model::client::{AppName, RedirectUri, TokenFormat};
use rescind::model::user::Role;
use rescind::service::register::{self, ClientEdit, NewResourceServer};
use rescind::service::revoke;

use super::world::{NOW, World, at_once};

/// Once a ban is answered, the list of apps at its domain does not grow.
#[tokio::test(flavor = "multi_thread")]
async fn no_app_appears_at_a_banned_domain() {
    let (world, [one, other]) = World::with().await;
    let owner = one.user("dev", Role::Developer).await;
    let mut orders = [0; 2];
    for round in 0..100 {
        let domain = format!("host{round}.example");
        let banned = one.client(&owner, &domain).await;
        let registration = {
            let (node, owner, domain) = (one.clone(), owner.clone(), domain.clone());
            async move { node.try_client(&owner, "Fotowerk", &domain).await }
        };
        let ban = {
            let (store, banned) = (other.store.clone(), banned.clone());
            async move {
                revoke::ban_client(&store, banned.clone(), "Spam".to_owned(), By::operator(NOW))
                    .await
                    .unwrap();
                store.clients_with_domain(&domain, &banned).await.unwrap().len()
            }
        };
        let (registered, seen) = at_once(registration, ban).await;
        match registered {
            Ok(_) => {
                orders[0] += 1;
                assert_eq!(seen, 1, "{round}: it was registered after the ban");
            }
            Err(register::Error::BannedRedirect) => {
                orders[1] += 1;
                assert_eq!(seen, 0, "{round}");
            }
            Err(error) => panic!("{round}: {error}"),
        }
    }
    assert!(orders.iter().all(|rounds| *rounds > 0), "{orders:?}");
    world.close().await;
}

/// The ban is for the addresses that the app has then.
#[tokio::test(flavor = "multi_thread")]
async fn a_ban_covers_the_addresses_that_the_app_ends_with() {
    let (world, [one, other]) = World::with().await;
    let owner = one.user("dev", Role::Developer).await;
    for round in 0..60 {
        let client = one.client(&owner, &format!("old{round}.example")).await;
        let edit = {
            let (store, client, owner) = (one.store.clone(), client.clone(), owner.clone());
            let edit = ClientEdit {
                name: AppName::parse("Fotowerk").unwrap(),
                publisher: "Fotowerk".to_owned(),
                redirect_uris: vec![RedirectUri::parse(&format!("https://new{round}.example/cb")).unwrap()],
                scope: None,
                token_format: TokenFormat::Opaque,
            };
            async move { register::edit_client(&store, client, owner, edit, By::operator(NOW)).await }
        };
        let ban = {
            let (store, client) = (other.store.clone(), client.clone());
            async move { revoke::ban_client(&store, client, "Spam".to_owned(), By::operator(NOW)).await }
        };
        let (edited, banned) = at_once(edit, ban).await;
        assert!(banned.unwrap().is_some(), "{round}");
        let kind = if edited.is_ok() { "new" } else { "old" };
        let domains =
            format!("SELECT string_agg(domain, ' ') FROM banned_domains WHERE client_id = '{client}'");
        assert_eq!(world.database.query(&domains), format!("{kind}{round}.example"), "{round}");
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_look_alikes_are_not_both_registered() {
    let (world, [one, other]) = World::with().await;
    let (mine, yours) = (one.user("dev", Role::Developer).await, one.user("other", Role::Developer).await);
    for round in 0..50 {
        // A Latin and a Cyrillic letter that look the same.
        let names = [format!("Paint {round}"), format!("P\u{430}int {round}")];
        let [first, second] =
            [(&one, &mine, &names[0]), (&other, &yours, &names[1])].map(|(node, owner, name)| {
                let (node, owner, name) = (node.clone(), owner.clone(), name.clone());
                async move { node.try_client(&owner, &name, "app.example").await }
            });
        let both = at_once(first, second).await;
        let refused = |result: &register::Result<_>| matches!(result, Err(register::Error::LooksLikeAnother));
        assert!(
            both.0.is_ok() && refused(&both.1) || refused(&both.0) && both.1.is_ok(),
            "{round}: {both:?}"
        );
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_resource_servers_do_not_share_an_audience() {
    let (world, [one, other]) = World::with().await;
    for round in 0..50 {
        let [first, second] = [(&one, ""), (&other, "/")].map(|(node, slash)| {
            let new = NewResourceServer {
                name: format!("API {round}"),
                audience: format!("https://api{round}.example{slash}"),
                scopes: Vec::new(),
                guarding: rescind::model::resource_server::Guarding::default(),
            };
            let store = node.store.clone();
            async move { register::resource_server(&store, new, By::operator(NOW)).await.map(drop) }
        });
        let both = at_once(first, second).await;
        let registered = [&both.0, &both.1].iter().filter(|result| result.is_ok()).count();
        assert_eq!(registered, 1, "{round}: {both:?}");
    }
    world.close().await;
}

/// A cache that was made at one version is used until there is a higher one.
#[tokio::test(flavor = "multi_thread")]
async fn the_version_of_apps_does_not_run_ahead_of_the_database() {
    let (world, [one, _]) = World::with::<2>().await;
    let owner = one.user("dev", Role::Developer).await;
    let client = one.client(&owner, "app.example").await;
    let token = one.own_token(&client).await;
    // Somebody always asks, so the version is read from the database all the while.
    let asking = tokio::spawn({
        let node = one.clone();
        async move {
            loop {
                node.accepts(&token).await;
            }
        }
    });
    for round in 0..40 {
        let by = By::operator(NOW);
        register::rotate_secret(&one.store, client.clone(), owner.clone(), Duration::ZERO, by).await.unwrap();
        let version = *one.store.version_moved().borrow();
        let stored = world.number("SELECT config FROM head");
        assert_eq!(version, stored.unsigned_abs(), "{round}");
    }
    asking.abort();
    world.close().await;
}
