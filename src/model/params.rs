//! Parameters of a query or a form body (`application/x-www-form-urlencoded`), read strictly.

use std::borrow::Cow;
use std::collections::HashSet;

use percent_encoding::percent_decode;

/// Parameters of a page: a thousand boxes to tick, and some fields beside them.
const MOST: usize = 1_100;
/// Parameters of a protocol request; the RFCs define about thirty.
const MOST_SINGLE: usize = 100;

/// Parameters in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

/// Why parameters can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not UTF-8, or a NUL in it.
    Encoding,
    /// A parameter that may stand once stands twice.
    Repeated(String),
    /// More than anybody sends.
    TooMany,
}

/// A name or value, as it was before it was encoded.
///
/// # Errors
/// `Encoding`.
pub fn decode(part: &[u8]) -> Result<String, Fault> {
    let spaced: Cow<'_, [u8]> = if part.contains(&b'+') {
        part.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect()
    } else {
        part.into()
    };
    let text = percent_decode(&spaced).decode_utf8().ok().filter(|text| !text.contains('\0'));
    text.map(String::from).ok_or(Fault::Encoding)
}

impl Params {
    /// Reads `raw`; parameters may repeat.
    ///
    /// # Errors
    /// `TooMany` or `Encoding`.
    pub fn parse(raw: &[u8]) -> Result<Self, Fault> {
        Self::parse_at_most(raw, MOST)
    }

    /// Reads `raw`; no parameter may repeat but `resource` (RFC 6749 §3.1, RFC 8707 §2).
    ///
    /// # Errors
    /// `TooMany`, `Encoding` or `Repeated`.
    pub fn parse_single(raw: &[u8]) -> Result<Self, Fault> {
        let params = Self::parse_at_most(raw, MOST_SINGLE)?;
        let mut known = HashSet::new();
        match params.0.iter().find(|(name, _)| name != "resource" && !known.insert(name.as_str())) {
            Some((name, _)) => Err(Fault::Repeated(name.clone())),
            None => Ok(params),
        }
    }

    /// Counts first, so that nothing is decoded of what is refused.
    fn parse_at_most(raw: &[u8], most: usize) -> Result<Self, Fault> {
        let pairs = || raw.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty());
        if pairs().nth(most).is_some() {
            return Err(Fault::TooMany);
        }
        let decoded = pairs().map(|pair| {
            let equals = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
            let value = pair.get(equals + 1..).unwrap_or_default();
            Ok((decode(&pair[..equals])?, decode(value)?))
        });
        decoded.collect::<Result<_, _>>().map(Self)
    }

    /// The value of `name`; an empty one counts as absent (RFC 6749 §3.1).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// All values of `name` that are not empty.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_value_is_absent_and_plus_is_a_space() {
        let params = Params::parse(b"a=&b=x+y%2B&c&&d=%C3%A4").unwrap();
        assert_eq!(params.get("a"), None);
        assert_eq!(params.get("b"), Some("x y+"));
        assert_eq!(params.get("c"), None);
        assert_eq!(params.get("d"), Some("ä"));
    }

    #[test]
    fn parameters_that_are_not_text_are_refused() {
        assert_eq!(Params::parse(b"a=%FF").unwrap_err(), Fault::Encoding);
        assert_eq!(Params::parse(b"a=\xff").unwrap_err(), Fault::Encoding);
        assert_eq!(Params::parse(b"a=%00").unwrap_err(), Fault::Encoding);
    }

    #[test]
    fn a_parameter_stands_once_even_if_one_is_empty() {
        assert_eq!(Params::parse_single(b"a=1&a=").unwrap_err(), Fault::Repeated("a".into()));
        assert!(Params::parse_single(b"resource=1&resource=2&a=1").is_ok());
    }

    /// The first pair is not UTF-8, so decoding any of it would be another fault.
    #[test]
    fn too_many_parameters_are_refused_before_any_is_decoded() {
        let many = |count: usize| {
            let names = (1..count).map(|number| format!("&n{number}=v"));
            std::iter::once("a=%FF".to_owned()).chain(names).collect::<String>().into_bytes()
        };
        assert_eq!(Params::parse(&many(MOST + 1)).unwrap_err(), Fault::TooMany);
        assert_eq!(Params::parse(&many(MOST)).unwrap_err(), Fault::Encoding);
        assert_eq!(Params::parse_single(&many(MOST_SINGLE + 1)).unwrap_err(), Fault::TooMany);
        assert_eq!(Params::parse_single(&many(MOST_SINGLE)).unwrap_err(), Fault::Encoding);
        assert!(Params::parse_single(&b"&".repeat(60_000)).is_ok());
    }
}
