//! What only the server can read: opaque tokens, and all others while the guard is stale.

use std::time::Duration;

use rescind_guard::{Guard, OpaqueTokens, Refusal, Revoked, WhenStale};

use crate::http::harness::client::{Client, Tokens};
use crate::http::harness::fields::Fields;
use crate::middle::{ACK, FEED, INTROSPECTION, Middle, SNAPSHOT};
use crate::stage::{Stage, is_stale, until, within};

struct Opaque {
    stage: Stage,
    middle: Middle,
    guard: Guard,
    app: Client,
}

async fn opaque() -> Opaque {
    let stage = Stage::new().await;
    let middle = Middle::to(stage.address).await;
    let guard = stage.guard(&middle.url).await;
    let app = stage.world.confidential_client().await;
    Opaque { stage, middle, guard, app }
}

impl Opaque {
    async fn token(&self) -> String {
        let token = self.stage.alice.connects(&self.app).await.access;
        assert!(token.starts_with("rsc_at_"));
        token
    }

    async fn accepts(&self, token: &str) {
        let claims = within(self.guard.check(token)).await.unwrap();
        assert_eq!(
            (claims.sub.as_str(), claims.client_id),
            (self.stage.alice.id.as_str(), self.app.id.clone())
        );
    }

    /// Asks while the answer of the server is held back, and lets `meanwhile` happen to the guard.
    async fn asks_while(&self, token: &str, meanwhile: impl AsyncFnOnce()) -> Result<(), Refusal> {
        let before = self.middle.asked(INTROSPECTION);
        self.middle.holds(INTROSPECTION);
        let (guard, asked) = (self.guard.clone(), token.to_owned());
        let checked = tokio::spawn(async move { guard.check(&asked).await });
        within(self.middle.has_answers(INTROSPECTION, before + 1)).await;
        meanwhile().await;
        self.stage.reaches(&self.guard).await;
        self.middle.releases(INTROSPECTION);
        within(checked).await.unwrap().map(drop)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_token_is_asked_about_once_and_refused_once_revoked() {
    let opaque = opaque().await;
    let Opaque { stage, middle, guard, app } = &opaque;
    for way in ["token", "family", "device", "grant", "client", "user"] {
        stage.alice.signs_in().await;
        let token = opaque.token().await;
        let before = middle.asked(INTROSPECTION);
        for _ in 0..3 {
            opaque.accepts(&token).await;
        }
        assert_eq!(middle.asked(INTROSPECTION), before + 1, "{way}: kept after the first question");
        let another = opaque.token().await;
        opaque.accepts(&another).await;
        match way {
            "token" => drop(app.revokes(&token).await.is(200)),
            "family" => {
                let tokens = stage.alice.connects(app).await;
                within(guard.check(&tokens.access)).await.unwrap();
                app.revokes(&tokens.refresh).await.is(200);
                stage.reaches(guard).await;
                assert_eq!(within(guard.check(&tokens.access)).await, Err(Refusal::Inactive));
                continue;
            }
            "device" => {
                let user = within(guard.check(&token)).await.unwrap().stamp.user.unwrap();
                let path = format!("/authorizations/{}/devices/{}/revoke", user.grant_id, user.family_id);
                stage.alice.posts(&path, &Fields::default()).await.is(303);
            }
            "grant" => drop(stage.alice.revokes(app).await.is(303)),
            "client" => stage.world.ends_all_tokens_of(app).await,
            _ => stage.world.ends_everything_of(&stage.alice).await,
        }
        stage.reaches(guard).await;
        assert_eq!(within(guard.check(&token)).await, Err(Refusal::Inactive), "{way}");
        if way == "token" || way == "device" {
            opaque.accepts(&another).await;
        } else {
            assert_eq!(within(guard.check(&another)).await, Err(Refusal::Inactive), "{way}");
        }
    }
}

/// The server read before the revocation, and its answer arrives after the entry did.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_older_than_a_revocation_is_not_used() {
    let opaque = opaque().await;
    let Opaque { stage, app, .. } = &opaque;
    let token = opaque.token().await;
    let revoked = opaque.asks_while(&token, async || drop(app.revokes(&token).await.is(200))).await;
    assert_eq!(revoked, Err(Refusal::Inactive));
    let token = opaque.token().await;
    let ended = opaque.asks_while(&token, async || drop(stage.alice.revokes(app).await.is(303))).await;
    assert_eq!(ended, Err(Refusal::Inactive));
}

/// Whatever the entry was about: the answer may be from before it.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_kept_only_if_no_entry_was_applied_since_the_question() {
    let opaque = opaque().await;
    let Opaque { stage, middle, app, .. } = &opaque;
    let token = opaque.token().await;
    let others = stage.token("read").await;
    let overtaken = opaque.asks_while(&token, async || drop(stage.app.revokes(&others).await.is(200))).await;
    assert_eq!(overtaken, Ok(()));
    let asked = middle.asked(INTROSPECTION);
    opaque.accepts(&token).await;
    assert_eq!(middle.asked(INTROSPECTION), asked + 1, "it was not kept");
    opaque.accepts(&token).await;
    assert_eq!(middle.asked(INTROSPECTION), asked + 1, "this one was");
    app.revokes(&token).await.is(200);
    stage.reaches(&opaque.guard).await;
    assert_eq!(within(opaque.guard.check(&token)).await, Err(Refusal::Inactive));
}

/// An entry may have come with the snapshot alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_snapshot_clears_the_answer_cache() {
    let opaque = opaque().await;
    let Opaque { middle, app, guard, .. } = &opaque;
    let token = opaque.token().await;
    opaque.accepts(&token).await;
    middle.rewrites(|_| vec![]);
    app.revokes(&token).await.is(200);
    until(|| guard.state().counters.snapshots > 1).await;
    assert_eq!(within(guard.check(&token)).await, Err(Refusal::Inactive));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_guard_uses_no_cached_answers() {
    let stage = Stage::new().await;
    let middle = Middle::to(stage.address).await;
    let (guard, clock) = stage.guard_and_clock(&middle.url).await;
    let app = stage.world.confidential_client().await;
    let token = stage.alice.connects(&app).await.access;
    within(guard.check(&token)).await.unwrap();
    middle.holds(ACK);
    middle.holds(FEED);
    clock.sleep(Duration::from_secs(301));
    assert!(!guard.state().is_fresh);
    let asked = middle.asked(INTROSPECTION);
    for more in 1..4 {
        within(guard.check(&token)).await.unwrap();
        assert_eq!(middle.asked(INTROSPECTION), asked + more);
    }
    app.revokes(&token).await.is(200);
    assert_eq!(within(guard.check(&token)).await, Err(Refusal::Inactive));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_may_refuse_what_it_can_t_read_and_asks_nobody_about_typos() {
    let opaque = opaque().await;
    let Opaque { stage, middle, guard, .. } = &opaque;
    let token = opaque.token().await;
    assert_eq!(guard.verify(&token), Err(Refusal::Opaque));
    let settings = stage.settings(&middle.url).opaque_tokens(OpaqueTokens::Refuse);
    let strict = Guard::start(settings).unwrap();
    within(strict.ready()).await;
    assert_eq!(strict.check(&token).await, Err(Refusal::Opaque));
    let last = if token.ends_with('0') { '1' } else { '0' };
    let typo = format!("{}{last}", &token[..token.len() - 1]);
    assert_eq!(guard.check(&typo).await, Err(Refusal::Checksum));
    assert_eq!(middle.asked(INTROSPECTION), 0);
    // Another API's token is nobody's here.
    stage.world.api("https://mail.example", &["mail"]).await;
    let request = opaque.app.request().with("scope", "mail");
    let code = stage.alice.authorizes_request(&opaque.app, &request).await;
    let mail = opaque.app.redeems(&code).await.access;
    assert_eq!(within(guard.check(&mail)).await, Err(Refusal::Inactive));
}

// While the guard is stale

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_guard_asks_about_each_token_if_configured() {
    let stage = Stage::new().await;
    let middle = Middle::to(stage.address).await;
    middle.holds(SNAPSHOT);
    let [dead, live] = stage.tokens().await;
    let guard = Guard::start(stage.settings(&middle.url).when_stale(WhenStale::Introspect)).unwrap();
    is_stale(&guard, &live);
    let claims = within(guard.check(&live)).await.unwrap();
    assert_eq!((claims.client_id.as_str(), claims.scope.as_str()), (stage.app.id.as_str(), "read"));
    within(guard.check(&dead)).await.unwrap();
    stage.app.revokes(&dead).await.is(200);
    assert_eq!(within(guard.check(&dead)).await, Err(Refusal::Inactive));
    let asked = middle.asked(INTROSPECTION);
    within(guard.check(&live)).await.unwrap();
    assert_eq!(middle.asked(INTROSPECTION), asked + 1, "nothing is kept");
    // Nothing that the server did not sign reaches it.
    for bad in ["", "x", "a.b.c", &live[1..], "rsc_at_x"] {
        assert!(guard.check(bad).await.is_err(), "{bad}");
    }
    middle.releases(SNAPSHOT);
    within(guard.ready()).await;
    let asked = middle.asked(INTROSPECTION);
    within(guard.check(&live)).await.unwrap();
    assert_eq!(within(guard.check(&dead)).await, Err(Refusal::Revoked(Revoked::Token)));
    assert_eq!(middle.asked(INTROSPECTION), asked, "a fresh guard asks nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_guard_that_gets_no_answer_accepts_nothing() {
    let stage = Stage::new().await;
    let live = stage.token("read").await;
    let line = crate::line::Line::to(None).await;
    let guard = Guard::start(stage.settings(&line.url).when_stale(WhenStale::Introspect)).unwrap();
    assert_eq!(within(guard.check(&live)).await, Err(Refusal::Unreachable));
    line.leads_to(stage.address);
    within(guard.ready()).await;
    guard.check(&live).await.unwrap();
}

/// The stream passes while acknowledgements do not: what it brings holds, whatever an answer says.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_guard_does_not_use_an_answer_older_than_a_revocation() {
    let stage = Stage::new().await;
    let middle = Middle::to(stage.address).await;
    let clock = rescind_guard::Clock::movable();
    let settings = stage.settings(&middle.url).when_stale(WhenStale::Introspect).clock(clock.clone());
    let guard = Guard::start(settings).unwrap();
    within(guard.ready()).await;
    let token = stage.token("read").await;
    let app = stage.world.confidential_client().await;
    middle.holds(ACK);
    clock.sleep(Duration::from_secs(301));
    is_stale(&guard, &token);
    let stage = Opaque { stage, middle, guard, app };
    let revoked =
        stage.asks_while(&token, async || drop(stage.stage.app.revokes(&token).await.is(200))).await;
    assert!(matches!(revoked, Err(Refusal::Inactive | Refusal::Revoked(Revoked::Token))), "{revoked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_was_shut_down_accepts_nothing() {
    let stage = Stage::new().await;
    let guard = Guard::start(stage.settings(&stage.url()).when_stale(WhenStale::Introspect)).unwrap();
    within(guard.ready()).await;
    let app = stage.world.confidential_client().await;
    let opaque = stage.alice.connects(&app).await.access;
    let jwt = stage.token("read").await;
    for token in [&opaque, &jwt] {
        within(guard.check(token)).await.unwrap();
    }
    within(guard.shutdown()).await;
    is_stale(&guard, &jwt);
    for token in [&opaque, &jwt] {
        assert_eq!(within(guard.check(token)).await, Err(Refusal::Stale));
    }
    until(|| !guard.state().is_connected).await;
    // Whoever asks for tokens again gets them, and nobody accepts them here.
    let form = Fields::new(&[("grant_type", "client_credentials"), ("scope", "read")]);
    let later = Tokens::read(&stage.app.asks_tokens(&form).await).access;
    assert_eq!(within(guard.check(&later)).await, Err(Refusal::Stale));
}
