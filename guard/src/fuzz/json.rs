//! The oracle's JSON reader, which shares no code with the guard's. And a writer that writes one value in many ways.

use super::chance::Chance;

const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "1.0",
    "1e0",
    "1E400",
    "-1e-400",
    "01",
    "+1",
    ".5",
    "1.",
    "0x1",
    "NaN",
    "4294967296",
    "9007199254740991",
    "9007199254740992",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1790000000.5",
    "1.79e9",
];
const TEXTS: &[&str] = &[
    "",
    " ",
    "1",
    "null",
    "none",
    "read",
    "a b",
    "\0",
    "\u{feff}",
    "é",
    "😀",
    "\u{202e}",
    "\"",
    "\\",
    "../..",
    "at+jwt",
    "usr_1",
    "https://api.example",
];

/// JSON as it is written: numbers as text, members in order, duplicates included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

pub fn text(text: impl Into<String>) -> Json {
    Json::Text(text.into())
}

pub fn number(number: impl ToString) -> Json {
    Json::Number(number.to_string())
}

pub fn object(members: Vec<(&str, Json)>) -> Json {
    Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// RFC 8259 to the letter; `None` for anything else.
pub fn parse(bytes: &[u8]) -> Option<Json> {
    let mut reader = Reader { rest: str::from_utf8(bytes).ok()?.as_bytes() };
    let value = reader.value()?;
    reader.blanks();
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn blanks(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn takes(&mut self, word: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(word);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self) -> Option<Json> {
        self.blanks();
        match *self.rest.first()? {
            b'n' => self.takes(b"null").then_some(Json::Null),
            b't' => self.takes(b"true").then_some(Json::Bool(true)),
            b'f' => self.takes(b"false").then_some(Json::Bool(false)),
            b'"' => self.text().map(Json::Text),
            b'[' => self.list(b']', Self::value).map(Json::List),
            b'{' => self.list(b'}', Self::member).map(Json::Object),
            _ => self.number().map(Json::Number),
        }
    }

    fn list<T>(&mut self, end: u8, item: fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.rest = &self.rest[1..];
        let mut items = Vec::new();
        self.blanks();
        if self.takes(&[end]) {
            return Some(items);
        }
        loop {
            items.push(item(self)?);
            self.blanks();
            if self.takes(&[end]) {
                return Some(items);
            }
            if !self.takes(b",") {
                return None;
            }
        }
    }

    fn member(&mut self) -> Option<(String, Json)> {
        self.blanks();
        let name = (self.rest.first() == Some(&b'"')).then(|| self.text())??;
        self.blanks();
        if !self.takes(b":") {
            return None;
        }
        Some((name, self.value()?))
    }

    fn digits(&mut self) -> usize {
        let many = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.rest = &self.rest[many..];
        many
    }

    fn number(&mut self) -> Option<String> {
        let all = self.rest;
        self.takes(b"-");
        if !self.takes(b"0") && self.digits() == 0 {
            return None;
        }
        if self.takes(b".") && self.digits() == 0 {
            return None;
        }
        if self.takes(b"e") || self.takes(b"E") {
            let _ = self.takes(b"+") || self.takes(b"-");
            if self.digits() == 0 {
                return None;
            }
        }
        String::from_utf8(all[..all.len() - self.rest.len()].to_vec()).ok()
    }

    fn text(&mut self) -> Option<String> {
        self.rest = &self.rest[1..];
        let mut units: Vec<u16> = Vec::new();
        loop {
            let plain = self.rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | ..0x20)).count();
            units.extend(str::from_utf8(&self.rest[..plain]).ok()?.encode_utf16());
            self.rest = &self.rest[plain..];
            if self.takes(b"\"") {
                // Half of a surrogate pair is not a character.
                return String::from_utf16(&units).ok();
            }
            if !self.takes(b"\\") {
                return None;
            }
            let (escape, rest) = self.rest.split_first()?;
            self.rest = rest;
            units.push(match escape {
                b'"' | b'\\' | b'/' => u16::from(*escape),
                b'b' => 8,
                b'f' => 12,
                b'n' => 10,
                b'r' => 13,
                b't' => 9,
                b'u' => {
                    let digits = self.rest.get(..4).filter(|four| four.iter().all(u8::is_ascii_hexdigit))?;
                    self.rest = &self.rest[4..];
                    u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?
                }
                _ => return None,
            });
        }
    }
}

impl Json {
    pub fn members(&self) -> &[(String, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    /// The first member with this name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.members().iter().find(|member| member.0 == name).map(|member| &member.1)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number of only digits, below `end`.
    pub fn integer(&self, name: &str, end: u128) -> Option<u64> {
        let Self::Number(text) = self.get(name)? else { return None };
        let is_plain = text.len() < 30 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_plain.then(|| text.parse::<u128>().ok())?.filter(|number| *number < end)?;
        u64::try_from(number).ok()
    }

    /// Whether two members of an object have the same name, at any depth.
    pub fn has_twins(&self) -> bool {
        match self {
            Self::List(items) => items.iter().any(Self::has_twins),
            Self::Object(members) => {
                let is_twin = |at: usize| members[..at].iter().any(|other| other.0 == members[at].0);
                (0..members.len()).any(is_twin) || members.iter().any(|member| member.1.has_twins())
            }
            _ => false,
        }
    }

    /// Whether a reader may give up on it although it is JSON: very deep, or beyond every floating-point number.
    pub fn is_extreme(&self) -> bool {
        match self {
            Self::Number(text) => text.parse::<f64>().is_ok_and(|number| number.abs() > 1e300),
            Self::List(items) => self.depth() > 100 || items.iter().any(Self::is_extreme),
            Self::Object(members) => self.depth() > 100 || members.iter().any(|member| member.1.is_extreme()),
            _ => false,
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(members) => 1 + members.iter().map(|member| member.1.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Any value at all.
    pub fn any(chance: &mut Chance) -> Self {
        match chance.below(12) {
            0 => Self::Null,
            1 => Self::Bool(chance.once_in(2)),
            2..5 => number(chance.pick(NUMBERS)),
            5..8 => text(*chance.pick(TEXTS)),
            8 => text("x".repeat(chance.below(400))),
            9 => Self::List((0..chance.below(3)).map(|_| Self::any(chance)).collect()),
            10 if chance.once_in(50) => {
                (0..chance.below(300)).fold(Self::Null, |inner, _| Self::List(vec![inner]))
            }
            _ => Self::Object(
                (0..chance.below(4))
                    .map(|_| ((*chance.pick(&["a", "b", "iss"])).to_owned(), Self::any(chance)))
                    .collect(),
            ),
        }
    }

    /// As text, with blanks and escapes at random places.
    pub fn write(&self, chance: &mut Chance, out: &mut String) {
        let is_noisy = chance.once_in(8);
        self.write_with(chance, is_noisy, out);
    }

    fn write_with(&self, chance: &mut Chance, is_noisy: bool, out: &mut String) {
        let blank = |chance: &mut Chance, out: &mut String| {
            if is_noisy && chance.once_in(6) {
                out.push(*chance.pick(&[' ', '\t', '\n', '\r']));
            }
        };
        blank(chance, out);
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(text) => out.push_str(text),
            Self::Text(text) => write_text(text, chance, is_noisy, out),
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    item.write_with(chance, is_noisy, out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    write_text(name, chance, is_noisy, out);
                    blank(chance, out);
                    out.push(':');
                    value.write_with(chance, is_noisy, out);
                }
                out.push('}');
            }
        }
        blank(chance, out);
    }
}

fn write_text(text: &str, chance: &mut Chance, is_noisy: bool, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '/' if is_noisy && chance.once_in(3) => out.push_str("\\/"),
            _ if character < ' ' || is_noisy && chance.once_in(8) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}
