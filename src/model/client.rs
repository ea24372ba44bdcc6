//! Clients: the apps that ask for access.

use crate::clock::Timestamp;
use crate::model::id::{ClientId, UserId};
use crate::model::names::names;
pub use crate::model::redirect_uri::{RedirectUri, RedirectUris};
use crate::model::scope::Scope;
use crate::model::text::{self, LineFault, line};

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
    pub redirect_uris: RedirectUris,
    pub created_at: Timestamp,
}

impl Client {
    /// Whether its access tokens are checked without us, and so not counted.
    pub fn has_jwts(&self) -> bool {
        self.token_format == TokenFormat::Jwt
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

    /// As a row holds it: what is unknown has to prove itself.
    pub fn stored(text: &str) -> Self {
        Self::parse(text).unwrap_or(Self::Confidential)
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

names! {
    /// A [`ClientStatus`] without its data: what lists are searched by.
    ClientStatusKind {
        Active = "active",
        Suspended = "suspended",
        Banned = "banned",
        Deleted = "deleted",
    }
}

impl ClientStatus {
    /// As a row holds it: a client of an unknown status may do nothing.
    pub fn stored(name: &str, at: Timestamp, reason: String) -> Self {
        match ClientStatusKind::parse(name) {
            Some(ClientStatusKind::Active) => Self::Active,
            Some(ClientStatusKind::Suspended) => Self::Suspended { at, reason },
            Some(ClientStatusKind::Banned) => Self::Banned { at, reason },
            Some(ClientStatusKind::Deleted) | None => Self::Deleted { at },
        }
    }

    pub const fn kind(&self) -> ClientStatusKind {
        match self {
            Self::Active => ClientStatusKind::Active,
            Self::Suspended { .. } => ClientStatusKind::Suspended,
            Self::Banned { .. } => ClientStatusKind::Banned,
            Self::Deleted { .. } => ClientStatusKind::Deleted,
        }
    }

    pub const fn as_str(&self) -> &'static str {
        self.kind().as_str()
    }

    /// When it became so; `None` while it is active.
    pub const fn since(&self) -> Option<Timestamp> {
        match self {
            Self::Active => None,
            Self::Suspended { at, .. } | Self::Banned { at, .. } | Self::Deleted { at } => Some(*at),
        }
    }

    /// The sentence that its users read; empty where there is none.
    pub fn reason(&self) -> &str {
        match self {
            Self::Suspended { reason, .. } | Self::Banned { reason, .. } => reason,
            Self::Active | Self::Deleted { .. } => "",
        }
    }

    pub const fn is_active(&self) -> bool {
        matches!(self, Self::Active)
    }

    pub const fn is_suspended(&self) -> bool {
        matches!(self, Self::Suspended { .. })
    }

    pub const fn is_banned(&self) -> bool {
        matches!(self, Self::Banned { .. })
    }

    pub const fn is_deleted(&self) -> bool {
        matches!(self, Self::Deleted { .. })
    }
}

names! {
    /// A part of a registration whose earlier content is kept when it changes.
    ClientField {
        Name = "name",
        Publisher = "publisher",
        RedirectUris = "redirect_uris",
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

    /// As a row holds it: tokens of an unknown format are looked up.
    pub fn stored(text: &str) -> Self {
        Self::parse(text).unwrap_or(Self::Opaque)
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

    /// As a row holds them: an unknown name allows nothing.
    pub fn stored(text: &str) -> Self {
        Self(text.split_ascii_whitespace().filter_map(GrantType::parse).collect())
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
        match line(text, Self::LONGEST) {
            Ok(name) => Ok(Self(name)),
            Err(LineFault::Empty) => Err("error-name-empty"),
            Err(LineFault::Long) => Err("error-name-long"),
            Err(LineFault::Characters) => Err("error-name-characters"),
        }
    }

    /// As a row holds it: an earlier version may have accepted names that are refused today.
    pub fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a person who typed `text` meant this name.
    pub fn is_typed_as(&self, text: &str) -> bool {
        let typed = text::normal(text);
        // Nobody can type what an old name has of invisible characters, but it can be pasted.
        !typed.is_empty() && (typed == text::normal(&self.0) || typed == text::comparable(&self.0))
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
    line(text, 300).map_err(|fault| match fault {
        LineFault::Empty => "error-reason-empty",
        LineFault::Long => "error-reason-long",
        LineFault::Characters => "error-reason-characters",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_deceive_are_refused() {
        for text in
            ["", "   ", "Foto\u{202e}werk", "Foto\u{200b}werk", "a\0b", "a\nb", "\u{3164}", &"x".repeat(81)]
        {
            assert!(AppName::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(AppName::parse(" Fotowerk  Gro\u{308}ße ").unwrap().as_str(), "Fotowerk Größe");
    }

    #[test]
    fn a_name_is_typed_in_any_normal_form_and_with_any_spaces() {
        let stored = AppName::stored("Gro\u{308}\u{df}e  \u{1d173}Foto");
        assert!(stored.is_typed_as("Größe Foto"));
        assert!(stored.is_typed_as(stored.as_str()));
        assert!(!stored.is_typed_as("größe foto"));
        assert!(!AppName::stored("Foto").is_typed_as("Foto\u{200b}"));
        assert!(!AppName::stored("\u{1d173}").is_typed_as(""));
    }

    #[test]
    fn unknown_grant_types_of_a_row_are_ignored() {
        assert_eq!(GrantTypes::parse("authorization_code password"), None);
        let stored = GrantTypes::stored("authorization_code password");
        assert!(stored.allow(GrantType::AuthorizationCode) && !stored.allow(GrantType::RefreshToken));
    }
}
