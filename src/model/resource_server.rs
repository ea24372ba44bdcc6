//! APIs that accept access tokens of this server.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::model::canary;
use crate::model::id::ResourceServerId;
use crate::model::secret::Digest;

/// A registered resource server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ResourceServer {
    pub id: ResourceServerId,
    pub name: Arc<str>,
    /// The `aud` of tokens for it: an absolute URI without fragment (RFC 8707 §2).
    pub audience: Arc<str>,
    /// The newest secret's.
    pub secret: Digest,
    /// Secrets that were rotated and still work for a while.
    pub earlier_secrets: Arc<[EarlierSecret]>,
    pub guarding: Guarding,
    /// When one of its guards acknowledged for the first time.
    pub guard_seen_at: Option<Timestamp>,
    /// Counts the changes of its name and scopes.
    pub version: i64,
    /// Deleted ones stay known, so that receipts can name them. Nothing authenticates as one.
    pub deleted_at: Option<Timestamp>,
}

/// A secret that was rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierSecret {
    pub digest: Digest,
    pub expires_at: Timestamp,
}

impl ResourceServer {
    /// One that is just being registered.
    pub fn new(id: ResourceServerId, name: &str, audience: &str, secret: Digest, guarding: Guarding) -> Self {
        Self {
            id,
            name: name.into(),
            audience: audience.into(),
            secret,
            earlier_secrets: Arc::default(),
            guarding,
            guard_seen_at: None,
            version: 1,
            deleted_at: None,
        }
    }

    /// Whether the secret with this digest works at `now`.
    pub fn accepts(&self, secret: &Digest, now: Timestamp) -> bool {
        let earlier = self.earlier_secrets.iter().filter(|earlier| now < earlier.expires_at);
        // Every one is compared, so that the time does not tell which one matched.
        let known = earlier.map(|earlier| &earlier.digest).chain([&self.secret]);
        let matches = known.filter(|digest| digest.matches(secret)).count();
        self.deleted_at.is_none() && matches > 0
    }

    /// When the last of the earlier secrets stops working.
    pub fn earlier_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.earlier_secrets.iter().map(|earlier| earlier.expires_at).filter(|end| now < *end).max()
    }

    /// Whether guards answer for it.
    pub fn is_guarded(&self) -> bool {
        self.guarding.guard == Guard::Expected && self.guard_seen_at.is_some()
    }
}

/// How a resource server learns what was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarding {
    pub guard: Guard,
    /// For how long its guards may go on without an answer.
    pub max_staleness: MaxStaleness,
}

impl Default for Guarding {
    fn default() -> Self {
        Self { guard: Guard::Expected, max_staleness: MaxStaleness(10) }
    }
}

/// Whether a guard checks the JWTs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    Expected,
    /// The operator says that none runs: a JWT works there until it expires.
    None,
}

impl Guard {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expected => "expected",
            Self::None => "none",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Expected, Self::None].into_iter().find(|guard| guard.as_str() == text)
    }
}

/// Whole seconds, from 1 to 300.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxStaleness(u16);

impl MaxStaleness {
    pub fn new(seconds: i64) -> Option<Self> {
        u16::try_from(seconds).ok().filter(|seconds| (1..=300).contains(seconds)).map(Self)
    }

    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().and_then(Self::new)
    }

    pub const fn seconds(self) -> u64 {
        self.0 as u64
    }

    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.seconds())
    }
}

/// A set of audiences, as it is stored: separated by one space, and sorted, so that equal sets are equal text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AudienceSet(String);

impl AudienceSet {
    /// As a row or a token of ours holds it.
    pub fn stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|name| !name.is_empty())
    }

    pub fn contains(&self, audience: &str) -> bool {
        self.names().any(|name| name == audience)
    }

    /// The one audience; `None` if there are several, or none.
    pub fn single(&self) -> Option<&str> {
        let mut names = self.names();
        names.next().filter(|_| names.next().is_none())
    }
}

impl<'a> FromIterator<&'a str> for AudienceSet {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let mut names: Vec<&str> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        Self(names.join(" "))
    }
}

/// Whom something concerns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Audiences {
    Everyone,
    Only(AudienceSet),
}

impl Audiences {
    pub const NOBODY: Self = Self::Only(AudienceSet(String::new()));

    /// As a column holds them; NULL stands for everyone.
    pub fn from_column(text: Option<&str>) -> Self {
        text.map_or(Self::Everyone, |text| Self::Only(AudienceSet::stored(text)))
    }

    pub fn to_column(&self) -> Option<&str> {
        match self {
            Self::Everyone => None,
            Self::Only(set) => Some(set.as_str()),
        }
    }

    pub fn concern(&self, audience: &str) -> bool {
        match self {
            Self::Everyone => true,
            Self::Only(set) => set.contains(audience),
        }
    }

    /// These and those.
    #[must_use]
    pub fn union(self, others: &Self) -> Self {
        match (self, others) {
            (Self::Only(set), Self::Only(others)) => Self::Only(set.names().chain(others.names()).collect()),
            _ => Self::Everyone,
        }
    }
}

/// An absolute URI without fragment, white space or quotes, and not the canary's.
pub fn is_audience(text: &str) -> bool {
    text.len() <= 255
        && text != canary::AUDIENCE
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'#'))
        && url::Url::parse(text).is_ok()
}

/// Whether two audiences name the same resource: they may differ by an empty path in place of `/`
/// (RFC 3986 §6.2.3), and in the case of scheme and host (§6.2.2.1).
pub fn is_same_audience(one: &str, other: &str) -> bool {
    one == other || comparable(one).is_some_and(|one| comparable(other) == Some(one))
}

/// `None` for a URI without an authority: it is compared as text.
fn comparable(audience: &str) -> Option<String> {
    let (scheme, rest) = audience.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some(format!("{}://{}{slash}{path}", scheme.to_ascii_lowercase(), authority.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_path_and_a_slash_are_the_same_resource() {
        for (one, other) in [
            ("https://api.example", "https://api.example/"),
            ("https://api.example?a=b", "https://api.example/?a=b"),
            ("https://api.example:8443", "HTTPS://API.example:8443/"),
            ("urn:example:api", "urn:example:api"),
        ] {
            assert!(is_same_audience(one, other) && is_same_audience(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("https://api.example/v1", "https://api.example/v1/"),
            ("https://api.example/V1", "https://api.example/v1"),
            ("https://api.example/", "https://api.example//"),
            ("https://api.example", "http://api.example/"),
            ("https://api.example", "https://api.example.evil/"),
            ("urn:example:api", "urn:example:api/"),
        ] {
            assert!(!is_same_audience(one, other), "{one} {other}");
        }
    }

    #[test]
    fn nobody_and_everybody_are_two_things() {
        let [everyone, nobody, one] = [None, Some(""), Some("a b")].map(Audiences::from_column);
        assert!(everyone.concern("a") && !nobody.concern("a") && !nobody.concern(""));
        assert!(one.concern("a") && one.concern("b") && !one.concern("a b"));
        for audiences in [&everyone, &nobody, &one] {
            assert_eq!(Audiences::from_column(audiences.to_column()), *audiences);
        }
    }

    #[test]
    fn a_set_of_one_audience_has_a_single_one() {
        let [none, one, two] = ["", "a", "a b"].map(AudienceSet::stored);
        assert_eq!([none.single(), one.single(), two.single()], [None, Some("a"), None]);
        assert_eq!(AudienceSet::from_iter(["b", "a", "b"]), two);
    }

    #[test]
    fn audiences_only_grow() {
        let [everyone, one, two] = [None, Some("b"), Some("a b")].map(Audiences::from_column);
        assert_eq!(one.clone().union(&two), two);
        assert_eq!(one.clone().union(&everyone), everyone);
        assert_eq!(everyone.clone().union(&one), everyone);
    }

    #[test]
    fn staleness_is_bounded() {
        for (text, seconds) in
            [("1", Some(1)), ("300", Some(300)), ("0", None), ("301", None), ("-1", None), ("x", None)]
        {
            assert_eq!(MaxStaleness::parse(text).map(MaxStaleness::seconds), seconds, "{text}");
        }
    }
}
