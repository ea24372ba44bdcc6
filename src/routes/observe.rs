//! The second outermost layer. It gives each request an id, limits its time, counts it, and catches its panic.
//!
//! Every introspection passes it, so it is a plain service with few allocations, and looks up only the route.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use tower::{Layer, Service};

use super::X_REQUEST_ID;
use crate::metrics::Metrics;
use crate::oauth::error::{Code, Error as OauthError};
use crate::request::Id;
use crate::web::error::{Error, page};

/// A request is answered within this time, even if the answer says that it took too long.
const LONGEST_REQUEST: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Observe {
    metrics: Arc<Metrics>,
    longest: Duration,
}

impl Observe {
    pub const fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, longest: LONGEST_REQUEST }
    }
}

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed { inner, observe: Arc::new(self.clone()) }
    }
}

#[derive(Clone)]
pub struct Observed<S> {
    inner: S,
    observe: Arc<Observe>,
}

impl<S> Service<Request> for Observed<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let began = Instant::now();
        let id = Id::next();
        let path = request.extensions().get::<MatchedPath>().cloned();
        let method = request.method().clone();
        let observe = self.observe.clone();
        let answer = self.inner.call(request);
        Box::pin(id.scope(async move {
            let path = path.as_ref().map(MatchedPath::as_str);
            let timed = tokio::time::timeout(observe.longest, answer);
            let mut response = match AssertUnwindSafe(timed).catch_unwind().await {
                Ok(Ok(response)) => response?,
                Ok(Err(_)) => too_slow(path),
                Err(_) => Error::Internal.into_response(),
            };
            if let Ok(id) = HeaderValue::try_from(id.to_string()) {
                response.headers_mut().insert(X_REQUEST_ID, id);
            }
            let (status, took) = (response.status().as_u16(), began.elapsed());
            if let Some(requests) = observe.metrics.requests.get() {
                requests.note(method.as_str(), path, status, took);
            }
            // The template, never the path, because paths and queries contain ids and codes.
            tracing::debug!(
                request.id = %id,
                method = %method,
                route = path.unwrap_or("none"),
                status,
                elapsed_us = took.as_micros(),
                "request.answered"
            );
            Ok(response)
        }))
    }
}

fn too_slow(path: Option<&str>) -> Response {
    tracing::error!(request.id = %Id::current(), route = path, "request.too_slow");
    let error = OauthError::new(Code::TemporarilyUnavailable, "it took too long; it may have been done");
    super::refuse(path, error, || {
        page(StatusCode::SERVICE_UNAVAILABLE, "error-too-slow", Some(Id::current().to_string()))
    })
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::any;
    use tower::ServiceExt as _;

    use super::*;
    use crate::metrics::{FeedMetrics, Reading, Requests, StoreMetrics};

    #[tokio::test]
    async fn a_caller_whose_handler_panics_gets_an_answer() {
        async fn panics() -> &'static str {
            panic!("a fault in a handler")
        }
        let router = Router::new().route("/", any(panics)).layer(Observe::new(Arc::default()));
        let response = router.oneshot(Request::builder().body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(response.headers().contains_key(X_REQUEST_ID));
    }

    #[tokio::test]
    async fn a_request_that_takes_too_long_gets_a_503_in_the_format_of_its_caller() {
        let metrics = Arc::<Metrics>::default();
        metrics.requests.get_or_init(|| Requests::new(["/", "/oauth/token"].into_iter()));
        let observe = Observe { metrics: metrics.clone(), longest: Duration::from_millis(5) };
        let slow = || any(async || std::future::pending::<()>().await);
        let router = Router::new().route("/", slow()).route("/oauth/token", slow()).layer(observe);
        for (path, kind) in [("/", "text/html; charset=utf-8"), ("/oauth/token", "application/json")] {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert_eq!(response.headers()["content-type"], kind, "{path}");
            assert!(response.headers().contains_key("retry-after"), "{path}");
            let is_open = response.headers().contains_key("access-control-allow-origin");
            assert_eq!(is_open, path == "/oauth/token", "scripts read what they may call: {path}");
            assert!(response.headers().contains_key(X_REQUEST_ID), "{path}");
        }
        let text = metrics.text(&StoreMetrics::default(), &FeedMetrics::default(), &Reading::default());
        assert!(text.contains("{route=\"/oauth/token\",method=\"GET\",status=\"503\"} 1"), "{text}");
    }
}
