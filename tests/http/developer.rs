//! `/apps`: what developers see of their own apps, and what they do to them.

use rescind::model::client::{ClientKind, GrantType, GrantTypes};
use rescind::routes::{Caller, TABLE};

use crate::harness::answer::Answer;
use crate::harness::api::Api;
use crate::harness::browser::{Browser, From};
use crate::harness::client::{Client, Tokens};
use crate::harness::fields::Fields;
use crate::harness::{CALLBACK, Scene, World, scene};

const NONE: Fields = Fields::EMPTY;

/// Alice and Dana's app; the world also holds an app of somebody else's.
pub struct Desk {
    pub world: World,
    pub api: Api,
    pub dana: Browser,
    pub app: Client,
    pub alice: Browser,
}

pub async fn developer(world: &World, name: &str) -> Browser {
    let browser = world.signed_in(name).await;
    world.forces(&format!("UPDATE users SET role = 'developer' WHERE username = '{name}'"));
    browser
}

pub async fn desk() -> Desk {
    let Scene { world, api, alice, .. } = scene().await;
    let dana = developer(&world, "dana").await;
    let app = app_of(&world, &dana, ClientKind::Confidential).await;
    Desk { world, api, dana, app, alice }
}

pub async fn app_of(world: &World, owner: &Browser, kind: ClientKind) -> Client {
    let types = match kind {
        ClientKind::Confidential => GrantType::ALL.to_vec(),
        ClientKind::Public => vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
    };
    world
        .client(kind, |new| {
            new.owner = owner.id.clone();
            new.grant_types = GrantTypes::new(types);
        })
        .await
}

impl Desk {
    pub fn path(&self, act: &str) -> String {
        format!("/apps/{}{act}", self.app.id)
    }
}

/// A form as it should be.
pub fn registration() -> Fields {
    Fields::new(&[
        ("name", "Album Größe"),
        ("publisher", ""),
        ("redirect_uri", CALLBACK),
        ("redirect_uri", ""),
        ("type", "confidential"),
        ("token_format", "opaque"),
        ("scope", "read"),
    ])
}

fn clients(world: &World) -> i64 {
    world.value("SELECT count(*) FROM clients")
}

/// The app that a page with a secret is about.
fn registered(world: &World, page: &Answer) -> Client {
    let id = page.attribute("<p class=\"back\"><a", "href").replace("/apps/", "");
    let secret = page.body.split_once("id=\"secret\">").unwrap().1.split_once('<').unwrap().0;
    Client::new(world.clone(), &id, Some(secret.to_owned()), CALLBACK.to_owned())
}

// Who may

/// What a form of each path sends; a route without a line here has no rule, and fails.
fn form_of(path: &str) -> Fields {
    match path {
        "/apps" | "/apps/{client_id}/secret" => NONE,
        "/apps/new" | "/apps/{client_id}" | "/apps/{client_id}/edit" => registration(),
        "/apps/{client_id}/revoke-tokens" => Fields::new(&[("generation", "1")]),
        "/apps/{client_id}/rotate-secret" => Fields::new(&[("overlap_hours", "1")]),
        "/apps/{client_id}/delete" => Fields::new(&[("name", "Prints")]),
        _ => panic!("no rule for {path}"),
    }
}

#[tokio::test]
async fn every_app_route_is_only_for_developers_who_own_the_app() {
    let desk = desk().await;
    let Desk { world, dana, alice, .. } = &desk;
    let eve = developer(world, "eve").await;
    let max = world.signed_in("max").await;
    world.forces("UPDATE users SET role = 'admin' WHERE username = 'max'");
    let visitor = alice.elsewhere();
    let before = world.contents();
    let mut routes = 0;
    for route in TABLE.iter().filter(|route| route.caller == Caller::Developer) {
        let path = route.path.replace("{client_id}", &desk.app.id);
        let form = form_of(route.path);
        let sends = async |browser: &Browser| match route.method {
            "get" => browser.gets(&path).await,
            _ => browser.posts(&path, &form).await,
        };
        sends(&visitor).await.asks_to_sign_in(&path);
        sends(alice).await.page(403).hides("Prints");
        if route.path.contains("{client_id}") {
            sends(&eve).await.page(404).hides("Prints");
            sends(&max).await.page(404).hides("Prints");
        }
        if route.method == "post" {
            for from in From::OTHERS {
                dana.posts_from(from, &path, &form).await.page(403).shows("another site");
            }
        }
        routes += 1;
    }
    assert!(routes >= 12, "{routes}");
    assert_eq!(world.contents(), before);
}

#[tokio::test]
async fn the_list_shows_only_your_own_apps_and_their_number_of_users() {
    let desk = desk().await;
    let Desk { world, dana, app, alice, .. } = &desk;
    alice.connects(app).await;
    alice.connects(app).await;
    let page = dana.gets("/apps").await.page(200).shows("Prints").shows("Active");
    assert_eq!(page.body.matches("<tr>").count(), 2, "a head and one app: {}", page.body);
    assert!(page.body.contains(">1</td>") && page.body.contains(">2</td>"), "{}", page.body);
    let eve = developer(world, "eve").await;
    eve.gets("/apps").await.page(200).shows("You have not registered an app yet").hides("Prints");
    alice.gets("/authorizations").await.page(200).hides("Your apps");
    dana.gets("/authorizations").await.page(200).shows("Your apps");
}

// Registering

#[tokio::test]
async fn a_confidential_app_gets_its_secret_shown_once() {
    let desk = desk().await;
    let Desk { world, api, dana, alice, .. } = &desk;
    dana.gets("/apps/new").await.page(200).shows("May read").shows("May write");
    let page = dana.makes_secret("/apps/new", &registration()).await.shows("Album Größe: new secret");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let app = registered(world, &page);
    let code = alice.authorizes_request(&app, &app.request().with("scope", "read")).await;
    let tokens = app.redeems(&code).await;
    assert_eq!(tokens.scope, "read");
    assert!(api.accepts(&tokens.access).await);
    let secret = app.secret.clone().unwrap();
    let page = dana.gets(&format!("/apps/{}", app.id)).await.page(200).hides(&secret);
    page.shows("Album Größe")
        .shows("by dana · app.example")
        .shows("May read")
        .hides("May write")
        .shows(CALLBACK);
    assert!(!format!("{:?}", world.contents()).contains(&secret));
    dana.gets("/apps").await.page(200).shows("Album Größe").hides(&secret);
}

#[tokio::test]
async fn a_public_app_has_no_secret() {
    let desk = desk().await;
    let Desk { world, dana, alice, .. } = &desk;
    let form = registration().with("type", "public").with("publisher", " Album Ltd ").without("scope");
    let answer = dana.posts("/apps/new", &form).await;
    let page = dana.gets(answer.location()).await.page(200).shows("by Album Ltd · app.example");
    let page = page.shows("All, including permissions that are added later").hides("Rotate secret");
    page.hides("rsc_cs_");
    let id = answer.location().strip_prefix("/apps/").unwrap();
    let app = Client::new(world.clone(), id, None, CALLBACK.to_owned());
    assert_eq!(alice.connects(&app).await.scope, "read write");
    dana.gets(&format!("/apps/{id}/rotate-secret")).await.leads_to(&format!("/apps/{id}?notice=refused"));
    let hours = Fields::new(&[("overlap_hours", "1")]);
    dana.posts(&format!("/apps/{id}/rotate-secret"), &hours).await.is(303);
    assert_eq!(
        world.value::<i64>(&format!("SELECT count(*) FROM client_secrets WHERE client_id = '{id}'")),
        0
    );
}

#[tokio::test]
async fn only_an_app_with_a_secret_can_work_for_itself() {
    let desk = desk().await;
    let Desk { world, api, dana, .. } = &desk;
    let form = registration().and("grant_type", "client_credentials");
    let app = registered(world, &dana.makes_secret("/apps/new", &form).await);
    let request = Fields::new(&[("grant_type", "client_credentials"), ("scope", "read")]);
    assert!(api.accepts(&Tokens::read(&app.asks_tokens(&request).await).access).await);
    let app = registered(world, &dana.makes_secret("/apps/new", &registration()).await);
    app.asks_tokens(&request).await.refuses(400, "unauthorized_client");
    let before = clients(world);
    let page = dana.posts("/apps/new", &form.with("type", "public")).await.page(422);
    page.shows("id=\"grant_type-error\"").shows("A public app can’t use client credentials");
    assert_eq!(clients(world), before);
}

/// What a form with this value in `field` says: refused, naming the field, with nothing changed and the text kept.
async fn refuses(desk: &Desk, path: &str, field: &str, value: &str) {
    let before = desk.world.contents();
    let form = registration().with(field, value);
    let page = desk.dana.posts(path, &form).await.page(422).shows("<title>Error: ");
    let page = page.shows(&format!("id=\"{field}-error\"")).shows(&format!("href=\"#{field}\""));
    let page = page.hides("Unknown localization").shows("role=\"alert\"");
    if field != "name" && path == "/apps/new" {
        page.shows("value=\"Album Größe\"");
    }
    assert_eq!(desk.world.contents(), before, "{field} {value:?}");
}

#[tokio::test]
async fn names_that_deceive_are_refused() {
    let desk = desk().await;
    let long = "x".repeat(81);
    for path in ["/apps/new", &desk.path("")] {
        for name in [
            "",
            "   ",
            "\u{a0}",
            "a\nb",
            "a\tb",
            "a\u{1b}b",
            "a\u{7f}",
            "Foto\u{202e}werk",
            "Foto\u{2066}werk",
            "Foto\u{200b}werk",
            "Foto\u{200d}werk",
            "\u{feff}Foto",
            "\u{3164}",
            "Foto\u{ad}werk",
            "Foto\u{2028}w",
            &long,
        ] {
            refuses(&desk, path, "name", name).await;
            if !name.trim().is_empty() {
                refuses(&desk, path, "publisher", name).await;
            }
        }
    }
    let nul = registration().with("name", "Foto\0werk");
    desk.dana.posts("/apps/new", &nul).await.page(400);
    for name in ["<script>1</script>", "\"><b>x", "{{ 1 }}", "{ $app }", "名前", &"é".repeat(80)] {
        let page = desk.dana.makes_secret("/apps/new", &registration().with("name", name)).await;
        page.hides("<script>1").hides("<b>x");
    }
    desk.dana.gets("/apps").await.page(200).hides("<script>1").hides("<b>x").shows("{ $app }");
}

#[tokio::test]
async fn deceptive_redirect_uris_are_refused() {
    let desk = desk().await;
    for path in ["/apps/new", &desk.path("")] {
        for uri in [
            "",
            "javascript:alert(1)",
            "JavaScript://%0aalert(1)",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "blob:https://a.example/1",
            "https://a.example/cb#fragment",
            "https://a.example/cb#",
            "https://*.example/cb",
            "https://a.example/*",
            "http://a.example/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://localhost.evil.example/cb",
            "myapp:/cb",
            "myapp://cb",
            "/cb",
            "//a.example/cb",
            "a.example/cb",
            "https://",
            "https://user:password@a.example/cb",
            "https://a.example@evil.example/cb",
            "https://a.example/ cb",
            "https://а.example/cb",
            "https://a.example\\@evil.example/",
            "https://a.example/\u{202e}cb",
        ] {
            refuses(&desk, path, "redirect_uri", uri).await;
        }
    }
    // One bad address among good ones is enough, and is the one that is marked.
    let form = registration().and("redirect_uri", "http://a.example/cb");
    let page = desk.dana.posts("/apps/new", &form).await.page(422).shows("href=\"#redirect_uri-1\"");
    let page = page.shows("Redirect URI 2: ").shows("value=\"http://a.example/cb\"");
    assert_eq!(page.body.matches("aria-invalid").count(), 1, "{}", page.body);
    let many = (0..11).fold(registration().without("redirect_uri"), |form, n| {
        form.and("redirect_uri", &format!("https://a.example/{n}"))
    });
    desk.dana.posts("/apps/new", &many).await.page(422).shows("at most 10");
}

#[tokio::test]
async fn good_redirect_uris_are_accepted_from_any_number_of_fields_without_duplicates() {
    let desk = desk().await;
    let form = registration()
        .with("redirect_uri", "https://a.example/cb?x=1\r\n\r\n  http://127.0.0.1/cb\n")
        .and("redirect_uri", "http://[::1]:8000/cb")
        .and("redirect_uri", "http://localhost:3000/")
        .and("redirect_uri", "com.example.app:/cb")
        .and("redirect_uri", "https://a.example/cb?x=1")
        .and("redirect_uri", "");
    desk.dana.posts("/apps/new", &form).await.is(303);
    let stored: String = desk.world.value("SELECT redirect_uris FROM clients WHERE name = 'Album Größe'");
    assert_eq!(
        stored.lines().collect::<Vec<_>>(),
        [
            "https://a.example/cb?x=1",
            "http://127.0.0.1/cb",
            "http://[::1]:8000/cb",
            "http://localhost:3000/",
            "com.example.app:/cb"
        ]
    );
}

#[tokio::test]
async fn choices_that_the_form_does_not_offer_are_refused() {
    let desk = desk().await;
    for (field, value) in [
        ("type", ""),
        ("type", "admin"),
        ("token_format", "paper"),
        ("scope", "admin"),
        ("scope", "read write"),
        ("grant_type", "password"),
        ("grant_type", "implicit"),
    ] {
        refuses(&desk, "/apps/new", field, value).await;
    }
    refuses(&desk, &desk.path(""), "scope", "admin").await;
    desk.dana.posts("/apps/new", &NONE).await.page(422).shows("3 problems to fix");
}

#[tokio::test]
async fn fields_that_the_form_does_not_have_are_ignored() {
    let desk = desk().await;
    let extra = |form: Fields| {
        form.and("owner_id", desk.alice.id.as_str())
            .and("role", "admin")
            .and("status", "banned")
            .and("generation", "99")
            .and("client_id", "cli_00000000000000000000")
            .and("client_secret", "mine")
    };
    desk.dana.posts("/apps/new", &extra(registration())).await.is(303);
    desk.dana.posts(&desk.path(""), &extra(registration())).await.is(303);
    let rows = format!(
        "SELECT count(*) FROM clients WHERE name = 'Album Größe' AND owner_id = '{}' AND status = 'active' \
         AND generation = 1 AND id <> 'cli_00000000000000000000'",
        desk.dana.id
    );
    assert_eq!(desk.world.value::<i64>(&rows), 2);
    assert_eq!(desk.world.value::<String>("SELECT role FROM users WHERE username = 'dana'"), "developer");
}

#[tokio::test]
async fn the_domains_of_banned_apps_are_refused() {
    let desk = desk().await;
    let ban = "INSERT INTO banned_domains (domain, client_id, at) SELECT 'evil.example', id, 1 FROM clients LIMIT 1";
    desk.world.forces(ban);
    for path in ["/apps/new", &desk.path("")] {
        refuses(&desk, path, "redirect_uri", "https://evil.example/cb").await;
        refuses(&desk, path, "redirect_uri", "https://EVIL.example:8443/other").await;
    }
}
