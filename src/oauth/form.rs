//! The body of a protocol request.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};

use crate::model::params::Params;
use crate::oauth::error::Error;

/// Parameters of a form body, each at most once.
pub struct Form(pub Params);

/// Whether the body is said to be a form.
pub fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media| media.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        if !is_form(request.headers()) {
            return Err(Error::invalid_request("Content-Type has to be application/x-www-form-urlencoded"));
        }
        let body = Bytes::from_request(request, state).await.map_err(|_| Error::too_large())?;
        Ok(Self(Params::parse_single(&body)?))
    }
}
