//! Answers a proxy's question: may this request go on, and for whom?

use std::convert::Infallible;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use rescind_guard::Claims;
use tower::{Layer as _, ServiceExt as _, service_fn};
use url::form_urlencoded;

use crate::model::resource_server::is_audience;
use crate::model::scope::Scope;
use crate::sidecar::Sidecar;
use crate::sidecar::path::is_ambiguous;

/// Tells the application who makes the request. An answer that lets a request through has all three headers, so that a
/// proxy which copies them replaces headers of these names from outside.
const SUBJECT: HeaderName = HeaderName::from_static("x-rescind-subject");
const CLIENT: HeaderName = HeaderName::from_static("x-rescind-client");
const SCOPE: HeaderName = HeaderName::from_static("x-rescind-scope");

/// What a location requires beyond the settings. These headers only add demands, so they do no harm if somebody outside
/// sends them.
const REQUIRE_SCOPE: HeaderName = HeaderName::from_static("x-rescind-require-scope");
const REQUIRE_AUDIENCE: HeaderName = HeaderName::from_static("x-rescind-require-audience");

/// Headers in which proxies name the original path.
const ORIGINAL: [HeaderName; 2] =
    [HeaderName::from_static("x-original-uri"), HeaderName::from_static("x-forwarded-uri")];

/// `/verify`, for nginx, Traefik and Caddy. The proxy's operator has written its query.
pub async fn verify(State(sidecar): State<Sidecar>, request: Request) -> Response {
    let is_refused = |value: &HeaderValue| value.to_str().map_or(true, is_ambiguous);
    if ORIGINAL.iter().any(|name| request.headers().get_all(name).iter().any(is_refused)) {
        return ambiguous();
    }
    let mut demands = Demands::default();
    if let Err(wrong) = demands.read_query(request.uri().query().unwrap_or_default()) {
        // A demand that can't be read must not be ignored.
        tracing::error!(wrong, "verify.misconfigured");
        return (StatusCode::INTERNAL_SERVER_ERROR, format!("{wrong}\n")).into_response();
    }
    answer(sidecar, demands, request, identity).await
}

/// `/ext_authz/…`, for Envoy. The query is that of the original request, so it demands nothing.
pub async fn ext_authz(State(sidecar): State<Sidecar>, request: Request) -> Response {
    if is_ambiguous(request.uri().path()) {
        return ambiguous();
    }
    answer(sidecar, Demands::default(), request, identity).await
}

/// The refusal of an ambiguous path: the proxy may have read it in another way than the application will.
fn ambiguous() -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store")];
    (StatusCode::FORBIDDEN, headers, "the path can be read in more than one way\n").into_response()
}

/// Returns what `accepted` makes of the claims, if the token is good and meets the settings, `demands` and the demands
/// in headers. Otherwise a refusal that every proxy passes on.
pub async fn answer(
    sidecar: Sidecar,
    mut demands: Demands,
    request: Request,
    accepted: impl Fn(&Claims) -> Response + Clone + Send + 'static,
) -> Response {
    demands.read_headers(request.headers());
    let layer = demands.scopes.into_iter().fold(sidecar.layer, |layer, scope| layer.require_scope(scope));
    let config = sidecar.config;
    let is_elsewhere = demands.audiences.iter().any(|audience| *audience != config.audience);
    let service = service_fn(move |request: Request| {
        let response = match request.extensions().get::<Claims>() {
            Some(_) if is_elsewhere => for_another_audience(&config.realm),
            Some(claims) => accepted(claims),
            None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        };
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let Ok(mut response) = layer.layer(service).oneshot(request).await;
    // RFC 6750 §3.1 requires 400 for a malformed request. nginx would turn that into 500, because it passes on only 401
    // and
    // 403. The challenge still says `invalid_request`.
    if response.status() == StatusCode::BAD_REQUEST {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    response
}

fn identity(claims: &Claims) -> Response {
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in [(SUBJECT, &claims.sub), (CLIENT, &claims.client_id), (SCOPE, &claims.scope)] {
        match HeaderValue::from_str(value) {
            Ok(value) => headers.insert(name, value),
            // Without one of these headers the application might take the request for somebody else's.
            Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        };
    }
    response
}

/// The guard has one audience, so no token is good for a location that requires another one.
fn for_another_audience(realm: &str) -> Response {
    let challenge = format!(
        "Bearer realm=\"{realm}\", error=\"invalid_token\", error_description=\"The access token is for another audience\""
    );
    let headers = [(header::WWW_AUTHENTICATE, challenge), (header::CACHE_CONTROL, "no-store".to_owned())];
    (StatusCode::UNAUTHORIZED, headers).into_response()
}

/// What one location requires beyond the settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Demands {
    scopes: Vec<String>,
    audiences: Vec<String>,
}

impl Demands {
    /// Anything unknown is an error, because the query comes from the proxy's configuration.
    fn read_query(&mut self, query: &str) -> Result<(), &'static str> {
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "scope" => {
                    let scope = Scope::parse(&value).filter(|scope| !scope.is_empty());
                    let scope = scope.ok_or("the query's scope names no scope")?;
                    self.scopes.extend(scope.names().map(str::to_owned));
                }
                "audience" if is_audience(&value) => self.audiences.push(value.into_owned()),
                "audience" => return Err("the query's audience is none"),
                _ => return Err("the query has a parameter other than scope and audience"),
            }
        }
        Ok(())
    }

    /// What can't be read becomes a demand that no token meets.
    fn read_headers(&mut self, headers: &HeaderMap) {
        for value in headers.get_all(REQUIRE_SCOPE) {
            let scope = value.to_str().ok().and_then(Scope::parse).filter(|scope| !scope.is_empty());
            match scope {
                Some(scope) => self.scopes.extend(scope.names().map(str::to_owned)),
                None => self.scopes.push(String::new()),
            }
        }
        for value in headers.get_all(REQUIRE_AUDIENCE) {
            self.audiences.push(value.to_str().unwrap_or_default().to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_query(query: &str) -> Result<Demands, &'static str> {
        let mut demands = Demands::default();
        demands.read_query(query).map(|()| demands)
    }

    #[test]
    fn a_query_demands_scopes_and_an_audience() {
        let demands = of_query("scope=a+b&scope=c%20d&audience=urn%3Aphotos").unwrap();
        assert_eq!(demands.scopes, ["a", "b", "c", "d"]);
        assert_eq!(demands.audiences, ["urn:photos"]);
        assert_eq!(of_query("").unwrap(), Demands::default());
    }

    #[test]
    fn a_query_that_can_t_be_read_is_refused() {
        for query in
            ["scope=", "scope", "scope=%22", "scopes=a", "scope=a&x=1", "audience=", "audience=photos"]
        {
            assert!(of_query(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_header_that_can_t_be_read_lets_no_token_through() {
        let mut headers = HeaderMap::new();
        headers.append(REQUIRE_SCOPE, HeaderValue::from_static("a b"));
        headers.append(REQUIRE_SCOPE, HeaderValue::from_static(""));
        headers.append(REQUIRE_SCOPE, HeaderValue::from_bytes(b"\xff").unwrap());
        headers.append(REQUIRE_AUDIENCE, HeaderValue::from_bytes(b"\xff").unwrap());
        let mut demands = Demands::default();
        demands.read_headers(&headers);
        assert_eq!(demands.scopes, ["a", "b", "", ""]);
        assert_eq!(demands.audiences, [""]);
    }
}
