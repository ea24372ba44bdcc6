//! Redirect URIs: where authorization answers may be sent, and whose host that is.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::Deref;

use url::{Host, Url};

/// An address that authorization answers may be sent to (RFC 6749 §3.1.2, RFC 8252 §7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectUri(String);

impl RedirectUri {
    /// # Errors
    /// A message key.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("error-redirect-empty");
        }
        if text.len() > 2000 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("error-redirect-characters");
        }
        if text.bytes().any(|byte| matches!(byte, b'*' | b'\\' | b'"' | b'<' | b'>' | b'\'' | b';' | b',')) {
            return Err("error-redirect-characters");
        }
        if text.contains('#') {
            return Err("error-redirect-fragment");
        }
        let url = Url::parse(text).map_err(|_| "error-redirect-relative")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("error-redirect-user");
        }
        match url.scheme() {
            "https" if url.has_host() => {}
            "http" if leads_to_this_machine(&url) => {}
            "http" => return Err("error-redirect-http"),
            // RFC 8252 §7.1: a private-use scheme is a reversed domain name, so it has a dot.
            scheme if is_private_use(scheme) => {}
            _ => return Err("error-redirect-scheme"),
        }
        if is_canonical(text, &url) { Ok(Self(text.to_owned())) } else { Err("error-redirect-host") }
    }

    /// As a row or a request holds it, whether or not it could be registered today.
    pub fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether an authorization request may name `presented`.
    ///
    /// Exact text, but for the port of a loopback address, which the app chooses when it starts
    /// (RFC 8252 §7.3).
    pub fn allows(&self, presented: &Self) -> bool {
        self == presented
            || match (self.without_loopback_port(), presented.without_loopback_port()) {
                (Some(registered), Some(presented)) => registered == presented,
                _ => false,
            }
    }

    /// What a person can recognise: the host that gets the code, or the app's own scheme.
    ///
    /// One text for all ways to write a host, also for rows of earlier versions.
    pub fn domain(&self) -> String {
        match Url::parse(&self.0) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => host_of(&url),
            Ok(url) => format!("{}:", url.scheme().trim_end_matches('.')),
            Err(_) => String::new(),
        }
    }

    /// The domains whose ban refuses it: its own, and for a host's name those above it.
    pub fn bannable_domains(&self) -> Vec<String> {
        let domain = self.domain();
        if domain.is_empty() || self.is_local() {
            return Vec::new();
        }
        let has_parents = !domain.contains(':') && domain.parse::<IpAddr>().is_err();
        let parents = domain.match_indices('.').map(|(dot, _)| domain[dot + 1..].to_owned());
        let parents: Vec<String> = if has_parents { parents.collect() } else { Vec::new() };
        std::iter::once(domain).chain(parents).collect()
    }

    /// Whether it leads to the person's own machine, which no app owns.
    pub fn is_local(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| leads_to_this_machine(&url))
    }

    /// The scheme of the app's own that this has, as a content security policy names it: `com.example.app:`.
    pub fn private_scheme(&self) -> Option<String> {
        let url = Url::parse(&self.0).ok()?;
        (!matches!(url.scheme(), "http" | "https")).then(|| format!("{}:", url.scheme()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Host, path and query of an address on the person's own machine. An empty path is `/` (RFC 3986 §6.2.3).
    fn without_loopback_port(&self) -> Option<String> {
        let url = Url::parse(&self.0).ok()?;
        if url.scheme() != "http" || !leads_to_this_machine(&url) || url.fragment().is_some() {
            return None;
        }
        let rest = self.0.split_once("://")?.1;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let host = match authority.rfind(':') {
            Some(colon) if !authority[colon..].contains(']') => {
                is_port(&authority[colon + 1..]).then(|| &authority[..colon])?
            }
            _ => authority,
        };
        let root = if path.starts_with('/') { "" } else { "/" };
        Some(format!("{host}{root}{path}"))
    }
}

impl std::fmt::Display for RedirectUri {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

/// The addresses that a client is registered with, in the order of its registration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedirectUris(Vec<RedirectUri>);

impl RedirectUris {
    pub const fn new(uris: Vec<RedirectUri>) -> Self {
        Self(uris)
    }

    /// As a row holds them: one on each line.
    pub fn stored(text: &str) -> Self {
        Self(text.lines().map(RedirectUri::stored).collect())
    }

    pub fn to_column(&self) -> String {
        self.0.iter().map(RedirectUri::as_str).collect::<Vec<_>>().join("\n")
    }

    /// The domain that stands for the app on pages: the first one's.
    pub fn first_domain(&self) -> String {
        self.0.first().map(RedirectUri::domain).unwrap_or_default()
    }

    /// The domains that they lead to, sorted, separated by commas.
    pub fn domains(&self) -> String {
        let domains: BTreeSet<String> = self.0.iter().map(RedirectUri::domain).collect();
        domains.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// The hosts and schemes that a ban of the app covers: all but the person's own machine, sorted.
    pub fn remote_domains(&self) -> Vec<String> {
        let remote = self.0.iter().filter(|uri| !uri.is_local()).map(RedirectUri::domain);
        let domains: BTreeSet<String> = remote.filter(|domain| !domain.is_empty()).collect();
        domains.into_iter().collect()
    }
}

impl Deref for RedirectUris {
    type Target = [RedirectUri];

    fn deref(&self) -> &[RedirectUri] {
        &self.0
    }
}

/// Whether the host is a loopback address literal; a name such as `localhost` is not.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        _ => false,
    }
}

fn leads_to_this_machine(url: &Url) -> bool {
    is_loopback(url) || host_of(url) == "localhost"
}

/// A domain name turned round: at least two labels, none of them empty.
fn is_private_use(scheme: &str) -> bool {
    scheme.contains('.') && scheme.split('.').all(|label| !label.is_empty())
}

/// The host in the one form in which hosts are compared: as the URL standard writes it, without the dot of the root,
/// and an IPv4 address that is written as an IPv6 one as what it is.
fn host_of(url: &Url) -> String {
    match url.host() {
        Some(Host::Domain(name)) => name.trim_end_matches('.').to_owned(),
        Some(Host::Ipv4(ip)) => ip.to_string(),
        Some(Host::Ipv6(ip)) => ip.to_ipv4_mapped().map_or_else(|| format!("[{ip}]"), |ip| ip.to_string()),
        None => String::new(),
    }
}

/// Whether scheme and host are written as they are compared, so that everybody reads the same host in it.
fn is_canonical(text: &str, url: &Url) -> bool {
    let Some(rest) = text.strip_prefix(url.scheme()).and_then(|rest| rest.strip_prefix(':')) else {
        return false;
    };
    if !matches!(url.scheme(), "http" | "https") {
        return true;
    }
    let Some(rest) = rest.strip_prefix("//").and_then(|rest| rest.strip_prefix(host_of(url).as_str())) else {
        return false;
    };
    let after = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
    after.is_empty() || after.strip_prefix(':').is_some_and(is_port)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> RedirectUri {
        RedirectUri::parse(text).unwrap()
    }

    #[test]
    fn redirects_match_exactly() {
        let registered = uri("https://app.example/cb");
        assert!(registered.allows(&uri("https://app.example/cb")));
        for other in [
            "https://app.example/cb/",
            "https://app.example/cb?x=1",
            "https://app.example/CB",
            "https://app.example:443/cb",
            "https://app.example.evil.example/cb",
            "https://app.example/cb/../cb",
        ] {
            assert!(!registered.allows(&uri(other)), "{other}");
        }
        assert!(!uri("https://app.example").allows(&uri("https://app.example/")));
    }

    #[test]
    fn the_port_of_a_loopback_address_is_free_and_nothing_else() {
        let registered = uri("http://127.0.0.1/cb");
        assert!(registered.allows(&uri("http://127.0.0.1:49152/cb")));
        assert!(!registered.allows(&uri("http://127.0.0.1:49152/other")));
        assert!(!registered.allows(&uri("http://127.0.0.2:49152/cb")));
        assert!(!registered.allows(&uri("http://localhost:49152/cb")));
        assert!(uri("http://[::1]:1/cb").allows(&uri("http://[::1]:2/cb")));
        assert!(uri("http://localhost:1/cb").allows(&uri("http://localhost:2/cb")));
        assert!(uri("http://localhost/cb").allows(&uri("http://localhost:5555/cb")));
        assert!(!uri("http://localhost/cb").allows(&RedirectUri::stored("http://localhost@evil.example/cb")));
        assert!(!uri("http://localhost/cb").allows(&RedirectUri::stored("http://localhost:1/cb#x")));
        assert!(
            !uri("http://localhost/cb").allows(&RedirectUri::stored("http://localhost:1\\@evil.example/cb"))
        );
        // As earlier versions registered and matched it.
        assert!(RedirectUri::stored("http://127.1/cb").allows(&RedirectUri::stored("http://127.1:5/cb")));
        assert!(!uri("https://127.0.0.1:1/cb").allows(&uri("https://127.0.0.1:2/cb")));
    }

    #[test]
    fn an_empty_path_of_a_loopback_address_is_a_slash() {
        assert!(uri("http://127.0.0.1:7").allows(&uri("http://127.0.0.1:7/")));
        assert!(uri("http://127.0.0.1/").allows(&uri("http://127.0.0.1:9")));
        assert!(uri("http://127.0.0.1?a=b").allows(&uri("http://127.0.0.1:9/?a=b")));
        assert!(!uri("http://127.0.0.1/a").allows(&uri("http://127.0.0.1:9/a/")));
    }

    #[test]
    fn dangerous_redirects_are_refused() {
        for text in [
            "",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://a.example/cb#f",
            "https://*.example/cb",
            "http://a.example/cb",
            "myapp:/cb",
            "/cb",
            "https://u:p@a.example/",
            "https://a.example/ b",
            "https://a.example/\u{0}",
            "https://a.example/;x",
            "file:///etc/passwd",
            "https://",
        ] {
            assert!(RedirectUri::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(uri("com.example.app:/cb").private_scheme().as_deref(), Some("com.example.app:"));
        assert_eq!(uri("https://app.example/cb?a=b").private_scheme(), None);
        assert_eq!(uri("http://127.0.0.1/cb").private_scheme(), None);
    }

    #[test]
    fn a_host_is_written_in_one_way() {
        for text in [
            "https:evil.example/cb",
            "https:/evil.example/cb",
            "https:///evil.example/cb",
            "https:////evil.example/cb",
            "HTTPS://evil.example/cb",
            "https://Evil.example/cb",
            "https://evil.example./cb",
            "https://evil.example../cb",
            "https://ev%69l.example/cb",
            "https://evil%2eexample/cb",
            "https://@evil.example/cb",
            "https://:@evil.example/cb",
            "https://evil.example:/cb",
            "https://evil.example:+1/cb",
            "https://0x7f.1/cb",
            "https://2130706433/cb",
            "https://127.1/cb",
            "https://127.0.0.1./cb",
            "https://0177.0.0.1/cb",
            "https://[0:0:0:0:0:0:0:1]/cb",
            "https://[::FFFF:1.2.3.4]/cb",
            "https://[::ffff:1.2.3.4]/cb",
            "http:localhost/cb",
            "http://LOCALHOST/cb",
            "http://localhost./cb",
            "http://127.1/cb",
            "COM.example.app:/cb",
            "com.example.app.:/cb",
            "com..example:/cb",
        ] {
            assert!(RedirectUri::parse(text).is_err(), "{text}");
        }
        for text in [
            "https://evil.example",
            "https://evil.example:8443/cb",
            "https://xn--bcher-kva.example/cb",
            "https://203.0.113.7/cb",
            "https://[2001:db8::1]:443/cb",
            "http://[::1]/cb",
            "com.example.app://Host/cb",
        ] {
            assert_eq!(uri(text).as_str(), text);
        }
    }

    #[test]
    fn rows_of_earlier_versions_name_the_same_host_and_match_themselves() {
        for text in [
            "https:evil.example/cb",
            "https:///evil.example/cb",
            "https://EVIL.example:444/cb",
            "https://evil.example./cb",
            "https://ev%69l.example/cb",
        ] {
            let stored = RedirectUri::stored(text);
            assert_eq!(stored.domain(), "evil.example", "{text}");
            assert!(stored.allows(&RedirectUri::stored(text)));
            assert!(!stored.allows(&uri("https://evil.example/cb")));
        }
        assert_eq!(RedirectUri::stored("https://0x7f.1/").domain(), "127.0.0.1");
        assert_eq!(RedirectUri::stored("https://[::ffff:1.2.3.4]/").domain(), "1.2.3.4");
        assert_eq!(RedirectUri::stored("com.example.app.:/cb").domain(), "com.example.app:");
        assert_eq!(RedirectUri::stored("no address").domain(), "");
    }

    #[test]
    fn a_ban_covers_a_host_and_its_subdomains() {
        assert_eq!(
            uri("https://a.evil.example/").bannable_domains(),
            ["a.evil.example", "evil.example", "example"]
        );
        assert_eq!(uri("https://203.0.113.7/").bannable_domains(), ["203.0.113.7"]);
        assert_eq!(uri("https://[2001:db8::1]/").bannable_domains(), ["[2001:db8::1]"]);
        assert_eq!(uri("com.example.app:/cb").bannable_domains(), ["com.example.app:"]);
        assert_eq!(uri("http://localhost/cb").bannable_domains(), [""; 0]);
    }
}
