//! Clients: the apps that ask for access.

use std::collections::BTreeSet;
use std::net::IpAddr;

use url::{Host, Url};

use crate::clock::Timestamp;
use crate::model::id::{ClientId, UserId};
use crate::model::scope::Scope;

/// A registered client.
#[derive(Clone, Debug)]
pub struct Client {
    pub id: ClientId,
    pub owner: UserId,
    pub name: AppName,
    /// The name behind the app, as pages show it.
    pub publisher: String,
    pub kind: ClientKind,
    pub status: ClientStatus,
    pub generation: i64,
    /// Moves with each change of the registration.
    pub version: i64,
    pub token_format: TokenFormat,
    pub grant_types: GrantTypes,
    /// What it may ask for; `None` means every scope.
    pub scope: Option<Scope>,
    pub redirect_uris: Vec<RedirectUri>,
    pub created_at: Timestamp,
}

impl Client {
    /// Whether its access tokens are checked without us, and so not counted.
    pub fn has_jwts(&self) -> bool {
        self.token_format == TokenFormat::Jwt
    }

    /// The domains that its redirect addresses lead to, sorted, separated by commas.
    pub fn domains(&self) -> String {
        let domains: BTreeSet<String> = self.redirect_uris.iter().map(RedirectUri::domain).collect();
        domains.into_iter().collect::<Vec<_>>().join(", ")
    }
}

/// Whether a client can keep a secret (RFC 6749 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    Confidential,
    Public,
}

impl ClientKind {
    pub const ALL: [Self; 2] = [Self::Confidential, Self::Public];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confidential => "confidential",
            Self::Public => "public",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Whether a client may act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientStatus {
    Active,
    /// Reversible. `reason` is the sentence that its users read.
    Suspended {
        at: Timestamp,
        reason: String,
    },
    /// Not reversible.
    Banned {
        at: Timestamp,
        reason: String,
    },
    /// Removed by its developer: a tombstone.
    Deleted {
        at: Timestamp,
    },
}

impl ClientStatus {
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended { .. } => "suspended",
            Self::Banned { .. } => "banned",
            Self::Deleted { .. } => "deleted",
        }
    }

    pub const fn is_active(&self) -> bool {
        matches!(self, Self::Active)
    }
}

/// How a client's access tokens are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFormat {
    /// A random string that resource servers look up (RFC 7662).
    Opaque,
    /// A signed text that they check by themselves (RFC 9068).
    Jwt,
}

impl TokenFormat {
    pub const ALL: [Self; 2] = [Self::Opaque, Self::Jwt];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opaque => "opaque",
            Self::Jwt => "jwt",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == text)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantType {
    AuthorizationCode,
    RefreshToken,
    ClientCredentials,
}

impl GrantType {
    pub const ALL: [Self; 3] = [Self::AuthorizationCode, Self::RefreshToken, Self::ClientCredentials];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == text)
    }
}

/// The grant types that a client is registered for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantTypes(Vec<GrantType>);

impl GrantTypes {
    pub fn new(types: Vec<GrantType>) -> Self {
        Self(types)
    }

    /// Space-separated, as stored; `None` for an unknown name.
    pub fn parse(text: &str) -> Option<Self> {
        text.split_ascii_whitespace().map(GrantType::parse).collect::<Option<_>>().map(Self)
    }

    pub fn allow(&self, grant: GrantType) -> bool {
        self.0.contains(&grant)
    }
}

impl Default for GrantTypes {
    fn default() -> Self {
        Self(vec![GrantType::AuthorizationCode, GrantType::RefreshToken])
    }
}

impl std::fmt::Display for GrantTypes {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.0.iter().map(|grant| grant.as_str()).collect();
        out.write_str(&names.join(" "))
    }
}

/// What pages call the app: 1 to 80 visible characters, nothing that hides or reorders text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppName(String);

impl AppName {
    pub const LONGEST: usize = 80;

    /// # Errors
    /// A message key.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let name = text.trim();
        if name.is_empty() {
            Err("error-name-empty")
        } else if name.chars().count() > Self::LONGEST {
            Err("error-name-long")
        } else if name.chars().any(is_deceptive) {
            Err("error-name-characters")
        } else {
            Ok(Self(name.to_owned()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for AppName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

/// A sentence that everyone concerned reads: 1 to 300 visible characters on one line.
///
/// # Errors
/// A message key.
pub fn parse_reason(text: &str) -> Result<String, &'static str> {
    let reason = text.trim();
    if reason.is_empty() {
        Err("error-reason-empty")
    } else if reason.chars().count() > 300 {
        Err("error-reason-long")
    } else if reason.chars().any(is_deceptive) {
        Err("error-reason-characters")
    } else {
        Ok(reason.to_owned())
    }
}

/// Control, bidirectional, zero-width and other characters that show nothing or something else.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e0fff}'
            | '\u{f0000}'..='\u{10ffff}')
}

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
            "http" if is_loopback(&url) || url.host_str() == Some("localhost") => {}
            "http" => return Err("error-redirect-http"),
            // RFC 8252 §7.1: a private-use scheme is a reversed domain name, so it has a dot.
            scheme if scheme.contains('.') => {}
            _ => return Err("error-redirect-scheme"),
        }
        Ok(Self(text.to_owned()))
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
    pub fn domain(&self) -> String {
        match Url::parse(&self.0) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => {
                url.host_str().unwrap_or_default().to_owned()
            }
            Ok(url) => format!("{}:", url.scheme()),
            Err(_) => String::new(),
        }
    }

    /// Whether it leads to the person's own machine, which no app owns.
    pub fn is_local(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| is_loopback(&url) || url.host_str() == Some("localhost"))
    }

    /// The source that a page's `form-action` must list, or the browser stops the redirect.
    pub fn csp_source(&self) -> String {
        match Url::parse(&self.0) {
            // A policy can't name an IPv6 address.
            Ok(url) if matches!(url.host(), Some(Host::Ipv6(_))) => format!("{}:", url.scheme()),
            Ok(url) if matches!(url.scheme(), "http" | "https") => url.origin().ascii_serialization(),
            Ok(url) => format!("{}:", url.scheme()),
            Err(_) => String::new(),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn without_loopback_port(&self) -> Option<String> {
        let url = Url::parse(&self.0).ok()?;
        if url.scheme() != "http" || !is_loopback(&url) {
            return None;
        }
        let rest = self.0.split_once("://")?.1;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let host = match authority.rfind(':') {
            Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
            _ => authority,
        };
        Some(format!("{host}{path}"))
    }
}

impl std::fmt::Display for RedirectUri {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
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
    }

    #[test]
    fn the_port_of_a_loopback_address_is_free_and_nothing_else() {
        let registered = uri("http://127.0.0.1/cb");
        assert!(registered.allows(&uri("http://127.0.0.1:49152/cb")));
        assert!(!registered.allows(&uri("http://127.0.0.1:49152/other")));
        assert!(!registered.allows(&uri("http://127.0.0.2:49152/cb")));
        assert!(!registered.allows(&uri("http://localhost:49152/cb")));
        assert!(uri("http://[::1]:1/cb").allows(&uri("http://[::1]:2/cb")));
        assert!(!uri("http://localhost:1/cb").allows(&uri("http://localhost:2/cb")));
        assert!(!uri("https://127.0.0.1:1/cb").allows(&uri("https://127.0.0.1:2/cb")));
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
        assert_eq!(uri("com.example.app:/cb").csp_source(), "com.example.app:");
        assert_eq!(uri("https://app.example/cb?a=b").csp_source(), "https://app.example");
    }

    #[test]
    fn names_that_deceive_are_refused() {
        for text in
            ["", "   ", "Foto\u{202e}werk", "Foto\u{200b}werk", "a\0b", "a\nb", "\u{3164}", &"x".repeat(81)]
        {
            assert!(AppName::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(AppName::parse(" Fotowerk Größe ").unwrap().as_str(), "Fotowerk Größe");
    }
}
