//! Grants: users' standing authorizations of apps.

use crate::clock::Timestamp;

/// Whether a grant still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantStatus {
    Open,
    /// Not reversible: the user has to authorize the app again, which opens another grant.
    Ended {
        at: Timestamp,
    },
}

impl GrantStatus {
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ended { .. } => "ended",
        }
    }

    pub const fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Open => None,
            Self::Ended { at } => Some(*at),
        }
    }
}
