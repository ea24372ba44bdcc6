//! What all forms of pages have in common: for whom they act, and what a reload of their answer does.

use rescind::model::user::Role;
use rescind::routes::{Caller, TABLE};

use crate::harness::fields::Fields;
use crate::harness::{Scene, scene};

/// Forms that are shown to nobody in particular, and the consent page, whose own field says more.
const WITHOUT_USER: [&str; 4] = ["/login", "/logout", "/register", "/oauth/authorize"];

#[tokio::test]
async fn a_form_shown_to_one_user_does_nothing_for_another() {
    let Scene { world, app, alice, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let before = world.contents();
    let pages = TABLE.iter().filter(|route| !matches!(route.caller, Caller::Client | Caller::ResourceServer));
    let forms = pages.filter(|route| route.method == "post" && !WITHOUT_USER.contains(&route.path));
    let mut tried = 0;
    for route in forms {
        let path = route.path.replace("{client_id}", &app.id).replace("{user_id}", alice.id.as_str());
        let fields = Fields::reason().and("user", alice.id.as_str()).and("all", "1").and("role", "user");
        let page = max.posts(&path, &fields).await.page(409).shows("Another account is signed in");
        page.shows("Nothing was changed").shows("Open the page again");
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
    assert_eq!(world.contents(), before);
}

#[tokio::test]
async fn every_form_says_whom_it_was_shown_to() {
    let Scene { alice, app, .. } = scene().await;
    alice.authorizes(&app).await;
    for path in ["/authorizations/revoke?all=1", "/account", "/account/taken-over", "/account/delete"] {
        let page = alice.gets(path).await.page(200);
        assert_eq!(page.attribute("name=\"user\"", "value"), alice.id.as_str(), "{path}");
    }
    // The others, by their sources.
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let mut folders = vec![root];
    let mut forms = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let shown_to_nobody = ["demo/", "sign_in.html", "sign_out.html", "register.html", "consent.html"];
            if shown_to_nobody.iter().any(|name| path.to_str().unwrap().contains(name)) {
                continue;
            }
            let posts = text.matches("method=\"post\"").count();
            assert_eq!(text.matches("user_field.html").count(), posts, "{}", path.display());
            forms += posts;
        }
    }
    assert!(forms > 15, "{forms}");
}

// A new secret is shown once

#[tokio::test]
async fn a_reload_of_the_page_with_a_new_secret_repeats_nothing() {
    let Scene { world, app, .. } = scene().await;
    let dana = world.with_role("dana", Role::Developer).await;
    let max = world.with_role("max", Role::Admin).await;
    world.forces(&format!("UPDATE clients SET owner_id = '{}'", dana.id));
    let registration =
        [("name", "Album"), ("redirect_uri", "https://album.example/cb"), ("type", "confidential")];
    let server =
        [("name", "Notes"), ("audience", "https://notes.example"), ("scopes", "notes.read=Read notes")];
    for (browser, path, fields) in [
        (&dana, "/apps/new".to_owned(), Fields::new(&registration)),
        (&dana, format!("/apps/{}/rotate-secret", app.id), Fields::new(&[("overlap_hours", "0")])),
        (&max, "/admin/resource-servers/new".to_owned(), Fields::new(&server)),
    ] {
        let answer = browser.posts(&path, &fields).await.is(303);
        let cookie = answer.header("set-cookie").unwrap();
        for attribute in ["HttpOnly", "SameSite=Strict", &format!("Path={}", answer.location())] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        let before = world.contents();
        browser.heads(answer.location()).await.is(200);
        let page = browser.gets(answer.location()).await.page(200);
        let secret = page.body.split_once("id=\"secret\">").unwrap().1.split_once('<').unwrap().0;
        assert!(secret.starts_with("rsc_"), "{secret}");
        let again = browser.gets(answer.location()).await.page(200);
        again.shows("The secret has already been shown").hides(secret);
        assert_eq!(world.contents(), before, "{path}");
    }
}

#[tokio::test]
async fn a_secret_that_somebody_else_put_into_the_browser_is_not_shown() {
    let Scene { world, app, .. } = scene().await;
    let dana = world.with_role("dana", Role::Developer).await;
    world.forces(&format!("UPDATE clients SET owner_id = '{}'", dana.id));
    let foreign = rescind::model::secret::ClientSecret::generate();
    for value in [foreign.expose(), "<b>", ""] {
        dana.cookies.lock().unwrap().insert("rescind_secret".to_owned(), value.to_owned());
        let page = dana.gets(&format!("/apps/{}/secret", app.id)).await.page(200);
        page.shows("The secret has already been shown").hides("rsc_cs_").hides("<b>");
    }
}
