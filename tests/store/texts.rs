//! What names and domains are compared by: made with each row, and at the start for rows of earlier versions.

use rescind::model::by::By;
use rescind::model::client::{AppName, ClientKind, GrantTypes, RedirectUri, TokenFormat};
use rescind::model::id::{ClientId, UserId};
use rescind::model::user::{Role, Username};
use rescind::service::register::{self, NewClient};
use rescind::service::revoke;
use rescind::store;
use rescind::store::client_lists::{ClientOrder, ClientSearch};
use rescind::store::user_lists::UserSearch;

use crate::engine::database::skips_on_postgres;
use crate::world::{NOW, World, operator};

async fn client(world: &World, owner: &UserId, name: &str) -> register::Result<ClientId> {
    let new = NewClient {
        owner: owner.clone(),
        name: AppName::parse(name).unwrap(),
        publisher: "Fotowerk".to_owned(),
        kind: ClientKind::Public,
        token_format: TokenFormat::Opaque,
        grant_types: GrantTypes::default(),
        scope: None,
        redirect_uris: vec![RedirectUri::parse("https://app.example/cb").unwrap()],
    };
    register::client(&world.store, new, By::operator(NOW)).await.map(|(id, _)| id)
}

async fn user(world: &World, name: &str, email: &'static str) -> UserId {
    let (id, name) = (UserId::generate(NOW), Username::parse(name).unwrap());
    let made = id.clone();
    let insert =
        move |tx: &store::Tx<'_>| tx.insert_user(&id, &name, Some(email), Role::User, "no hash", NOW);
    world.store.write(insert).await.unwrap();
    made
}

async fn apps(world: &World, text: &str) -> Vec<String> {
    let search = ClientSearch { text: text.to_owned(), status: None, order: ClientOrder::Name, page: 0 };
    let found = world.store.search_clients(&search).await.unwrap();
    found.rows.into_iter().map(|row| row.name.to_string()).collect()
}

async fn people(world: &World, text: &str) -> Vec<String> {
    let search = UserSearch { text: text.to_owned(), ..UserSearch::default() };
    let found = world.store.search_users(&search).await.unwrap();
    found.rows.into_iter().map(|row| row.username.to_string()).collect()
}

#[tokio::test]
async fn names_of_earlier_versions_are_searched_and_compared_after_the_next_start() {
    if skips_on_postgres("it has had these texts from its first version on") {
        return;
    }
    let world = World::new().await;
    let (ana, ben) =
        (user(&world, "ana", "ÄNNE@example.org").await, user(&world, "ben", "ben@example.org").await);
    client(&world, &ana, "Фотоальбом").await.unwrap();
    world.beside().batch("DELETE FROM client_texts; DELETE FROM user_texts");
    let world = world.reopened().await;
    assert_eq!(apps(&world, "ФОТО").await, ["Фотоальбом"]);
    assert_eq!(people(&world, "änne").await, ["ana"]);
    let looks_like = client(&world, &ben, "Фотоaльбом").await;
    assert!(matches!(looks_like, Err(register::Error::LooksLikeAnother)));
    let domain = world.store.clients_with_domain("app.example", &ClientId::generate(NOW)).await.unwrap();
    assert_eq!(domain.len(), 1);
}

#[tokio::test]
async fn a_search_for_people_ignores_case_in_every_script_and_knows_no_wildcards() {
    let world = World::new().await;
    user(&world, "ana", "Änne_1@Example.org").await;
    user(&world, "ben", "ben%@example.org").await;
    assert_eq!(people(&world, "ÄNNE").await, ["ana"]);
    assert_eq!(people(&world, "A\u{308}nne").await, ["ana"]);
    assert_eq!(people(&world, "BEN").await, ["ben"]);
    assert_eq!(people(&world, "%").await, ["ben"]);
    assert_eq!(people(&world, "_").await, ["ana"]);
    assert_eq!(people(&world, "").await, ["ana", "ben"]);
}

#[tokio::test]
async fn a_deleted_account_leaves_no_address_behind() {
    let world = World::new().await;
    let ana = user(&world, "ana", "anne@example.org").await;
    revoke::delete_user(&world.store, ana, operator()).await.unwrap();
    let left: i64 = world.beside().value("SELECT count(*) FROM user_texts", &[]);
    assert_eq!(left, 0);
}
