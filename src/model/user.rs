//! People with an account.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::model::names::names;
use crate::model::text::line;

/// 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit; kept in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Username(String);

impl Username {
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.trim().to_ascii_lowercase();
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        (matches!(name.len(), 1..=64)
            && name.as_bytes()[0].is_ascii_alphanumeric()
            && name.bytes().all(is_inner))
        .then_some(Self(name))
    }

    /// As a row holds it.
    pub fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Username {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

/// An address that a mail server would take: one `@`, something on both sides, no white space.
pub fn is_email(text: &str) -> bool {
    text.len() <= 254
        && !text.contains(char::is_whitespace)
        && line(text, 254).is_ok()
        && text
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
}

/// What a person may do: admin ⊃ developer ⊃ user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    User,
    Developer,
    Admin,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::User, Self::Developer, Self::Admin];

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// As a row holds it: an unknown role gives no power over others.
    pub fn stored(text: &str) -> Self {
        Self::parse(text).unwrap_or(Self::User)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Developer => "developer",
            Self::Admin => "admin",
        }
    }
}

/// Whether an account can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserStatus {
    Active,
    /// Reversible; earlier tokens and sessions stay revoked.
    Disabled {
        at: Timestamp,
    },
    /// The row stays so that records keep their meaning; it holds nothing personal.
    Deleted {
        at: Timestamp,
    },
}

names! {
    /// A [`UserStatus`] without its data: what lists are searched by.
    UserStatusKind {
        Active = "active",
        Disabled = "disabled",
        Deleted = "deleted",
    }
}

impl UserStatus {
    /// As a row holds it: an account of an unknown status can't be used.
    pub fn stored(name: &str, at: Timestamp) -> Self {
        match UserStatusKind::parse(name) {
            Some(UserStatusKind::Active) => Self::Active,
            Some(UserStatusKind::Disabled) => Self::Disabled { at },
            Some(UserStatusKind::Deleted) | None => Self::Deleted { at },
        }
    }

    pub const fn kind(&self) -> UserStatusKind {
        match self {
            Self::Active => UserStatusKind::Active,
            Self::Disabled { .. } => UserStatusKind::Disabled,
            Self::Deleted { .. } => UserStatusKind::Deleted,
        }
    }

    pub const fn as_str(&self) -> &'static str {
        self.kind().as_str()
    }

    /// When it became so; `None` while it is active.
    pub const fn since(&self) -> Option<Timestamp> {
        match self {
            Self::Active => None,
            Self::Disabled { at } | Self::Deleted { at } => Some(*at),
        }
    }

    pub const fn is_active(&self) -> bool {
        matches!(self, Self::Active)
    }

    pub const fn is_disabled(&self) -> bool {
        matches!(self, Self::Disabled { .. })
    }

    pub const fn is_deleted(&self) -> bool {
        matches!(self, Self::Deleted { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_are_lower_case_ascii() {
        assert_eq!(Username::parse(" Ana.B ").unwrap().as_str(), "ana.b");
        for text in ["", " ", ".ana", "an a", "ana\0", "аna", &"a".repeat(65)] {
            assert!(Username::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn roles_contain_each_other() {
        assert!(Role::Admin > Role::Developer && Role::Developer > Role::User);
    }
}
