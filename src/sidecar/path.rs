//! Finds paths that a proxy and the application behind it may read differently.

/// Bytes that some programs decode before they split a path into segments, and others don't: `# % . / ; ? \`, and the
/// first byte of a dot or slash in overlong UTF-8.
const TELLING: [u8; 9] = [b'#', b'%', b'.', b'/', b';', b'?', b'\\', 0xc0, 0xc1];

/// Whether `target`, a path with its query, can mean one thing to the proxy and another to the application: it has dot
/// segments, empty segments, backslashes, path parameters, fragments, or encoded forms of these.
pub fn is_ambiguous(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let is_dotted = |segment: &str| matches!(segment, "." | "..");
    let has_telling_code = path.split('%').skip(1).any(|rest| {
        let byte = rest.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        byte.is_none_or(|byte| byte.is_ascii_control() || TELLING.contains(&byte))
    });
    path.contains("//")
        || path.contains(['\\', ';', '#'])
        || path.split('/').any(is_dotted)
        || has_telling_code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_programs_read_differently_is_ambiguous() {
        for target in [
            "/api/secret/../../public/",
            "/api/secret/..",
            "/api/./secret",
            "/api//secret",
            "//api",
            "/public/%2e%2e/api",
            "/public/%2E%2e/api",
            "/api/secret/..%2f..%2Fpublic/",
            "/api/secret%5c..%5cpublic",
            "/api\\secret",
            "/public;/api",
            "/public/%3b/api",
            "/public/%252e%252e/api",
            "/public/%00/api",
            "/public/%0d%0a/api",
            "/public/%c0%ae%c0%ae/api",
            "/public%3f/api",
            "/public/%",
            "/public/%2",
        ] {
            assert!(is_ambiguous(target), "{target}");
        }
    }

    #[test]
    fn an_ordinary_path_is_not_ambiguous() {
        for target in [
            "/",
            "",
            "/api/photos?of=../cats//;%2e",
            "/.well-known/x",
            "/a..b/c.",
            "/gr%C3%B6%C3%9Fe",
            "/a%20b",
            "/a:b@c",
        ] {
            assert!(!is_ambiguous(target), "{target}");
        }
    }
}
