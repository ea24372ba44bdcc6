//! The revocation feed as JSON (`docs/feed.md`). The server and the guard share these types.

use serde::{Deserialize, Serialize};

/// The version of the snapshot that these types describe.
pub const VERSION: u32 = 1;

/// What was revoked.
///
/// An unknown `kind` does not parse, because a reader that can't read it must not go on as if nothing had happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Subject {
    Token {
        id: String,
    },
    Family {
        id: String,
    },
    Grant {
        id: String,
        /// `None` if the grant ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        generation: Option<u64>,
    },
    Client {
        id: String,
        generation: u64,
    },
    User {
        id: String,
        generation: u64,
    },
    Server {
        generation: u64,
    },
}

/// Something that was revoked, and how long that can matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    #[serde(flatten)]
    pub subject: Subject,
    /// Seconds from the time when it was received.
    pub keep: u64,
}

/// The data of an `entry` event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryEvent {
    /// The sequence of the entry before it in this resource server's stream.
    pub prev: u64,
    /// The time of the act, just before its commit, in milliseconds since 1970.
    pub at: i64,
    #[serde(flatten)]
    pub entry: Entry,
}

/// A public key that signs access tokens (RFC 7517), Ed25519 or P-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub kid: String,
    pub kty: String,
    pub crv: String,
    pub x: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    pub alg: String,
    #[serde(rename = "use")]
    pub usage: String,
}

/// The data of a `keys` event: all keys that are accepted from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    pub keys_version: u64,
    pub keys: Vec<Key>,
}

/// The answer of `GET /revocations/snapshot`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub version: u32,
    pub issuer: String,
    pub audience: String,
    pub incarnation: u64,
    pub through: u64,
    /// Seconds.
    pub max_staleness: u64,
    pub server_generation: u64,
    #[serde(flatten)]
    pub keys: Keys,
    pub entries: Vec<Entry>,
}

/// The body of `POST /revocations/ack`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    pub instance: String,
    pub incarnation: u64,
    pub through: u64,
    pub keys_version: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<Seen>,
    /// This instance no longer accepts anything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
}

/// A grant and a device of which a token was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub grant_id: String,
    pub family_id: String,
    /// Unix seconds.
    pub at: i64,
}

/// The answer to an acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub incarnation: u64,
    /// The newest sequence in this resource server's stream.
    pub through: u64,
    pub keys_version: u64,
    /// Seconds.
    pub max_staleness: u64,
}

/// A position in a stream. As the `id` of an event: `incarnation.sequence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub incarnation: u64,
    pub sequence: u64,
}

impl Position {
    /// `None` unless `text` is two decimal numbers with a dot between them.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |part: &str| -> Option<u64> {
            part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
        };
        let (incarnation, sequence) = text.split_once('.')?;
        Some(Self { incarnation: number(incarnation)?, sequence: number(sequence)? })
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}.{}", self.incarnation, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_the_documented_json() {
        let text =
            r#"{"prev":4711,"at":1790000123456,"kind":"client","id":"cli_1","generation":4,"keep":7500}"#;
        let event: EntryEvent = serde_json::from_str(text).unwrap();
        let subject = Subject::Client { id: "cli_1".to_owned(), generation: 4 };
        assert_eq!(event.entry, Entry { subject, keep: 7500 });
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
        let ended: Entry =
            serde_json::from_str(r#"{"kind":"grant","id":"grt_1","keep":1,"new":true}"#).unwrap();
        assert_eq!(ended.subject, Subject::Grant { id: "grt_1".to_owned(), generation: None });
    }

    #[test]
    fn an_unknown_kind_does_not_parse() {
        assert!(serde_json::from_str::<Entry>(r#"{"kind":"tenant","id":"ten_1","keep":1}"#).is_err());
    }

    #[test]
    fn positions_are_two_numbers() {
        let position = Position { incarnation: 1790, sequence: 12 };
        assert_eq!(Position::parse(&position.to_string()), Some(position));
        for text in ["", "1", "1.", ".1", "1.+2", "1.2.3", "-1.2", "99999999999999999999.1"] {
            assert_eq!(Position::parse(text), None, "{text:?}");
        }
    }
}
