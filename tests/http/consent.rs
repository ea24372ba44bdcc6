//! The consent page: what it says, what an approval gives, and when it may be passed over.

use std::collections::HashMap;

use crate::harness::browser::{Browser, ConsentPage, From};
use crate::harness::client::Client;
use crate::harness::fields::Fields;
use crate::harness::{CALLBACK, ISSUER, PASSWORD, World, scene};

const STATE: Option<&str> = Some("st/4te ü&=");

fn codes(world: &World) -> i64 {
    world.value("SELECT count(*) FROM authorization_codes")
}

/// Whether the user is asked before the app gets a code.
async fn asks(alice: &Browser, app: &Client) -> bool {
    let answer = alice.opens(&app.request()).await;
    if answer.status == 200 {
        ConsentPage::read(answer);
        return true;
    }
    app.accepts(&answer);
    false
}

#[tokio::test]
async fn the_page_names_the_publisher_the_domain_and_the_scopes_in_words() {
    let scene = scene().await;
    let page = scene.alice.is_asked(&scene.app.request()).await.answer;
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.form_targets(), [""; 0]);
    let page = page.shows("Prints").shows("Paper Ltd").shows("<strong>app.example</strong>");
    page.shows("May read").shows("May write").shows("<strong>alice</strong>");
    let page = scene.alice.is_asked(&scene.app.request().with("scope", "read")).await.answer;
    page.shows("May read").hides("May write");
}

#[tokio::test]
async fn the_consent_page_may_redirect_to_an_app_with_a_private_scheme() {
    let scene = scene().await;
    let app = scene.world.client_with_redirects(&["com.example.app:/callback"]).await;
    let page = scene.alice.is_asked(&app.request()).await;
    assert_eq!(page.answer.form_targets(), ["com.example.app:"]);
    app.accepts(&scene.alice.answers(&page, "approve").await);
    // Browsers too: they open an app for whoever pressed a button.
    app.accepts(&scene.alice.submits(&page.action, &page.form("approve")).await);
    let denied = scene.alice.submits(&page.action, &page.form("deny")).await;
    denied.redirects_error("com.example.app:/callback", "access_denied", STATE, ISSUER);
}

/// What a browser's form is answered with: a page, so that what the app's callback does next is no longer held to
/// this server's policy.
#[tokio::test]
async fn a_page_leads_the_browser_on_to_the_app() {
    let scene = scene().await;
    let page = scene.alice.is_asked(&scene.app.request()).await;
    let allowed = scene.alice.submits(&page.action, &page.form("approve")).await.page(200);
    let url = url::Url::parse(&allowed.shows("Continue to Prints").goes_on_to()).unwrap();
    let params: HashMap<_, _> = url.query_pairs().into_owned().collect();
    assert!(url.as_str().starts_with(CALLBACK), "{url}");
    assert_eq!((params["state"].as_str(), params["iss"].as_str()), (STATE.unwrap(), ISSUER));
    scene.app.redeems(&params["code"]).await;

    let denied = scene.alice.submits(&page.action, &page.form("deny")).await.page(200).goes_on_to();
    assert!(denied.starts_with(CALLBACK) && denied.contains("error=access_denied"), "{denied}");
    let faulty = format!("/oauth/authorize?{}", scene.app.request().without("code_challenge").encode());
    let refused = scene.alice.submits(&faulty, &page.form("approve")).await.page(200).goes_on_to();
    assert!(refused.starts_with(CALLBACK) && refused.contains("error=invalid_request"), "{refused}");
}

#[tokio::test]
async fn the_page_that_continues_to_the_app_escapes_what_the_client_sent() {
    let scene = scene().await;
    scene.world.forces("UPDATE clients SET name = '<i>x</i>'");
    let request = scene.app.request().with("state", "\"><script>2</script>");
    let page = scene.alice.is_asked(&request).await;
    let answer = scene.alice.submits(&page.action, &page.form("approve")).await.page(200);
    answer.hides("<i>").hides("<script>2");
}

#[tokio::test]
async fn a_head_request_or_a_prefetch_gives_no_code_where_consent_stands() {
    let scene = scene().await;
    scene.alice.authorizes(&scene.app).await;
    let path = format!("/oauth/authorize?{}", scene.app.request().encode());
    let before = scene.world.contents();
    for (name, value) in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("sec-purpose", "prefetch;anonymous-client-ip"),
        ("purpose", "prefetch"),
        ("x-moz", "prefetch"),
        ("x-purpose", "preview"),
    ] {
        let answer = scene.alice.asks("GET", &path, name, value).await.page(200);
        assert_eq!(answer.header("location"), None, "{name}: {value}");
    }
    let answer = scene.alice.asks("HEAD", &path, "accept", "*/*").await.is(200);
    assert_eq!((answer.header("location"), answer.body.as_str()), (None, ""));
    assert_eq!(scene.world.contents(), before);
    // A visit passes.
    scene.app.accepts(&scene.alice.opens(&scene.app.request()).await);
}

#[tokio::test]
async fn the_consent_page_escapes_what_an_app_sent() {
    let scene = scene().await;
    scene.world.forces("UPDATE clients SET name = '<i>x</i>', publisher = '\"><script>1</script>'");
    let request = scene.app.request().with("state", "\"><script>2</script>");
    let page = scene.alice.is_asked(&request).await;
    page.answer.hides("<i>").hides("<script>1").hides("<script>2");
}

#[tokio::test]
async fn approving_gives_a_code_with_state_and_iss() {
    let scene = scene().await;
    let page = scene.alice.is_asked(&scene.app.request()).await;
    let answer = scene.alice.answers(&page, "approve").await;
    let code = scene.app.accepts(&answer);
    assert!(code.starts_with("rsc_ac_") && code.len() == 56, "{code}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn denying_gives_access_denied_with_state_and_iss_and_nothing_else() {
    let scene = scene().await;
    let page = scene.alice.is_asked(&scene.app.request()).await;
    let before = scene.world.contents();
    for _ in 0..2 {
        let answer = scene.alice.answers(&page, "deny").await;
        answer.redirects_error(CALLBACK, "access_denied", STATE, ISSUER);
    }
    assert_eq!(scene.world.contents(), before);
}

#[tokio::test]
async fn a_consent_form_without_an_answer_is_shown_again() {
    let scene = scene().await;
    let page = scene.alice.is_asked(&scene.app.request()).await;
    for decision in ["", "Approve", "yes"] {
        scene.alice.answers(&page, decision).await.page(422).shows("Choose “Allow” or “Don’t allow”");
    }
    assert_eq!(codes(&scene.world), 0);
}

#[tokio::test]
async fn showing_the_consent_page_changes_nothing() {
    let scene = scene().await;
    let before = scene.world.contents();
    scene.alice.is_asked(&scene.app.request()).await;
    assert_eq!(scene.world.contents(), before);
}

#[tokio::test]
async fn other_sites_approve_nothing() {
    let scene = scene().await;
    let page = scene.alice.is_asked(&scene.app.request()).await;
    let before = scene.world.contents();
    for from in From::OTHERS {
        scene.alice.posts_from(from, &page.action, &page.form("approve")).await.page(403);
    }
    assert_eq!(scene.world.contents(), before);
}

#[tokio::test]
async fn a_visitor_who_approves_signs_in_and_sees_the_page_again() {
    let scene = scene().await;
    let page = scene.alice.is_asked(&scene.app.request()).await;
    let visitor = scene.alice.elsewhere();
    let answer = visitor.answers(&page, "approve").await.asks_to_sign_in(&page.action);
    assert_eq!(codes(&scene.world), 0);
    let sign_in = visitor.gets(answer.location()).await.page(200);
    let next = sign_in.attribute("name=\"next\"", "value");
    visitor.types(PASSWORD, &next).await.leads_to(&page.action);
    visitor.is_asked(&scene.app.request()).await;
}

#[tokio::test]
async fn approving_twice_gives_two_devices_under_one_grant() {
    let scene = scene().await;
    let page = scene.alice.is_asked(&scene.app.request()).await;
    let first = scene.app.accepts(&scene.alice.answers(&page, "approve").await);
    let second = scene.app.accepts(&scene.alice.answers(&page, "approve").await);
    assert_ne!(first, second);
    assert_eq!(scene.world.value::<i64>("SELECT count(*) FROM grants"), 1);
    assert_eq!(scene.world.value::<i64>("SELECT count(*) FROM families"), 2);
    scene.app.redeems(&first).await;
    scene.app.redeems(&second).await;
}

#[tokio::test]
async fn a_confidential_client_gets_a_code_without_the_page_under_a_standing_consent() {
    let scene = scene().await;
    scene.alice.authorizes(&scene.app).await;
    assert!(!asks(&scene.alice, &scene.app).await);
    let narrower = scene.app.request().with("scope", "read");
    scene.app.accepts(&scene.alice.opens(&narrower).await);
    // It is Alice's consent, and to this app alone.
    let bob = scene.world.signed_in("bob").await;
    assert!(asks(&bob, &scene.app).await);
    assert!(asks(&scene.alice, &scene.world.confidential_client().await).await);
}

#[tokio::test]
async fn a_public_client_never_gets_a_code_without_the_page() {
    let scene = scene().await;
    let app = scene.world.public_client().await;
    for _ in 0..3 {
        assert!(asks(&scene.alice, &app).await);
        scene.alice.connects(&app).await;
    }
}

#[tokio::test]
async fn an_additional_scope_is_asked_for_and_marked_as_new() {
    let scene = scene().await;
    scene.alice.authorizes_request(&scene.app, &scene.app.request().with("scope", "read")).await;
    let page = scene.alice.is_asked(&scene.app.request()).await;
    let new: Vec<&str> = page.answer.body.lines().filter(|line| line.contains("badge new")).collect();
    assert!(matches!(new.as_slice(), [one] if one.contains("May write")), "{new:?}");
    scene.app.accepts(&scene.alice.answers(&page, "approve").await);
    assert!(!asks(&scene.alice, &scene.app).await);
}

#[tokio::test]
async fn a_denied_scope_leaves_the_earlier_consent_as_it_was() {
    let scene = scene().await;
    let narrow = scene.app.request().with("scope", "read");
    scene.alice.authorizes_request(&scene.app, &narrow).await;
    let page = scene.alice.is_asked(&scene.app.request()).await;
    scene.alice.answers(&page, "deny").await;
    assert!(asks(&scene.alice, &scene.app).await);
    scene.app.accepts(&scene.alice.opens(&narrow).await);
}

#[tokio::test]
async fn no_standing_consent_outlives_a_revocation() {
    let scene = scene().await;
    let (alice, app) = (&scene.alice, &scene.app);
    alice.authorizes(app).await;
    alice.revokes(app).await.is(303);
    assert!(asks(alice, app).await);

    alice.authorizes(app).await;
    scene.world.ends_all_tokens_of(app).await;
    assert!(asks(alice, app).await);

    alice.authorizes(app).await;
    scene.world.ends_grant(&alice.grant_of(app).await).await;
    assert!(asks(alice, app).await);

    alice.authorizes(app).await;
    scene.world.ends_everything_of(alice).await;
    alice.signs_in().await;
    assert!(asks(alice, app).await);

    alice.authorizes(app).await;
    scene.world.forces("UPDATE server SET generation = generation + 1");
    alice.signs_in().await;
    assert!(asks(alice, app).await);
    alice.authorizes(app).await;
    assert!(!asks(alice, app).await);
}

#[tokio::test]
async fn a_new_consent_does_not_bring_back_what_was_revoked() {
    let scene = scene().await;
    scene.alice.authorizes(&scene.app).await;
    scene.world.ends_all_tokens_of(&scene.app).await;
    let narrow = scene.app.request().with("scope", "read");
    scene.alice.authorizes_request(&scene.app, &narrow).await;
    assert!(asks(&scene.alice, &scene.app).await, "write was revoked, and nobody has allowed it since");
}

/// Approves a page that was opened before something was revoked: it comes again, and nothing is given.
async fn is_shown_again(alice: &Browser, app: &Client, page: &ConsentPage) {
    let before = alice.world.contents();
    let answer = alice.answers(page, "approve").await.page(409).shows("while this page was open");
    assert_eq!(alice.world.contents(), before);
    let fresh = ConsentPage::read(answer);
    app.accepts(&alice.answers(&fresh, "approve").await);
}

#[tokio::test]
async fn a_page_opened_before_a_revocation_is_shown_again() {
    let scene = scene().await;
    let (alice, app) = (&scene.alice, &scene.world.public_client().await);
    alice.authorizes(app).await;

    let page = alice.is_asked(&app.request()).await;
    alice.revokes(app).await.is(303);
    is_shown_again(alice, app, &page).await;

    let page = alice.is_asked(&app.request()).await;
    scene.world.ends_all_tokens_of(app).await;
    is_shown_again(alice, app, &page).await;

    let page = alice.is_asked(&app.request()).await;
    scene.world.ends_everything_of(alice).await;
    alice.answers(&page, "approve").await.asks_to_sign_in(&page.action);
    alice.signs_in().await;
    is_shown_again(alice, app, &page).await;
}

#[tokio::test]
async fn a_page_opened_before_a_grant_was_given_and_revoked_is_shown_again() {
    let scene = scene().await;
    let (alice, app) = (&scene.alice, &scene.app);
    let first = alice.is_asked(&app.request()).await;
    alice.authorizes(app).await;
    alice.revokes(app).await.is(303);
    is_shown_again(alice, app, &first).await;
    // Once more, with an ended grant there before.
    alice.revokes(app).await.is(303);
    let page = alice.is_asked(&app.request()).await;
    scene.world.advances(1);
    alice.authorizes(app).await;
    alice.revokes(app).await.is(303);
    is_shown_again(alice, app, &page).await;
}

#[tokio::test]
async fn a_page_opened_before_an_app_was_suspended_gives_nothing() {
    let scene = scene().await;
    let page = scene.alice.is_asked(&scene.app.request()).await;
    scene.world.forces("UPDATE clients SET status = 'suspended', generation = generation + 1");
    scene.alice.answers(&page, "approve").await.page(400);
    scene.world.forces("UPDATE clients SET status = 'active', generation = generation + 1");
    is_shown_again(&scene.alice, &scene.app, &page).await;
}

#[tokio::test]
async fn a_forged_consent_state_gives_no_code() {
    let scene = scene().await;
    let bob = scene.world.signed_in("bob").await;
    bob.authorizes(&scene.app).await;
    let bobs = bob.grant_of(&scene.app).await;
    let page = scene.alice.is_asked(&scene.app.request()).await;
    let (user, asked) = (scene.alice.id.as_str(), page.seen.rsplit_once('.').unwrap().1);
    assert_eq!(page.seen, format!("{user}.1.1.1.1.-.{asked}"));
    let before = scene.world.contents();
    let other = "tok_0000000000000000000000";
    for seen in [
        String::new(),
        "1.1.1.-".to_owned(),
        format!("{user}.1.1.1.-.{asked}"),
        format!("{user}.1.1.2.1.-.{asked}"),
        format!("{user}.1.2.1.1.-.{asked}"),
        format!("{user}.2.1.1.1.-.{asked}"),
        format!("{user}.0.1.1.1.-.{asked}"),
        format!("{user}.1.1.1.2.-.{asked}"),
        format!("{user}.1.1.1.0.-.{asked}"),
        format!("{user}.1.1.-1.1.-.{asked}"),
        format!("{user}.1.1.99999999999999999999.1.-.{asked}"),
        format!("{user}.1.1.1.1.-.1.{asked}"),
        format!("{user}.1.1.1.1.-"),
        format!("{user}.1.1.1.1.-.{other}"),
        format!("{user}.1.1.1.1.grt_00000000000000000000.{asked}"),
        format!("{user}.1.1.1.1.{bobs}.{asked}"),
        format!("{}.1.1.1.1.-.{asked}", bob.id),
    ] {
        let form = page.form("approve").with("seen", &seen);
        scene.alice.posts(&page.action, &form).await.page(409);
    }
    scene.alice.posts(&page.action, &Fields::new(&[("decision", "approve")])).await.page(409);
    assert_eq!(scene.world.contents(), before);
}

#[tokio::test]
async fn an_approved_request_is_checked_again() {
    let scene = scene().await;
    let page = scene.alice.is_asked(&scene.app.request()).await;
    let at = |request: Fields| format!("/oauth/authorize?{}", request.encode());
    let form = page.form("approve");
    let evil = at(scene.app.request().with("redirect_uri", "https://evil.example/"));
    scene.alice.posts(&evil, &form).await.page(400);
    let unproven = at(scene.app.request().without("code_challenge"));
    let answer = scene.alice.posts(&unproven, &form).await;
    answer.redirects_error(CALLBACK, "invalid_request", STATE, ISSUER);
    scene.alice.posts("/oauth/authorize", &form).await.page(400);
    assert_eq!(codes(&scene.world), 0);
}

// What the page showed is what is granted

/// Approves what somebody else was asked, or what was asked otherwise: nothing is given, and the page comes again.
async fn gives_nothing(browser: &Browser, page: &ConsentPage) -> ConsentPage {
    let before = browser.world.contents();
    let answer = browser.answers(page, "approve").await.page(409);
    assert_eq!(browser.world.contents(), before);
    ConsentPage::read(answer)
}

#[tokio::test]
async fn a_page_shown_to_one_user_gives_nothing_for_another() {
    let scene = scene().await;
    let page = scene.alice.is_asked(&scene.app.request()).await;
    // Bob signs in, in another tab of the same browser.
    let bob = scene.world.signed_in("bob").await;
    let before = scene.world.contents();
    bob.answers(&page, "deny").await.page(409).shows("different account");
    let answer = bob.answers(&page, "approve").await.page(409).shows("different account");
    assert_eq!(scene.world.contents(), before);
    let fresh = ConsentPage::read(answer.shows("<strong>bob</strong>"));
    scene.app.accepts(&bob.answers(&fresh, "approve").await);
}

#[tokio::test]
async fn a_request_without_scope_gives_only_the_scopes_on_the_page() {
    let scene = scene().await;
    let app = scene.world.client_with_scope("read").await;
    let page = scene.alice.is_asked(&app.request().without("scope")).await;
    scene.world.forces(&format!("UPDATE clients SET scope = 'read write' WHERE id = '{}'", app.id));
    let fresh = gives_nothing(&scene.alice, &page).await;
    fresh.answer.shows("May write");
}

#[tokio::test]
async fn a_request_without_redirect_uri_redirects_only_to_the_address_on_the_page() {
    let scene = scene().await;
    let page = scene.alice.is_asked(&scene.app.request().without("redirect_uri")).await;
    let moved = "UPDATE clients SET redirect_uris = 'https://app.example/elsewhere'";
    scene.world.forces(moved);
    gives_nothing(&scene.alice, &page).await;
}

#[tokio::test]
async fn a_page_is_shown_again_if_the_words_of_a_permission_changed_meanwhile() {
    let scene = scene().await;
    let page = scene.alice.is_asked(&scene.app.request()).await;
    scene.world.forces("UPDATE scopes SET description = 'May sell your photos' WHERE name = 'read'");
    // The registry is read again once a resource server is registered.
    scene.world.api("https://another.example", &["other"]).await;
    gives_nothing(&scene.alice, &page).await.answer.shows("May sell your photos");
}

#[tokio::test]
async fn a_page_is_shown_again_if_the_app_was_edited_meanwhile() {
    for (field, value) in [
        ("name", "Another name"),
        ("publisher", "Somebody Else"),
        ("redirect_uri", "https://app.example/callback\nhttps://evil.example/cb"),
        ("token_format", "jwt"),
    ] {
        let scene = scene().await;
        let dana = scene.world.with_role("dana", rescind::model::user::Role::Developer).await;
        let owner = format!("UPDATE clients SET owner_id = '{}', redirect_uris = '{CALLBACK}'", dana.id);
        scene.world.forces(&owner);
        let page = scene.alice.is_asked(&scene.app.request()).await;
        let form = [("name", "Prints"), ("publisher", "Paper Ltd"), ("redirect_uri", CALLBACK)];
        let form = Fields::new(&form).and("token_format", "opaque").with(field, value);
        dana.posts(&format!("/apps/{}", scene.app.id), &form).await.is(303);
        let fresh = gives_nothing(&scene.alice, &page).await;
        scene.app.accepts(&scene.alice.answers(&fresh, "approve").await);
    }
}
