//! `/admin/apps/{client_id}/owner`: an app gets another developer, and nobody's access ends.

use rescind::model::client::ClientKind;
use rescind::model::user::Role;

use crate::harness::fields::Fields;
use crate::harness::{Scene, World, scene};

fn to(owner: &str) -> Fields {
    Fields::new(&[("owner", owner), ("reason", "She left.")])
}

async fn owned_by_dana(world: &World) -> (crate::harness::browser::Browser, crate::harness::client::Client) {
    let dana = world.with_role("dana", Role::Developer).await;
    let app = world.client(ClientKind::Confidential, |new| new.owner = dana.id.clone()).await;
    (dana, app)
}

#[tokio::test]
async fn an_app_goes_to_another_developer_and_tokens_stay() {
    let Scene { world, api, alice, .. } = scene().await;
    let (max, erik) =
        (world.with_role("max", Role::Admin).await, world.with_role("erik", Role::Developer).await);
    let (dana, app) = owned_by_dana(&world).await;
    let tokens = alice.connects(&app).await;
    let (own, page) = (format!("/apps/{}", app.id), format!("/admin/apps/{}", app.id));
    let path = format!("{page}/owner");
    max.gets(&path).await.page(200).shows("dana").shows("Paper Ltd");
    max.posts(&path, &to("erik")).await.leads_to(&page);
    dana.gets(&own).await.page(404);
    dana.posts(&format!("{own}/revoke-tokens"), &Fields::EMPTY).await.page(404);
    erik.gets(&own).await.page(200);
    assert!(api.accepts(&tokens.access).await && app.can_refresh(&tokens).await);
    max.gets(&page).await.page(200).shows("She left.").shows("erik");
    // Users are told nothing, since nothing that they read has changed.
    assert_eq!(alice.opens(&app.request()).await.status, 303);
    assert_eq!(world.value::<i64>("SELECT count(*) FROM client_changes"), 0);
}

#[tokio::test]
async fn a_new_owner_has_to_be_an_active_developer_or_admin() {
    let Scene { world, alice, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let erik = world.with_role("erik", Role::Developer).await;
    let (_, app) = owned_by_dana(&world).await;
    let path = format!("/admin/apps/{}/owner", app.id);
    world.disables(&erik).await;
    let before = world.contents()["clients"].clone();
    for (owner, says) in [
        ("", "Nobody has this username"),
        ("nobody", "Nobody has this username"),
        ("Not A Name", "Nobody has this username"),
        (alice.name.as_str(), "neither a developer"),
        ("erik", "disabled"),
        ("dana", "already"),
    ] {
        max.posts(&path, &to(owner)).await.page(422).shows(says);
    }
    max.posts(&path, &to("max").without("reason")).await.page(422).shows("value=\"max\"");
    assert_eq!(world.contents()["clients"], before);
}

#[tokio::test]
async fn an_admin_hands_over_apps_whose_owner_can_no_longer_manage_them() {
    let Scene { world, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let (dana, app) = owned_by_dana(&world).await;
    world.with_role("erik", Role::Developer).await;
    let page = format!("/admin/users/{}", dana.id);
    max.gets(&page).await.page(200).hides("can’t manage these apps");
    let demoted = Fields::new(&[("role", "user"), ("reason", "She left.")]);
    max.posts(&format!("{page}/role"), &demoted).await.is(303);
    let path = format!("/admin/apps/{}/owner", app.id);
    max.gets(&page).await.page(200).shows("can’t manage these apps").shows(&path);
    // Its ban stays what it is.
    let ban = Fields::new(&[("reason", "It lied.")]);
    max.posts(&format!("/admin/apps/{}/ban", app.id), &ban).await.is(303);
    world.disables(&dana).await;
    max.posts(&path, &to("erik")).await.is(303);
    let status: String = world.value(&format!("SELECT status FROM clients WHERE id = '{}'", app.id));
    assert_eq!(status, "banned");
    max.gets(&page).await.page(200).hides(&path);
}

#[tokio::test]
async fn an_admin_does_not_hand_over_an_own_app_that_is_suspended() {
    let Scene { world, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    world.with_role("erik", Role::Developer).await;
    let app = world.client(ClientKind::Confidential, |new| new.owner = max.id.clone()).await;
    world.suspends(&app).await;
    max.posts(&format!("/admin/apps/{}/owner", app.id), &to("erik")).await.page(400);
    let owner: String = world.value(&format!("SELECT owner_id FROM clients WHERE id = '{}'", app.id));
    assert_eq!(owner, max.id.to_string());
}
