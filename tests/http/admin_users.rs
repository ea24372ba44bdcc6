//! `/admin/users`: acting for people and against them, and who may not.

use rescind::model::by::By;
use rescind::model::client::ClientKind;
use rescind::model::user::Role;
use rescind::service::moderate;
use rescind::service::revoke::{self, Apps};

use crate::harness::browser::Browser;
use crate::harness::fields::Fields;
use crate::harness::{Scene, World, scene};

async fn max(world: &World) -> Browser {
    world.with_role("max", Role::Admin).await
}

fn page_of(person: &Browser) -> String {
    format!("/admin/users/{}", person.id)
}

#[tokio::test]
async fn the_list_is_searched_and_filtered() {
    let Scene { world, .. } = scene().await;
    let max = max(&world).await;
    max.gets("/admin/users").await.page(200).shows(">alice<").shows(">max<");
    max.gets("/admin/users?q=ALI").await.page(200).shows(">alice<").hides(&page_of(&max));
    max.gets("/admin/users?role=admin").await.page(200).hides(">alice<");
    max.gets("/admin/users?status=disabled").await.page(200).shows("No user matches");
    max.gets("/admin/users?role=x&status=x&page=x").await.page(200).shows(">alice<");
}

#[tokio::test]
async fn revoking_all_access_of_a_user_ends_every_token_and_session() {
    let Scene { world, api, app, alice } = scene().await;
    let max = max(&world).await;
    let tokens = alice.connects(&app).await;
    let code = alice.authorizes(&app).await;
    let consent_app = world.public_client().await;
    let consent = alice.is_asked(&consent_app.request()).await;
    let path = format!("{}/revoke", page_of(&alice));
    let page =
        max.gets(&path).await.page(200).shows("1 app loses access to the account now. 2 sign-ins end.");
    let seen = Fields::reason().and("generation", &page.attribute("name=\"generation\"", "value"));
    let receipt = max.posts(&path, &seen).await.is(303).location().to_owned();
    assert!(receipt.starts_with("/receipts/rcp_"), "{receipt}");
    assert!(!api.accepts(&tokens.access).await);
    assert!(!app.can_refresh(&tokens).await);
    app.presents_code(&code).await.refuses(400, "invalid_grant");
    assert!(!alice.is_signed_in().await);
    alice.answers(&consent, "approve").await.is(303);
    assert_eq!(world.value::<i64>("SELECT count(*) FROM families WHERE user_generation > 1"), 0);
    // A stale repeat moves nothing.
    let before = world.contents();
    max.posts(&path, &seen).await.leads_to(&page_of(&alice));
    assert_eq!(world.contents(), before);
    // Who did it is for admins to know.
    alice.signs_in().await;
    alice.gets(&receipt).await.page(200).shows("by an admin").hides("by an admin, ");
    alice.is_asked(&app.request()).await;
}

#[tokio::test]
async fn disabling_a_user_ends_all_access_and_enabling_revives_none() {
    let Scene { world, api, app, alice } = scene().await;
    let max = max(&world).await;
    let tokens = alice.connects(&app).await;
    let path = format!("{}/disable", page_of(&alice));
    max.gets(&path).await.page(200).shows("1 app loses access to it").hides("suspend_apps");
    let receipt = max.posts(&path, &Fields::reason()).await.is(303).location().to_owned();
    assert!(receipt.starts_with("/receipts/rcp_"), "{receipt}");
    assert!(!api.accepts(&tokens.access).await);
    assert!(!app.can_refresh(&tokens).await);
    assert!(!alice.is_signed_in().await);
    let before = world.contents();
    max.posts(&path, &Fields::reason()).await.leads_to(&page_of(&alice));
    max.gets(&path).await.leads_to(&page_of(&alice));
    assert_eq!(world.contents(), before);

    let path = format!("{}/enable", page_of(&alice));
    max.gets(&path).await.page(200);
    max.posts(&path, &Fields::reason()).await.leads_to(&page_of(&alice));
    let before = world.contents();
    max.posts(&path, &Fields::reason()).await.leads_to(&page_of(&alice));
    assert_eq!(world.contents(), before);
    assert!(!api.accepts(&tokens.access).await);
    assert!(!alice.is_signed_in().await, "sessions of before stay dead");
    alice.elsewhere().signs_in().await;
}

#[tokio::test]
async fn disabling_a_developer_suspends_their_apps_unless_deselected() {
    let Scene { world, api, alice, .. } = scene().await;
    let max = max(&world).await;
    for (name, suspends) in [("dana", true), ("dora", false)] {
        let dana = world.with_role(name, Role::Developer).await;
        let owner = dana.id.clone();
        let app = world.client(ClientKind::Confidential, |new| new.owner = owner).await;
        let tokens = alice.connects(&app).await;
        let path = format!("{}/disable", page_of(&dana));
        max.gets(&path).await.page(200).shows("name=\"suspend_apps\" value=\"1\" checked");
        let both = |reason| Fields::new(&[("suspend_apps", "1"), ("reason", reason)]);
        let before = world.contents();
        max.posts(&path, &both("")).await.page(422).shows("Enter a reason");
        max.posts(&path, &Fields::default()).await.page(422).shows("Enter a reason");
        assert_eq!(world.contents(), before);
        let fields = if suspends { both("Its developer is away.") } else { Fields::reason() };
        max.posts(&path, &fields).await.is(303);
        assert_eq!(api.accepts(&tokens.access).await, !suspends);
        let page = alice.gets("/authorizations").await.page(200);
        if suspends {
            page.shows("Its developer is away.");
        }
    }
    assert_eq!(world.ledger(), ["user_disabled", "client_suspended", "user_disabled"]);
}

#[tokio::test]
async fn roles_change_at_once() {
    let Scene { world, alice, .. } = scene().await;
    let max = max(&world).await;
    let path = format!("{}/role", page_of(&alice));
    max.gets(&path).await.leads_to(&format!("{}#role", page_of(&alice)));
    alice.gets("/admin/apps").await.page(403);
    for _ in 0..2 {
        max.posts(&path, &Fields::reason().and("role", "admin")).await.leads_to(&page_of(&alice));
        alice.gets("/admin/apps").await.page(200);
    }
    max.posts(&path, &Fields::reason().and("role", "user")).await.leads_to(&page_of(&alice));
    alice.gets("/admin/apps").await.page(403);
    assert_eq!(world.ledger(), ["role_changed"; 2], "the same role again is no change");
    max.gets("/admin/ledger?q=alice")
        .await
        .page(200)
        .shows("alice’s role was changed")
        .shows("admin <q>It was looked at.</q>");
    let before = world.contents();
    for role in ["", "root", "Admin"] {
        max.posts(&path, &Fields::reason().and("role", role))
            .await
            .page(422)
            .shows("Choose one of the three roles");
    }
    assert_eq!(world.contents(), before);
}

#[tokio::test]
async fn nobody_moderates_their_own_account() {
    let Scene { world, .. } = scene().await;
    let max = max(&world).await;
    world.with_role("eve", Role::Admin).await;
    let page = max.gets(&page_of(&max)).await.page(200).shows("Ask another admin").hides("name=\"role\"");
    page.hides("/disable");
    let before = world.contents();
    let role = Fields::reason().and("role", "user");
    max.posts(&format!("{}/role", page_of(&max)), &role).await.page(400).shows("Ask another admin");
    max.gets(&format!("{}/disable", page_of(&max))).await.page(400).shows("Ask another admin");
    max.posts(&format!("{}/disable", page_of(&max)), &Fields::reason()).await.page(400);
    max.posts(&format!("{}/enable", page_of(&max)), &Fields::reason()).await.page(400);
    assert_eq!(world.contents(), before);
}

#[tokio::test]
async fn the_last_admin_can_not_be_removed() {
    let Scene { world, .. } = scene().await;
    let max = max(&world).await;
    let by = || By::operator(world.app.clock.now());
    let id = || max.id.clone();
    let refused = revoke::disable_user(&world.app.store, id(), Apps::Keep, by()).await;
    assert!(matches!(refused, Err(revoke::Error::LastAdmin)));
    let refused = moderate::set_role(&world.app.store, id(), Role::Developer, by()).await;
    assert!(matches!(refused, Err(moderate::Error::LastAdmin)));
    let eve = world.with_role("eve", Role::Admin).await;
    eve.posts(&format!("{}/role", page_of(&max)), &Fields::reason().and("role", "user")).await.is(303);
    max.posts(&format!("{}/role", page_of(&eve)), &Fields::reason().and("role", "user")).await.page(403);
}
