//! The sample app: a small photo-printing shop that reads its customers' photos through OAuth.
//!
//! An ordinary client: it knows the authorization server only by its URLs, and keeps its tokens in memory.

use std::sync::Arc;

use anyhow::Context as _;
use askama::Template;
use askama_web::WebTemplate;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tower_http::csrf::CsrfLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use super::connection::Connection;
use super::journal::Snapshot;
use super::remote::{NoTokens, Remote};
use super::settings::Settings;
use super::visitors::{PendingRequest, RunningConnection, Visitors};

struct Shop {
    settings: Settings,
    remote: Arc<Remote>,
    visitors: Visitors,
}

/// The shop's URLs. Its background calls end when the router is dropped.
///
/// # Errors
/// When the issuer or the redirect URI is no URL.
pub fn router(settings: Settings) -> anyhow::Result<Router> {
    let issuer = url::Url::parse(&settings.issuer).context("issuer")?;
    // The button's form is redirected to the authorization server, which Chromium counts as its action.
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self' {}; frame-ancestors 'none'; base-uri 'none'",
        issuer.origin().ascii_serialization()
    );
    let policy = HeaderValue::from_str(&policy).context("issuer")?;
    let shop =
        Arc::new(Shop { remote: Arc::new(Remote::new(&settings)?), visitors: Visitors::default(), settings });
    Ok(Router::new()
        .route("/", get(home))
        .route("/connect", get(connect).post(connect))
        .route("/callback", get(callback))
        .route("/status", get(status))
        .route("/refresh", post(refresh))
        .route("/disconnect", post(disconnect))
        .route("/demo.css", get(stylesheet))
        .route("/demo.js", get(script))
        .route("/demo.svg", get(icon))
        .fallback(not_found)
        .with_state(shop)
        .layer(CsrfLayer::new())
        .layer(always(header::CONTENT_SECURITY_POLICY, policy))
        .layer(always(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .layer(always(header::REFERRER_POLICY, HeaderValue::from_static("same-origin")))
        .layer(always(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))))
}

fn always(name: HeaderName, value: HeaderValue) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, value)
}

/// What every page says around its content.
struct Page {
    shop: String,
    issuer: String,
}

#[derive(Template, WebTemplate)]
#[template(path = "demo/home.html")]
struct HomePage {
    page: Page,
    /// One sentence about what just happened.
    notice: Option<&'static str>,
}

#[derive(Template, WebTemplate)]
#[template(path = "demo/prints.html")]
struct PrintsPage {
    page: Page,
    client_id: String,
    scopes: String,
    checking: &'static str,
    snapshot: Snapshot,
}

#[derive(Template, WebTemplate)]
#[template(path = "demo/message.html")]
struct MessagePage {
    page: Page,
    title: &'static str,
    text: String,
    /// The words of the protocol, for readers who want them.
    code: Option<String>,
}

#[derive(Deserialize)]
struct HomeQuery {
    disconnected: Option<String>,
}

async fn home(
    State(shop): State<Arc<Shop>>,
    headers: HeaderMap,
    query: Result<Query<HomeQuery>, QueryRejection>,
) -> Response {
    let page = shop.page();
    if let Some(connection) = shop.connection(&headers) {
        return PrintsPage {
            page,
            client_id: shop.settings.client_id.clone(),
            scopes: shop.settings.scopes.join(" "),
            checking: shop.settings.checking,
            snapshot: connection.snapshot(),
        }
        .into_response();
    }
    let disconnected = query.ok().and_then(|Query(query)| query.disconnected);
    let notice = match disconnected.as_deref() {
        Some("revoked") => Some("Disconnected. We revoked our access and kept nothing."),
        Some("forgotten") => Some(
            "Disconnected here, but our access could not be revoked. \
             Please revoke it where your photos are kept.",
        ),
        _ => None,
    };
    HomePage { page, notice }.into_response()
}

/// Sends the browser to the authorization server.
async fn connect(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Response {
    let (url, state, verifier) = shop.remote.authorize_url();
    let key = shop.visitors.remember_request(shop.cookie(&headers), PendingRequest { state, verifier });
    (shop.remember(&key), Redirect::to(url.as_str())).into_response()
}

#[derive(Deserialize)]
struct CallbackQuery {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Takes the authorization server's answer: whose it is first, then what it says.
async fn callback(
    State(shop): State<Arc<Shop>>,
    headers: HeaderMap,
    query: Result<Query<CallbackQuery>, QueryRejection>,
) -> Response {
    let Ok(Query(answer)) = query else {
        let text = "The address that brought you here is damaged. Please start again.";
        return shop.message(StatusCode::BAD_REQUEST, "That did not work", text, None);
    };
    let key = shop.cookie(&headers).unwrap_or_default();
    let state = answer.state.as_deref().unwrap_or_default();
    let Some(pending) = shop.visitors.take_request(key, state) else {
        let text = format!(
            "This answer does not belong to a request that this browser has made, or it was used already. \
             Please open {} and start again.",
            shop.settings.redirect_uri.trim_end_matches("callback")
        );
        return shop.message(StatusCode::BAD_REQUEST, "Not our request", text, None);
    };
    // The server always names itself; an answer that does not is somebody else's (RFC 9207 §2.4).
    if answer.iss.as_deref() != Some(&shop.settings.issuer) {
        let text = "The answer comes from another server than the one we asked. We did not use it.";
        return shop.message(StatusCode::BAD_REQUEST, "Wrong sender", text, None);
    }
    if let Some(error) = answer.error {
        return shop.declined(&error, answer.error_description.as_deref());
    }
    let code = answer.code.unwrap_or_default();
    let issued = match shop.remote.exchange(code, pending.verifier).await {
        Ok(issued) => issued,
        Err(why) => {
            let code = match why {
                NoTokens::Refused(code) => code,
                NoTokens::Unanswered(why) => why.to_owned(),
            };
            let text = "You agreed, but we got no access for it. Please start again.";
            return shop.message(StatusCode::BAD_GATEWAY, "No access", text, Some(code));
        }
    };
    let connection = Connection::new(Arc::clone(&shop.remote), &issued);
    // A new key: one that was set before sign-in may be known to somebody else.
    let key = shop.visitors.connect(key, RunningConnection::start(connection));
    (shop.remember(&key), Redirect::to("/")).into_response()
}

async fn status(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Json<Snapshot> {
    let connection = shop.connection(&headers);
    Json(connection.map_or_else(Snapshot::signed_out, |c| c.snapshot()))
}

/// Tries the refresh token now; the page then shows the answer.
async fn refresh(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Redirect {
    if let Some(connection) = shop.connection(&headers) {
        // On a task of its own: a browser that hangs up must not lose the rotated token.
        let refreshed = tokio::spawn(async move { connection.refresh_by_hand().await }).await;
        if let Err(error) = refreshed {
            tracing::error!(%error, "refresh by hand failed");
        }
    }
    Redirect::to("/")
}

/// Forgets the tokens here, and gives them back to the server.
async fn disconnect(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Response {
    let Some(running) = shop.cookie(&headers).and_then(|key| shop.visitors.remove(key)) else {
        return Redirect::to("/").into_response();
    };
    // Waits for a refresh under way, so that its successor does not stay behind.
    let next = if running.connection().revoke().await {
        "/?disconnected=revoked"
    } else {
        "/?disconnected=forgotten"
    };
    let mut response = Redirect::to(next).into_response();
    let expired = format!("{}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0", shop.settings.cookie);
    if let Ok(expired) = HeaderValue::from_str(&expired) {
        response.headers_mut().insert(header::SET_COOKIE, expired);
    }
    response
}

async fn stylesheet() -> impl IntoResponse {
    let css = include_bytes!("../../static/demo.css").as_slice();
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], css)
}

async fn script() -> impl IntoResponse {
    let js = include_bytes!("../../static/demo.js").as_slice();
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], js)
}

async fn icon() -> impl IntoResponse {
    let svg = include_bytes!("../../static/demo.svg").as_slice();
    ([(header::CONTENT_TYPE, "image/svg+xml")], svg)
}

async fn not_found(State(shop): State<Arc<Shop>>) -> Response {
    let text = "We have no such page. The shop is small.";
    shop.message(StatusCode::NOT_FOUND, "Not here", text, None)
}

impl Shop {
    fn page(&self) -> Page {
        Page {
            shop: self.settings.name.clone(),
            issuer: self.settings.issuer.trim_end_matches('/').to_owned(),
        }
    }

    /// The browser's key, if it sends one.
    fn cookie<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        cookie(headers, self.settings.cookie)
    }

    fn connection(&self, headers: &HeaderMap) -> Option<Arc<Connection>> {
        self.visitors.find(self.cookie(headers)?)
    }

    fn remember(&self, key: &str) -> [(HeaderName, String); 1] {
        let secure = if self.settings.redirect_uri.starts_with("https:") { "; Secure" } else { "" };
        let value = format!("{}={key}; Path=/; HttpOnly; SameSite=Lax{secure}", self.settings.cookie);
        [(header::SET_COOKIE, value)]
    }

    fn message(
        &self,
        status: StatusCode,
        title: &'static str,
        text: impl Into<String>,
        code: Option<String>,
    ) -> Response {
        let page = MessagePage { page: self.page(), title, text: text.into(), code };
        (status, page).into_response()
    }

    /// The page for an `error=` answer (RFC 6749 §4.1.2.1).
    fn declined(&self, error: &str, description: Option<&str>) -> Response {
        let (title, text) = match error {
            "access_denied" => {
                ("No photos, no problem", "You did not let us see your photos. Nothing was shared.")
            }
            "temporarily_unavailable" | "server_error" => {
                ("Please try again", "The place where your photos are kept is busy. Nothing was shared.")
            }
            _ => (
                "That did not work",
                "The place where your photos are kept refused our request. Nothing was shared.",
            ),
        };
        let words = description.map_or_else(|| error.to_owned(), |d| format!("{error}: {d}"));
        // It came by the address bar: shown as text, and not at any length.
        let code = words.chars().take(300).collect();
        self.message(StatusCode::OK, title, text, Some(code))
    }
}

/// The value of a cookie, if the browser sends it.
fn cookie<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        // Bytes: a cookie of another application need not be text.
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b';'))
        .find_map(|pair| pair.trim_ascii().strip_prefix(wanted.as_bytes())?.strip_prefix(b"="))
        .and_then(|value| std::str::from_utf8(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("rescind=a; xfotowerk=b"));
        assert_eq!(cookie(&headers, "fotowerk"), None);
        headers.append(header::COOKIE, HeaderValue::from_static("c=d; fotowerk=e"));
        assert_eq!(cookie(&headers, "fotowerk"), Some("e"));
        let beside_bytes = HeaderValue::from_bytes(b"c=\xff; fotowerk=f").unwrap();
        headers.insert(header::COOKIE, beside_bytes);
        assert_eq!(cookie(&headers, "fotowerk"), Some("f"));
    }
}
