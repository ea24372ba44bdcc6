//! Scopes: what an access token allows (RFC 6749 §3.3).

use std::collections::HashSet;

/// A set of scope names, as it prints: sorted and separated by one space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope(String);

impl Scope {
    /// Names that one request may ask for: more than any honest one does. What is stored has no such limit: a
    /// client that names no scope gets all that it may have, and consents add up.
    const MOST_ASKED: usize = 64;

    /// What a request asks for. `None` if a character is outside the RFC's set or there are too many names.
    pub fn parse(text: &str) -> Option<Self> {
        let names: Vec<&str> = text.split(' ').filter(|name| !name.is_empty()).collect();
        names
            .iter()
            .all(|name| Self::is_name(name))
            .then(|| Self::of(names))
            .filter(|it| it.names().count() <= Self::MOST_ASKED)
    }

    /// As a row or a token of ours holds it.
    pub fn stored(text: &str) -> Self {
        text.split(' ').filter(|name| !name.is_empty()).collect()
    }

    fn of(mut names: Vec<&str>) -> Self {
        names.sort_unstable();
        names.dedup();
        Self(names.join(" "))
    }

    /// scope-token = 1*( %x21 / %x23-5B / %x5D-7E ), 64 characters at most.
    pub fn is_name(name: &str) -> bool {
        !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    pub fn is_subset(&self, of: &Self) -> bool {
        let known: HashSet<&str> = of.names().collect();
        self.names().all(|name| known.contains(name))
    }

    pub fn intersection(&self, other: &Self) -> Self {
        let known: HashSet<&str> = other.names().collect();
        self.names().filter(|name| known.contains(name)).collect()
    }

    pub fn union(&self, other: &Self) -> Self {
        self.names().chain(other.names()).collect()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|name| !name.is_empty())
    }
}

impl<'a> FromIterator<&'a str> for Scope {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        Self::of(names.into_iter().collect())
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_sets() {
        let scope = Scope::parse("b a  b").unwrap();
        assert_eq!(scope.to_string(), "a b");
        assert!(Scope::parse("a").unwrap().is_subset(&scope));
        assert!(!Scope::parse("a c").unwrap().is_subset(&scope));
    }

    #[test]
    fn a_stored_scope_may_be_longer_than_a_requested_one() {
        let names = |from: usize| {
            (from..from + 40).map(|number| format!("s{number:02}")).collect::<Vec<_>>().join(" ")
        };
        let [one, other] = [names(0), names(40)].map(|text| Scope::parse(&text).unwrap());
        let both = one.union(&other);
        assert_eq!(both.names().count(), 80);
        assert_eq!(Scope::stored(both.as_str()), both);
        assert!(one.is_subset(&both) && !both.is_subset(&one));
        assert_eq!(both.intersection(&other), other);
        assert_eq!(Scope::parse(both.as_str()), None);
    }

    #[test]
    fn characters_outside_the_rfc_are_refused() {
        for text in ["a\"", "a\\b", "a\tb", "é", "a\u{7f}", "\0"] {
            assert!(Scope::parse(text).is_none(), "{text:?}");
        }
    }
}
