//! JWT access tokens (RFC 9068): whole flows, and that every act of `docs/revocation.md` ends them.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rescind::model::act::ACCEPTED_AFTER_EXPIRY;
use rescind::model::by::By;
use rescind::model::client::{ClientKind, GrantType, GrantTypes, TokenFormat};
use rescind::model::id::ReceiptId;
use rescind::model::user::Role;
use rescind::store::Tx;
use serde_json::{Value, json};

use crate::harness::api::Api;
use crate::harness::browser::Browser;
use crate::harness::client::{Client, Tokens};
use crate::harness::fields::Fields;
use crate::harness::{ISSUER, PASSWORD, World};

pub const PHOTOS: &str = "https://photos.example";
pub const MAIL: &str = "https://mail.example";

/// Two APIs, an app with JWTs, and Alice, who is signed in.
pub struct Stage {
    pub world: World,
    pub photos: Api,
    pub mail: Api,
    pub app: Client,
    pub alice: Browser,
}

pub async fn stage_of(kind: ClientKind) -> Stage {
    let world = World::new().await;
    let photos = world.api(PHOTOS, &["read", "write"]).await;
    let mail = world.api(MAIL, &["mail"]).await;
    let app = world.jwt_client(kind).await;
    let alice = world.signed_in("alice").await;
    Stage { world, photos, mail, app, alice }
}

pub async fn stage() -> Stage {
    stage_of(ClientKind::Confidential).await
}

impl World {
    pub async fn jwt_client(&self, kind: ClientKind) -> Client {
        let types = match kind {
            ClientKind::Confidential => GrantType::ALL.to_vec(),
            ClientKind::Public => vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        };
        let change = |new: &mut rescind::service::register::NewClient| {
            new.token_format = TokenFormat::Jwt;
            new.grant_types = GrantTypes::new(types);
        };
        self.client(kind, change).await
    }
}

fn part(token: &str, which: usize) -> Value {
    let text = token.split('.').nth(which).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

pub fn claims(token: &str) -> Value {
    part(token, 1)
}

pub fn client_credentials(scope: &str) -> Fields {
    Fields::new(&[("grant_type", "client_credentials"), ("scope", scope)])
}

#[tokio::test]
async fn a_jwt_has_the_claims_of_rfc_9068_and_its_stamp() {
    let Stage { world, photos, app, alice, .. } = stage().await;
    let answer = app.presents_code(&alice.authorizes(&app).await).await.is(200);
    assert_eq!(answer.json()["expires_in"], 600);
    let token = Tokens::read(&answer).access;
    let kid = world.signing_key().await;
    assert_eq!(part(&token, 0), json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": kid.as_str() }));
    let now = world.app.clock.now().seconds();
    let said = claims(&token);
    let id = said["jti"].as_str().unwrap();
    assert!(id.len() == 26 && id.starts_with("tok_"), "{id}");
    let family: String = world.value("SELECT id FROM families");
    let expected = json!({
        "iss": ISSUER, "exp": now + 600, "aud": PHOTOS, "sub": alice.id.as_str(), "client_id": app.id,
        "iat": now, "jti": id, "scope": "read write", "server_generation": 1, "client_generation": 1,
        "user_generation": 1, "grant_id": alice.grant_of(&app).await, "grant_generation": 1,
        "family_id": family,
    });
    assert_eq!(said, expected, "this and nothing else: no name, no address");
    let mut facts = photos.introspects(&token).await;
    let members = facts.as_object_mut().unwrap();
    assert_eq!(
        (members.remove("active"), members.remove("token_type")),
        (Some(json!(true)), Some(json!("Bearer")))
    );
    assert_eq!(facts, said, "introspection says the same");
    let tokens: i64 = world.value("SELECT count(*) FROM tokens WHERE place / 1048576 % 2 = 0");
    assert_eq!(tokens, 0, "it has no row");
}

#[tokio::test]
async fn introspection_of_an_opaque_token_has_jti_and_grant_generation() {
    let Stage { world, photos, alice, .. } = stage().await;
    let app = world.confidential_client().await;
    let facts = photos.introspects(&alice.connects(&app).await.access).await;
    assert!(facts["jti"].as_str().unwrap().starts_with("tok_"));
    assert_eq!(facts["grant_generation"], 1);
}

#[tokio::test]
async fn public_clients_get_jwts_and_refresh_them() {
    let Stage { photos, app, alice, .. } = stage_of(ClientKind::Public).await;
    let first = alice.connects(&app).await;
    let second = app.refreshes(&first).await;
    assert!(photos.accepts(&first.access).await && photos.accepts(&second.access).await);
    let (one, other) = (claims(&first.access), claims(&second.access));
    assert_ne!(one["jti"], other["jti"]);
    assert_eq!(one["family_id"], other["family_id"]);
}

#[tokio::test]
async fn es256_signs_as_well() {
    let Stage { world, photos, app, alice, .. } = stage().await;
    let settings = rescind::service::keys::KeySettings {
        algorithm: rescind::model::key::Algorithm::Es256,
        rotation: std::time::Duration::from_secs(86_400),
    };
    let keys = rescind::service::keys::Keys::new(world.database.key_file(), settings);
    keys.rotate(&world.app.store, By::operator(world.app.clock.now())).await.unwrap();
    world.advances(60);
    let tokens = alice.connects(&app).await;
    assert_eq!(part(&tokens.access, 0)["alg"], "ES256");
    assert!(photos.accepts(&tokens.access).await);
}

#[tokio::test]
async fn a_jwt_is_active_until_it_expires_even_without_a_refresh_token() {
    let Stage { world, photos, alice, .. } = stage().await;
    let app = world
        .client(ClientKind::Confidential, |new| {
            new.token_format = TokenFormat::Jwt;
            new.grant_types = GrantTypes::new(vec![GrantType::AuthorizationCode]);
        })
        .await;
    let token = alice.connects(&app).await.access;
    world.advances(599);
    world.purges().await;
    assert!(photos.accepts(&token).await, "its family lives as long as it does");
    world.advances(1);
    assert!(!photos.accepts(&token).await);
}

#[tokio::test]
async fn other_resource_servers_learn_nothing_about_it() {
    let Stage { photos, mail, app, alice, .. } = stage().await;
    let token = alice.connects(&app).await.access;
    assert!(!mail.accepts(&token).await);
    assert!(photos.accepts(&token).await);
}

#[tokio::test]
async fn a_client_gets_jwts_for_itself_and_nothing_is_written() {
    let Stage { world, photos, app, .. } = stage().await;
    let before = world.contents();
    let answer = app.asks_tokens(&client_credentials("read")).await.is(200);
    assert_eq!(world.contents(), before);
    let token = Tokens::read(&answer);
    assert_eq!(token.refresh, "");
    let said = claims(&token.access);
    assert_eq!((&said["sub"], &said["client_id"]), (&json!(app.id), &json!(app.id)));
    for member in ["user_generation", "grant_id", "grant_generation", "family_id"] {
        assert_eq!(said.get(member), None, "{member}");
    }
    assert!(photos.accepts(&token.access).await);
    world.ends_all_tokens_of(&app).await;
    assert!(!photos.accepts(&token.access).await);
    let next = Tokens::read(&app.asks_tokens(&client_credentials("read")).await);
    assert!(photos.accepts(&next.access).await);
}

type Act = fn(&Stage, &Tokens) -> std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// What is common to the acts below: a stage that the future may keep.
macro_rules! act {
    (|$stage:ident, $tokens:ident| $body:block) => {
        |stage: &Stage, tokens: &Tokens| {
            let ($stage, $tokens) = (stage.copied(), tokens.clone());
            Box::pin(async move {
                let _ = &$tokens;
                $body
            })
        }
    };
}

impl Stage {
    fn copied(&self) -> Self {
        let api =
            |api: &Api| Api { world: api.world.clone(), id: api.id.clone(), secret: api.secret.clone() };
        let Client { world, id, secret, redirect_uri, verifier } = &self.app;
        let app = Client {
            world: world.clone(),
            id: id.clone(),
            secret: secret.clone(),
            redirect_uri: redirect_uri.clone(),
            verifier: verifier.clone(),
        };
        let alice = self.alice.with_session(&self.alice.session().unwrap());
        Self { world: self.world.clone(), photos: api(&self.photos), mail: api(&self.mail), app, alice }
    }

    fn as_text(&self) -> (String, String) {
        (self.app.id.clone(), self.alice.id.to_string())
    }
}

const ACTS: &[(&str, Act)] = &[
    (
        "the app revokes the access token",
        act!(|stage, tokens| {
            stage.app.revokes(&tokens.access).await.is(200);
        }),
    ),
    (
        "the app revokes the refresh token",
        act!(|stage, tokens| {
            stage.app.revokes(&tokens.refresh).await.is(200);
        }),
    ),
    (
        "a refresh token is used again",
        act!(|stage, tokens| {
            stage.app.refreshes(&tokens).await;
            stage.world.advances(11);
            stage.app.presents_refresh(&tokens.refresh).await.refuses(400, "invalid_grant");
        }),
    ),
    (
        "the user signs the device out",
        act!(|stage, tokens| {
            let said = claims(&tokens.access);
            let (grant, family) = (said["grant_id"].as_str().unwrap(), said["family_id"].as_str().unwrap());
            let path = format!("/authorizations/{grant}/devices/{family}/revoke");
            stage.alice.posts(&path, &Fields::default()).await.is(303);
        }),
    ),
    (
        "the user revokes the app",
        act!(|stage, tokens| {
            stage.alice.revokes(&stage.app).await.is(303);
        }),
    ),
    (
        "the user revokes all apps",
        act!(|stage, tokens| {
            stage.alice.posts("/authorizations/revoke", &Fields::new(&[("all", "1")])).await.is(303);
        }),
    ),
    (
        "somebody else was in the account",
        act!(|stage, tokens| {
            let passwords = [("current_password", PASSWORD), ("new_password", "another good password")];
            stage.alice.posts("/account/taken-over", &Fields::new(&passwords)).await.is(303);
        }),
    ),
    (
        "the user deletes the account",
        act!(|stage, tokens| {
            let fields = Fields::new(&[("current_password", PASSWORD)]);
            stage.alice.posts("/account/delete", &fields).await.is(303);
        }),
    ),
    (
        "the operator ends the user's",
        act!(|stage, tokens| {
            stage.world.ends_everything_of(&stage.alice).await;
        }),
    ),
    (
        "the developer revokes all user tokens",
        act!(|stage, tokens| {
            stage.world.ends_all_tokens_of(&stage.app).await;
        }),
    ),
    (
        "the admin suspends the app",
        act!(|stage, tokens| {
            let max = stage.world.with_role("max", Role::Admin).await;
            let path = format!("/admin/apps/{}/suspend", stage.app.id);
            max.posts(&path, &Fields::new(&[("reason", "It misbehaves.")])).await.is(303);
        }),
    ),
    (
        "the admin suspends and reinstates the app",
        act!(|stage, tokens| {
            let max = stage.world.with_role("max", Role::Admin).await;
            for verb in ["suspend", "reinstate"] {
                let path = format!("/admin/apps/{}/{verb}", stage.app.id);
                max.posts(&path, &Fields::new(&[("reason", "It misbehaves.")])).await.is(303);
            }
        }),
    ),
    (
        "the admin bans the app",
        act!(|stage, tokens| {
            let max = stage.world.with_role("max", Role::Admin).await;
            let path = format!("/admin/apps/{}/ban", stage.app.id);
            max.posts(&path, &Fields::new(&[("reason", "It misbehaves.")])).await.is(303);
        }),
    ),
    (
        "the admin disables the user",
        act!(|stage, tokens| {
            let max = stage.world.with_role("max", Role::Admin).await;
            let path = format!("/admin/users/{}/disable", stage.alice.id);
            max.posts(&path, &Fields::reason()).await.is(303);
        }),
    ),
    (
        "everything ends",
        act!(|stage, tokens| {
            let (store, now) = (&stage.world.app.store, stage.world.app.clock.now());
            let everything =
                move |tx: &Tx<'_>| tx.revoke_everything(&ReceiptId::generate(now), &By::operator(now));
            store.write(everything).await.unwrap();
        }),
    ),
    (
        "its key is withdrawn",
        act!(|stage, tokens| {
            assert!(stage.world.withdraws(&stage.world.signing_key().await).await);
        }),
    ),
];

#[tokio::test]
async fn every_act_ends_a_jwt_at_once_and_for_good() {
    for (what, act) in ACTS {
        let stage = stage().await;
        let tokens = stage.alice.connects(&stage.app).await;
        assert!(stage.photos.accepts(&tokens.access).await, "before: {what}");
        act(&stage, &tokens).await;
        assert!(!stage.photos.accepts(&tokens.access).await, "{what}");
        stage.world.purges().await;
        assert!(!stage.photos.accepts(&tokens.access).await, "after the purge: {what}");
        assert!(!stage.as_text().0.is_empty());
    }
}

#[tokio::test]
async fn a_revoked_jwt_leaves_an_id_until_long_after_it_expired_and_a_row_in_the_ledger() {
    let Stage { world, photos, app, alice, .. } = stage().await;
    let first = alice.connects(&app).await;
    let second = app.refreshes(&first).await;
    app.revokes(&first.access).await.is(200);
    assert!(!photos.accepts(&first.access).await);
    assert!(photos.accepts(&second.access).await, "that one alone");
    assert_eq!(world.ledger(), ["access_token_revoked"]);
    let subject: String = world.value("SELECT subject_id FROM ledger WHERE subject_kind = 'token'");
    assert_eq!(claims(&first.access)["jti"], subject);
    let (id, kept): (String, i64) =
        (world.value("SELECT id FROM revoked_tokens"), world.value("SELECT expires_at FROM revoked_tokens"));
    assert_eq!((id, kept / 1000), (subject, claims(&first.access)["exp"].as_i64().unwrap()));
    for _ in 0..2 {
        app.revokes(&first.access).await.is(200);
    }
    assert_eq!(world.ledger().len(), 1, "again is success without effect");
    world.advances(601);
    world.purges().await;
    world.goes_back(600);
    assert!(photos.accepts(&second.access).await, "its time has come again");
    assert!(!photos.accepts(&first.access).await, "a clock that is set back makes no revoked token live");
    world.advances(8_101);
    world.purges().await;
    assert_eq!(world.value::<i64>("SELECT count(*) FROM revoked_tokens"), 0);
    app.revokes(&second.access).await.is(200);
    assert_eq!(world.ledger().len(), 1, "no guard accepts it any more");
}

/// A guard accepts a JWT for up to five minutes after its `exp` (RFC 7519 §4.1.4), and its clock may be slow.
#[tokio::test]
async fn a_jwt_revoked_after_its_expiry_is_recorded_while_a_guard_may_accept_it() {
    let Stage { world, app, alice, .. } = stage().await;
    let [first, second] = [alice.connects(&app).await.access, alice.connects(&app).await.access];
    world.advances(600 + 299);
    app.revokes(&first).await.is(200);
    assert_eq!(world.ledger(), ["access_token_revoked"]);
    world.purges().await;
    assert_eq!(world.value::<i64>("SELECT count(*) FROM revoked_tokens"), 1);
    world.advances(3_601);
    app.revokes(&second).await.is(200);
    assert_eq!(world.ledger().len(), 1, "no guard accepts it any more");
}

#[tokio::test]
async fn another_client_can_not_revoke_a_jwt() {
    let Stage { world, photos, app, alice, .. } = stage().await;
    let token = alice.connects(&app).await.access;
    let other = world.jwt_client(ClientKind::Confidential).await;
    other.revokes(&token).await.refuses(400, "invalid_request");
    assert!(photos.accepts(&token).await);
    assert!(world.ledger().is_empty());
}

#[tokio::test]
async fn a_jwt_with_a_foreign_signature_is_inactive_and_revoking_it_changes_nothing() {
    let Stage { world, photos, app, alice, .. } = stage().await;
    let token = alice.connects(&app).await.access;
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let kid = world.signing_key().await;
    let none = encode(r#"{"typ":"at+jwt","alg":"none"}"#);
    let hmac = encode(&format!(r#"{{"typ":"at+jwt","alg":"HS256","kid":"{kid}"}}"#));
    let embedded = encode(&format!(r#"{{"typ":"at+jwt","alg":"EdDSA","kid":"{kid}","jwk":{{}}}}"#));
    let mut wider = claims(&token);
    wider["scope"] = json!("read write mail");
    let wider = encode(&wider.to_string());
    let other_world = stage_of(ClientKind::Confidential).await;
    let elsewhere = other_world.alice.connects(&other_world.app).await.access;
    let before = world.contents();
    for text in [
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        format!("{hmac}.{payload}.{signature}"),
        format!("{embedded}.{payload}.{signature}"),
        format!("{header}.{wider}.{signature}"),
        format!("{header}.{payload}"),
        format!("{header}.{payload}.{signature}="),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!("{header}.{payload}.{}", &signature[..85]),
        format!("..{signature}"),
        "..".to_owned(),
        elsewhere,
    ] {
        assert!(!photos.accepts(&text).await, "{text}");
        app.revokes(&text).await.is(200);
    }
    assert_eq!(world.contents(), before);
    assert!(photos.accepts(&token).await);
}

#[tokio::test]
async fn a_server_of_another_name_does_not_answer_for_its_old_one() {
    let Stage { world, photos, app, alice, .. } = stage().await;
    let token = alice.connects(&app).await.access;
    let now = world.app.clock.now();
    let is_live = async |issuer: &str| {
        let held = world.app.store.held();
        world.app.keys.jwt(&world.app.store, &held, &token, issuer, now).await.unwrap().is_some()
    };
    assert!(is_live(ISSUER).await && photos.accepts(&token).await);
    for other in ["https://new.example", &format!("{ISSUER}/"), ""] {
        assert!(!is_live(other).await, "{other}");
    }
}

#[tokio::test]
async fn tokens_of_a_retired_key_stay_good_until_they_expire() {
    let Stage { world, photos, app, alice, .. } = stage().await;
    let (first, published) = (world.signing_key().await, world.rotates_keys().await);
    world.advances(59);
    let old = alice.connects(&app).await.access;
    assert_eq!(part(&old, 0)["kid"], first.as_str());
    world.advances(1);
    world.keeps_keys().await;
    let new = alice.connects(&app).await.access;
    assert_eq!(part(&new, 0)["kid"], published.as_str());
    world.advances(598);
    assert!(photos.accepts(&old).await && photos.accepts(&new).await);
    // Withdrawn, a retired key's tokens end, and no others.
    world.withdraws(&first).await;
    assert!(!photos.accepts(&old).await);
    assert!(photos.accepts(&new).await);
}

#[tokio::test]
async fn beyond_a_thousand_tokens_revoked_one_by_one_the_family_closes() {
    let Stage { world, photos, app, alice, .. } = stage().await;
    let tokens = alice.connects(&app).await;
    let own = Tokens::read(&app.asks_tokens(&client_credentials("read")).await);
    let revoked = Tokens::read(&app.asks_tokens(&client_credentials("read")).await);
    app.revokes(&revoked.access).await.is(200);
    let soon = world.app.clock.now().millis() + 300_000;
    world.forces(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999) \
         INSERT INTO revoked_tokens (id, client_id, expires_at) SELECT 'tok_' || i, '{}', {soon} FROM n",
        app.id
    ));
    app.revokes(&revoked.access).await.is(200);
    let kept = app.refreshes(&tokens).await;
    app.revokes(&tokens.access).await.is(200);
    assert!(!photos.accepts(&tokens.access).await && !photos.accepts(&kept.access).await);
    assert!(!app.can_refresh(&kept).await);
    assert_eq!(world.value::<i64>("SELECT count(*) FROM revoked_tokens"), 1000);
    let subject: String = world.value("SELECT subject_kind FROM ledger ORDER BY sequence DESC LIMIT 1");
    assert_eq!(subject, "family");
    // Its own token has no family: it is refused rather than said to be revoked.
    let answer = app.revokes(&own.access).await.refuses(503, "temporarily_unavailable");
    assert!(answer.header("retry-after").is_some());
    assert!(photos.accepts(&own.access).await);
    // Until no guard may accept the thousand any more.
    world.advances(300 + ACCEPTED_AFTER_EXPIRY.as_secs());
    let own = Tokens::read(&app.asks_tokens(&client_credentials("read")).await);
    assert!(photos.accepts(&own.access).await);
    app.revokes(&own.access).await.is(200);
    assert_eq!(world.value::<i64>("SELECT count(*) FROM revoked_tokens"), 1001);
}

#[tokio::test]
async fn pages_do_not_claim_to_have_counted_jwts() {
    let Stage { world, app, alice, .. } = stage().await;
    alice.connects(&app).await;
    let grant = alice.grant_of(&app).await;
    alice.gets("/authorizations").await.page(200).shows("1 sign-in").hides("active access token");
    let page = alice.gets(&format!("/authorizations/{grant}")).await.page(200);
    page.shows("Renewed every few minutes, so they are not counted");
    world.forces("UPDATE users SET role = 'developer' WHERE username = 'developer'");
    let developer = world.with_role("developer", Role::Developer).await;
    for page in ["", "/revoke-tokens", "/delete"] {
        let page = developer.gets(&format!("/apps/{}{page}", app.id)).await.page(200);
        page.shows("JWTs are not counted here");
    }
}

#[tokio::test]
async fn ids_are_never_the_same() {
    let Stage { app, .. } = stage().await;
    let mut ids = BTreeSet::new();
    for _ in 0..20 {
        let token = Tokens::read(&app.asks_tokens(&client_credentials("mail")).await).access;
        ids.insert(claims(&token)["jti"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 20);
}
