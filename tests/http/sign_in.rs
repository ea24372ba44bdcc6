//! `/`, `/login` and `/logout`, and the session between them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::ConnectInfo;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rescind::clock::Clock;
use rescind::service::sign_in_attempts;
use rescind::service::sign_in_limit::Purpose;
use sha2::{Digest as _, Sha256};

use crate::harness::answer::Answer;
use crate::harness::browser::From;
use crate::harness::fields::{FORM, Fields};
use crate::harness::{PASSWORD, World, scene};

#[tokio::test]
async fn the_start_page_is_public_and_leads_users_to_their_apps() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    alice.gets("/").await.page(200).shows("/login");
    alice.signs_in().await;
    alice.gets("/").await.leads_to("/authorizations");
}

#[tokio::test]
async fn signing_in_leads_to_the_requested_page() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let page = alice.gets("/authorizations?ended=1").await.asks_to_sign_in("/authorizations?ended=1");
    let page = alice.gets(page.location()).await.page(200);
    let next = page.attribute("name=\"next\"", "value");
    alice.types(PASSWORD, &next).await.leads_to("/authorizations?ended=1");
    alice.gets("/authorizations?ended=1").await.page(200).shows("alice");
    alice.gets("/login?next=/authorizations?ended=1").await.leads_to("/authorizations?ended=1");
    alice.gets("/login").await.leads_to("/authorizations");
}

#[tokio::test]
async fn signing_in_twice_is_fine() {
    let world = World::new().await;
    let alice = world.signed_in("alice").await;
    alice.signs_in().await;
    assert!(alice.is_signed_in().await);
}

#[tokio::test]
async fn under_http_the_session_cookie_is_hidden_from_scripts_and_other_sites() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let answer = alice.types(PASSWORD, "").await.is(303);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("rescind="), "{cookie}");
    let attributes: Vec<&str> = cookie.split("; ").skip(1).collect();
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=1209600"] {
        assert!(attributes.contains(&attribute), "{attribute} in {cookie}");
    }
    assert!(!cookie.contains("Secure") && !cookie.contains("Domain"), "{cookie}");
    assert_eq!(answer.header("strict-transport-security"), None);
}

#[tokio::test]
async fn under_https_the_session_cookie_is_secure_and_bound_to_the_host() {
    let world = World::at("https://id.example", Clock::fixed(Clock::System.now())).await;
    let alice = world.person("alice").await;
    let answer = alice.types(PASSWORD, "").await.is(303);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-rescind="), "{cookie}");
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Secure"] {
        assert!(cookie.split("; ").any(|part| part == attribute), "{attribute} in {cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert!(alice.is_signed_in().await);
    let answer = alice.gets("/authorizations").await;
    assert!(answer.header("strict-transport-security").unwrap().starts_with("max-age="));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_look_the_same() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let wrong = alice.types("wrong horse battery", "").await.page(401);
    let form = Fields::new(&[("username", "nobody"), ("password", PASSWORD)]);
    let unknown = alice.posts("/login", &form).await.page(401);
    assert_eq!(wrong.body.replace("alice", "nobody"), unknown.body);
    assert_eq!(wrong.headers.get("set-cookie"), None);
    // What was typed is kept, but never a secret.
    assert_eq!(wrong.attribute("name=\"username\"", "value"), "alice");
    assert!(!wrong.body.contains("wrong horse battery"));
    assert!(!alice.is_signed_in().await);
}

#[tokio::test]
async fn a_missing_field_is_named_and_the_others_are_kept() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let form = Fields::new(&[("username", "alice"), ("password", ""), ("next", "/authorizations?ended=1")]);
    let page = alice.posts("/login", &form).await.page(422).shows("Enter your password");
    assert_eq!(page.attribute("name=\"username\"", "value"), "alice");
    assert_eq!(page.attribute("name=\"next\"", "value"), "/authorizations?ended=1");
    let form = Fields::new(&[("password", PASSWORD)]);
    alice.posts("/login", &form).await.page(422).shows("Enter your username").hides(PASSWORD);
    assert!(!alice.is_signed_in().await);
}

#[tokio::test]
async fn a_disabled_user_cannot_sign_in_and_is_signed_out() {
    let world = World::new().await;
    let alice = world.signed_in("alice").await;
    world.forces("UPDATE users SET status = 'disabled' WHERE username = 'alice'");
    assert!(!alice.is_signed_in().await);
    alice.elsewhere().types(PASSWORD, "").await.page(401);
}

#[tokio::test]
async fn signing_in_does_not_use_a_planted_session() {
    let world = World::new().await;
    let mallory = world.signed_in("mallory").await;
    let planted = [mallory.session().unwrap(), "AAAAAAAAAAAAAAAAAAAAAA".to_owned(), "x".to_owned()];
    let alice = world.person("alice").await;
    for planted in planted {
        let victim = alice.with_session(&planted);
        victim.signs_in().await;
        assert_ne!(victim.session().unwrap(), planted);
        victim.gets("/authorizations").await.page(200).shows("Your account, alice");
        let thief = alice.with_session(&planted);
        assert!(!thief.is_signed_in().await, "{planted} opens an account");
    }
}

#[tokio::test]
async fn signing_in_again_ends_the_earlier_session() {
    let world = World::new().await;
    let alice = world.signed_in("alice").await;
    let before = alice.session().unwrap();
    alice.signs_in().await;
    assert_ne!(alice.session().unwrap(), before);
    assert!(!alice.with_session(&before).is_signed_in().await);
    assert_eq!(world.value::<i64>("SELECT count(*) FROM sessions"), 1);
}

#[tokio::test]
async fn the_database_holds_only_the_digest_of_a_session_key() {
    let world = World::new().await;
    let alice = world.signed_in("alice").await;
    let session = alice.session().unwrap();
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(&session).unwrap();
    let rows = world.contents()["sessions"].join("\n");
    assert!(rows.contains(alice.id.as_str()), "{rows}");
    assert!(!rows.contains(&session) && !rows.contains(&format!("{bytes:?}")), "{session} in {rows}");
    assert!(rows.contains(&format!("{:?}", Sha256::digest(bytes).to_vec())), "{rows}");
}

#[tokio::test]
async fn signing_out_ends_the_session_on_the_server() {
    let world = World::new().await;
    let alice = world.signed_in("alice").await;
    let kept = alice.with_session(&alice.session().unwrap());
    alice.posts("/logout", &Fields::default()).await.leads_to("/");
    assert_eq!(alice.session(), None);
    alice.gets("/authorizations").await.asks_to_sign_in("/authorizations");
    kept.gets("/authorizations").await.asks_to_sign_in("/authorizations");
    // Twice, and by whoever never signed in.
    kept.posts("/logout", &Fields::default()).await.leads_to("/");
    alice.posts("/logout", &Fields::default()).await.leads_to("/");
    alice.gets("/logout").await.leads_to("/");
}

#[tokio::test]
async fn looking_at_the_sign_out_page_signs_nobody_out() {
    let world = World::new().await;
    let alice = world.signed_in("alice").await;
    let before = world.contents();
    alice.gets("/logout").await.page(200).shows("method=\"post\"");
    assert_eq!(world.contents(), before);
    assert!(alice.is_signed_in().await);
}

#[tokio::test]
async fn other_sites_sign_nobody_in_or_out() {
    let world = World::new().await;
    let alice = world.signed_in("alice").await;
    let mallory = world.person("mallory").await;
    let form = Fields::new(&[("username", "mallory"), ("password", PASSWORD)]);
    let before = world.contents();
    for from in From::OTHERS {
        alice.posts_from(from, "/logout", &Fields::default()).await.page(403);
        alice.posts_from(from, "/login", &form).await.page(403);
    }
    assert_eq!(world.contents(), before);
    alice.gets("/authorizations").await.page(200).shows("Your account, alice");
    mallory.signs_in().await;
}

#[tokio::test]
async fn a_new_password_ends_every_session() {
    let world = World::new().await;
    let alice = world.signed_in("alice").await;
    let other = alice.elsewhere();
    other.signs_in().await;
    let bob = world.signed_in("bob").await;
    world.changes_password_of(&alice, "another long password").await;
    assert!(!alice.is_signed_in().await);
    assert!(!other.is_signed_in().await);
    assert!(bob.is_signed_in().await);
    alice.types(PASSWORD, "").await.page(401);
    alice.types("another long password", "").await.leads_to("/authorizations");
}

#[tokio::test]
async fn revoking_all_access_of_a_user_ends_every_session() {
    let world = World::new().await;
    let alice = world.signed_in("alice").await;
    let bob = world.signed_in("bob").await;
    world.ends_everything_of(&alice).await;
    assert!(!alice.is_signed_in().await);
    assert!(bob.is_signed_in().await);
    alice.signs_in().await;
    assert!(alice.is_signed_in().await);
}

#[tokio::test]
async fn a_session_expires() {
    let world = World::new().await;
    let alice = world.signed_in("alice").await;
    world.advances(1_209_600 - 60);
    assert!(alice.is_signed_in().await);
    world.advances(61);
    assert!(!alice.is_signed_in().await);
}

#[tokio::test]
async fn signing_in_never_redirects_to_another_site() {
    let world = World::new().await;
    let alice = world.signed_in("alice").await;
    let other = alice.elsewhere();
    for next in [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "/\t/evil.example/",
        "\t//evil.example/",
        "/\n/evil.example/",
        "javascript:alert(1)",
        "evil.example",
        " /authorizations?ended=1",
        "/authorizations\r\nset-cookie: a=b",
    ] {
        let query = Fields::new(&[("next", next)]).encode();
        let page = other.gets(&format!("/login?{query}")).await.page(200);
        assert_eq!(page.attribute("name=\"next\"", "value"), "", "{next:?}");
        other.types(PASSWORD, next).await.leads_to("/authorizations");
        other.gets(&format!("/login?{query}")).await.leads_to("/authorizations");
        other.posts("/logout", &Fields::new(&[("next", next)])).await.leads_to("/");
    }
}

#[tokio::test]
async fn signing_out_from_a_consent_page_comes_back_to_it_as_somebody_else() {
    let scene = scene().await;
    let bob = scene.world.person("bob").await;
    let request = scene.app.request();
    let page = scene.alice.is_asked(&request).await;
    let link = page.answer.attribute("signed in as", "href");
    let page = scene.alice.gets(&link).await.page(200);
    let next = page.attribute("name=\"next\"", "value");
    assert_eq!(next, format!("/oauth/authorize?{}", request.encode()));
    let answer = scene.alice.posts("/logout", &Fields::new(&[("next", &next)])).await.asks_to_sign_in(&next);
    let page = bob.gets(answer.location()).await.page(200);
    bob.types(PASSWORD, &page.attribute("name=\"next\"", "value")).await.leads_to(&next);
    bob.is_asked(&request).await.answer.shows("<strong>bob</strong>");
}

#[tokio::test]
async fn the_sign_in_page_names_the_app_and_leads_nowhere_else() {
    let scene = scene().await;
    let visitor = scene.alice.elsewhere();
    let request = scene.app.request();
    let answer = visitor.opens(&request).await;
    let page = visitor.gets(answer.location()).await.page(200).shows("<strong>Prints</strong>");
    assert_eq!(page.form_targets(), [""; 0]);
    // The page after a wrong password as well.
    let next = page.attribute("name=\"next\"", "value");
    let page = visitor.types("wrong horse battery", &next).await.page(401).shows("Prints");
    assert_eq!(page.form_targets(), [""; 0]);
    for request in [
        request.clone().with("redirect_uri", "https://evil.example/"),
        request.with("client_id", "cli_00000000000000000000"),
    ] {
        let next = format!("/oauth/authorize?{}", request.encode());
        let query = Fields::new(&[("next", &next)]).encode();
        let page = visitor.gets(&format!("/login?{query}")).await.page(200).hides("Prints");
        assert_eq!(page.form_targets(), [""; 0]);
    }
}

#[tokio::test]
async fn a_page_leads_the_browser_on_after_signing_in() {
    let scene = scene().await;
    scene.alice.authorizes(&scene.app).await;
    let next = format!("/oauth/authorize?{}", scene.app.request().encode());
    let signing_in = |name: &str| Fields::new(&[("username", name), ("password", PASSWORD), ("next", &next)]);
    let elsewhere = scene.alice.elsewhere();
    let to = elsewhere.submits("/login", &signing_in("alice")).await.page(200).goes_on_to();
    assert_eq!(to, next);
    scene.app.accepts(&elsewhere.gets(&to).await);
    let carol = scene.alice.elsewhere();
    assert_eq!(carol.submits("/register", &signing_in("carol")).await.page(200).goes_on_to(), next);
    // Where nothing follows, there is nothing to go on to.
    let fields = signing_in("alice").without("next");
    elsewhere.submits("/login", &fields).await.leads_to("/authorizations");
}

#[tokio::test]
async fn signing_in_may_redirect_to_an_app_with_a_private_scheme() {
    let scene = scene().await;
    let app = scene.world.client_with_redirects(&["com.example.app:/callback"]).await;
    scene.alice.authorizes(&app).await;
    let elsewhere = scene.alice.elsewhere();
    let page = elsewhere.opens(&app.request()).await;
    let page = elsewhere.gets(page.location()).await.page(200);
    assert_eq!(page.form_targets(), ["com.example.app:"]);
    let next = page.attribute("name=\"next\"", "value");
    let fields = Fields::new(&[("username", "alice"), ("password", PASSWORD), ("next", &next)]);
    app.accepts(&elsewhere.gets(elsewhere.submits("/login", &fields).await.leads_to(&next).location()).await);
}

/// Sends the sign-in form through a proxy that saw it come from `address`.
async fn types_from(world: &World, address: &str, name: &str, password: &str) -> Answer {
    let peer = ConnectInfo(SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000)));
    let request = world.request("POST", "/login").header("content-type", FORM);
    let request = request.header("x-forwarded-for", address).extension(peer);
    let fields = Fields::new(&[("username", name), ("password", password)]);
    world.sends(request.body(fields.encode().into()).unwrap()).await
}

async fn behind_a_proxy() -> World {
    World::with_settings(&[("RESCIND_TRUSTED_PROXIES", "127.0.0.1")]).await
}

#[tokio::test]
async fn guesses_from_many_addresses_are_slowed_down_and_lock_nobody_out() {
    let world = behind_a_proxy().await;
    world.person("alice").await;
    types_from(&world, "203.0.113.1", "alice", PASSWORD).await.leads_to("/authorizations");
    for guess in 0..150 {
        let address = format!("192.0.2.{guess}:{}", 40_000 + guess);
        let answer = types_from(&world, &address, "ALICE", "wrong horse battery").await;
        assert_eq!(answer.status, if guess < 50 { 401 } else { 429 }, "{guess}");
    }
    // Alice, from an address that she has signed in from, at once.
    types_from(&world, "203.0.113.1", "alice", PASSWORD).await.leads_to("/authorizations");
    // And from a new one, after the time that she is told.
    let refused = types_from(&world, "203.0.113.2", "alice", PASSWORD).await.page(429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    world.advances(wait - 1);
    types_from(&world, "203.0.113.2", "alice", PASSWORD).await.page(429);
    world.advances(1);
    types_from(&world, "203.0.113.2", "alice", PASSWORD).await.leads_to("/authorizations");
}

#[tokio::test]
async fn guesses_from_one_address_are_slowed_down_despite_forged_headers() {
    let world = behind_a_proxy().await;
    world.person("bob").await;
    let mut refused = 0;
    for guess in 0..80 {
        let hops = format!("198.51.100.{guess}, 192.0.2.7:{}", 40_000 + guess);
        let answer = types_from(&world, &hops, &format!("user{guess}"), "wrong horse battery").await;
        refused += usize::from(answer.status == 429);
    }
    assert_eq!(refused, 20);
    types_from(&world, "192.0.2.7", "bob", PASSWORD).await.page(429);
    types_from(&world, "192.0.2.8", "bob", PASSWORD).await.leads_to("/authorizations");
}

#[tokio::test]
async fn creating_accounts_is_slowed_down() {
    let world = World::new().await;
    let fields = |name: String| Fields::new(&[("username", &name), ("password", PASSWORD)]);
    let here = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let attempt = async || {
        let (limit, store) = (&world.app.sign_in_limit, &world.app.store);
        sign_in_attempts::begin(limit, store, Purpose::NoAccount, here, world.app.clock.now()).await
    };
    while attempt().await.is_ok() {}
    let answer = world.posts("/register", &fields("carol".to_owned())).await.page(429);
    assert_eq!(answer.header("retry-after"), Some("1"));
    world.advances(1);
    world.posts("/register", &fields("carol".to_owned())).await.leads_to("/authorizations");
}

#[tokio::test]
async fn guessing_a_password_in_somebody_s_session_is_slowed_down() {
    let world = World::new().await;
    let alice = world.signed_in("alice").await;
    let thief = alice.with_session(&alice.session().unwrap());
    let elsewhere = alice.elsewhere();
    elsewhere.signs_in().await;
    let wrong =
        Fields::new(&[("current_password", "wrong horse battery"), ("new_password", "a new long password")]);
    for path in ["/account/password", "/account/taken-over", "/account/delete", "/account/password"] {
        for _ in 0..5 {
            thief.posts(path, &wrong).await.page(422);
        }
    }
    for path in ["/account/password", "/account/taken-over", "/account/delete"] {
        let answer = thief.posts(path, &wrong.clone().with("current_password", PASSWORD)).await.page(429);
        assert_eq!(answer.header("retry-after"), Some("3"), "{path}");
    }
    // The owner, in another session.
    let right = wrong.with("current_password", PASSWORD);
    elsewhere.posts("/account/taken-over", &right).await.is(303);
}

#[tokio::test]
async fn a_password_is_the_same_however_a_keyboard_composes_its_letters() {
    let world = World::new().await;
    let (composed, decomposed) = ("Gr\u{fc}\u{df}e aus K\u{f6}ln", "Gru\u{308}\u{df}e aus Ko\u{308}ln");
    let alice = world.person("alice").await;
    for (set, typed) in [(composed, decomposed), (decomposed, composed)] {
        world.changes_password_of(&alice, set).await;
        for password in [set, typed] {
            alice.elsewhere().types(password, "").await.leads_to("/authorizations");
        }
        alice.elsewhere().types("Grusse aus Koln", "").await.page(401);
    }
}

#[tokio::test]
async fn a_password_with_characters_that_cannot_be_seen_is_refused_beside_its_field() {
    let world = World::new().await;
    let alice = world.signed_in("alice").await;
    for password in ["nothing\u{200b}to see", "a tab\tin the middle"] {
        let fields = [("current_password", PASSWORD), ("new_password", password)];
        alice.posts("/account/password", &Fields::new(&fields)).await.page(422).shows("invisible");
    }
    alice.elsewhere().types(PASSWORD, "").await.leads_to("/authorizations");
}
