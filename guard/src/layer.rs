//! A tower layer for axum and other hyper services, with the answers of RFC 6750.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode, Uri};
use tower_layer::Layer;
use tower_service::Service;

use crate::guard::Guard;

/// Lets a request through if its access token is good and has every required scope. The token's
/// [`Claims`](crate::Claims) are in the request's extensions then. Other requests get the answers of RFC 6750 §3:
///
/// | | |
/// |---|---|
/// | no token | 401 without an error attribute |
/// | a bad, expired or revoked token | 401 `invalid_token` |
/// | a scope is missing | 403 `insufficient_scope` |
/// | a malformed header, two tokens | 400 `invalid_request` |
/// | the guard can't tell | 503 with `Retry-After`, and nothing about the token |
///
/// A token is taken only from the `Authorization` header.
#[derive(Clone, Debug)]
pub struct GuardLayer {
    guard: Guard,
    challenge: Arc<Challenge>,
}

#[derive(Clone, Debug)]
struct Challenge {
    /// Always present, because a challenge must have at least one attribute (RFC 6750 §3).
    realm: String,
    scopes: Vec<String>,
}

/// A service behind a [`GuardLayer`].
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    inner: S,
    layer: GuardLayer,
}

impl GuardLayer {
    pub(crate) fn new(guard: Guard, realm: &str) -> Self {
        let challenge = Challenge { realm: realm.to_owned(), scopes: Vec::new() };
        Self { guard, challenge: Arc::new(challenge) }
    }

    /// Requires `scope` too. No token has a text that is not a valid scope (RFC 6749 §3.3).
    #[must_use]
    pub fn require_scope(mut self, scope: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.challenge).scopes.push(scope.into());
        self
    }

    /// The realm that challenges name, if not the audience.
    #[must_use]
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.challenge).realm = realm.into();
        self
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, layer: self.clone() }
    }
}

/// How a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denial {
    NoToken,
    InvalidRequest(&'static str),
    InvalidToken,
    InsufficientScope,
    Unknown,
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // Only the service that was polled until ready may be called. A clone takes its place.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let GuardLayer { guard, challenge } = self.layer.clone();
        Box::pin(async move {
            let token = match bearer(request.headers(), request.uri()) {
                Ok(token) => token.to_owned(),
                Err(denial) => return Ok(denial.respond(&challenge)),
            };
            let claims = match guard.check(&token).await {
                Ok(claims) => claims,
                Err(refusal) if refusal.is_unknown() => return Ok(Denial::Unknown.respond(&challenge)),
                Err(_) => return Ok(Denial::InvalidToken.respond(&challenge)),
            };
            if !challenge.scopes.iter().all(|scope| claims.allows(scope)) {
                return Ok(Denial::InsufficientScope.respond(&challenge));
            }
            request.extensions_mut().insert(claims);
            inner.call(request).await
        })
    }
}

/// The token of a request (RFC 6750 §2.1).
fn bearer<'a>(headers: &'a HeaderMap, uri: &Uri) -> Result<&'a str, Denial> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Err(Denial::NoToken) };
    if values.next().is_some() {
        return Err(Denial::InvalidRequest("more than one Authorization header"));
    }
    let value =
        value.to_str().map_err(|_| Denial::InvalidRequest("the Authorization header is malformed"))?;
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Denial::NoToken);
    }
    // A request may use only one way to send a token (RFC 6750 §2).
    let has_another =
        uri.query().is_some_and(|query| query.split('&').any(|field| field.starts_with("access_token=")));
    if has_another {
        return Err(Denial::InvalidRequest("more than one access token"));
    }
    let token = rest.trim_start_matches(' ');
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || !token.bytes().all(is_fit) {
        return Err(Denial::InvalidRequest("the Authorization header is malformed"));
    }
    Ok(token)
}

impl Denial {
    fn respond<R: Default>(self, challenge: &Challenge) -> Response<R> {
        let mut response = Response::new(R::default());
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let status = match self {
            Self::NoToken | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::InvalidRequest(_) => StatusCode::BAD_REQUEST,
            Self::InsufficientScope => StatusCode::FORBIDDEN,
            Self::Unknown => StatusCode::SERVICE_UNAVAILABLE,
        };
        if self == Self::Unknown {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        } else if let Ok(value) = HeaderValue::from_str(&self.challenge(challenge)) {
            headers.insert(WWW_AUTHENTICATE, value);
        } else {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        *response.status_mut() = status;
        response
    }

    fn challenge(self, challenge: &Challenge) -> String {
        let mut attributes = Vec::new();
        let mut attribute = |name: &str, value: &str| {
            // These values may contain only these characters (RFC 6750 §3).
            let is_fit = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
            let value: String = value.chars().filter(is_fit).collect();
            attributes.push(format!("{name}=\"{value}\""));
        };
        attribute("realm", &challenge.realm);
        match self {
            // No error, because a request without a token is not a mistake (RFC 6750 §3.1).
            Self::NoToken | Self::Unknown => {}
            Self::InvalidRequest(what) => {
                attribute("error", "invalid_request");
                attribute("error_description", what);
            }
            Self::InvalidToken => {
                attribute("error", "invalid_token");
                attribute(
                    "error_description",
                    "The access token is not valid here, has expired or was revoked",
                );
            }
            Self::InsufficientScope => {
                attribute("error", "insufficient_scope");
                attribute("scope", &challenge.scopes.join(" "));
            }
        }
        format!("Bearer {}", attributes.join(", "))
    }
}
