//! `/admin/resource-servers/{id}/…`: changing, rotating, deleting, and what follows for tokens, streams and consents.

use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use futures_util::stream;
use rescind::model::by::By;
use rescind::model::client::TokenFormat;
use rescind::model::id::ResourceServerId;
use rescind::model::user::Role;
use rescind::service::resource_servers::rotate_secret;
use serde_json::json;

use crate::harness::api::Api;
use crate::harness::browser::Browser;
use crate::harness::client::basic;
use crate::harness::fields::{FORM, Fields};
use crate::harness::listener::acknowledgement;
use crate::harness::{Scene, scene};

fn path(api: &Api, act: &str) -> String {
    format!("/admin/resource-servers/{}/{act}", api.id)
}

fn edited(name: &str, scopes: &str) -> Fields {
    Fields::new(&[("name", name), ("scopes", scopes)])
}

/// Rotates the secret on the page, and reads the new one there.
async fn rotates(max: &Browser, api: &Api, hours: &str) -> Api {
    let fields = Fields::new(&[("overlap_hours", hours)]);
    let secret = path(api, "secret");
    max.posts(&path(api, "rotate-secret"), &fields).await.leads_to(&secret);
    let page = max.gets(&secret).await.page(200);
    let shown = page.body.split("id=\"secret\">").nth(1).expect("a secret").split('<').next().unwrap();
    max.gets(&secret).await.page(200).hides(shown);
    Api { world: api.world.clone(), id: api.id.clone(), secret: shown.to_owned() }
}

async fn deletes(max: &Browser, api: &Api, name: &str) {
    let fields = Fields::new(&[("name", name), ("reason", "Shut down.")]);
    let page = format!("/admin/resource-servers/{}", api.id);
    max.posts(&path(api, "delete"), &fields).await.leads_to(&page);
}

async fn is_refused_everywhere(api: &Api) {
    let token = Fields::new(&[("token", "x")]);
    api.posts(&token).await.refuses(401, "invalid_client");
    api.asks("/revocations/snapshot", None).await.refuses(401, "invalid_client");
    api.asks("/revocations/feed", Some("1.0")).await.refuses(401, "invalid_client");
    api.acknowledges(&acknowledgement(1, 0)).await.refuses(401, "invalid_client");
}

#[tokio::test]
async fn an_old_secret_works_until_its_overlap_ends() {
    let Scene { world, api, app, alice } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let tokens = alice.connects(&app).await;
    max.gets(&path(&api, "rotate-secret")).await.page(200).shows("new secret").hides(&api.secret);
    for hours in ["", "-1", "169", "x"] {
        let fields = Fields::new(&[("overlap_hours", hours)]);
        max.posts(&path(&api, "rotate-secret"), &fields).await.page(422).shows("was not rotated");
    }
    let newer = rotates(&max, &api, "2").await;
    assert!(api.accepts(&tokens.access).await && newer.accepts(&tokens.access).await);
    // A second rotation does not make the first secret last longer, nor shorter.
    let newest = rotates(&max, &api, "24").await;
    for known in [&api, &newer, &newest] {
        assert!(known.accepts(&tokens.access).await);
    }
    max.gets(&format!("/admin/resource-servers/{}", api.id)).await.page(200).shows("new secret");
    world.advances(2 * 3600);
    alice.signs_in().await;
    is_refused_everywhere(&api).await;
    newer.snapshot().await;
    newest.snapshot().await;
    // No overlap: whatever else works ends too.
    max.signs_in().await;
    let last = rotates(&max, &api, "0").await;
    for old in [&api, &newer, &newest] {
        is_refused_everywhere(old).await;
    }
    last.snapshot().await;
}

#[tokio::test]
async fn a_stream_ends_with_the_secret_that_opened_it() {
    let Scene { world, api, app, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let mut old = api.follows().await;
    let newer = rotates(&max, &api, "1").await;
    let mut new = newer.follows().await;
    world.ends_all_tokens_of(&app).await;
    assert_eq!((old.hears().await.0, new.hears().await.0), ("client".to_owned(), "client".to_owned()));
    rotates(&max, &api, "0").await;
    assert_eq!((old.next().await, new.next().await), (None, None));
}

/// The status of a request under `api`'s name, whose body arrives once the secret has been rotated.
async fn held_back(api: &Api, path: &str, content_type: &str, body: String) -> u16 {
    let (store, now) = (api.world.app.store.clone(), api.world.app.clock.now());
    let id = ResourceServerId::parse(&api.id).unwrap();
    let late = async move {
        rotate_secret(&store, id, Duration::ZERO, By::operator(now)).await.unwrap();
        Ok::<_, std::io::Error>(body)
    };
    let request = api.world.request("POST", path).header(header::CONTENT_TYPE, content_type);
    let request = request.header(header::AUTHORIZATION, basic(&api.id, &api.secret));
    api.world.sends(request.body(Body::from_stream(stream::once(late))).unwrap()).await.status.as_u16()
}

#[tokio::test]
async fn a_body_that_arrives_after_the_rotation_is_refused() {
    let Scene { world, api, app, alice } = scene().await;
    let mail = world.api("https://mail.example", &["mail"]).await;
    let tokens = alice.connects(&app).await;
    let token = Fields::new(&[("token", &tokens.access)]).encode();
    assert_eq!(held_back(&api, "/oauth/introspect", FORM, token).await, 401);
    let ack = acknowledgement(world.value("SELECT incarnation FROM server"), 0);
    let status = held_back(&mail, "/revocations/ack", "application/json", ack.to_string()).await;
    assert_eq!(status, 401);
    assert_eq!(world.value::<i64>("SELECT count(*) FROM guard_instances"), 0);
}

#[tokio::test]
async fn a_deleted_resource_server_is_told_and_refused() {
    let Scene { world, api, app, alice } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let tokens = alice.connects(&app).await;
    let mut listener = api.follows().await;
    max.gets(&path(&api, "delete")).await.page(200).shows("https://photos.example").shows("read");
    for (name, reason) in [("", "It leaked."), ("Photos", "It leaked."), ("https://photos.example", " ")] {
        let fields = Fields::new(&[("name", name), ("reason", reason)]);
        max.posts(&path(&api, "delete"), &fields).await.page(422).shows("was not deleted");
    }
    assert!(api.accepts(&tokens.access).await);
    deletes(&max, &api, "https://photos.example").await;
    assert_eq!(listener.last().await.as_deref(), Some("event: deleted\ndata: {}"));
    is_refused_everywhere(&api).await;
    // Nobody else accepts its tokens, and nobody can take its place.
    let other = world.api("https://mail.example", &["mail"]).await;
    assert!(!other.accepts(&tokens.access).await);
    let again = |audience: &str, scopes: &str| {
        Fields::new(&[("name", "Again"), ("audience", audience), ("scopes", scopes)])
    };
    let new = "/admin/resource-servers/new";
    for fields in [again("https://photos.example", "fresh=New"), again("https://new.example", "read=New")] {
        max.posts(new, &fields).await.page(422).shows("or had it before it was deleted");
    }
    // What happened stays readable, and nothing more can be done.
    let page = max.gets(&format!("/admin/resource-servers/{}", api.id)).await.page(200);
    page.shows("Shut down.").shows("Deleted").hides("<form method=\"post\" action=\"/admin");
    for act in ["edit", "rotate-secret", "delete"] {
        max.gets(&path(&api, act)).await.page(404);
        max.posts(&path(&api, act), &edited("X", "a=A")).await.page(404);
    }
    max.gets("/admin/resource-servers").await.page(200).hides("photos.example");
}

#[tokio::test]
async fn scopes_of_a_deleted_resource_server_allow_nothing() {
    let Scene { world, api, app, alice } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let mail = world.api("https://mail.example", &["mail"]).await;
    let both = alice.authorizes_request(&app, &app.request().with("scope", "read mail")).await;
    let both = app.redeems(&both).await;
    let bob = world.signed_in("bob").await;
    let photos = bob.connects(&app).await;
    let bound = world.client_with_scope("read").await;
    deletes(&max, &api, "https://photos.example").await;
    // A refresh gives the rest, or nothing.
    let next = app.refreshes(&both).await;
    assert_eq!(next.scope, "mail");
    assert!(mail.accepts(&next.access).await);
    app.presents_refresh(&photos.refresh).await.refuses(400, "invalid_scope");
    alice.gets("/authorizations").await.page(200).hides("May read").shows("May mail");
    let refused = alice.opens(&bound.request().with("scope", "read")).await;
    refused.redirects_error(&bound.redirect_uri, "invalid_scope", Some("st/4te ü&="), world.issuer());
    // An app that was bound to it stays bound: its form has nothing to tick.
    world.forces(&format!("UPDATE clients SET owner_id = '{}' WHERE id = '{}'", max.id, bound.id));
    let fields = Fields::new(&[
        ("name", "Prints"),
        ("publisher", "Paper Ltd"),
        ("redirect_uri", &bound.redirect_uri),
        ("token_format", TokenFormat::Opaque.as_str()),
    ]);
    max.posts(&format!("/apps/{}", bound.id), &fields).await.is(303);
    let scope: String = world.value(&format!("SELECT scope FROM clients WHERE id = '{}'", bound.id));
    assert_eq!(scope, "read");
}

#[tokio::test]
async fn receipts_name_a_resource_server_that_was_deleted_later() {
    let Scene { world, api, app, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    api.acknowledges(&acknowledgement(world.value("SELECT incarnation FROM server"), 0)).await.is(200);
    world.ends_all_tokens_of(&app).await;
    let receipt: String = world.value("SELECT receipt_id FROM ledger");
    max.gets(&format!("/receipts/{receipt}")).await.page(200).shows("https://photos.example");
    world.advances(20);
    deletes(&max, &api, "https://photos.example").await;
    max.gets(&format!("/receipts/{receipt}")).await.page(200).shows("https://photos.example");
    // It is told of nothing that comes later.
    world.advances(1);
    world.ends_all_tokens_of(&app).await;
    let receipt: String = world.value("SELECT receipt_id FROM ledger ORDER BY sequence DESC LIMIT 1");
    max.gets(&format!("/receipts/{receipt}")).await.page(200).hides("https://photos.example");
}

#[tokio::test]
async fn name_and_scopes_are_edited_and_the_audience_stays() {
    let Scene { world, api, app, alice } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let tokens = alice.connects(&app).await;
    let edit = path(&api, "edit");
    let page = max.gets(&edit).await.page(200).shows("read=May read");
    let shown = page.attribute("name=\"version\"", "value");
    world.api("https://mail.example", &["mail"]).await;
    for (name, scopes) in
        [("", "read=R"), ("P", ""), ("P", "read"), ("P", "mail=M"), ("P", "read=R\nread=R"), ("P", "a b=R")]
    {
        max.posts(&edit, &edited(name, scopes)).await.page(422).shows("Nothing was changed");
    }
    max.posts(&edit, &edited("Photos", "read=See photos\nshare=Share photos").and("audience", "urn:x"))
        .await
        .leads_to(&format!("/admin/resource-servers/{}", api.id));
    let introspected = api.introspects(&tokens.access).await;
    assert_eq!(
        (&introspected["scope"], &introspected["aud"]),
        (&json!("read"), &json!("https://photos.example"))
    );
    let detail: String = world.value("SELECT detail FROM receipt_notes WHERE detail LIKE 'name,%'");
    assert_eq!(detail, "name, read (“May read”), +share, -write");
    // A form that shows what was, changes nothing.
    max.posts(&edit, &edited("Old", "read=R").and("version", &shown))
        .await
        .page(409)
        .shows("share=Share photos");
    // The name of a scope that was deleted never comes back.
    max.posts(&edit, &edited("Photos", "write=Write")).await.page(422).shows("or was deleted earlier");
    assert_eq!(world.value::<i64>("SELECT count(*) FROM scopes WHERE deleted_at IS NULL"), 3);
}

#[tokio::test]
async fn a_changed_scope_description_asks_for_consent_again() {
    let Scene { world, api, app, alice } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    alice.connects(&app).await;
    assert_eq!(alice.opens(&app.request()).await.status, 303, "the consent stands");
    let bob = world.signed_in("bob").await;
    let open = bob.is_asked(&app.request()).await;
    world.advances(1);
    max.posts(&path(&api, "edit"), &edited("Photos", "read=Delete photos\nwrite=May write")).await.is(303);
    alice.opens(&app.request()).await.page(200).shows("Delete photos");
    bob.answers(&open, "approve").await.page(409).shows("Delete photos");
    assert_eq!(world.value::<i64>("SELECT count(*) FROM grants"), 1);
}

#[tokio::test]
async fn nobody_can_change_the_drill_s_resource_server() {
    let Scene { world, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let canary = rescind::service::drill::begin(&world.app.store, world.app.clock.now()).await.unwrap();
    for act in ["edit", "rotate-secret", "delete"] {
        let path = format!("/admin/resource-servers/{}/{act}", canary.server);
        max.gets(&path).await.page(404);
        max.posts(&path, &edited("X", "a=A").and("reason", "R").and("overlap_hours", "0")).await.page(404);
    }
}
