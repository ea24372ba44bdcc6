//! A new secret on its way from the form that made it to the page that shows it once.
//!
//! The server keeps only digests, so the browser carries the secret, in a cookie for that one page. The page deletes it. A reload of the page repeats nothing, and any node can answer it.

use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Redirect, Response};
use tower_sessions::cookie::{Cookie, SameSite};

use crate::config::Transport;
use crate::web::error::{Error, Result};

const NAME: &str = "rescind_secret";
/// How long the browser may take to get to the page.
const LIFE: time::Duration = time::Duration::minutes(10);

fn cookie(path: &str, value: &str, life: time::Duration, transport: Transport) -> Result<HeaderValue> {
    let cookie = Cookie::build((NAME, value))
        .path(path)
        .max_age(life)
        .http_only(true)
        .secure(transport == Transport::Https)
        .same_site(SameSite::Strict)
        .build();
    HeaderValue::from_str(&cookie.to_string()).map_err(|_| Error::Internal)
}

/// To the page at `path`, which shows `secret`.
pub fn to_page(path: &str, secret: &str, transport: Transport) -> Result<Response> {
    let cookie = cookie(path, secret, LIFE, transport)?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(path)).into_response())
}

/// The secret that a browser brings, if it has not been shown.
#[derive(Clone)]
pub struct Brought(String);

impl Brought {
    /// `None` for any other cookie.
    pub fn read(pair: &[u8]) -> Option<Self> {
        let value = pair.strip_prefix(NAME.as_bytes())?.strip_prefix(b"=")?;
        Some(Self(std::str::from_utf8(value).ok()?.to_owned()))
    }

    pub fn text(&self) -> &str {
        &self.0
    }
}

/// `page`, which deletes the browser's secret. A HEAD request shows nothing, so it deletes nothing.
pub fn shown(page: impl IntoResponse, path: &str, method: &Method, transport: Transport) -> Result<Response> {
    let mut response = page.into_response();
    if method == Method::GET {
        let gone = cookie(path, "", time::Duration::ZERO, transport)?;
        response.headers_mut().append(header::SET_COOKIE, gone);
    }
    Ok(response)
}
