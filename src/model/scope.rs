//! Scopes: what an access token allows (RFC 6749 §3.3).

/// A set of scope names, as it prints: sorted and separated by one space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope(String);

impl Scope {
    /// Names accepted in one value: more than any honest request asks for.
    const MOST: usize = 64;

    /// `None` if a character is outside the RFC's set or there are too many names.
    pub fn parse(text: &str) -> Option<Self> {
        let names: Vec<&str> = text.split(' ').filter(|name| !name.is_empty()).collect();
        names
            .iter()
            .all(|name| Self::is_name(name))
            .then(|| Self::of(names))
            .filter(|it| it.names().count() <= Self::MOST)
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
        self.names().all(|name| of.contains(name))
    }

    pub fn intersection(&self, other: &Self) -> Self {
        self.names().filter(|name| other.contains(name)).collect()
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
    fn characters_outside_the_rfc_are_refused() {
        for text in ["a\"", "a\\b", "a\tb", "é", "a\u{7f}", "\0"] {
            assert!(Scope::parse(text).is_none(), "{text:?}");
        }
    }
}
