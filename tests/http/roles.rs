//! Who may call what, taken from the table itself: a new route is covered without an edit here.

use rescind::model::user::Role;
use rescind::routes::{Caller, Route, TABLE};

use crate::harness::browser::{Browser, From};
use crate::harness::fields::Fields;
use crate::harness::{Scene, scene};

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
        calls(&scene.alice, route.method, &path).await.page(403).shows("This is not for your account");
        if route.caller == Caller::Admin {
            calls(&dana, route.method, &path).await.page(403).shows("This is not for your account");
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
async fn nothing_of_that_name_is_404_for_admins() {
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
