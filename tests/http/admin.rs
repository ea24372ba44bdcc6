//! `/admin/apps` and `/admin/resource-servers`: each act by what it does to tokens, codes and pages that stood open.

use rescind::model::by::By;
use rescind::model::client::{AppName, ClientKind, GrantTypes, RedirectUri, TokenFormat};
use rescind::model::user::Role;
use rescind::service::register::{self, NewClient};

use crate::harness::browser::Browser;
use crate::harness::client::{Client, Tokens};
use crate::harness::fields::Fields;
use crate::harness::{CALLBACK, Scene, World, scene};

const REASON: &str = "Its servers were broken into.";

fn reason(text: &str) -> Fields {
    Fields::new(&[("reason", text)])
}

/// What Alice gave the app, in every form in which access can lie about.
struct Held {
    tokens: Tokens,
    code: String,
}

async fn held(alice: &Browser, app: &Client) -> Held {
    Held { tokens: alice.connects(app).await, code: alice.authorizes(app).await }
}

impl Held {
    async fn is_dead(&self, scene: &Scene) {
        assert!(!scene.api.accepts(&self.tokens.access).await);
        let refresh = scene.app.presents_refresh(&self.tokens.refresh).await;
        assert!(matches!(refresh.status.as_u16(), 400 | 401), "{}", refresh.body);
        let code = scene.app.presents_code(&self.code).await;
        assert!(matches!(code.status.as_u16(), 400 | 401), "{}", code.body);
    }
}

async fn max(world: &World) -> Browser {
    world.with_role("max", Role::Admin).await
}

fn page_of(app: &Client) -> String {
    format!("/admin/apps/{}", app.id)
}

#[tokio::test]
async fn the_list_is_searched_filtered_and_sorted() {
    let scene = scene().await;
    let Scene { world, app, alice, .. } = &scene;
    let max = max(world).await;
    max.gets("/admin").await.leads_to("/admin/apps");
    alice.connects(app).await;
    world.client(ClientKind::Public, |new| new.name = AppName::parse("Ämter & Co").unwrap()).await;
    let page = max.gets("/admin/apps").await.page(200).shows("Prints").shows("Ämter &#38; Co");
    assert!(page.body.find("Prints") < page.body.find("Ämter"), "most people first");
    let page = max.gets("/admin/apps?sort=name&q=").await.page(200);
    assert!(page.body.contains("Prints"));
    max.gets(&format!("/admin/apps?q={}", app.id)).await.page(200).shows("Prints").hides("Ämter");
    max.gets("/admin/apps?status=banned").await.page(200).shows("No app matches").hides("Prints");
    // Nonsense is no fault.
    for query in ["page=0", "page=-1", "page=4294967295", "page=x", "sort=x&status=x", "q=%25%27%22%3Cb%3E"] {
        max.gets(&format!("/admin/apps?{query}")).await.page(200).hides("<b>");
    }
}

#[tokio::test]
async fn lists_are_paged() {
    let Scene { world, .. } = scene().await;
    let max = max(&world).await;
    for number in 0..60 {
        world
            .client(ClientKind::Public, |new| new.name = AppName::parse(&format!("App {number:02}")).unwrap())
            .await;
    }
    let first = max.gets("/admin/apps?sort=name").await.page(200).shows("App 49").hides("App 55");
    let next = first.attribute("rel=\"next\"", "href");
    let second = max.gets(&next).await.page(200).shows("App 55").hides("App 49").shows("Page 2");
    assert_eq!(second.attribute("rel=\"prev\"", "href"), "/admin/apps?sort=name");
}

#[tokio::test]
async fn suspending_an_app_ends_its_tokens_and_reinstating_revives_none() {
    let scene = scene().await;
    let Scene { world, api, app, alice } = &scene;
    let max = max(world).await;
    let held = held(alice, app).await;
    let open = alice.elsewhere();
    open.signs_in().await;
    let bob = world.signed_in("bob").await;
    let consent = bob.is_asked(&app.request()).await;
    let path = format!("{}/suspend", page_of(app));

    let page = max.gets(&path).await.page(200).shows("1 user loses access at once. 2 sign-ins end.");
    assert_eq!(page.attribute("<form method=\"post\"", "action"), path);
    assert!(api.accepts(&held.tokens.access).await, "looking ends nothing");
    let receipt = max.posts(&path, &reason(REASON)).await.is(303).location().to_owned();
    assert!(receipt.starts_with("/receipts/rcp_"), "{receipt}");
    held.is_dead(&scene).await;
    let answer = bob.answers(&consent, "approve").await;
    assert!(answer.status != 303, "a page that stood open gives nothing: {}", answer.location());
    alice.gets("/authorizations").await.page(200).shows("We suspended this app").shows(REASON);
    max.gets(&receipt).await.page(200).shows("Prints was suspended").shows(REASON);

    // Twice: success without effect.
    let before = world.contents();
    max.posts(&path, &reason(REASON)).await.leads_to(&page_of(app));
    max.gets(&path).await.leads_to(&page_of(app));
    assert_eq!(world.contents(), before);

    let path = format!("{}/reinstate", page_of(app));
    max.gets(&path).await.page(200).shows("Reinstating it does not give it access");
    max.posts(&path, &Fields::reason()).await.leads_to(&page_of(app));
    let before = world.contents();
    max.posts(&path, &Fields::reason()).await.leads_to(&page_of(app));
    max.gets(&path).await.leads_to(&page_of(app));
    assert_eq!(world.contents(), before);
    held.is_dead(&scene).await;
    // Nothing is passed over: Alice is asked again.
    alice.is_asked(&app.request()).await;
    let tokens = alice.connects(app).await;
    assert!(api.accepts(&tokens.access).await);
    assert_eq!(world.ledger(), ["client_suspended", "client_reinstated"]);
    // The sentence outlives the reinstatement on its receipt.
    max.gets(&receipt).await.page(200).shows(REASON);
}

#[tokio::test]
async fn a_ban_is_final_and_its_hosts_are_refused() {
    let scene = scene().await;
    let Scene { world, app, alice, .. } = &scene;
    let max = max(world).await;
    let held = held(alice, app).await;
    let path = format!("{}/ban", page_of(app));
    max.gets(&path).await.page(200).shows("A ban can’t be undone").shows("<strong>app.example</strong>");
    let receipt = max.posts(&path, &reason(REASON)).await.is(303).location().to_owned();
    max.gets(&receipt).await.page(200).shows("Prints was banned");
    held.is_dead(&scene).await;
    alice.gets("/authorizations").await.page(200).shows("We banned this app").shows(REASON);
    let new = NewClient {
        owner: max.id.clone(),
        name: AppName::parse("Prints again").unwrap(),
        publisher: "Paper Ltd".to_owned(),
        kind: ClientKind::Public,
        token_format: TokenFormat::Opaque,
        grant_types: GrantTypes::default(),
        scope: None,
        redirect_uris: vec![RedirectUri::parse(CALLBACK).unwrap()],
    };
    let refused = register::client(&world.app.store, new, By::operator(world.app.clock.now())).await;
    assert!(matches!(refused, Err(register::Error::BannedRedirect)));
    let before = world.contents();
    max.posts(&path, &reason("Again.")).await.leads_to(&page_of(app));
    max.posts(&format!("{}/suspend", page_of(app)), &reason("Again.")).await.leads_to(&page_of(app));
    max.posts(&format!("{}/reinstate", page_of(app)), &Fields::reason()).await.leads_to(&page_of(app));
    assert_eq!(world.contents(), before);
    max.gets(&page_of(app)).await.page(200).shows("Banned since").hides("/reinstate").hides("/ban\"");
}

#[tokio::test]
async fn a_suspended_app_can_be_banned() {
    let Scene { world, app, .. } = scene().await;
    let max = max(&world).await;
    max.posts(&format!("{}/suspend", page_of(&app)), &reason("First.")).await.is(303);
    max.posts(&format!("{}/ban", page_of(&app)), &reason("Second.")).await.is(303);
    assert_eq!(world.value::<String>("SELECT status_reason FROM clients"), "Second.");
}

#[tokio::test]
async fn the_reason_is_a_sentence_that_people_can_read() {
    let Scene { world, app, .. } = scene().await;
    let max = max(&world).await;
    let before = world.contents();
    let long = "x".repeat(301);
    for act in ["suspend", "ban"] {
        let path = format!("{}/{act}", page_of(&app));
        for text in ["", "  ", "a\u{202e}b", "a\u{200b}b", "a\nb", "a\u{7}b", &long] {
            let page = max.posts(&path, &reason(text)).await.page(422).shows("Nothing was changed");
            page.shows("aria-invalid=\"true\"").shows("<title>Error: ");
        }
        max.posts(&path, &reason("a\u{202e}<i>b")).await.page(422).shows("a\u{202e}&#60;i&#62;b</textarea>");
        max.posts(&path, &Fields::default()).await.page(422).shows("Enter a reason");
    }
    assert_eq!(world.contents(), before);
    max.posts(&format!("{}/suspend", page_of(&app)), &reason(&"ß".repeat(300))).await.is(303);
}

#[tokio::test]
async fn nobody_reinstates_their_own_app() {
    let Scene { world, .. } = scene().await;
    let max = max(&world).await;
    let owner = max.id.clone();
    let app = world.client(ClientKind::Confidential, |new| new.owner = owner).await;
    max.posts(&format!("{}/suspend", page_of(&app)), &reason("Mine.")).await.is(303);
    let before = world.contents();
    let path = format!("{}/reinstate", page_of(&app));
    max.gets(&path).await.page(400).shows("Ask another admin");
    max.posts(&path, &Fields::reason()).await.page(400).shows("Ask another admin");
    assert_eq!(world.contents(), before);
    max.gets(&page_of(&app)).await.page(200).shows("This app is yours");
    let eve = world.with_role("eve", Role::Admin).await;
    eve.posts(&path, &Fields::reason()).await.leads_to(&page_of(&app));
    assert_eq!(world.value::<String>("SELECT status FROM clients"), "active");
}

#[tokio::test]
async fn a_deleted_app_can_still_be_viewed() {
    let Scene { world, app, .. } = scene().await;
    let max = max(&world).await;
    world.forces("UPDATE clients SET status = 'deleted', generation = 2");
    max.gets(&page_of(&app)).await.page(200).shows("Deleted by its developer").shows("app.example");
    let before = world.contents();
    for act in ["suspend", "ban"] {
        max.gets(&format!("{}/{act}", page_of(&app))).await.leads_to(&page_of(&app));
        max.posts(&format!("{}/{act}", page_of(&app)), &reason(REASON)).await.leads_to(&page_of(&app));
    }
    assert_eq!(world.contents(), before);
}

// Resource servers

fn server(name: &str, audience: &str, scopes: &str) -> Fields {
    Fields::new(&[("name", name), ("audience", audience), ("scopes", scopes)])
}

#[tokio::test]
async fn a_resource_server_is_added_and_its_secret_shown_once() {
    let Scene { world, .. } = scene().await;
    let max = max(&world).await;
    max.gets("/admin/resource-servers").await.page(200).shows("https://photos.example").shows("May read");
    let path = "/admin/resource-servers/new";
    max.gets(path).await.page(200);
    let fields = server(
        "Mail",
        "https://mail.example",
        "mail.read=See your mail\r\n\r\nmail.send = Send mail = all\r\n",
    );
    let address = max.posts(path, &fields).await.location().to_owned();
    let page = max.gets(&address).await.page(200).shows("Copy the secret now");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let secret = page.body.split_once("id=\"secret\">").unwrap().1.split_once('<').unwrap().0.to_owned();
    assert!(secret.starts_with("rsc_rs_"), "{secret}");
    max.gets(&address).await.page(200).shows("The secret has already been shown").hides(&secret);
    let list = max.gets("/admin/resource-servers").await.page(200).shows("Mail").shows("Send mail = all");
    list.hides(&secret);
    let before = world.contents();
    max.posts(path, &fields).await.page(422).shows("Another resource server has this audience");
    assert_eq!(world.contents(), before);
}

#[tokio::test]
async fn a_resource_server_with_invalid_fields_is_refused() {
    let Scene { world, .. } = scene().await;
    let max = max(&world).await;
    let before = world.contents();
    let (name, audience, scopes) = ("Mail", "https://mail.example", "mail.read=See your mail");
    for (fields, text) in [
        (server("", audience, scopes), "Enter a name of 1 to 80"),
        (server("a\u{202e}b", audience, scopes), "Enter a name of 1 to 80"),
        (server(name, "mail", scopes), "Enter an absolute address"),
        (server(name, "https://mail.example/#x", scopes), "Enter an absolute address"),
        (server(name, "https://photos.example", scopes), "has this audience"),
        (server(name, audience, ""), "Enter at least one scope"),
        (server(name, audience, "mail.read"), "needs an equals sign"),
        (server(name, audience, "mail read=See"), "The name of a scope can have"),
        (server(name, audience, "mail.read="), "Each scope needs"),
        (server(name, audience, "mail.read=a\u{200b}"), "Each scope needs"),
        (server(name, audience, "read=See"), "belongs to another resource server"),
        (server(name, audience, "a=b\na=c"), "appears twice"),
        (server(name, audience, scopes).and("max_staleness", "0"), "a whole number of seconds from 1 to 300"),
        (
            server(name, audience, scopes).and("max_staleness", "9").and("guard", "maybe"),
            "one of the two ways",
        ),
    ] {
        max.posts("/admin/resource-servers/new", &fields).await.page(422).shows(text);
    }
    assert_eq!(world.contents(), before);
}
