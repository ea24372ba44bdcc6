//! What was written stays readable: scopes that add up, and rows of earlier versions.

use rescind::model::client::{ClientKind, TokenFormat};
use rescind::model::user::Role;

use crate::harness::client::Tokens;
use crate::harness::engine::database::is_postgres;
use crate::harness::fields::Fields;
use crate::harness::{PASSWORD, Scene, World, scene};

fn names(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("scope-{number:02}")).collect()
}

/// Two times forty scopes are more than one request may ask for.
async fn scene_with_80_scopes() -> Scene {
    let scene = scene().await;
    let more = names(0..80);
    scene.world.api("https://many.example", &more.iter().map(String::as_str).collect::<Vec<_>>()).await;
    scene
}

#[tokio::test]
async fn consents_that_add_up_to_more_than_64_scopes_stay_readable() {
    let Scene { world, app, alice, .. } = scene_with_80_scopes().await;
    for half in [names(0..40), names(40..80)] {
        let request = app.request().with("scope", &half.join(" "));
        let tokens = app.redeems(&alice.authorizes_request(&app, &request).await).await;
        assert_eq!(app.refreshes(&tokens).await.scope, half.join(" "));
    }
    alice.gets("/authorizations").await.page(200).shows("May scope-00").shows("May scope-79");
    let grant = alice.grant_of(&app).await;
    alice.gets(&format!("/authorizations/{grant}")).await.page(200).shows("May scope-79");
    alice.gets("/account/export").await.is(200).shows("scope-79");
    let max = world.with_role("max", Role::Admin).await;
    max.gets(&format!("/admin/users/{}", alice.id)).await.page(200);
    let form = Fields::new(&[("current_password", PASSWORD), ("new_password", "another long password")]);
    alice.posts("/account/taken-over", &form).await.is(303);
    alice.gets("/authorizations").await.page(200);
    alice.gets("/authorizations?ended=1").await.page(200);
    let form = Fields::new(&[("current_password", "another long password"), ("username", "alice")]);
    alice.posts("/account/delete", &form).await.is(303);
}

#[tokio::test]
async fn a_request_without_scope_gets_all_that_the_client_may_have_in_each_token_format() {
    for format in TokenFormat::ALL {
        let world = World::new().await;
        let more = names(0..70);
        let api =
            world.api("https://many.example", &more.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let app = world.client(ClientKind::Confidential, |new| new.token_format = format).await;
        let alice = world.signed_in("alice").await;
        let code = alice.authorizes_request(&app, &app.request().without("scope")).await;
        let tokens = Tokens::read(&app.presents_code(&code).await);
        assert_eq!(tokens.scope, more.join(" "));
        let tokens = app.refreshes(&tokens).await;
        assert_eq!(api.introspects(&tokens.access).await["scope"], more.join(" "), "{format:?}");
        alice.gets("/authorizations").await.page(200).shows("May scope-69");
    }
}

#[tokio::test]
async fn a_jwt_that_could_not_be_read_again_is_not_issued_and_uses_nothing_up() {
    let world = World::new().await;
    let long: Vec<String> = (0..150).map(|number| format!("scope-{number:03}-{}", "x".repeat(54))).collect();
    let api = world.api("https://many.example", &long.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let app = world.client(ClientKind::Confidential, |new| new.token_format = TokenFormat::Jwt).await;
    let alice = world.signed_in("alice").await;
    let code = alice.authorizes_request(&app, &app.request().without("scope")).await;
    for _ in 0..2 {
        app.presents_code(&code).await.refuses(400, "invalid_scope");
    }
    // The longest that is issued is read again, by introspection at least.
    let most = (4 * 1024) / (long[0].len() + 1);
    let code = alice.authorizes_request(&app, &app.request().with("scope", &long[..most].join(" "))).await;
    let tokens = app.redeems(&code).await;
    assert!(tokens.access.len() > 5_000, "{}", tokens.access.len());
    assert!(api.accepts(&tokens.access).await);
}

#[tokio::test]
async fn an_app_may_be_registered_for_more_than_64_scopes() {
    let Scene { world, .. } = scene_with_80_scopes().await;
    let max = world.with_role("max", Role::Admin).await;
    let form =
        Fields::new(&[("name", "Album"), ("redirect_uri", "https://album.example/cb"), ("type", "public")]);
    let form = names(0..80).iter().fold(form, |form, name| form.and("scope", name));
    let page = max.posts("/apps/new", &form).await.is(303).location().to_owned();
    max.gets(&page).await.page(200).shows("May scope-79");
    max.gets("/apps").await.page(200).shows("Album");
    max.posts(&page, &form).await.is(303);
}

/// Sets what no form accepts, or accepts any more.
fn forces(world: &World, sql: &str) {
    let database = world.connects();
    database.ignore_checks();
    database.batch(sql);
}

#[tokio::test]
async fn values_that_forms_refuse_today_are_shown_as_they_are() {
    let Scene { world, api, app, alice } = scene().await;
    let tokens = alice.connects(&app).await;
    let max = world.with_role("max", Role::Admin).await;
    for sql in [
        &format!("UPDATE clients SET name = '\u{1d173}Prints{}'", "\u{300}".repeat(6)),
        &format!("UPDATE clients SET name = '{}', publisher = '\u{200b}'", "Prints ".repeat(40)),
        "UPDATE clients SET redirect_uris = 'https:evil.example/cb\nno address at all'",
        "UPDATE clients SET grant_types = 'authorization_code refresh_token password'",
        "UPDATE clients SET scope = 'read write \"quoted\" \u{fc}mlaut'",
        "UPDATE clients SET kind = 'unknown'",
        "UPDATE grants SET scope = scope || ' gone \"quoted\"'",
        "UPDATE users SET email = 'no address', role = 'unknown' WHERE username = 'alice'",
        "UPDATE sessions SET device = '\u{202e}x'",
        "UPDATE users SET username = 'Alice Ü' WHERE username = 'alice'",
    ] {
        forces(&world, sql);
        alice.gets("/authorizations").await.page(200).shows("Prints");
        alice.gets("/account").await.page(200);
        alice.gets("/account/export").await.is(200);
        alice.gets("/account/delete").await.page(200);
        alice.gets("/account/taken-over").await.page(200);
        for page in ["/admin/apps", "/admin/users", "/admin/ledger", "/admin/resource-servers", "/apps"] {
            max.gets(page).await.page(200);
        }
        max.gets(&format!("/admin/apps/{}", app.id)).await.page(200);
        max.gets(&format!("/admin/apps/{}/ban", app.id)).await.page(200);
        max.gets(&format!("/admin/users/{}", alice.id)).await.page(200);
        assert!(api.accepts(&tokens.access).await, "{sql}");
    }
}

#[tokio::test]
async fn one_row_that_cannot_be_read_takes_no_list_down() {
    let Scene { world, app, alice, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let other = world.public_client().await;
    alice.connects(&app).await;
    alice.connects(&other).await;
    // Texts of PostgreSQL are UTF-8 in any case.
    if !is_postgres() {
        forces(
            &world,
            &format!("UPDATE grants SET scope = CAST(x'ff' AS TEXT) WHERE client_id = '{}'", other.id),
        );
        alice.gets("/authorizations").await.page(200).shows("Prints");
        alice.gets("/account/export").await.is(200);
        let app = format!("UPDATE clients SET publisher = CAST(x'ff' AS TEXT) WHERE id = '{}'", other.id);
        forces(&world, &app);
        max.gets("/admin/apps").await.page(200).shows("Prints");
        world.person("bob").await;
        forces(&world, "UPDATE users SET email = CAST(x'ff' AS TEXT) WHERE username = 'bob'");
        max.gets("/admin/users").await.page(200).shows(">alice<");
    }
    world.api("https://broken.example", &["broken"]).await;
    forces(
        &world,
        "UPDATE resource_servers SET secret_digest = substr(secret_digest, 1, 1) WHERE audience = 'https://broken.example'",
    );
    world.api("https://later.example", &["later"]).await;
    max.gets("/admin/resource-servers").await.page(200).shows("https://photos.example");
    alice.is_asked(&app.request().with("scope", "read write later")).await;
}
