//! What developers do to their apps, seen through introspection, refresh, code redemption and open consent pages.

use std::time::Duration;

use rescind::model::client::ClientKind;

use crate::developer::{Desk, app_of, desk, developer, registration};
use crate::harness::answer::Answer;
use crate::harness::client::{Client, Tokens};
use crate::harness::fields::Fields;

const NONE: Fields = Fields::EMPTY;

/// One of each kind of credential that the app can hold.
struct Held {
    tokens: Tokens,
    code: String,
    own: String,
}

impl Desk {
    async fn holds(&self) -> Held {
        let tokens = self.alice.connects(&self.app).await;
        let code = self.alice.authorizes(&self.app).await;
        let own = self.own_token().await;
        for token in [&tokens.access, &own] {
            assert!(self.api.accepts(token).await);
        }
        Held { tokens, code, own }
    }

    async fn own_token(&self) -> String {
        let request = Fields::new(&[("grant_type", "client_credentials"), ("scope", "read")]);
        Tokens::read(&self.app.asks_tokens(&request).await).access
    }

    /// Presses the button of the page, as it stands now.
    async fn revokes_tokens(&self) -> Answer {
        let path = self.path("/revoke-tokens");
        let page = self.dana.gets(&path).await.page(200);
        let generation = page.attribute("name=\"generation\"", "value");
        self.dana.posts(&path, &Fields::new(&[("generation", &generation)])).await
    }

    async fn deletes(&self) -> Answer {
        self.dana.posts(&self.path("/delete"), &Fields::new(&[("name", " Prints ")])).await
    }

    async fn rotates(&self, hours: &str) -> Answer {
        self.dana.posts(&self.path("/rotate-secret"), &Fields::new(&[("overlap_hours", hours)])).await
    }

    /// The page that shows the new secret.
    async fn rotated(&self, hours: &str) -> Answer {
        self.dana.makes_secret(&self.path("/rotate-secret"), &Fields::new(&[("overlap_hours", hours)])).await
    }

    fn generation(&self) -> i64 {
        self.world.value(&format!("SELECT generation FROM clients WHERE id = '{}'", self.app.id))
    }
}

#[track_caller]
fn is_receipt(answer: &Answer) -> String {
    assert!(answer.location().starts_with("/receipts/rcp_"), "{}", answer.location());
    answer.location().to_owned()
}

/// The app with another secret.
fn with_secret(app: &Client, secret: &str) -> Client {
    let mut other =
        Client::new(app.world.clone(), &app.id, Some(secret.to_owned()), app.redirect_uri.clone());
    other.verifier.clone_from(&app.verifier);
    other
}

fn shown_secret(page: &Answer) -> String {
    page.body.split_once("id=\"secret\">").unwrap().1.split_once('<').unwrap().0.to_owned()
}

// Revoking all user tokens

#[tokio::test]
async fn revoking_all_tokens_of_an_app_leaves_the_app_active() {
    let desk = desk().await;
    let Desk { world, api, dana, app, alice } = &desk;
    let held = desk.holds().await;
    let bob = world.signed_in("bob").await;
    let open = bob.is_asked(&app.request()).await;
    let receipt = is_receipt(&desk.revokes_tokens().await);
    assert_eq!(world.ledger(), ["user_tokens_revoked"]);

    assert!(!api.accepts(&held.tokens.access).await);
    assert!(!api.accepts(&held.own).await);
    assert!(!app.can_refresh(&held.tokens).await);
    app.presents_code(&held.code).await.refuses(400, "invalid_grant");
    bob.answers(&open, "approve").await.page(409).shows("access was changed or revoked");
    // Alice has to allow it again; nothing is given under the consent of before.
    alice.is_asked(&app.request()).await;

    let tokens = bob.connects(app).await;
    assert!(api.accepts(&tokens.access).await, "the secret stays, and new tokens live");
    assert!(api.accepts(&desk.own_token().await).await);
    let page = dana.gets(&desk.path("")).await.page(200).shows(&receipt);
    page.shows("All user tokens of the app were revoked, by the app’s developer").shows("Active");
}

#[tokio::test]
async fn the_revocation_page_says_beforehand_how_many_users_it_signs_out() {
    let desk = desk().await;
    let Desk { world, dana, app, alice, .. } = &desk;
    let path = desk.path("/revoke-tokens");
    dana.gets(&path).await.page(200).shows("Nobody is signed out");
    alice.connects(app).await;
    alice.connects(app).await;
    world.signed_in("bob").await.connects(app).await;
    desk.own_token().await;
    let before = world.contents();
    let page = dana.gets(&path).await.page(200).shows("Revoke all user tokens of Prints?");
    let page = page.shows("This signs out 2 users. 3 sign-ins end.").shows("Sign out 2 users");
    let page = page.shows("<dt>active access tokens</dt><dd>4</dd>");
    page.shows("(client_credentials) stop working too").shows("a client secret");
    let page =
        dana.gets(&desk.path("/delete")).await.page(200).shows("2 users lose access now. 3 sign-ins end.");
    page.shows("<dt>active access tokens</dt><dd>4</dd>").shows("(client_credentials) stop working too");
    assert_eq!(world.contents(), before);
    desk.revokes_tokens().await.is(303);
    dana.gets(&desk.path("")).await.page(200).shows("<dt>users allow it</dt><dd>0</dd>");
}

#[tokio::test]
async fn a_stale_form_revokes_nothing_and_leads_to_the_earlier_receipt() {
    let desk = desk().await;
    let Desk { world, api, dana, app, alice } = &desk;
    let form = Fields::new(&[("generation", &desk.generation().to_string())]);
    let receipt = is_receipt(&dana.posts(&desk.path("/revoke-tokens"), &form).await);
    let tokens = alice.connects(app).await;
    let before = world.contents();
    dana.posts(&desk.path("/revoke-tokens"), &form).await.leads_to(&receipt);
    for generation in ["0", "99", "-1"] {
        let form = Fields::new(&[("generation", generation)]);
        let answer = dana.posts(&desk.path("/revoke-tokens"), &form).await;
        answer.leads_to(&desk.path("?notice=stale"));
    }
    for generation in ["x", "1.5", "99999999999999999999"] {
        let form = Fields::new(&[("generation", generation)]);
        dana.posts(&desk.path("/revoke-tokens"), &form).await.page(400).shows("hidden field");
    }
    assert_eq!(world.contents(), before);
    assert!(api.accepts(&tokens.access).await);
    dana.gets(&desk.path("?notice=stale")).await.page(200).shows("nothing more was done");
    // A script that names no generation acts on what there is.
    is_receipt(&dana.posts(&desk.path("/revoke-tokens"), &NONE).await);
    assert!(!api.accepts(&tokens.access).await);
}

#[tokio::test]
async fn the_app_page_leads_to_a_purge_that_is_under_way() {
    let desk = desk().await;
    let Desk { world, dana, .. } = &desk;
    desk.holds().await;
    let receipt = is_receipt(&desk.revokes_tokens().await);
    let page = dana.gets(&desk.path("")).await.page(200).shows("Revoked data is being deleted");
    page.shows(&format!("<a href=\"{receipt}\">Progress and receipt</a>"));
    crate::harness::engine::database::catch_up(&world.app.store, &world.app.clock, Duration::from_secs(10))
        .await
        .unwrap();
    dana.gets(&desk.path("")).await.page(200).hides("Revoked data").shows(&receipt);
}

// Rotating the secret

#[tokio::test]
async fn rotating_keeps_user_tokens_and_the_old_secret_until_the_overlap_ends() {
    let desk = desk().await;
    let Desk { world, api, dana, app, .. } = &desk;
    let held = desk.holds().await;
    dana.gets(&desk.path("/rotate-secret")).await.page(200).shows("user tokens stay");
    let page = desk.rotated("2").await.shows("Prints: new secret").shows("at the latest");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let secret = shown_secret(&page);
    let new = with_secret(app, &secret);
    assert!(!format!("{:?}", world.contents()).contains(&secret));
    dana.gets(&desk.path("")).await.page(200).hides(&secret).shows("Newest").shows("works until");

    assert!(api.accepts(&held.tokens.access).await && api.accepts(&held.own).await);
    let tokens = app.refreshes(&held.tokens).await;
    let tokens = new.refreshes(&tokens).await;
    new.redeems(&held.code).await;
    world.advances(2 * 3600 - 1);
    let tokens = app.refreshes(&tokens).await;
    world.advances(1);
    app.presents_refresh(&tokens.refresh).await.refuses(401, "invalid_client");
    new.refreshes(&tokens).await;
    dana.gets(&desk.path("")).await.page(200).hides("works until");
}

#[tokio::test]
async fn without_an_overlap_the_old_secret_stops_at_once() {
    let desk = desk().await;
    let held = desk.holds().await;
    let page = desk.rotated("0").await.hides("Earlier secrets");
    desk.app.presents_refresh(&held.tokens.refresh).await.refuses(401, "invalid_client");
    assert!(with_secret(&desk.app, &shown_secret(&page)).can_refresh(&held.tokens).await);
}

#[tokio::test]
async fn after_many_rotations_the_newest_secret_works() {
    let desk = desk().await;
    let mut tokens = desk.holds().await.tokens;
    for _ in 0..12 {
        let newest = shown_secret(&desk.rotated("168").await);
        tokens = with_secret(&desk.app, &newest).refreshes(&tokens).await;
    }
}

#[tokio::test]
async fn an_overlap_is_whole_hours_up_to_a_week() {
    let desk = desk().await;
    let before = desk.world.contents();
    for hours in ["", " ", "-1", "+1", "169", "1.5", "1e1", "٣", "24h", "0x1", "99999999999999999999", "<b>"]
    {
        let page = desk.rotates(hours).await.page(422).shows("The secret was not rotated");
        page.shows("id=\"overlap_hours-error\"").hides("rsc_cs_").hides("<b>");
    }
    desk.dana.posts(&desk.path("/rotate-secret"), &NONE).await.page(422);
    assert_eq!(desk.world.contents(), before);
    desk.rotates("168").await.is(303);
}

// Deleting

#[tokio::test]
async fn deleting_an_app_ends_all_of_it_for_good() {
    let desk = desk().await;
    let Desk { world, api, dana, app, alice } = &desk;
    let held = desk.holds().await;
    let bob = world.signed_in("bob").await;
    let open = bob.is_asked(&app.request()).await;
    let grant = alice.grant_of(app).await;
    let receipt = is_receipt(&desk.deletes().await);
    assert_eq!(world.ledger(), ["client_deleted"]);

    assert!(!api.accepts(&held.tokens.access).await);
    assert!(!api.accepts(&held.own).await);
    app.presents_refresh(&held.tokens.refresh).await.refuses(401, "invalid_client");
    app.presents_code(&held.code).await.refuses(401, "invalid_client");
    bob.answers(&open, "approve").await.page(400).shows("did not get access");
    alice.opens(&app.request()).await.page(400);
    alice.gets(&format!("/authorizations/{grant}")).await.page(200).shows("Its publisher deleted this app");

    for act in ["", "/edit", "/revoke-tokens", "/rotate-secret", "/delete"] {
        dana.gets(&desk.path(act)).await.page(404);
    }
    dana.gets("/apps").await.page(200).hides("Prints");
    let before = world.contents();
    desk.deletes().await.leads_to(&receipt);
    dana.posts(&desk.path("/delete"), &NONE).await.leads_to(&receipt);
    dana.posts(&desk.path("/revoke-tokens"), &NONE).await.page(404);
    desk.rotates("1").await.page(404);
    dana.posts(&desk.path(""), &registration()).await.page(404);
    let eve = developer(world, "eve").await;
    let before_eve = world.contents();
    eve.posts(&desk.path("/delete"), &Fields::new(&[("name", "Prints")])).await.page(404);
    assert_eq!(world.contents(), before_eve);
    assert_eq!(world.contents()["clients"], before["clients"]);
    assert_eq!(world.ledger().len(), 1);
}

#[tokio::test]
async fn an_app_is_deleted_only_by_its_exact_name() {
    let desk = desk().await;
    let held = desk.holds().await;
    let before = desk.world.contents();
    for name in ["", "  ", "prints", "Print", "Prints!", "Prints\u{200b}", "<b>Prints</b>", "cli_x"] {
        let page = desk.dana.posts(&desk.path("/delete"), &Fields::new(&[("name", name)])).await;
        let page = page.page(422).shows("Prints was not deleted").shows("id=\"name-error\"").hides("<b>");
        page.shows("1 user loses access now");
    }
    assert_eq!(desk.world.contents(), before);
    assert!(desk.api.accepts(&held.tokens.access).await);
}

// What state allows what

#[tokio::test]
async fn a_suspended_app_says_why_and_can_be_deleted() {
    let desk = desk().await;
    let Desk { world, dana, .. } = &desk;
    world.forces("UPDATE clients SET status = 'suspended', status_reason = 'It <b>leaked</b>.'");
    let page = dana.gets(&desk.path("")).await.page(200).shows("An admin suspended Prints on");
    let page = page.hides("<b>leaked").shows("leaked").hides("/rotate-secret").hides("/revoke-tokens");
    page.hides("<dl class=\"figures\">").shows("/delete");
    desk.rotates("1").await.leads_to(&desk.path("?notice=refused"));
    dana.gets(&desk.path("/rotate-secret")).await.leads_to(&desk.path("?notice=refused"));
    dana.gets(&desk.path("?notice=refused")).await.page(200).shows("Nothing was changed");
    assert_eq!(world.value::<i64>("SELECT count(*) FROM client_secrets"), 2, "one for each app");
    is_receipt(&desk.deletes().await);
}

#[tokio::test]
async fn a_banned_app_can_only_be_viewed() {
    let desk = desk().await;
    let Desk { world, dana, .. } = &desk;
    world.forces("UPDATE clients SET status = 'banned', status_reason = 'It lied.'");
    let page = dana.gets(&desk.path("")).await.page(200).shows("An admin banned Prints on").shows("It lied.");
    page.hides("/edit").hides("/rotate-secret").hides("/revoke-tokens").hides("/delete");
    let before = world.contents();
    for act in ["/edit", "/rotate-secret", "/delete"] {
        dana.gets(&desk.path(act)).await.leads_to(&desk.path("?notice=refused"));
    }
    desk.deletes().await.leads_to(&desk.path("?notice=refused"));
    desk.rotates("1").await.leads_to(&desk.path("?notice=refused"));
    dana.posts(&desk.path(""), &registration()).await.leads_to(&desk.path("?notice=refused"));
    assert_eq!(world.contents(), before);
}

// Changing the registration

#[tokio::test]
async fn the_next_consent_page_says_what_changed_since_the_last_consent() {
    let desk = desk().await;
    let Desk { world, dana, app, alice, .. } = &desk;
    alice.is_asked(&app.request()).await.answer.hides("Changed since");
    let tokens = alice.connects(app).await;
    world.advances(1);
    let form = |name: &str, publisher: &str, uris: &[&str]| {
        let form = Fields::new(&[("name", name), ("publisher", publisher)]);
        uris.iter().fold(form, |form, uri| form.and("redirect_uri", uri))
    };
    let callback = app.redirect_uri.as_str();
    let changes = [
        form("Between", "Paper Ltd", &[callback]),
        form("Album", "Album Ltd", &[callback, "https://album.example/cb"]),
    ];
    for change in &changes {
        world.advances(1);
        dana.posts(&desk.path(""), change).await.leads_to(&desk.path("?notice=changed"));
    }
    let page = dana.gets(&desk.path("?notice=changed")).await.page(200).shows("Your changes are saved.");
    page.shows("Album").shows("by Album Ltd · album.example, app.example").shows("https://album.example/cb");
    assert!(desk.api.accepts(&tokens.access).await, "a change ends nothing");

    // No earlier consent covers another name or address.
    alice.is_asked(&app.request()).await.answer.shows("Changed since you last allowed it");
    desk.revokes_tokens().await.is(303);
    let page = alice.is_asked(&app.request()).await;
    let shown = page.answer.body.clone();
    for sentence in [
        "Changed since you last allowed it",
        "The name was “Prints”.",
        "The publisher was “Paper Ltd”.",
        "Access could go to app.example.",
    ] {
        assert!(shown.contains(sentence), "{sentence}: {shown}");
    }
    assert!(!shown.contains("Between"), "nobody was told that name");
    world.signed_in("bob").await.is_asked(&app.request()).await.answer.hides("Changed since");
    app.accepts(&alice.answers(&page, "approve").await);

    // The same again is no change, and a consent settles what was shown; an ended grant was a consent too.
    dana.posts(&desk.path(""), &changes[1]).await.is(303);
    alice.revokes(app).await.is(303);
    alice.is_asked(&app.request()).await.answer.hides("Changed since");
    world.advances(1);
    dana.posts(&desk.path(""), &form("Album", "Album Ltd", &[callback, "https://album.example/other"]))
        .await
        .is(303);
    let page = alice
        .is_asked(&app.request())
        .await
        .answer
        .shows("The exact address that access goes to has changed");
    page.shows("still on album.example, app.example").hides("The name was");
}

#[tokio::test]
async fn the_edit_form_shows_current_values_and_can_remove_scopes() {
    let desk = desk().await;
    let Desk { world, dana, app, alice, .. } = &desk;
    let tokens = world.signed_in("bob").await.connects(app).await;
    let page =
        dana.gets(&desk.path("/edit")).await.page(200).shows("value=\"Prints\"").shows("value=\"Paper Ltd\"");
    let page = page.shows(&format!("value=\"{}\"", app.redirect_uri)).hides("name=\"type\"");
    assert_eq!(page.attribute("<form method=\"post\"", "action"), desk.path(""));
    dana.posts(&desk.path(""), &registration()).await.is(303);
    let page = dana.gets(&desk.path("/edit")).await.page(200);
    page.shows("value=\"read\" checked").hides("value=\"write\" checked").shows("value=\"dana\"");
    let refused = alice.opens(&app.request()).await;
    assert_eq!(refused.param("error").as_deref(), Some("invalid_scope"));
    alice.is_asked(&app.request().with("scope", "read")).await;
    // The kind of an app is for life; how its next tokens are made is not.
    let public = registration().with("type", "public").with("token_format", "jwt");
    let tokens = app.refreshes(&tokens).await;
    dana.posts(&desk.path(""), &public).await.is(303);
    let next = app.refreshes(&tokens).await;
    assert_eq!([tokens, next].map(|tokens| tokens.access.contains('.')), [false, true]);
    dana.gets(&desk.path("")).await.page(200).shows("JWT: checked by the API itself");
    dana.gets(&desk.path("/edit")).await.page(200).shows("value=\"jwt\" checked");
    let kinds = format!("SELECT kind FROM clients WHERE id = '{}'", app.id);
    assert_eq!(world.value::<String>(&kinds), "confidential");
    let other = app_of(world, dana, ClientKind::Public).await;
    dana.gets(&format!("/apps/{}", other.id)).await.page(200).hides("Client secrets");
}
