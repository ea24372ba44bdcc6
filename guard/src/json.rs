//! A strict JSON reader: no duplicate members at any depth, nothing after the end, and integers are told apart from
//! other numbers.
//!
//! If two readers disagree about which of two members with one name counts, a good signature may cover something that
//! the signer did not mean. Strict validation is a security requirement (RFC 7515 §10.12).

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

pub enum Value<'a> {
    Text(Cow<'a, str>),
    /// Zero or higher. A number with a sign, a fraction or an exponent is `Other`.
    Integer(u64),
    Other,
    List,
    Object,
}

pub struct Object<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Object<'a> {
    /// `None` unless `bytes` is exactly one object in UTF-8.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let object = Self::deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        Some(object)
    }

    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| value)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// `None` for anything but an integer from 0 to 2^53 - 1.
    pub fn integer(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::Integer(number) if *number < 1 << 53 => Some(*number),
            _ => None,
        }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_ref())
    }
}

/// A string. It borrows from the input if it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        reader.deserialize_str(Reader)
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Object<'de>;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<'de>, A::Error> {
                members(map).map(Object)
            }
        }
        reader.deserialize_map(Reader)
    }
}

fn members<'de, A: MapAccess<'de>>(mut map: A) -> Result<Vec<(Cow<'de, str>, Value<'de>)>, A::Error> {
    let mut members: Vec<(Cow<'de, str>, Value<'de>)> = Vec::new();
    while let Some(Text(name)) = map.next_key()? {
        if members.iter().any(|(member, _)| *member == name) {
            return Err(A::Error::custom("a member comes twice"));
        }
        members.push((name, map.next_value()?));
    }
    Ok(members)
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Value<'de>;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("JSON")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Value<'de>, E> {
                Ok(Value::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Value<'de>, E> {
                Ok(Value::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Value<'de>, E> {
                Ok(Value::Integer(number))
            }
            fn visit_i64<E: Error>(self, _: i64) -> Result<Value<'de>, E> {
                Ok(Value::Other)
            }
            fn visit_f64<E: Error>(self, _: f64) -> Result<Value<'de>, E> {
                Ok(Value::Other)
            }
            fn visit_bool<E: Error>(self, _: bool) -> Result<Value<'de>, E> {
                Ok(Value::Other)
            }
            fn visit_unit<E: Error>(self) -> Result<Value<'de>, E> {
                Ok(Value::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value<'de>, A::Error> {
                while list.next_element::<Value<'de>>()?.is_some() {}
                Ok(Value::List)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value<'de>, A::Error> {
                members(map).map(|_| Value::Object)
            }
        }
        reader.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_comes_twice_is_refused() {
        for twice in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"\u0061":1}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[[{"b":1,"c":0,"b":2}]]}"#,
        ] {
            assert!(Object::parse(twice.as_bytes()).is_none(), "{twice}");
        }
        assert!(Object::parse(br#"{"a":{"b":1},"b":{"b":1}}"#).is_some());
    }

    #[test]
    fn integers_above_2_to_the_53_and_other_numbers_are_refused() {
        let text = r#"{"zero":0,"most":9007199254740991,"over":9007199254740992,"huge":9223372036854775808,
            "larger":18446744073709551616,"minus":-1,"nothing":-0,"float":1.0,"power":1e3,"text":"1","list":[1]}"#;
        let object = Object::parse(text.as_bytes()).unwrap();
        assert_eq!(object.integer("zero"), Some(0));
        assert_eq!(object.integer("most"), Some((1 << 53) - 1));
        for name in
            ["over", "huge", "larger", "minus", "nothing", "float", "power", "text", "list", "missing"]
        {
            assert_eq!(object.integer(name), None, "{name}");
        }
    }

    #[test]
    fn only_a_single_object_in_utf8_is_accepted() {
        for text in
            [&b""[..], b"[]", b"{}x", b"{}{}", b"{\"a\":1,}", b"{\"\xff\":1}", b"\xef\xbb\xbf{}", b"null"]
        {
            assert!(Object::parse(text).is_none(), "{text:?}");
        }
        assert!(Object::parse(b" {} \n").is_some());
    }
}
