//! Whether a person waits for the answer to a request.

use axum::http::{HeaderMap, HeaderName, Method, header};

/// Headers by which browsers and proxies say that they fetch a page before anybody has asked for it. `Sec-Purpose` is
/// the standard (Fetch §3.9), the others are older.
const PURPOSES: [&str; 4] = ["sec-purpose", "purpose", "x-purpose", "x-moz"];

/// Whether this is a person's visit: a GET request that is no prefetch.
pub fn is_visit(method: &Method, headers: &HeaderMap) -> bool {
    let values = PURPOSES.iter().flat_map(|name| headers.get_all(*name));
    let mut purposes = values.flat_map(|value| value.as_bytes().split(|byte| b",;".contains(byte)));
    let is_early = |purpose: &[u8]| {
        [&b"prefetch"[..], b"prerender", b"preview"]
            .iter()
            .any(|word| purpose.trim_ascii().eq_ignore_ascii_case(word))
    };
    method == Method::GET && !purposes.any(is_early)
}

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Whether a browser goes to the page that comes back, rather than a program or a script.
///
/// Browsers say so (Fetch Metadata). Older ones do not, but they name the type of a page; programs mostly accept all types.
pub fn is_navigation(headers: &HeaderMap) -> bool {
    match headers.get(SEC_FETCH_MODE) {
        Some(mode) => mode == "navigate",
        None => accepts_page(headers),
    }
}

fn accepts_page(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter();
    let mut types = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    types.any(|media| {
        let name = media.split(|&byte| byte == b';').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"text/html")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn a_prefetch_is_no_visit() {
        for (name, value) in [
            ("sec-purpose", "prefetch"),
            ("sec-purpose", "prefetch;prerender"),
            ("sec-purpose", "Prefetch; anonymous-client-ip"),
            ("purpose", "prefetch"),
            ("x-moz", "prefetch"),
            ("x-purpose", "preview"),
        ] {
            assert!(!is_visit(&Method::GET, &headers(name, value)), "{name}: {value}");
        }
        assert!(is_visit(&Method::GET, &HeaderMap::new()));
        assert!(is_visit(&Method::GET, &headers("sec-purpose", "navigation")));
        assert!(!is_visit(&Method::HEAD, &HeaderMap::new()));
    }

    #[test]
    fn a_browser_navigates_and_a_program_or_a_script_does_not() {
        assert!(is_navigation(&headers("sec-fetch-mode", "navigate")));
        let mut script = headers("sec-fetch-mode", "cors");
        script.insert(header::ACCEPT, "text/html".parse().unwrap());
        assert!(!is_navigation(&script));
        for accept in ["text/html", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "*/*, TEXT/HTML;q=0.5"]
        {
            assert!(is_navigation(&headers("accept", accept)), "{accept}");
        }
        for accept in ["*/*", "application/json", "text/*", ""] {
            assert!(!is_navigation(&headers("accept", accept)), "{accept}");
        }
        assert!(!is_navigation(&HeaderMap::new()));
    }
}
