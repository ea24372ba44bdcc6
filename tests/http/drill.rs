//! The drill's app and resource server beside those of real life, and what admins see of drills.

use std::time::Duration;

use rescind::model::by::By;
use rescind::model::canary::{AUDIENCE, Outcome, SCOPE, Times};
use rescind::model::client::{ClientKind, GrantType, GrantTypes, TokenFormat};
use rescind::model::user::Role;
use rescind::service::drill::{self, PreparedCanary};
use rescind::service::revoke;

use crate::harness::browser::ConsentPage;
use crate::harness::client::{Client, Tokens};
use crate::harness::fields::Fields;
use crate::harness::{Scene, World, scene};

async fn begins(world: &World) -> (PreparedCanary, Client) {
    let canary = drill::begin(&world.app.store, world.app.clock.now()).await.unwrap();
    let secret = Some(canary.client_secret.expose().to_owned());
    let client = Client::new(world.clone(), canary.client.as_str(), secret, String::new());
    (canary, client)
}

fn own_token(scope: &str) -> Fields {
    Fields::new(&[("grant_type", "client_credentials"), ("scope", scope)])
}

async fn revokes(world: &World, canary: &PreparedCanary) -> bool {
    let by = By::operator(world.app.clock.now());
    let revoked = revoke::canary(&world.app.store, canary.client.clone(), canary.generation, by).await;
    revoked.unwrap().is_some()
}

#[tokio::test]
async fn a_drill_round_revokes_the_canary_s_token_once_and_tells_only_its_api() {
    let Scene { world, api, .. } = scene().await;
    let (canary, client) = begins(&world).await;
    let token = Tokens::read(&client.asks_tokens(&own_token(SCOPE)).await);
    let mut stream = api.follows().await;
    let facts = async || {
        let now = world.app.clock.now();
        let issuer = world.app.config.issuer.as_str();
        let (store, held) = (&world.app.store, world.app.store.held());
        let found = world.app.keys.jwt(store, &held, &token.access, issuer, now).await.unwrap();
        found.filter(|facts| !store.is_dead_here(facts))
    };
    assert_eq!(facts().await.expect("a live token").audiences.as_str(), AUDIENCE);
    assert!(revokes(&world, &canary).await);
    assert!(facts().await.is_none());
    assert!(!revokes(&world, &canary).await, "the generation has moved");
    assert_eq!(world.ledger(), ["canary_revoked"]);
    assert_eq!(world.value::<String>("SELECT audiences FROM ledger"), AUDIENCE);
    assert!(stream.hears_nothing().await);
    let other = client_of_everything(&world).await;
    let by = By::operator(world.app.clock.now());
    let id = rescind::model::id::ClientId::parse(&other.id).unwrap();
    let refused = revoke::canary(&world.app.store, id, 1, by).await;
    assert!(matches!(refused, Err(revoke::Error::NotFound)), "of the canary alone");
}

/// An app with JWTs that is bound to no scope.
async fn client_of_everything(world: &World) -> Client {
    let change = |new: &mut rescind::service::register::NewClient| {
        new.scope = None;
        new.token_format = TokenFormat::Jwt;
        new.grant_types = GrantTypes::new(vec![
            GrantType::AuthorizationCode,
            GrantType::RefreshToken,
            GrantType::ClientCredentials,
        ]);
    };
    world.client(ClientKind::Confidential, change).await
}

#[tokio::test]
async fn no_other_app_gets_the_scope_of_the_canary() {
    let Scene { world, alice, .. } = scene().await;
    let app = client_of_everything(&world).await;
    let before = world.gets("/.well-known/oauth-authorization-server").await.is(200).body;
    let asked = Tokens::read(&app.asks_tokens(&Fields::new(&[("grant_type", "client_credentials")])).await);
    begins(&world).await;
    assert_eq!(world.gets("/.well-known/oauth-authorization-server").await.is(200).body, before);
    // Without a scope it gets all that there is, for one audience, as before.
    let again = Tokens::read(&app.asks_tokens(&Fields::new(&[("grant_type", "client_credentials")])).await);
    assert_eq!(again.scope, asked.scope);
    app.asks_tokens(&own_token(SCOPE)).await.refuses(400, "invalid_scope");
    let page = ConsentPage::read(alice.opens(&app.request().without("scope")).await.page(200));
    page.answer.hides("Rescind drill");
    let refused = alice.opens(&app.request().with("scope", SCOPE)).await;
    assert_eq!(refused.param("error").as_deref(), Some("invalid_scope"));
}

#[tokio::test]
async fn the_canary_is_shown_only_in_the_list_of_apps_for_admins() {
    let Scene { world, app, alice, .. } = scene().await;
    alice.connects(&app).await;
    let (canary, client) = begins(&world).await;
    let max = world.with_role("max", Role::Admin).await;
    world.ends_all_tokens_of(&app).await;
    let receipt: String = world.value("SELECT receipt_id FROM ledger");
    max.gets(&format!("/receipts/{receipt}")).await.page(200).hides("Rescind drill");
    for path in ["/authorizations", "/apps", "/apps/new", "/admin/users"] {
        max.gets(path).await.page(200).hides("Rescind drill");
    }
    max.gets("/admin/users").await.page(200).shows("alice").hides("rescind-drill");
    max.gets("/admin/apps").await.page(200).shows("Rescind drill").shows(canary.client.as_str());
    let servers = max.gets("/admin/resource-servers").await.page(200);
    servers.hides(canary.server.as_str()).hides(AUDIENCE);
    alice.opens(&client.request()).await.page(400);
    let form = Fields::new(&[("name", "Mine"), ("audience", AUDIENCE), ("scopes", "mine=Mine")]);
    max.posts("/admin/resource-servers/new", &form).await.page(422).shows("Enter an absolute address");
    // Its rounds are no news.
    assert!(revokes(&world, &canary).await);
    max.gets("/admin/ledger")
        .await
        .page(200)
        .hides("A drill revoked")
        .shows("All user tokens of Prints were revoked");
    for query in ["act=canary_revoked".to_owned(), format!("q={}", canary.client)] {
        let page =
            max.gets(&format!("/admin/ledger?{query}")).await.page(200).shows("A drill revoked its own app");
        page.hides("All user tokens of Prints were revoked");
    }
}

#[tokio::test]
async fn each_drill_uses_the_same_app_and_ends_the_secrets_of_the_last_drill() {
    let Scene { world, .. } = scene().await;
    let (first, before) = begins(&world).await;
    Tokens::read(&before.asks_tokens(&own_token(SCOPE)).await);
    let counts = || {
        ["users", "clients", "client_secrets", "resource_servers", "scopes"]
            .map(|table| world.value::<i64>(&format!("SELECT count(*) FROM {table}")))
    };
    let counted = counts();
    let (second, after) = begins(&world).await;
    assert_eq!((first.client, first.server), (second.client.clone(), second.server));
    assert_eq!(counts(), counted);
    before.asks_tokens(&own_token(SCOPE)).await.refuses(401, "invalid_client");
    Tokens::read(&after.asks_tokens(&own_token(SCOPE)).await);

    world.suspends(&after).await;
    let refused = drill::begin(&world.app.store, world.app.clock.now()).await;
    let why = refused.expect_err("it may not act").to_string();
    assert!(why.contains(&format!("/admin/apps/{}", second.client)), "{why}");
    let (reason, by) = ("It looked suspicious.".to_owned(), By::operator(world.app.clock.now()));
    revoke::ban_client(&world.app.store, second.client.clone(), reason, by).await.unwrap();
    let (third, _) = begins(&world).await;
    assert_ne!(third.client, second.client, "a ban is for good");
    let owners = "SELECT count(*) FROM users WHERE username LIKE 'rescind-drill-%'";
    assert_eq!(world.value::<i64>(owners), 1);
    assert!(begins(&world).await.0.client == third.client);
}

#[tokio::test]
async fn admins_see_how_the_last_drill_went() {
    let Scene { world, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let shown = async || max.gets("/admin/resource-servers").await.page(200);
    shown().await.shows("No drill has been run yet").shows("rescind drill");
    begins(&world).await;
    shown().await.shows("No drill has been run yet");
    let [p50, p99, max_time] = [1_250, 7_040, 31_900].map(Duration::from_micros);
    let passed = Outcome::Passed(Times { rounds: 1_000, p50, p99, max: max_time });
    drill::end(&world.app.store, passed, world.app.clock.now()).await.unwrap();
    world.advances(7_200);
    let page = shown().await.shows("Passed").shows("2 hours ago").shows("1,000 revocations");
    page.shows("1.2 ms").shows("7.0 ms").shows("31.9 ms");
    drill::end(&world.app.store, Outcome::Failed { rounds: 12 }, world.app.clock.now()).await.unwrap();
    let page =
        shown().await.shows("Failed").shows("had not learned of it").shows("12 rounds before it succeeded");
    page.hides("31.9 ms");
}
