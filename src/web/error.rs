//! The one error page.

use askama::Template;
use askama_web::WebTemplate;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::clock::Timestamp;
use crate::request;
use crate::service::sign_in_limit::TooMany;
use crate::service::{authorize, keys, moderate, register, revoke, sign_in_attempts};
use crate::store::{self, Denial};
use crate::web::page::{Page, Section};

/// Marks an answer to somebody whose session has ended: signing in leads back to the page.
#[derive(Clone, Copy, Debug)]
pub struct SignedOut;

/// Why a page can't be shown.
#[derive(Debug)]
pub enum Error {
    /// No such thing, or somebody else's: the two can't be told apart.
    NotFound,
    /// The person's role does not allow it.
    Forbidden,
    /// A request that no form of ours sends: a message key.
    BadRequest(&'static str),
    /// The session ended while the request was under way; nothing was changed.
    SignedOut,
    /// A password was tried too often.
    TooManyAttempts(TooMany),
    /// The store did not answer; nothing was changed.
    Unavailable,
    /// A fault of ours.
    Internal,
}

pub type Result<T> = std::result::Result<T, Error>;

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Denied(Denial::SignedOut) => return Self::SignedOut,
            store::Error::Denied(Denial::RoleLowered) => return Self::Forbidden,
            _ => {}
        }
        tracing::error!(request.id = %request::Id::current(), error = %error, "store.unavailable");
        Self::Unavailable
    }
}

impl From<sign_in_attempts::Error> for Error {
    fn from(error: sign_in_attempts::Error) -> Self {
        match error {
            sign_in_attempts::Error::TooMany(too_many) => Self::TooManyAttempts(too_many),
            sign_in_attempts::Error::Store(error) => error.into(),
        }
    }
}

impl From<revoke::Error> for Error {
    fn from(error: revoke::Error) -> Self {
        match error {
            revoke::Error::NotFound => Self::NotFound,
            revoke::Error::Oneself => Self::BadRequest("error-oneself"),
            revoke::Error::LastAdmin => Self::BadRequest("error-last-admin"),
            revoke::Error::HasApps => Self::BadRequest("error-has-apps"),
            // Pages revoke no single tokens.
            revoke::Error::TooMany => Self::Unavailable,
            revoke::Error::Store(error) => error.into(),
        }
    }
}

impl From<register::Error> for Error {
    fn from(error: register::Error) -> Self {
        match error {
            register::Error::Store(error) => error.into(),
            register::Error::NotFound | register::Error::NoOwner => Self::NotFound,
            // Forms say these beside their fields.
            register::Error::BannedRedirect
            | register::Error::LooksLikeAnother
            | register::Error::Hash(_) => {
                tracing::error!(request.id = %request::Id::current(), error = %error, "register.failed");
                Self::Internal
            }
        }
    }
}

impl From<moderate::Error> for Error {
    fn from(error: moderate::Error) -> Self {
        match error {
            moderate::Error::Store(error) => error.into(),
            moderate::Error::NotFound => Self::NotFound,
            moderate::Error::Oneself => Self::BadRequest("error-oneself"),
            moderate::Error::LastAdmin => Self::BadRequest("error-last-admin"),
        }
    }
}

impl From<authorize::Error> for Error {
    fn from(error: authorize::Error) -> Self {
        match error {
            authorize::Error::Store(error) => error.into(),
            authorize::Error::Shut => Self::BadRequest("authorize-error-client"),
            // Callers ask the user instead.
            authorize::Error::Ask => Self::Internal,
        }
    }
}

impl From<keys::Error> for Error {
    fn from(error: keys::Error) -> Self {
        match error {
            keys::Error::Store(error) => error.into(),
            error => {
                tracing::error!(request.id = %request::Id::current(), error = %error, "keys.unavailable");
                Self::Unavailable
            }
        }
    }
}

impl From<tower_sessions::session::Error> for Error {
    fn from(error: tower_sessions::session::Error) -> Self {
        tracing::error!(request.id = %request::Id::current(), error = %error, "session.unavailable");
        Self::Unavailable
    }
}

#[derive(Template, WebTemplate)]
#[template(path = "error.html")]
pub struct ErrorPage {
    page: Page,
    title: String,
    text: String,
    /// The page to look at again.
    again: Option<String>,
    /// Names this request in the log; only where the fault is ours.
    reference: Option<String>,
}

impl Error {
    const fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::SignedOut => StatusCode::UNAUTHORIZED,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::TooManyAttempts(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn key(&self) -> &'static str {
        match self {
            Self::NotFound => "error-not-found",
            Self::Forbidden => "error-forbidden",
            Self::SignedOut => "error-signed-out",
            Self::BadRequest(key) => key,
            Self::TooManyAttempts(_) => "error-too-many",
            Self::Unavailable => "error-unavailable",
            Self::Internal => "error-internal",
        }
    }
}

/// The answer to a form that was made for another account than the one that is signed in now: nothing was done.
pub fn moved(path: &str) -> Response {
    let page = Page::new(None, Section::None, Timestamp::from_millis(0));
    let (title, text) = (page.t("error-other-account-title"), page.t("error-other-account"));
    let again = Some(path.to_owned());
    (StatusCode::CONFLICT, ErrorPage { page, title, text, again, reference: None }).into_response()
}

/// An error page for `status`, titled `<key>-title`, with the sentence `<key>`.
pub fn page(status: StatusCode, key: &str, reference: Option<String>) -> Response {
    let page = Page::new(None, Section::None, Timestamp::from_millis(0));
    let (title, text) = (page.t(&format!("{key}-title")), page.t(key));
    let mut response = (status, ErrorPage { page, title, text, again: None, reference }).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let is_ours = matches!(self, Self::Internal | Self::Unavailable);
        let reference = is_ours.then(|| request::Id::current().to_string());
        if let Some(reference) = &reference {
            tracing::error!(request.id = reference, status = self.status().as_u16(), "page.failed");
        }
        let mut response = page(self.status(), self.key(), reference);
        if matches!(self, Self::SignedOut) {
            response.extensions_mut().insert(SignedOut);
        }
        if let Self::TooManyAttempts(TooMany(wait)) = self {
            // Whole seconds (RFC 9110 §10.2.3), rounded up: earlier would be too early.
            let seconds = u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
