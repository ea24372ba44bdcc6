//! `POST /oauth/token`: client authentication, codes and client credentials.

use std::net::IpAddr;

use axum::body::Body;
use axum::http::header;
use rescind::model::by::{By, PageSession};
use rescind::model::client::{ClientKind, GrantType, RedirectUri};
use rescind::model::id::{ClientId, SessionId, random62};
use rescind::model::scope::Scope;
use rescind::model::user::Role;
use rescind::service::authorize::{Authorization, Basis, authorize, look};

use crate::harness::client::{Tokens, basic};
use crate::harness::fields::{FORM, Fields};
use crate::harness::{Scene, World, scene};

// Codes

#[tokio::test]
async fn a_code_gives_tokens_in_an_answer_that_is_not_cached() {
    let Scene { api, app, alice, .. } = scene().await;
    let answer = app.presents_code(&alice.authorizes(&app).await).await.is(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("pragma"), Some("no-cache"));
    let body = answer.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 3600);
    assert_eq!(body["scope"], "read write");
    let tokens = Tokens::read(&answer);
    assert!(tokens.access.starts_with("rsc_at_") && tokens.access.len() == 56);
    assert!(tokens.refresh.starts_with("rsc_rt_") && tokens.refresh.len() == 56);
    assert!(api.accepts(&tokens.access).await);
}

#[tokio::test]
async fn a_code_works_once_and_its_replay_closes_the_family() {
    let Scene { world, api, app, alice } = scene().await;
    let other = alice.connects(&app).await;
    let code = alice.authorizes(&app).await;
    let tokens = app.redeems(&code).await;
    app.presents_code(&code).await.refuses(400, "invalid_grant");
    assert!(!api.accepts(&tokens.access).await);
    assert!(!app.can_refresh(&tokens).await);
    assert_eq!(world.ledger(), ["code_replayed"]);
    assert!(api.accepts(&other.access).await, "the other device lives on");
    // Once more: refused, and nothing happens.
    app.presents_code(&code).await.refuses(400, "invalid_grant");
    assert_eq!(world.ledger(), ["code_replayed"]);
}

#[tokio::test]
async fn a_code_replay_without_the_verifier_or_client_closes_nothing() {
    let Scene { world, api, app, alice } = scene().await;
    let code = alice.authorizes(&app).await;
    let tokens = app.redeems(&code).await;
    let request = app.code_request(&code);
    for request in [
        request.clone().with("code_verifier", &random62(64)),
        request.clone().without("code_verifier"),
        request.clone().with("redirect_uri", "https://app.example/other"),
        request.clone().without("redirect_uri"),
    ] {
        app.asks_tokens(&request).await.refuses(400, "invalid_grant");
    }
    let stranger = world.confidential_client().await;
    stranger.asks_tokens(&request).await.refuses(400, "invalid_grant");
    let stranger = world.public_client().await;
    stranger.asks_tokens(&request).await.refuses(400, "invalid_grant");
    let impostor = basic(&app.id, stranger.secret.as_deref().unwrap_or("rsc_cs_"));
    app.posts_as(&impostor, "/oauth/token", &request).await.refuses(401, "invalid_client");
    assert_eq!(world.ledger(), [""; 0]);
    assert!(api.accepts(&tokens.access).await);
    assert!(app.can_refresh(&tokens).await);
}

#[tokio::test]
async fn a_wrong_attempt_does_not_use_the_code_up() {
    let Scene { world, app, alice, .. } = scene().await;
    let code = alice.authorizes(&app).await;
    let request = app.code_request(&code);
    let stranger = world.confidential_client().await;
    stranger.asks_tokens(&request).await.refuses(400, "invalid_grant");
    for request in [
        request.clone().with("code_verifier", &random62(64)),
        request.clone().with("code_verifier", "short"),
        request.clone().with("code_verifier", &"é".repeat(43)),
        request.clone().with("code_verifier", &random62(129)),
        // Downgrade: the challenge was sent, so the verifier must be (RFC 9700 §4.8.2).
        request.clone().without("code_verifier"),
        request.clone().with("code_verifier", ""),
        request.clone().with("redirect_uri", "https://app.example/callback/"),
        request.clone().without("redirect_uri"),
        request.with("code", &code[..55]),
    ] {
        app.asks_tokens(&request).await.refuses(400, "invalid_grant");
    }
    app.redeems(&code).await;
}

#[tokio::test]
async fn a_verifier_without_a_challenge_is_refused() {
    let Scene { world, app, alice, .. } = scene().await;
    // No request without a challenge is let through, so this code is made by hand.
    let authorization = Authorization {
        client: ClientId::parse(&app.id).unwrap(),
        user: alice.id.clone(),
        scope: Scope::parse("read").unwrap(),
        answers_to: RedirectUri::parse(&app.redirect_uri).unwrap(),
        redirect_uri: Some(app.redirect_uri.clone()),
        code_challenge: None,
        device: "Firefox on Linux".to_owned(),
    };
    let seen = look(&world.app.store, &authorization.client, &alice.id).await.unwrap().unwrap();
    let session = SessionId::parse(&world.value::<String>("SELECT id FROM sessions")).unwrap();
    let standing = PageSession { user: alice.id.clone(), session, role: Role::User };
    let by = By::on_page(standing, IpAddr::from([127, 0, 0, 1]), world.app.clock.now());
    let lives = world.app.config.lives;
    let basis = Basis::Approved(seen);
    let code = authorize(&world.app.store, authorization, basis, lives.code, by).await.unwrap();
    app.presents_code(code.expose()).await.refuses(400, "invalid_request");
    let request = app.code_request(code.expose()).without("code_verifier");
    app.asks_tokens(&request).await.is(200);
}

#[tokio::test]
async fn a_code_expires() {
    let Scene { world, app, alice, .. } = scene().await;
    let (used, unused) = (alice.authorizes(&app).await, alice.authorizes(&app).await);
    world.advances(59);
    app.redeems(&used).await;
    world.advances(1);
    app.presents_code(&unused).await.refuses(400, "invalid_grant");
}

#[tokio::test]
async fn a_code_from_before_a_revocation_gives_no_tokens() {
    let Scene { world, app, alice, .. } = scene().await;
    let code = alice.authorizes(&app).await;
    alice.revokes(&app).await.is(303);
    app.presents_code(&code).await.refuses(400, "invalid_grant");
    let code = alice.authorizes(&app).await;
    world.ends_all_tokens_of(&app).await;
    app.presents_code(&code).await.refuses(400, "invalid_grant");
    let code = alice.authorizes(&app).await;
    world.ends_everything_of(&alice).await;
    app.presents_code(&code).await.refuses(400, "invalid_grant");
    // Nor does a new consent bring it to life.
    alice.signs_in().await;
    let fresh = alice.authorizes(&app).await;
    app.presents_code(&code).await.refuses(400, "invalid_grant");
    app.redeems(&fresh).await;
}

#[tokio::test]
async fn fifty_parallel_redemptions_give_tokens_once_and_then_close_the_family() {
    let Scene { world, api, app, alice } = scene().await;
    let code = alice.authorizes(&app).await;
    let app = std::sync::Arc::new(app);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (app, code) = (app.clone(), code.clone());
        tasks.spawn(async move { app.presents_code(&code).await });
    }
    let (given, refused): (Vec<_>, Vec<_>) =
        tasks.join_all().await.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((given.len(), refused.len()), (1, 49));
    refused.into_iter().for_each(|answer| drop(answer.refuses(400, "invalid_grant")));
    assert!(!api.accepts(&Tokens::read(&given[0]).access).await);
    assert_eq!(world.ledger(), ["code_replayed"]);
}

#[tokio::test]
async fn a_client_without_refresh_tokens_gets_none() {
    let Scene { world, api, alice, .. } = scene().await;
    let app = world.client_with_grant_types(ClientKind::Confidential, &[GrantType::AuthorizationCode]).await;
    let tokens = alice.connects(&app).await;
    assert_eq!(tokens.refresh, "");
    assert!(api.accepts(&tokens.access).await);
    app.presents_refresh("rsc_rt_").await.refuses(400, "unauthorized_client");
}

// Client authentication

#[tokio::test]
async fn a_client_may_authenticate_by_basic_or_post() {
    let Scene { world, app, alice, .. } = scene().await;
    let secret = app.secret.clone().unwrap();
    let request = app.code_request(&alice.authorizes(&app).await);
    let posted = request.and("client_id", &app.id).and("client_secret", &secret);
    world.posts("/oauth/token", &posted).await.is(200);
    // Both parts are form-encoded (RFC 6749 §2.3.1); the scheme has no case (RFC 9110 §11.1).
    let encoded =
        basic(&app.id.replace('_', "%5F"), &secret.replace('_', "%5f")).replacen("Basic", "bAsIC", 1);
    let request = app.code_request(&alice.authorizes(&app).await);
    app.posts_as(&encoded, "/oauth/token", &request).await.is(200);
    // The same client_id beside the header says nothing else.
    let request = app.code_request(&alice.authorizes(&app).await).and("client_id", &app.id);
    app.asks_tokens(&request).await.is(200);
}

#[tokio::test]
async fn a_public_client_that_sends_a_secret_is_refused() {
    let Scene { world, api, alice, .. } = scene().await;
    let app = world.public_client().await;
    let tokens = alice.connects(&app).await;
    assert!(api.accepts(&tokens.access).await);
    let request = app.refresh_request(&tokens.refresh).and("client_id", &app.id);
    world
        .posts("/oauth/token", &request.and("client_secret", "rsc_cs_x"))
        .await
        .refuses(400, "invalid_client");
    assert!(app.can_refresh(&tokens).await);
}

#[tokio::test]
async fn a_public_client_may_name_itself_by_basic_with_an_empty_secret() {
    let Scene { world, api, alice, .. } = scene().await;
    let app = world.public_client().await;
    let header = basic(&app.id, "");
    let code = alice.authorizes(&app).await;
    let tokens = Tokens::read(&app.posts_as(&header, "/oauth/token", &app.code_request(&code)).await);
    // The id is form-encoded (RFC 6749 §2.3.1), and may stand in the body as well.
    let encoded = basic(&app.id.replace('_', "%5F"), "");
    let refresh = app.refresh_request(&tokens.refresh).and("client_id", &app.id);
    let tokens = Tokens::read(&app.posts_as(&encoded, "/oauth/token", &refresh).await);
    assert!(api.accepts(&tokens.access).await);
    let wrong = app.posts_as(&basic(&app.id, "x"), "/oauth/token", &refresh).await;
    wrong.refuses(401, "invalid_client");
    let revocation = Fields::new(&[("token", &tokens.refresh)]);
    app.posts_as(&header, "/oauth/revoke", &revocation).await.is(200);
    assert!(!api.accepts(&tokens.access).await);
}

#[tokio::test]
async fn two_ways_of_authentication_in_one_request_are_refused() {
    let Scene { app, alice, .. } = scene().await;
    let request = app.code_request(&alice.authorizes(&app).await);
    let both = request.clone().and("client_id", &app.id).and("client_secret", app.secret.as_ref().unwrap());
    app.asks_tokens(&both).await.refuses(400, "invalid_request");
    app.asks_tokens(&request.clone().and("client_secret", "x")).await.refuses(400, "invalid_request");
    let other = request.clone().and("client_id", "cli_00000000000000000000");
    app.asks_tokens(&other).await.refuses(400, "invalid_request");
    app.asks_tokens(&request).await.is(200);
}

#[tokio::test]
async fn a_failed_header_is_401_and_challenged_and_a_failed_form_is_not() {
    let Scene { world, api, app, alice } = scene().await;
    let request = app.code_request(&alice.authorizes(&app).await);
    let secret = app.secret.clone().unwrap();
    let other = world.confidential_client().await.secret.unwrap();
    let public = world.public_client().await.id;
    let headers = [
        basic(&app.id, &other),
        basic(&app.id, &secret[..55]),
        basic(&app.id, &secret.to_uppercase()),
        basic(&app.id, ""),
        basic("cli_00000000000000000000", &secret),
        basic(&public, &secret),
        basic(&api.id, &api.secret),
        basic("", ""),
        "Basic".to_owned(),
        "Basic !".to_owned(),
        format!("Bearer {secret}"),
    ];
    for header in headers {
        let answer = app.posts_as(&header, "/oauth/token", &request).await.refuses(401, "invalid_client");
        assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"rescind\""), "{header}");
    }
    let forms = [
        request.clone(),
        request.clone().and("client_id", &app.id),
        request.clone().and("client_id", &app.id).and("client_secret", ""),
        request.clone().and("client_id", &app.id).and("client_secret", &other),
        request.clone().and("client_id", "cli_00000000000000000000").and("client_secret", &secret),
        request.clone().and("client_secret", &secret),
    ];
    for form in forms {
        let answer = world.posts("/oauth/token", &form).await.refuses(400, "invalid_client");
        assert_eq!(answer.header("www-authenticate"), None, "{form:?}");
    }
    app.asks_tokens(&request).await.is(200);
}

#[tokio::test]
async fn a_suspended_banned_or_deleted_client_is_an_invalid_client() {
    let Scene { world, alice, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    let reason = Fields::new(&[("reason", "It misbehaves.")]);
    for act in ["suspend", "delete", "ban"] {
        let app = world.confidential_client().await;
        let tokens = alice.connects(&app).await;
        let code = alice.authorizes(&app).await;
        if act == "delete" {
            let developer = world.with_role("developer", Role::Developer).await;
            developer
                .posts(&format!("/apps/{}/delete", app.id), &Fields::new(&[("name", "Prints")]))
                .await
                .is(303);
        } else {
            max.posts(&format!("/admin/apps/{}/{act}", app.id), &reason).await.is(303);
        }
        app.presents_code(&code).await.refuses(401, "invalid_client");
        app.presents_refresh(&tokens.refresh).await.refuses(401, "invalid_client");
    }
}

#[tokio::test]
async fn a_grant_type_has_to_be_present_known_and_registered() {
    let Scene { app, alice, .. } = scene().await;
    let code = alice.authorizes(&app).await;
    let request = app.code_request(&code);
    app.asks_tokens(&request.clone().without("grant_type")).await.refuses(400, "invalid_request");
    app.asks_tokens(&request.clone().with("grant_type", "")).await.refuses(400, "invalid_request");
    for unknown in ["password", "implicit", "Authorization_Code"] {
        let request = request.clone().with("grant_type", unknown);
        app.asks_tokens(&request).await.refuses(400, "unsupported_grant_type");
    }
    let unregistered = request.clone().with("grant_type", "client_credentials");
    app.asks_tokens(&unregistered).await.refuses(400, "unauthorized_client");
    app.asks_tokens(&request.without("code")).await.refuses(400, "invalid_request");
    app.asks_tokens(&app.refresh_request("")).await.refuses(400, "invalid_request");
}

// Client credentials

fn for_itself(scope: &str) -> Fields {
    Fields::new(&[("grant_type", "client_credentials"), ("scope", scope)])
}

#[tokio::test]
async fn a_client_gets_a_token_for_itself_without_a_refresh_token() {
    let Scene { world, api, .. } = scene().await;
    let app = world.client_with_grant_types(ClientKind::Confidential, &[GrantType::ClientCredentials]).await;
    let tokens = Tokens::read(&app.asks_tokens(&for_itself("read")).await);
    assert_eq!((tokens.refresh.as_str(), tokens.scope.as_str()), ("", "read"));
    let facts = api.introspects(&tokens.access).await;
    assert_eq!((&facts["sub"], &facts["client_id"]), (&app.id.clone().into(), &app.id.clone().into()));
    assert_eq!(facts.get("grant_id"), None);
    assert_eq!(Tokens::read(&app.asks_tokens(&for_itself("")).await).scope, "read write");
    app.asks_tokens(&for_itself("read delete")).await.refuses(400, "invalid_scope");
    // What the developer revokes takes these along, and the client may go on.
    world.ends_all_tokens_of(&app).await;
    assert!(!api.accepts(&tokens.access).await);
    let tokens = Tokens::read(&app.asks_tokens(&for_itself("read")).await);
    assert!(api.accepts(&tokens.access).await);
    app.revokes(&tokens.access).await.is(200);
    assert!(!api.accepts(&tokens.access).await);
}

#[tokio::test]
async fn a_public_client_gets_no_token_for_itself() {
    let world = World::new().await;
    world.api("https://photos.example", &["read"]).await;
    let app = world.client_with_grant_types(ClientKind::Public, &[GrantType::ClientCredentials]).await;
    app.asks_tokens(&for_itself("read")).await.refuses(400, "unauthorized_client");
}

// Browser apps

#[tokio::test]
async fn browser_apps_of_any_origin_may_call_without_cookies() {
    let Scene { world, alice, .. } = scene().await;
    let app = world.public_client().await;
    let code = alice.authorizes(&app).await;
    let preflight = world
        .request("OPTIONS", "/oauth/token")
        .header("origin", "https://spa.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let answer = world.sends(preflight.body(Body::empty()).unwrap()).await.is(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("authorization"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let request = world
        .request("POST", "/oauth/token")
        .header("origin", "https://spa.example")
        .header("sec-fetch-site", "cross-site")
        .header(header::CONTENT_TYPE, FORM);
    let body = app.code_request(&code).and("client_id", &app.id).encode();
    let answer = world.sends(request.body(body.into()).unwrap()).await.is(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    // Errors are readable as well.
    let request = world.request("POST", "/oauth/token").header("origin", "https://spa.example");
    let answer = world.sends(request.body(Body::empty()).unwrap()).await.refuses(400, "invalid_request");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn the_token_endpoint_accepts_only_post() {
    let Scene { world, app, .. } = scene().await;
    let query = app.code_request("x").encode();
    for method in ["GET", "PUT", "DELETE"] {
        let request = world.request(method, &format!("/oauth/token?{query}"));
        world.sends(request.body(Body::empty()).unwrap()).await.is(405);
    }
}
