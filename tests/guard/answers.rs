//! What a request behind the layer is answered: RFC 6750, section 3.

use axum::body::Body;
use axum::http::{Request, Response};
use axum::routing::get;
use axum::{Extension, Router};
use rescind_guard::{Claims, Guard, GuardLayer};
use tower::ServiceExt as _;

use crate::http::harness::fields::Fields;
use crate::line::Line;
use crate::stage::{AUDIENCE, Stage, within};

async fn name(Extension(claims): Extension<Claims>) -> String {
    format!("{} {}", claims.client_id, claims.user().unwrap_or("nobody"))
}

async fn answers(layer: GuardLayer, request: Request<Body>) -> Response<Body> {
    let app = Router::new().route("/", get(name)).layer(layer);
    app.oneshot(request).await.unwrap()
}

fn request(headers: &[&str]) -> Request<Body> {
    let mut request = Request::get("/");
    for value in headers {
        request = request.header("authorization", *value);
    }
    request.body(Body::empty()).unwrap()
}

async fn text(response: Response<Body>) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn is(response: &Response<Body>, status: u16, challenge: Option<&str>) {
    assert_eq!(response.status(), status);
    let found: Vec<_> = response.headers().get_all("www-authenticate").iter().collect();
    assert_eq!(found, challenge.into_iter().collect::<Vec<_>>());
    assert_eq!(response.headers()["cache-control"], "no-store");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_lets_a_request_through_with_its_claims() {
    let stage = Stage::new().await;
    let guard = stage.guard(&stage.url()).await;
    let (jwt, own) = (stage.alice_s_token().await, stage.token("read").await);
    let app = stage.world.confidential_client().await;
    let opaque = stage.alice.connects(&app).await.access;
    let alice = stage.alice.id.as_str();
    for (token, expected) in [
        (&jwt, format!("{} {alice}", stage.app.id)),
        (&own, format!("{} nobody", stage.app.id)),
        (&opaque, format!("{} {alice}", app.id)),
    ] {
        // The scheme's name has no case (RFC 9110 §11.1).
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let layer = guard.layer().require_scope("read");
            let answer = within(answers(layer, request(&[&format!("{scheme} {token}")]))).await;
            assert_eq!(answer.status(), 200);
            assert_eq!(text(answer).await, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_the_challenge_names_no_error() {
    let stage = Stage::new().await;
    let guard = stage.guard(&stage.url()).await;
    let plain = format!("Bearer realm=\"{AUDIENCE}\"");
    for headers in [&[][..], &["Basic YTpi"], &["Negotiate"], &["BearerX x"]] {
        is(&answers(guard.layer(), request(headers)).await, 401, Some(&plain));
    }
    // A token in the URL ends up in logs, and is not looked at (RFC 6750 §5.3).
    let mut in_url = request(&[]);
    *in_url.uri_mut() = format!("/?access_token={}", stage.token("read").await).parse().unwrap();
    is(&answers(guard.layer(), in_url).await, 401, Some(&plain));
    let named = guard.layer().realm("photos of \"everybody\"").require_scope("read");
    is(&answers(named, request(&[])).await, 401, Some("Bearer realm=\"photos of everybody\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_bad_token_is_an_invalid_token() {
    let stage = Stage::new().await;
    let guard = stage.guard(&stage.url()).await;
    let (dead, live) = (stage.token("read").await, stage.token("read").await);
    stage.app.revokes(&dead).await.is(200);
    stage.reaches(&guard).await;
    let challenge = format!(
        "Bearer realm=\"{AUDIENCE}\", error=\"invalid_token\", error_description=\"The access token is not valid here, has \
         expired or was revoked\""
    );
    let cut = &live[..live.len() - 1];
    for token in [&dead, cut, "x", "a.b.c", "rsc_at_0"] {
        let answer = within(answers(guard.layer(), request(&[&format!("Bearer {token}")]))).await;
        is(&answer, 401, Some(&challenge));
        assert_eq!(text(answer).await, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_the_scope_is_told_the_required_scope() {
    let stage = Stage::new().await;
    let guard = stage.guard(&stage.url()).await;
    let token = stage.token("read").await;
    let with =
        |scopes: &[&str]| scopes.iter().fold(guard.layer(), |layer, scope| layer.require_scope(*scope));
    let bearer = format!("Bearer {token}");
    assert_eq!(answers(with(&["read"]), request(&[&bearer])).await.status(), 200);
    for scopes in [&["write"][..], &["read", "write"], &["rea"], &["READ"]] {
        let names = scopes.join(" ");
        let challenge =
            format!("Bearer realm=\"{AUDIENCE}\", error=\"insufficient_scope\", scope=\"{names}\"");
        is(&answers(with(scopes), request(&[&bearer])).await, 403, Some(&challenge));
    }
    // What is no scope is one that nobody has.
    for scope in ["", "read write", " "] {
        assert_eq!(answers(with(&[scope]), request(&[&bearer])).await.status(), 403, "{scope:?}");
    }
    // It is invalid before it is insufficient.
    stage.app.revokes(&token).await.is(200);
    stage.reaches(&guard).await;
    assert_eq!(answers(with(&["write"]), request(&[&bearer])).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_malformed_or_has_two_tokens_is_an_invalid_request() {
    let stage = Stage::new().await;
    let guard = stage.guard(&stage.url()).await;
    let bearer = format!("Bearer {}", stage.token("read").await);
    let challenge = |what: &str| {
        Some(format!("Bearer realm=\"{AUDIENCE}\", error=\"invalid_request\", error_description=\"{what}\""))
    };
    for malformed in ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "Bearer \u{e9}"] {
        let answer = answers(guard.layer(), request(&[malformed])).await;
        is(&answer, 400, challenge("the Authorization header is malformed").as_deref());
    }
    let twice = answers(guard.layer(), request(&[&bearer, &bearer])).await;
    is(&twice, 400, challenge("more than one Authorization header").as_deref());
    let mut both = request(&[&bearer]);
    *both.uri_mut() = "/?a=b&access_token=x".parse().unwrap();
    is(&answers(guard.layer(), both).await, 400, challenge("more than one access token").as_deref());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_guard_answers_503_and_says_nothing_about_the_token() {
    let stage = Stage::new().await;
    let token = stage.token("read").await;
    let line = Line::to(None).await;
    let guard = Guard::start(stage.settings(&line.url)).unwrap();
    let answer = answers(guard.layer(), request(&[&format!("Bearer {token}")])).await;
    is(&answer, 503, None);
    assert_eq!(answer.headers()["retry-after"], "1");
    // Whatever it can tell, it tells.
    assert_eq!(answers(guard.layer(), request(&["Bearer x"])).await.status(), 401);
    assert_eq!(answers(guard.layer(), request(&[])).await.status(), 401);
    let form = Fields::new(&[("grant_type", "client_credentials"), ("scope", "read")]);
    stage.app.asks_tokens(&form).await.is(200);
    line.leads_to(stage.address);
    within(guard.ready()).await;
    assert_eq!(answers(guard.layer(), request(&[&format!("Bearer {token}")])).await.status(), 200);
}
