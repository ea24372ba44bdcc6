//! Scopes: what an access token allows (RFC 6749 §3.3).

use std::collections::BTreeSet;

/// A set of scope names; prints them sorted and separated by one space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(BTreeSet<String>);

impl Scope {
    /// Names accepted in one value: more than any honest request asks for.
    const MOST: usize = 64;

    /// `None` if a character is outside the RFC's set or there are too many names.
    pub fn parse(text: &str) -> Option<Self> {
        let names: BTreeSet<String> =
            text.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        (names.len() <= Self::MOST && names.iter().all(|name| Self::is_name(name))).then_some(Self(names))
    }

    /// scope-token = 1*( %x21 / %x23-5B / %x5D-7E ), 64 characters at most.
    pub fn is_name(name: &str) -> bool {
        !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    pub fn is_subset(&self, of: &Self) -> bool {
        self.0.is_subset(&of.0)
    }

    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl FromIterator<String> for Scope {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, name) in self.0.iter().enumerate() {
            if place > 0 {
                out.write_str(" ")?;
            }
            out.write_str(name)?;
        }
        Ok(())
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
    fn characters_outside_the_rfc_are_refused() {
        for text in ["a\"", "a\\b", "a\tb", "é", "a\u{7f}", "\0"] {
            assert!(Scope::parse(text).is_none(), "{text:?}");
        }
    }
}
