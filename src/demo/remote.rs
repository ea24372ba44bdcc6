//! The two servers that the sample app talks to, reached over HTTP like any other client would.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::http::{StatusCode, header};
use oauth2::basic::{BasicClient, BasicErrorResponseType, BasicTokenResponse};
use oauth2::{
    AccessToken, AsyncHttpClient as _, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    EndpointNotSet, EndpointSet, HttpClientError, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RefreshToken, RequestTokenError, Scope, StandardErrorResponse, TokenUrl,
};

use super::journal::{Photo, SCENES};
use super::settings::Settings;

const TIMEOUT: Duration = Duration::from_secs(5);

type OAuth = BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;
type ExchangeError =
    RequestTokenError<HttpClientError<reqwest::Error>, StandardErrorResponse<BasicErrorResponseType>>;

/// Why an exchange at the token endpoint brought no tokens.
pub enum NoTokens {
    /// The server said no, with this error code.
    Refused(String),
    /// Nothing can be concluded: what went wrong, in words.
    Unanswered(&'static str),
}

/// What the API said to one call.
pub enum Answer {
    Photos(Vec<Photo>),
    /// 401: the error code.
    Unauthorized(String),
    /// 403: the error code.
    Forbidden(String),
    /// Another status, or nonsense: what it was, in words.
    Unusable(String),
    /// Nobody answered: why, in words.
    NoAnswer(&'static str),
}

/// The app's end of both servers. Shared by all connections.
pub struct Remote {
    oauth: OAuth,
    http: reqwest::Client,
    scopes: Vec<Scope>,
    photos: String,
    /// How pages name a call of the API.
    pub call: &'static str,
    revocation: String,
    client_id: String,
    client_secret: Option<String>,
}

impl Remote {
    /// The remote side of these settings.
    ///
    /// # Errors
    /// When the issuer or the redirect URI is no URL.
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let issuer = settings.issuer.trim_end_matches('/');
        let mut oauth = BasicClient::new(ClientId::new(settings.client_id.clone()));
        if let Some(secret) = &settings.client_secret {
            oauth = oauth.set_client_secret(ClientSecret::new(secret.clone()));
        }
        let redirect_uri = RedirectUrl::new(settings.redirect_uri.clone());
        let oauth = oauth
            .set_auth_uri(AuthUrl::new(format!("{issuer}/oauth/authorize")).context("issuer")?)
            .set_token_uri(TokenUrl::new(format!("{issuer}/oauth/token")).context("issuer")?)
            .set_redirect_uri(redirect_uri.context("redirect URI")?);
        let http = reqwest::Client::builder()
            // Tokens and secrets go to the configured servers and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .build()?;
        Ok(Self {
            oauth,
            http,
            scopes: settings.scopes.iter().cloned().map(Scope::new).collect(),
            photos: format!(
                "{}{}",
                settings.api.trim_end_matches('/'),
                settings.call.strip_prefix("GET ").unwrap_or_default()
            ),
            call: settings.call,
            revocation: format!("{issuer}/oauth/revoke"),
            client_id: settings.client_id.clone(),
            client_secret: settings.client_secret.clone(),
        })
    }

    /// Where to send the browser, with what must be kept until it comes back (RFC 6749 §4.1.1, RFC 7636 §4.3).
    pub fn authorize_url(&self) -> (url::Url, CsrfToken, PkceCodeVerifier) {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state) = self
            .oauth
            .authorize_url(CsrfToken::new_random)
            .add_scopes(self.scopes.clone())
            .set_pkce_challenge(challenge)
            .url();
        (url, state, verifier)
    }

    /// Exchanges an authorization code.
    pub async fn exchange(
        &self,
        code: String,
        verifier: PkceCodeVerifier,
    ) -> Result<BasicTokenResponse, NoTokens> {
        let request = self.oauth.exchange_code(AuthorizationCode::new(code)).set_pkce_verifier(verifier);
        let issued = request.request_async(&self.http).await;
        issued.map_err(|error| no_tokens(&error))
    }

    /// Exchanges a refresh token. The status is there when the server answered at all.
    pub async fn refresh(&self, token: &RefreshToken) -> (Option<u16>, Result<BasicTokenResponse, NoTokens>) {
        // The crate keeps the status to itself; the log wants to show it.
        let status = Arc::new(AtomicU16::new(0));
        let (http, seen) = (self.http.clone(), Arc::clone(&status));
        let watched = move |request| {
            let (http, seen) = (http.clone(), Arc::clone(&seen));
            async move {
                let response = http.call(request).await?;
                seen.store(response.status().as_u16(), Ordering::Relaxed);
                Ok(response)
            }
        };
        let request = self.oauth.exchange_refresh_token(token);
        let issued = request.request_async(&watched).await;
        let status = Some(status.load(Ordering::Relaxed)).filter(|status| *status != 0);
        (status, issued.map_err(|error| no_tokens(&error)))
    }

    /// Gives a token back (RFC 7009), and says whether the server took it.
    ///
    /// By hand, because the `oauth2` crate refuses plain http here, even on loopback.
    pub async fn revoke(&self, token: &str, hint: &str) -> bool {
        let mut form = vec![("token", token), ("token_type_hint", hint)];
        let mut request = self.http.post(&self.revocation);
        match &self.client_secret {
            Some(secret) => request = request.basic_auth(&self.client_id, Some(secret)),
            None => form.push(("client_id", &self.client_id)),
        }
        let answer = request.form(&form).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// Asks the API for the photos. The status is there when it answered at all.
    pub async fn photos(&self, access: &AccessToken) -> (Option<u16>, Answer) {
        let request = self.http.get(&self.photos).bearer_auth(access.secret());
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return (None, Answer::NoAnswer(why_no_answer(&error))),
        };
        let status = response.status();
        let challenge = response.headers().get(header::WWW_AUTHENTICATE);
        let error = challenge
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split("error=\"").nth(1)?.split('"').next())
            .unwrap_or("without a reason")
            .to_owned();
        let answer = match status {
            StatusCode::OK => match response.json::<Vec<Photo>>().await {
                Ok(mut photos) => {
                    // The template draws what it knows.
                    photos.retain(|photo| SCENES.contains(&photo.scene.as_str()));
                    Answer::Photos(photos)
                }
                Err(_) => Answer::Unusable("not a list of photos".to_owned()),
            },
            StatusCode::UNAUTHORIZED => Answer::Unauthorized(error),
            StatusCode::FORBIDDEN => Answer::Forbidden(error),
            other => Answer::Unusable(other.canonical_reason().unwrap_or("?").to_lowercase()),
        };
        (Some(status.as_u16()), answer)
    }
}

fn no_tokens(error: &ExchangeError) -> NoTokens {
    match error {
        RequestTokenError::ServerResponse(answer) => match answer.error().as_ref() {
            "temporarily_unavailable" | "server_error" | "slow_down" => {
                NoTokens::Unanswered("the server is busy")
            }
            code => NoTokens::Refused(code.to_owned()),
        },
        RequestTokenError::Request(HttpClientError::Reqwest(error)) => {
            NoTokens::Unanswered(why_no_answer(error))
        }
        _ => NoTokens::Unanswered("the answer was not OAuth"),
    }
}

/// Why there is no answer, without addresses.
fn why_no_answer(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "nobody listens there"
    } else {
        "the answer broke off"
    }
}
