//! The token endpoint as an app reaches it, TLS included (`reqwest` here has none).

use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, header};

const PATIENCE: Duration = Duration::from_secs(10);
const LARGEST_ANSWER: usize = 64 * 1024;
const FORM: &str = "application/x-www-form-urlencoded";

/// One client at the token endpoint of one server.
pub struct TokenEndpoint {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: String,
    authorization: String,
    scope: String,
}

impl TokenEndpoint {
    /// `server` is where the server is reached, `http` or `https`.
    ///
    /// # Errors
    /// When this system has no certificates of authorities.
    pub fn new(server: &str, id: &str, secret: &str, scope: &str) -> anyhow::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
            .context("certificates of authorities")?
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let basic = BASE64_STANDARD.encode(format!("{id}:{secret}"));
        Ok(Self {
            http: Client::builder(TokioExecutor::new()).build(connector),
            url: format!("{}/oauth/token", server.trim_end_matches('/')),
            authorization: format!("Basic {basic}"),
            scope: scope.to_owned(),
        })
    }

    /// An access token for the client itself (RFC 6749 §4.4).
    ///
    /// # Errors
    /// No answer in ten seconds, or one without a token.
    pub async fn token(&self) -> anyhow::Result<String> {
        let exchange = tokio::time::timeout(PATIENCE, self.exchange());
        let at_endpoint = || format!("the token endpoint, {}", self.url);
        exchange.await.context("no answer in time").and_then(|answer| answer).with_context(at_endpoint)
    }

    async fn exchange(&self) -> anyhow::Result<String> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("scope", &self.scope)
            .finish();
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.url)
            .header(header::CONTENT_TYPE, FORM)
            .header(header::AUTHORIZATION, &self.authorization)
            .body(Full::new(Bytes::from(form)))?;
        let answer = self.http.request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
        let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status != StatusCode::OK {
            bail!("it answered {status} {}", body["error"].as_str().unwrap_or_default());
        }
        let token = body["access_token"].as_str().map(str::to_owned);
        token.context("it answered without a token")
    }
}
