//! Who may call what, taken from the table itself: a new route is covered without an edit here.

use rescind::model::user::Role;
use rescind::routes::{Caller, Route, TABLE};

use crate::harness::browser::{Browser, From};
use crate::harness::fields::Fields;
use crate::harness::{Scene, World, scene};

/// The routes of pages that need more than being signed in.
fn guarded() -> Vec<&'static Route> {
    let routes = TABLE.iter().filter(|route| matches!(route.caller, Caller::Developer | Caller::Admin));
    let routes: Vec<_> = routes.collect();
    assert!(routes.len() > 20, "{routes:?}");
    routes
}

/// The route's path with things that exist in place of its parameters.
async fn path_of(scene: &Scene, route: &Route) -> String {
    let fill =
        |path: &str| path.replace("{client_id}", &scene.app.id).replace("{user_id}", scene.alice.id.as_str());
    // Any other parameter gets what nothing is called; who may call is asked before what there is.
    let parts = fill(route.path);
    let parts: Vec<&str> =
        parts.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
    parts.join("/")
}

async fn calls(browser: &Browser, method: &str, path: &str) -> crate::harness::answer::Answer {
    match method {
        "get" => browser.gets(path).await,
        _ => browser.posts(path, &Fields::new(&[("reason", "It lied."), ("role", "admin")])).await,
    }
}

#[tokio::test]
async fn visitors_are_asked_to_sign_in() {
    let scene = scene().await;
    let visitor = scene.alice.elsewhere();
    let before = scene.world.contents();
    for route in guarded() {
        let path = path_of(&scene, route).await;
        calls(&visitor, route.method, &path).await.asks_to_sign_in(&path);
    }
    assert_eq!(scene.world.contents(), before);
}

#[tokio::test]
async fn lower_roles_are_refused() {
    let scene = scene().await;
    let dana = scene.world.with_role("dana", Role::Developer).await;
    let before = scene.world.contents();
    for route in guarded() {
        let path = path_of(&scene, route).await;
        calls(&scene.alice, route.method, &path).await.page(403).shows("Your account can’t open this page");
        if route.caller == Caller::Admin {
            calls(&dana, route.method, &path).await.page(403).shows("Your account can’t open this page");
        }
    }
    assert_eq!(scene.world.contents(), before);
}

#[tokio::test]
async fn other_sites_are_refused() {
    let scene = scene().await;
    let max = scene.world.with_role("max", Role::Admin).await;
    let before = scene.world.contents();
    for route in guarded().into_iter().filter(|route| route.method == "post") {
        let path = path_of(&scene, route).await;
        for from in From::OTHERS {
            let fields = Fields::new(&[("reason", "It lied."), ("role", "admin"), ("name", "Prints")]);
            max.posts_from(from, &path, &fields).await.page(403).shows("another site");
        }
    }
    assert_eq!(scene.world.contents(), before);
}

#[tokio::test]
async fn admins_get_404_for_unknown_ids() {
    let scene = scene().await;
    let max = scene.world.with_role("max", Role::Admin).await;
    let before = scene.world.contents();
    let named = |route: &&Route| route.caller == Caller::Admin && route.path.contains('{');
    for route in guarded().into_iter().filter(named) {
        // Well-formed ids of nobody, ids of another kind, and no ids at all.
        for id in ["cli_00000000000000000000", "usr_00000000000000000000", "x", "%00", "..%2f.."] {
            let path = route.path.replace("{client_id}", id).replace("{user_id}", id);
            let answer = calls(&max, route.method, &path).await;
            // The role form stands on the account's page, which then says so.
            let is_detour = route.path.ends_with("/role") && answer.status == 303;
            assert!(answer.status == 404 || is_detour || id.starts_with('%'), "{path} {}", answer.status);
        }
    }
    assert_eq!(scene.world.contents(), before);
}

/// The route's path with things of Alice's and of Dana's in place of its parameters.
fn path_of_what_exists(world: &World, app: &str, route: &Route) -> String {
    let id = |sql: &str| world.value::<String>(sql);
    route
        .path
        .replace("{client_id}", app)
        .replace("{user_id}", &id("SELECT id FROM users WHERE username = 'alice'"))
        .replace("{grant_id}", &id("SELECT id FROM grants LIMIT 1"))
        .replace("{family_id}", &id("SELECT id FROM families LIMIT 1"))
        .replace("{session_id}", &id("SELECT id FROM sessions LIMIT 1"))
        .replace("{receipt_id}", &id("SELECT receipt_id FROM ledger LIMIT 1"))
        .replace("{resource_server_id}", &id("SELECT id FROM resource_servers LIMIT 1"))
        .replace("{name}", "rescind.css")
}

/// GET and HEAD are safe (RFC 9110 §9.2.1). Only a visit to `/oauth/authorize` under a standing consent gives a code
/// (tests/http/consent.rs).
#[tokio::test]
async fn looking_at_a_page_changes_nothing() {
    let Scene { world, app, alice, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let developer = world.with_role("developer", Role::Developer).await;
    let tokens = alice.connects(&app).await;
    app.revokes(&tokens.access).await.is(200);
    let before = world.contents();
    let is_page = |route: &&Route| route.method == "get" && route.caller != Caller::ResourceServer;
    for route in TABLE.iter().filter(is_page) {
        let path = path_of_what_exists(&world, &app.id, route);
        for browser in [&alice, &developer, &max, &alice.elsewhere()] {
            browser.gets(&path).await;
            browser.asks("HEAD", &path, "accept", "*/*").await;
            browser.asks("GET", &path, "sec-purpose", "prefetch").await;
        }
        assert_eq!(world.contents(), before, "{path}");
    }
}
