//! OAuth error answers. Only this type knows their status and headers.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::model::params::Fault;
use crate::request;
use crate::service::{issue, keys};
use crate::store;

/// The codes of RFC 6749 §4.1.2.1 and §5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    UnauthorizedClient,
    UnsupportedGrantType,
    UnsupportedResponseType,
    InvalidScope,
    /// RFC 8707 §2.
    InvalidTarget,
    AccessDenied,
    TemporarilyUnavailable,
}

impl Code {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::AccessDenied => "access_denied",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }
}

/// Which challenge a 401 carries: the one of the scheme that the caller used (RFC 6749 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Challenge {
    None,
    Basic,
}

/// An answer that says what is wrong. Descriptions hold no quotes and nothing that users typed.
#[derive(Clone, Debug)]
pub struct Error {
    pub code: Code,
    pub description: String,
    status: StatusCode,
    challenge: Challenge,
}

impl Error {
    pub fn new(code: Code, description: impl Into<String>) -> Self {
        let status = match code {
            Code::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self { code, description: description.into(), status, challenge: Challenge::None }
    }

    pub fn invalid_request(description: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, description)
    }

    /// The caller did not prove who it is; by no header, so there is no scheme to challenge with.
    pub fn invalid_client(description: impl Into<String>) -> Self {
        Self::new(Code::InvalidClient, description)
    }

    /// As the answer to a request with an `Authorization` header.
    #[must_use]
    pub fn challenged(self) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, challenge: Challenge::Basic, ..self }
    }

    /// The caller has as much open as it may have, and can try again later (RFC 6585 §4).
    pub fn too_many(description: impl Into<String>) -> Self {
        Self { status: StatusCode::TOO_MANY_REQUESTS, ..Self::new(Code::TemporarilyUnavailable, description) }
    }

    pub fn too_large() -> Self {
        Self {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            ..Self::invalid_request("the body is larger than 64 KiB")
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        tracing::error!(request.id = %request::Id::current(), error = %error, "store.unavailable");
        Self::new(Code::TemporarilyUnavailable, "nothing was changed; try again")
    }
}

impl From<keys::Error> for Error {
    fn from(error: keys::Error) -> Self {
        tracing::error!(request.id = %request::Id::current(), error = %error, "keys.unavailable");
        Self::new(Code::TemporarilyUnavailable, "there is no key to sign with; nothing was changed")
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooMany => Self::invalid_request("there are too many parameters"),
            Fault::Encoding => Self::invalid_request("the parameters are not UTF-8 text"),
            Fault::Repeated(name) => {
                let is_plain =
                    name.len() < 40 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                let name = if is_plain { name } else { "a parameter".to_owned() };
                Self::invalid_request(format!("{name} stands more than once"))
            }
        }
    }
}

impl From<issue::Error> for Error {
    fn from(error: issue::Error) -> Self {
        match error {
            issue::Error::Store(error) => error.into(),
            issue::Error::InvalidGrant => Self::new(
                Code::InvalidGrant,
                "it is unknown, expired, used, revoked or bound to something else",
            ),
            issue::Error::UnexpectedVerifier => {
                Self::invalid_request("code_verifier: the code was asked for without code_challenge")
            }
            issue::Error::InvalidScope => Self::new(Code::InvalidScope, "scope: more than was granted"),
            issue::Error::InvalidTarget => {
                Self::new(Code::InvalidTarget, "resource: nothing was granted for it")
            }
            issue::Error::SeveralAudiences => Self::new(
                Code::InvalidScope,
                "scope: a JWT is for one resource server; name it with resource, or ask for less",
            ),
            issue::Error::LongScope => {
                Self::new(Code::InvalidScope, "scope: too many names for a JWT; ask for less")
            }
            issue::Error::Unsigned => {
                tracing::error!(request.id = %request::Id::current(), "token.unsigned");
                Self::new(Code::TemporarilyUnavailable, "the token could not be signed; try again")
            }
            issue::Error::ClientShut => Self::invalid_client("the client may not act"),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.code.as_str(), "error_description": self.description });
        let mut response = (self.status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response();
        let headers = response.headers_mut();
        if self.challenge == Challenge::Basic {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"rescind\""));
        }
        if self.code == Code::TemporarilyUnavailable {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
