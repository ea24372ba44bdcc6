//! An answer, read whole.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt as _;
use serde_json::Value;
use url::Url;

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// Reads it and checks what all answers have in common: no fault of ours, no framing, no guessing of types, and
    /// error descriptions of the RFC's characters (RFC 6749 §5.2).
    pub async fn read(what: &str, response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(bytes.to_vec()).unwrap();
        let answer = Self { status: parts.status, headers: parts.headers, body };
        assert_ne!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{what}: {}", answer.body);
        let policy = answer.header("content-security-policy").unwrap_or_default();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{what}: {part} in {policy}");
        }
        assert!(!policy.contains("unsafe"), "{what}: {policy}");
        let id = answer.header("x-request-id").unwrap_or_default();
        assert!(id.len() > 9 && id.is_ascii(), "{what}: x-request-id {id:?}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{what}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
        if let Ok(Value::Object(members)) = serde_json::from_str(&answer.body)
            && let Some(Value::String(description)) = members.get("error_description")
        {
            let is_plain = |byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            assert!(description.bytes().all(is_plain), "{what}: {description}");
        }
        answer
    }

    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{:?} {}", self.headers, self.body);
        self
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Where a 303 leads.
    #[track_caller]
    pub fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        self.header("location").unwrap()
    }

    /// A 303 to `path` of this server.
    #[track_caller]
    pub fn leads_to(self, path: &str) -> Self {
        assert_eq!(self.location(), path);
        self
    }

    /// A 303 to the sign-in page, which then goes on to `next`.
    #[track_caller]
    pub fn asks_to_sign_in(self, next: &str) -> Self {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
        self.leads_to(&format!("/login?{query}"))
    }

    /// What a 303 carries in the query of its address.
    #[track_caller]
    pub fn param(&self, name: &str) -> Option<String> {
        let url = Url::parse(self.location()).unwrap();
        let mut values =
            url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} stands twice in {url}");
        value
    }

    /// An error in a redirect to the client: no code, and the issuer beside it (RFC 9207 §2).
    #[track_caller]
    pub fn redirects_error(&self, redirect_uri: &str, error: &str, state: Option<&str>, issuer: &str) {
        assert!(self.location().starts_with(redirect_uri), "{}", self.location());
        assert_eq!(self.param("error").as_deref(), Some(error), "{}", self.location());
        assert_eq!(self.param("state").as_deref(), state);
        assert_eq!(self.param("iss").as_deref(), Some(issuer));
        assert_eq!(self.param("code"), None);
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.body);
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// An error of the protocol: JSON that no cache keeps (RFC 6749 §5.2).
    #[track_caller]
    pub fn refuses(self, status: u16, error: &str) -> Self {
        let answer = self.is(status);
        assert_eq!(answer.json()["error"], error, "{}", answer.body);
        assert!(answer.json()["error_description"].is_string(), "{}", answer.body);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        answer
    }

    /// A page of ours that no cache keeps.
    #[track_caller]
    pub fn page(self, status: u16) -> Self {
        let answer = self.is(status);
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(answer.body.starts_with("<!doctype html>"), "{}", answer.body);
        answer
    }

    #[track_caller]
    pub fn shows(self, text: &str) -> Self {
        assert!(self.body.contains(text), "{text} in {}", self.body);
        self
    }

    #[track_caller]
    pub fn hides(self, text: &str) -> Self {
        assert!(!self.body.contains(text), "{text} in {}", self.body);
        self
    }

    /// Where a page leads that goes on by itself. Its link leads there too, and nothing of it is kept or passed on.
    #[track_caller]
    pub fn goes_on_to(&self) -> String {
        let to =
            self.attribute("http-equiv=\"refresh\"", "content").split_once("0;url=").unwrap().1.to_owned();
        assert_eq!(self.attribute("class=\"actions\"", "href"), to);
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(self.form_targets(), [""; 0]);
        to
    }

    /// The value of the first attribute that follows `mark` in the page.
    #[track_caller]
    pub fn attribute(&self, mark: &str, attribute: &str) -> String {
        let rest = self.body.split_once(mark).unwrap_or_else(|| panic!("{mark} in {}", self.body)).1;
        let value = rest.split_once(&format!("{attribute}=\"")).unwrap().1.split_once('"').unwrap().0;
        value
            .replace("&#38;", "&")
            .replace("&amp;", "&")
            .replace("&#34;", "\"")
            .replace("&#39;", "'")
            .replace("&#60;", "<")
            .replace("&#62;", ">")
    }

    /// The sources that the page's policy lets its form lead to, beside this server.
    #[track_caller]
    pub fn form_targets(&self) -> Vec<String> {
        let policy = self.header("content-security-policy").unwrap();
        let sources = policy.split(';').find_map(|part| part.trim().strip_prefix("form-action ")).unwrap();
        sources.split_whitespace().filter(|&source| source != "'self'").map(str::to_owned).collect()
    }

    /// Whether scripts of other origins may read it.
    pub fn is_open_to_other_origins(&self) -> bool {
        self.headers.keys().any(|name| name.as_str().starts_with("access-control-"))
    }
}
