//! Requests to the server: HTTP/1.1, TLS if the URL is https, answers of limited size, no redirects.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;

use crate::settings::{Settings, SettingsError};

/// A million entries take about 70 MB.
const MAX_SNAPSHOT: usize = 512 * 1024 * 1024;
/// Room for a thousand scopes of 64 characters.
const MAX_ANSWER: usize = 128 * 1024;
const CONNECT: Duration = Duration::from_secs(5);

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("the server answered {status} {error}")]
    Status { status: StatusCode, error: String, retry_after: Option<Duration> },
    #[error("no answer: {0}")]
    Transport(String),
    #[error("no answer in time")]
    Timeout,
    #[error("an answer that cannot be read: {0}")]
    Unreadable(String),
}

pub struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    authorization: HeaderValue,
    /// How long to wait for the head of an answer, and between any two pieces of its body.
    patience: Duration,
}

impl Http {
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let base = settings.check()?;
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        let builder = HttpsConnectorBuilder::new();
        let builder = if base.scheme() == Some(&http::uri::Scheme::HTTPS) {
            builder
                .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
                .map_err(|error| SettingsError::Roots(error.to_string()))?
        } else {
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            let tls = rustls::ClientConfig::builder_with_provider(provider.into())
                .with_safe_default_protocol_versions()
                .map_err(|error| SettingsError::Roots(error.to_string()))?;
            builder.with_tls_config(
                tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth(),
            )
        };
        let connector = builder.https_or_http().enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(4)
            .build(connector);
        let basic = STANDARD.encode(format!("{}:{}", settings.id, settings.secret));
        let mut authorization = HeaderValue::from_str(&format!("Basic {basic}"))
            .map_err(|_| SettingsError::Credentials("secret"))?;
        authorization.set_sensitive(true);
        let base = base.to_string().trim_end_matches('/').to_owned();
        Ok(Self { client, base, authorization, patience: settings.timing.answer })
    }

    pub async fn snapshot<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let request = self.request(Method::GET, "/revocations/snapshot", &[])?;
        let response = self.send(request, self.patience).await?;
        read(response, MAX_SNAPSHOT, self.patience).await
    }

    /// The stream, after its head has arrived.
    pub async fn feed(&self, last_event_id: &str) -> Result<Incoming, Failure> {
        let last =
            HeaderValue::from_str(last_event_id).map_err(|error| Failure::Transport(error.to_string()))?;
        let headers = [
            (ACCEPT, HeaderValue::from_static("text/event-stream")),
            (HeaderName::from_static("last-event-id"), last),
        ];
        let request = self.request(Method::GET, "/revocations/feed", &headers)?;
        let response = self.send(request, self.patience).await?;
        let is_stream = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.split(';').next() == Some("text/event-stream"));
        if is_stream {
            Ok(response.into_body())
        } else {
            Err(Failure::Unreadable("not an event stream".to_owned()))
        }
    }

    pub async fn acknowledge<T: DeserializeOwned>(
        &self,
        ack: Vec<u8>,
        patience: Duration,
    ) -> Result<T, Failure> {
        self.post("/revocations/ack", "application/json", ack, patience).await
    }

    pub async fn introspect<T: DeserializeOwned>(&self, token: &str) -> Result<T, Failure> {
        // The caller has checked that the token needs no escapes.
        let form = format!("token={token}&token_type_hint=access_token");
        self.post("/oauth/introspect", "application/x-www-form-urlencoded", form.into_bytes(), self.patience)
            .await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        kind: &'static str,
        body: Vec<u8>,
        patience: Duration,
    ) -> Result<T, Failure> {
        let mut request =
            self.request(Method::POST, path, &[(CONTENT_TYPE, HeaderValue::from_static(kind))])?;
        *request.body_mut() = Full::new(Bytes::from(body));
        let answer = async {
            let response = self.send(request, patience).await?;
            read(response, MAX_ANSWER, patience).await
        };
        tokio::time::timeout(patience, answer).await.map_err(|_| Failure::Timeout)?
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let uri: Uri = format!("{}{path}", self.base)
            .parse()
            .map_err(|_| Failure::Transport("the URL cannot be used".to_owned()))?;
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        request.headers_mut().insert(AUTHORIZATION, self.authorization.clone());
        for (name, value) in headers {
            request.headers_mut().insert(name, value.clone());
        }
        Ok(request)
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
        patience: Duration,
    ) -> Result<Response<Incoming>, Failure> {
        let response = tokio::time::timeout(patience, self.client.request(request))
            .await
            .map_err(|_| Failure::Timeout)?
            .map_err(|error| Failure::Transport(with_sources(&error)))?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        #[derive(serde::Deserialize)]
        struct Body {
            error: String,
        }
        let body = read::<Body>(response, MAX_ANSWER, patience).await;
        let is_plain = |byte: char| byte.is_ascii_alphanumeric() || byte == '_';
        let error = body.map(|body| body.error).unwrap_or_default();
        let error = error.chars().filter(|byte| is_plain(*byte)).take(40).collect();
        Err(Failure::Status { status, error, retry_after })
    }
}

async fn read<T: DeserializeOwned>(
    response: Response<Incoming>,
    most: usize,
    patience: Duration,
) -> Result<T, Failure> {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) =
        tokio::time::timeout(patience, body.frame()).await.map_err(|_| Failure::Timeout)?
    {
        let frame = frame.map_err(|error| Failure::Transport(with_sources(&error)))?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > most {
                return Err(Failure::Unreadable(format!("longer than {most} bytes")));
            }
            bytes.extend_from_slice(data);
        }
    }
    parse(&bytes)
}

/// Reads an answer's JSON.
///
/// # Errors
/// `Unreadable`.
pub fn parse<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(answer).map_err(|error| Failure::Unreadable(error.to_string()))
}

/// The messages of an error and of its causes, because hyper's own message says little.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
