//! The sample API: a photo store, behind two gates.
//!
//! `/photos` asks the authorization server about every token it is shown and keeps no answer, so an
//! access that ends there ends here with the next request. `/guarded/photos` stands behind
//! `rescind-guard`, which checks tokens by itself and hears of revocations by the feed.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use rescind_guard::{Claims, Guard};
use serde::Deserialize;
use serde_json::json;
use tower_http::set_header::SetResponseHeaderLayer;

use super::journal::{Photo, SCENES};

const REALM: &str = "photos";
const READ_PHOTOS: &str = "photos.read";
/// Longer than any healthy look-up takes; a caller that waits for a photo list would rather hear 503.
const INTROSPECTION_TIMEOUT: Duration = Duration::from_secs(3);

/// Where the API asks about tokens, and who it is there.
#[derive(Clone)]
pub struct Settings {
    /// The authorization server, without a path.
    pub issuer: String,
    pub resource_server_id: String,
    pub resource_server_secret: String,
    /// The `aud` that a token must carry to be meant for this API.
    pub audience: String,
}

struct Api {
    settings: Settings,
    introspection: String,
    http: reqwest::Client,
}

/// The API's URLs: `/photos`, the same behind `guard`, and `/` which says so.
///
/// # Errors
/// When the HTTP client cannot be built.
pub fn router(settings: Settings, guard: &Guard) -> anyhow::Result<Router> {
    let http = reqwest::Client::builder()
        // The token and our own secret go to the configured server and nowhere else.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(INTROSPECTION_TIMEOUT)
        .build()?;
    let introspection = format!("{}/oauth/introspect", settings.issuer.trim_end_matches('/'));
    let api = Arc::new(Api { settings, introspection, http });
    let guarded = Router::new()
        .route("/guarded/photos", get(guarded_photos))
        .layer(guard.layer().require_scope(READ_PHOTOS).realm(REALM));
    Ok(Router::new()
        .route("/", get(about))
        .route("/photos", get(photos))
        .with_state(api)
        .merge(guarded)
        .layer(always(header::CACHE_CONTROL, "no-store"))
        .layer(always(header::X_CONTENT_TYPE_OPTIONS, "nosniff")))
}

fn always(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}

async fn about() -> Response {
    Json(json!({
        "name": "Sample photo store",
        "photos": "/photos",
        "guarded_photos": "/guarded/photos",
        "scope": READ_PHOTOS,
    }))
    .into_response()
}

async fn photos(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, Refusal> {
    let token = bearer(&headers)?;
    let found = api.introspect(token).await?;
    if !found.active {
        return Err(Refusal::InvalidToken("The access token is no longer valid."));
    }
    // A token for another resource server proves nothing here (RFC 7662 §2.2, RFC 9068 §4).
    if !found.aud.contains(&api.settings.audience) {
        return Err(Refusal::InvalidToken("The access token is for another API."));
    }
    if !found.scope.split(' ').any(|scope| scope == READ_PHOTOS) {
        return Err(Refusal::InsufficientScope);
    }
    Ok(Json(album(&found.sub)).into_response())
}

/// A caller that comes here has shown the guard a good token.
async fn guarded_photos(Extension(claims): Extension<Claims>) -> Response {
    Json(album(&claims.sub)).into_response()
}

/// The bearer token of a request (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut presented = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = presented.next() else {
        return Err(Refusal::NoToken);
    };
    if presented.next().is_some() {
        return Err(Refusal::InvalidRequest("Send one Authorization header."));
    }
    let value =
        value.to_str().map_err(|_| Refusal::InvalidRequest("The Authorization header is not plain text."))?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::NoToken);
    }
    let token = token.trim_matches(' ');
    let body = token.trim_end_matches('=');
    let is_b64token = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
    if body.is_empty() || !body.chars().all(is_b64token) {
        return Err(Refusal::InvalidRequest("The bearer token is malformed."));
    }
    Ok(token)
}

/// What the API reads of an introspection answer (RFC 7662 §2.2).
#[derive(Deserialize)]
struct Introspection {
    active: bool,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    sub: String,
    #[serde(default)]
    aud: Audience,
}

/// `aud` is one string or a list of them (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Audience {
    fn contains(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

impl Api {
    async fn introspect(&self, token: &str) -> Result<Introspection, Refusal> {
        let answer = self
            .http
            .post(&self.introspection)
            .basic_auth(&self.settings.resource_server_id, Some(&self.settings.resource_server_secret))
            .header(header::ACCEPT, "application/json")
            .form(&[("token", token), ("token_type_hint", "access_token")])
            .send()
            .await
            .and_then(reqwest::Response::error_for_status);
        let found = match answer {
            Ok(answer) if answer.status() == StatusCode::OK => answer.json().await,
            Ok(answer) => {
                tracing::warn!(status = answer.status().as_u16(), "introspection failed");
                return Err(Refusal::Unavailable);
            }
            Err(error) => Err(error),
        };
        // No answer is no permission: the API fails closed.
        found.map_err(|error| {
            tracing::warn!(error = %error.without_url(), "introspection failed");
            Refusal::Unavailable
        })
    }
}

/// Why a request got no photos, and how RFC 6750 §3 says so.
#[derive(Debug)]
enum Refusal {
    NoToken,
    InvalidRequest(&'static str),
    InvalidToken(&'static str),
    InsufficientScope,
    Unavailable,
}

impl Refusal {
    fn parts(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NoToken => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "Send an access token in the Authorization header.",
            ),
            Self::InvalidRequest(why) => (StatusCode::BAD_REQUEST, "invalid_request", why),
            Self::InvalidToken(why) => (StatusCode::UNAUTHORIZED, "invalid_token", why),
            Self::InsufficientScope => (
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                "The access token does not allow reading photos.",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "The token could not be checked. Try again.",
            ),
        }
    }

    /// The challenge. A request without a token learns no error code (RFC 6750 §3.1).
    fn challenge(&self) -> Option<String> {
        let (_, error, why) = self.parts();
        let detail = format!("error=\"{error}\", error_description=\"{why}\"");
        match self {
            Self::NoToken => Some(format!("Bearer realm=\"{REALM}\"")),
            Self::InvalidRequest(_) | Self::InvalidToken(_) => {
                Some(format!("Bearer realm=\"{REALM}\", {detail}"))
            }
            Self::InsufficientScope => {
                Some(format!("Bearer realm=\"{REALM}\", {detail}, scope=\"{READ_PHOTOS}\""))
            }
            Self::Unavailable => None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error, why) = self.parts();
        let body = Json(json!({ "error": error, "error_description": why }));
        match self.challenge() {
            Some(challenge) => (status, [(header::WWW_AUTHENTICATE, challenge)], body).into_response(),
            None => (status, [(header::RETRY_AFTER, "1")], body).into_response(),
        }
    }
}

const TITLES: [[&str; 4]; SCENES.len()] = [
    ["Morning at the lake", "Last swim of the year", "The rowing boat", "Fog lifting"],
    ["Above the tree line", "Day two of the hut walk", "Where we turned round", "First snow"],
    ["Ferry to the island", "The old harbour", "Waiting for the boat", "Sailing lesson"],
    ["Poppies by the road", "Grandmother's meadow", "Picnic in June", "The long way home"],
    ["Our new street", "City at dusk", "View from the roof", "Night train"],
    ["Mushroom day", "The quiet path", "Under the pines", "Where the dog got lost"],
    ["Beach, finally", "Low tide", "Sandcastle, day one", "Ice cream weather"],
    ["Balloon over town", "The birthday flight", "High up", "Sunday sky"],
];

/// The photos of one person: made from `sub`, so always the same ones, and other ones for somebody else.
fn album(sub: &str) -> Vec<Photo> {
    // FNV-1a: spreads short ids well enough to deal out pictures.
    let mut seed = sub.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut deal = |sides: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % sides as u64).unwrap_or(0)
    };
    let first = deal(SCENES.len());
    let count = 6 + 2 * deal(2);
    (0..count)
        .map(|place| {
            let scene = (first + place) % SCENES.len();
            Photo {
                id: format!("p{}", place + 1),
                title: TITLES[scene][deal(4)].to_owned(),
                scene: SCENES[scene].to_owned(),
                taken: format!("2025-{:02}-{:02}", 1 + deal(12), 1 + deal(28)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_bearer_token_is_read_with_a_scheme_in_any_case() {
        assert_eq!(bearer(&with(&["bearer abc-._~+/=="])).unwrap(), "abc-._~+/==");
    }

    #[test]
    fn another_scheme_is_no_token_and_a_broken_one_is_a_bad_request() {
        assert!(matches!(bearer(&with(&[])), Err(Refusal::NoToken)));
        assert!(matches!(bearer(&with(&["Basic abc"])), Err(Refusal::NoToken)));
        for broken in ["Bearer", "Bearer ", "Bearer a b", "Bearer =", "Bearer a\"b"] {
            assert!(matches!(bearer(&with(&[broken])), Err(Refusal::InvalidRequest(_))), "{broken}");
        }
        let two = with(&["Bearer a", "Bearer b"]);
        assert!(matches!(bearer(&two), Err(Refusal::InvalidRequest(_))));
    }

    #[test]
    fn a_request_without_token_learns_no_error_code() {
        assert_eq!(Refusal::NoToken.challenge().unwrap(), "Bearer realm=\"photos\"");
    }

    #[test]
    fn an_album_belongs_to_its_person() {
        let titles = |sub| album(sub).into_iter().map(|p| p.title).collect::<Vec<_>>();
        assert_eq!(titles("usr_alice"), titles("usr_alice"));
        assert_ne!(titles("usr_alice"), titles("usr_bob"));
        assert_eq!(album("").len(), album("").len());
    }
}
