//! Where a person goes after a form that another site may follow.
//!
//! Chromium applies the page's `form-action` to every redirect that follows a form: those to an app's callback, and
//! those that the callback makes. So such a form is answered with a page that goes on by itself. Redirects after that
//! page no longer belong to the form.

use askama::Template;
use askama_web::WebTemplate;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::clock::Timestamp;
use crate::web::error::{Error, Result};
use crate::web::page::{Page, Section};
use crate::web::visit::is_navigation;

#[derive(Template, WebTemplate)]
#[template(path = "go_on.html")]
struct GoOnPage {
    page: Page,
    to: String,
    /// The app that `to` belongs to; `None` for this server.
    app: Option<String>,
}

/// After a form, on to an address of `app`, or of this server: by a page for browsers, by a 303 for others.
///
/// An address with a private scheme gets the 303: browsers open an app after a button was pressed, but not for a page
/// that goes on by itself.
///
/// # Errors
/// `BadRequest` for an address that no header can hold.
pub fn after_form(headers: &HeaderMap, to: &str, app: Option<&str>) -> Result<Response> {
    let is_private_scheme = !(to.starts_with('/') || to.starts_with("https:") || to.starts_with("http:"));
    if is_private_scheme || !is_navigation(headers) {
        return redirect(to);
    }
    // Nobody looks at it for long enough to need a name at the top.
    let page = Page::new(None, Section::None, Timestamp::from_millis(0));
    let page = GoOnPage { page, to: to.to_owned(), app: app.map(str::to_owned) };
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    Ok((headers, page).into_response())
}

/// A 303 with an address that may have a scheme of the app's own.
///
/// # Errors
/// `BadRequest` for an address that no header can hold.
pub fn redirect(to: &str) -> Result<Response> {
    let location = HeaderValue::from_str(to).map_err(|_| Error::BadRequest("authorize-error-encoding"))?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}
