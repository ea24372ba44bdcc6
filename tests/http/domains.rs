//! Hosts of redirect URIs: one way to write each, and bans that cover every way.

use rescind::model::client::ClientKind;
use rescind::model::user::Role;

use crate::developer::{developer, registration};
use crate::harness::client::Client;
use crate::harness::fields::Fields;
use crate::harness::{Scene, World, scene};

async fn bans(world: &World, app: &Client) {
    let max = world.with_role("max", Role::Admin).await;
    let form = Fields::new(&[("reason", "It steals passwords.")]);
    max.posts(&format!("/admin/apps/{}/ban", app.id), &form).await.is(303);
}

#[tokio::test]
async fn redirect_uris_that_are_not_normalized_are_refused() {
    let Scene { world, .. } = scene().await;
    let dana = developer(&world, "dana").await;
    dana.posts("/apps/new", &registration()).await.is(303);
    let id: String = world.value("SELECT id FROM clients WHERE name = 'Album Größe'");
    let before = world.contents();
    for path in ["/apps/new".to_owned(), format!("/apps/{id}")] {
        for uri in [
            "https:evil.example/cb",
            "https:/evil.example/cb",
            "https:///evil.example/cb",
            "https://evil.example./cb",
            "https://EVIL.example/cb",
            "https://ev%69l.example/cb",
            "https://0x7f.1/cb",
            "https://[0:0::1]/cb",
        ] {
            let page = dana.posts(&path, &registration().with("redirect_uri", uri)).await.page(422);
            page.shows("id=\"redirect_uri-error\"").shows("scheme://host");
        }
    }
    assert_eq!(world.contents(), before);
}

#[tokio::test]
async fn a_banned_host_is_refused_with_its_subdomains_and_every_port_and_path() {
    let Scene { world, .. } = scene().await;
    let dana = developer(&world, "dana").await;
    for host in ["https://evil.example/cb", "https://203.0.113.7/cb", "com.evil.app:/cb"] {
        bans(&world, &world.client_with_redirects(&[host]).await).await;
    }
    for uri in [
        "https://evil.example/other",
        "https://evil.example:8443/cb",
        "https://login.evil.example/cb",
        "https://203.0.113.7:1/cb",
        "com.evil.app://x/cb",
    ] {
        let page = dana.posts("/apps/new", &registration().with("redirect_uri", uri)).await.page(422);
        page.shows("id=\"redirect_uri-error\"").shows("banned");
    }
    for uri in
        ["https://notevil.example/cb", "https://example/cb", "com.evil.apps:/cb", "http://localhost/cb"]
    {
        dana.posts("/apps/new", &registration().with("redirect_uri", uri)).await.is(303);
    }
}

#[tokio::test]
async fn an_app_registered_before_a_ban_no_longer_redirects_to_the_banned_host() {
    let Scene { world, alice, .. } = scene().await;
    let evil = world.client_with_redirects(&["https://evil.example/cb"]).await;
    // As earlier versions registered it.
    let older = world.client_with_redirects(&["https://older.example/cb", "https://good.example/cb"]).await;
    let stored = "https://EVIL.example./older\nhttps://good.example/cb";
    world.forces(&format!("UPDATE clients SET redirect_uris = '{stored}' WHERE id = '{}'", older.id));
    let twin = world.client_with_redirects(&["https://sub.evil.example/twin"]).await;
    let twin_request = twin.request();
    alice.connects(&twin).await;
    let consent = alice.is_asked(&world.public_client().await.request()).await;
    bans(&world, &evil).await;
    let older_request = older.request().with("redirect_uri", "https://EVIL.example./older");
    for request in [&twin_request, &older_request] {
        alice.opens(request).await.page(400).shows("another app was banned for");
        let form = consent.form("approve");
        alice.posts(&format!("/oauth/authorize?{}", request.encode()), &form).await.page(400);
        // Not even an error goes there.
        alice.opens(&request.clone().without("response_type")).await.page(400);
    }
    alice.is_asked(&older.request().with("redirect_uri", "https://good.example/cb")).await;
}

#[tokio::test]
async fn pages_of_a_ban_and_an_app_name_other_apps_at_its_host() {
    let Scene { world, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let evil = world.client_with_redirects(&["https://evil.example/cb"]).await;
    let twin = world.client_with_redirects(&["https://sub.evil.example/twin"]).await;
    let stranger = world.client_with_redirects(&["https://notevil.example/cb"]).await;
    for path in [format!("/admin/apps/{}/ban", evil.id), format!("/admin/apps/{}", evil.id)] {
        let page = max.gets(&path).await.page(200).shows("evil.example");
        page.shows(&format!("/admin/apps/{}\"", twin.id)).hides(&stranger.id);
    }
    bans(&world, &evil).await;
    max.gets(&format!("/admin/apps/{}", evil.id)).await.page(200).shows(&twin.id);
}

#[tokio::test]
async fn redirect_uris_of_earlier_versions_match_as_before() {
    let Scene { world, app, alice, .. } = scene().await;
    for uri in ["https://OLD.example/cb", "https://old.example./cb", "https:/old.example/cb"] {
        world.forces(&format!("UPDATE clients SET redirect_uris = '{uri}' WHERE id = '{}'", app.id));
        alice.is_asked(&app.request().with("redirect_uri", uri)).await;
        alice.opens(&app.request().with("redirect_uri", "https://old.example/cb")).await.page(400);
        alice.gets("/authorizations").await.page(200);
    }
}

#[tokio::test]
async fn a_loopback_redirect_takes_any_port_for_localhost_and_an_empty_path() {
    let Scene { world, alice, .. } = scene().await;
    for (registered, presented) in [
        ("http://localhost/cb", "http://localhost:5555/cb"),
        ("http://localhost:3000/cb", "http://localhost/cb"),
        ("http://127.0.0.1:7000", "http://127.0.0.1:7001/"),
        ("http://127.0.0.1:7000/", "http://127.0.0.1:7000"),
    ] {
        let mut app = world.client_with_redirects(&[registered]).await;
        app.redirect_uri = presented.to_owned();
        app.redeems(&alice.authorizes(&app).await).await;
        for other in
            ["http://localhost:1/other", "http://localhost:1@evil.example/cb", "http://localhost:x/cb"]
        {
            alice.opens(&app.request().with("redirect_uri", other)).await.page(400);
        }
    }
}

#[tokio::test]
async fn a_ban_covers_public_clients_too() {
    let Scene { world, alice, .. } = scene().await;
    let evil = world.client_with_redirects(&["com.evil.app:/cb"]).await;
    let twin = world
        .client(ClientKind::Public, |new| {
            new.redirect_uris =
                vec![rescind::model::client::RedirectUri::parse("com.evil.app:/twin").unwrap()];
        })
        .await;
    bans(&world, &evil).await;
    alice.opens(&twin.request()).await.page(400).shows("another app was banned for");
}

#[tokio::test]
async fn a_page_opened_before_a_host_was_banned_gives_nothing() {
    let scene = scene().await;
    let page = scene.alice.is_asked(&scene.app.request()).await;
    let twin = scene.world.confidential_client().await;
    let max = scene.world.with_role("max", Role::Admin).await;
    max.posts(&format!("/admin/apps/{}/ban", twin.id), &Fields::reason()).await.is(303);
    let before = scene.world.contents();
    scene.alice.answers(&page, "approve").await.page(400);
    assert_eq!(scene.world.contents(), before);
}
