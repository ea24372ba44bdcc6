//! Acts that take access away: what a ledger row says.

use std::time::Duration;

use crate::model::id::{ClientId, FamilyId, GrantId, ReceiptId, UserId};
use crate::model::names::names;

/// For how long after its `exp` a guard may still accept a JWT: the greatest leeway of a guard, and an hour of slack
/// for clocks that differ.
pub const ACCEPTED_AFTER_EXPIRY: Duration = Duration::from_secs(300 + 3600);
/// The longest life of a JWT, and the time for which guards may accept it after its expiry. For this long after its
/// commit an entry of the feed can matter.
pub const RETENTION: Duration = Duration::from_secs(3600 + ACCEPTED_AFTER_EXPIRY.as_secs());

/// The longest that an access token may live, whatever the settings say.
pub const LONGEST_ACCESS_TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

names! {
    /// What was done.
    Act {
        AccessTokenRevoked = "access_token_revoked",
        RefreshTokenRevoked = "refresh_token_revoked",
        RefreshTokenReused = "refresh_token_reused",
        CodeReplayed = "code_replayed",
        DeviceSignedOut = "device_signed_out",
        AppRevoked = "app_revoked",
        UserTokensRevoked = "user_tokens_revoked",
        /// One round of a drill; concerns nobody else.
        CanaryRevoked = "canary_revoked",
        ClientDeleted = "client_deleted",
        ClientSuspended = "client_suspended",
        ClientBanned = "client_banned",
        /// Takes nothing away; earlier tokens stay revoked.
        ClientReinstated = "client_reinstated",
        UserRevoked = "user_revoked",
        UserDisabled = "user_disabled",
        /// Takes nothing away; earlier tokens and sessions stay revoked.
        UserEnabled = "user_enabled",
        /// Takes nothing away; the note says what the role is now.
        RoleChanged = "role_changed",
        UserDeleted = "user_deleted",
        AccountTakenOver = "account_taken_over",
        DatabaseRestored = "database_restored",
    }
}

impl Act {
    /// Whether it takes anything away: then resource servers have to know.
    pub const fn ends_something(self) -> bool {
        !matches!(self, Self::ClientReinstated | Self::UserEnabled | Self::RoleChanged)
    }
}

names! {
    /// What sort of thing an act was done to.
    SubjectKind {
        Token = "token",
        Family = "family",
        Grant = "grant",
        Client = "client",
        User = "user",
        Server = "server",
        Session = "session",
        Key = "key",
        ResourceServer = "resource_server",
    }
}

/// What was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An opaque access token, by its public name.
    Token(String),
    Family(FamilyId),
    Grant(GrantId),
    /// Everything that the client got under lower generations.
    Client {
        id: ClientId,
        generation: i64,
    },
    /// Everything that was issued for the user under lower generations.
    User {
        id: UserId,
        generation: i64,
    },
    /// Everything that was issued under lower generations.
    Server {
        generation: i64,
    },
}

impl Subject {
    pub const fn kind(&self) -> SubjectKind {
        match self {
            Self::Token(_) => SubjectKind::Token,
            Self::Family(_) => SubjectKind::Family,
            Self::Grant(_) => SubjectKind::Grant,
            Self::Client { .. } => SubjectKind::Client,
            Self::User { .. } => SubjectKind::User,
            Self::Server { .. } => SubjectKind::Server,
        }
    }

    pub fn id(&self) -> &str {
        match self {
            Self::Token(id) => id,
            Self::Family(id) => id.as_str(),
            Self::Grant(id) => id.as_str(),
            Self::Client { id, .. } => id.as_str(),
            Self::User { id, .. } => id.as_str(),
            Self::Server { .. } => "server",
        }
    }

    pub const fn generation(&self) -> Option<i64> {
        match self {
            Self::Client { generation, .. } | Self::User { generation, .. } | Self::Server { generation } => {
                Some(*generation)
            }
            _ => None,
        }
    }
}

/// One row of the ledger: one thing that was revoked, and whom it concerns.
#[derive(Clone, Debug)]
pub struct Entry {
    pub receipt: ReceiptId,
    pub act: Act,
    pub subject: Subject,
    pub grant: Option<GrantId>,
    pub client: Option<ClientId>,
    pub user: Option<UserId>,
}
