//! Paths that a proxy and the application behind it may read differently.

/// Characters that some programs decode before they look at a path's parts and others do not: `\0 # % . / ; ? \`.
const TELLING: [&str; 8] = ["00", "23", "25", "2e", "2f", "3b", "3f", "5c"];

/// Whether `target`, a path with its query, can mean one thing to the proxy that chose whom to ask and another to the
/// application: dot segments, empty segments, backslashes, path parameters, and the encoded forms of these.
pub fn is_ambiguous(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let is_dotted = |segment: &str| matches!(segment, "." | "..");
    let has_telling_code = path.split('%').skip(1).any(|rest| {
        let code = rest.get(..2).map(str::to_ascii_lowercase);
        code.is_none_or(|code| TELLING.contains(&code.as_str()))
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
            "/public%3f/api",
            "/public/%",
            "/public/%2",
        ] {
            assert!(is_ambiguous(target), "{target}");
        }
    }

    #[test]
    fn an_ordinary_path_is_not() {
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
