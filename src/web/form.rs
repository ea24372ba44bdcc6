//! What pages read of a request: its path, its query, the fields of a form, which may repeat.

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::model::client::parse_reason;
use crate::model::params::{Fault, Params};
use crate::oauth::form::is_form;
use crate::text::t;
use crate::web::error::{self, Error};
use crate::web::session::Viewer;

/// A form's fields.
pub struct Form(pub Params);

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let viewer = request.extensions().get::<Viewer>().cloned();
        let path = request.uri().path().to_owned();
        // A form without fields has no body, and some clients then name no type either.
        let is_typed = request.headers().contains_key(axum::http::header::CONTENT_TYPE);
        if is_typed && !is_form(request.headers()) {
            let status = axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(error::page(status, "error-media-type", None));
        }
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|_| error::page(axum::http::StatusCode::PAYLOAD_TOO_LARGE, "error-too-large", None))?;
        let fields = Params::parse(&body).map_err(|fault| Error::from(fault).into_response())?;
        if is_for_somebody_else(&fields, viewer.as_ref()) {
            return Err(error::moved(&path));
        }
        Ok(Self(fields))
    }
}

/// Whether another account is signed in now than the one that the form was shown to.
///
/// Scripts send no such field; they act for the account that they are signed in to.
fn is_for_somebody_else(fields: &Params, viewer: Option<&Viewer>) -> bool {
    let signed_in = viewer.and_then(|viewer| viewer.0.as_ref());
    match (fields.get("user"), signed_in) {
        (Some(shown_to), Some(signed_in)) => shown_to != signed_in.user.id.as_str(),
        _ => false,
    }
}

/// The fields of a page's address.
pub struct Query(pub Params);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Ok(Self(Params::parse(parts.uri.query().unwrap_or_default().as_bytes())?))
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooMany => Self::BadRequest("error-parameters"),
            Fault::Encoding | Fault::Repeated(_) => Self::BadRequest("error-encoding"),
        }
    }
}

/// The parameters of a page's path. One that is not UTF-8 names nothing: 404.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Error))]
pub struct Path<T>(pub T);

impl From<PathRejection> for Error {
    fn from(_: PathRejection) -> Self {
        Self::NotFound
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

/// Characters that are percent-encoded because browsers or headers read them in another way, above all backslashes.
const ODD: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// `text` if it is an address on this server, to go to after signing in.
///
/// The query belongs to the app: what a header can't hold is encoded, and nothing is refused.
pub fn local_path(text: &str) -> Option<String> {
    let path = &text[..text.find(['?', '#']).unwrap_or(text.len())];
    // Browsers read a backslash as a slash and leave tabs and line breaks out: two slashes begin another host.
    let is_ours =
        path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\t', '\r', '\n']);
    is_ours.then(|| utf8_percent_encode(text, ODD).to_string())
}

/// A field for a sentence that everyone concerned reads.
#[derive(Clone, Debug)]
pub struct ReasonField {
    pub text: String,
    /// Who reads it: a message key.
    pub hint: &'static str,
    /// What is wrong with it: a message key.
    pub error: Option<&'static str>,
}

impl ReasonField {
    /// An empty field with this hint.
    pub const fn new(hint: &'static str) -> Self {
        Self { text: String::new(), hint, error: None }
    }

    /// What the form says.
    ///
    /// # Errors
    /// The field, with what is wrong with it.
    pub fn read(self, form: &Params) -> Result<String, Self> {
        let text = form.get("reason").unwrap_or_default();
        parse_reason(text).map_err(|error| Self { text: text.to_owned(), error: Some(error), ..self })
    }
}

/// The page that a list's address asks for, counted from 0; people count from 1.
pub fn page_number(query: &Params) -> u32 {
    query.get("page").and_then(|page| page.parse::<u32>().ok()).unwrap_or(1).saturating_sub(1)
}

/// A page's number in an address; the first one needs none.
pub fn page_text(page: u32) -> String {
    if page == 0 { String::new() } else { u64::from(page).saturating_add(1).to_string() }
}

/// `path` with those of `fields` that are not empty.
pub fn with_query(path: &str, fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().filter(|(_, value)| !value.is_empty());
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_on_this_server_are_gone_on_to() {
        assert_eq!(local_path("/authorizations?a=b").as_deref(), Some("/authorizations?a=b"));
        let odd = local_path("/oauth/authorize?state=a\\b\u{fc}%20\t\"|&x=//y");
        assert_eq!(odd.as_deref(), Some("/oauth/authorize?state=a%5Cb%C3%BC%20%09%22%7C&x=//y"));
        for text in [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "",
            "/a\r\nb",
            "/\t/evil.example",
            "\\\\evil.example",
            "?//evil.example",
            " //evil.example",
            "/\n/evil.example",
        ] {
            assert_eq!(local_path(text), None, "{text:?}");
        }
    }
}
