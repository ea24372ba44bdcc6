//! The body of a page's form; fields may repeat.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use crate::model::params::Params;
use crate::oauth::form::is_form;
use crate::web::error::{self, Error};
use crate::web::text::t;

/// A form's fields.
pub struct Form(pub Params);

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        // A form without fields has no body, and some clients then name no type either.
        let is_typed = request.headers().contains_key(axum::http::header::CONTENT_TYPE);
        if is_typed && !is_form(request.headers()) {
            let status = axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(error::page(status, "error-media-type", None));
        }
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|_| error::page(axum::http::StatusCode::PAYLOAD_TOO_LARGE, "error-too-large", None))?;
        Params::parse(&body).map(Self).map_err(|_| Error::BadRequest("error-encoding").into_response())
    }
}

/// The fields of a page's address.
pub struct Query(pub Params);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Params::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .map(Self)
            .map_err(|_| Error::BadRequest("error-encoding"))
    }
}

/// What is wrong with a form, field by field.
#[derive(Debug, Default)]
pub struct Faults(Vec<(&'static str, String)>);

impl Faults {
    /// Notes the sentence `key` beside `field`.
    pub fn add(&mut self, field: &'static str, key: &str) {
        self.0.push((field, t(key)));
    }

    /// The value, or a noted fault.
    pub fn check<T>(&mut self, field: &'static str, value: Result<T, &'static str>) -> Option<T> {
        value.map_err(|key| self.add(field, key)).ok()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong with `field`.
    pub fn of(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| *name == field).map(|(_, text)| text.as_str())
    }

    /// Fields and what is wrong with each, for the summary at the head of the page.
    pub fn all(&self) -> &[(&'static str, String)] {
        &self.0
    }
}

/// `text` if it is a path on this server, for going on after signing in.
pub fn local_path(text: &str) -> Option<&str> {
    let is_path = text.starts_with('/') && !text.starts_with("//") && !text.contains('\\');
    (is_path && text.bytes().all(|byte| byte.is_ascii_graphic())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_on_this_server_are_gone_on_to() {
        assert_eq!(local_path("/authorizations?a=b"), Some("/authorizations?a=b"));
        for text in
            ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\r\nb", "/\t/evil.example"]
        {
            assert_eq!(local_path(text), None, "{text:?}");
        }
    }
}
