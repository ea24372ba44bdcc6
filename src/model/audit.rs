//! Acts that give power or change who has it, and end no credential: what a row of the audit says.

use crate::model::act::SubjectKind;
use crate::model::id::{ClientId, GrantId, KeyId, ReceiptId, ResourceServerId, SessionId, UserId};
use crate::model::names::names;

names! {
    /// What was done.
    Event {
        AccountCreated = "account_created",
        SignedIn = "signed_in",
        SessionEnded = "session_ended",
        PasswordChanged = "password_changed",
        ConsentGiven = "consent_given",
        AppBlocked = "app_blocked",
        AppUnblocked = "app_unblocked",
        ClientRegistered = "client_registered",
        /// The note's detail names the fields.
        ClientEdited = "client_edited",
        /// The first one comes with the registration.
        ClientSecretRotated = "client_secret_rotated",
        /// The note's detail names the new owner.
        ClientHandedOver = "client_handed_over",
        KeyPublished = "key_published",
        KeyWithdrawn = "key_withdrawn",
        ResourceServerRegistered = "resource_server_registered",
        /// The note's detail names the fields.
        ResourceServerEdited = "resource_server_edited",
        ResourceServerSecretRotated = "resource_server_secret_rotated",
        ResourceServerDeleted = "resource_server_deleted",
    }
}

/// What an act was done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    User(UserId),
    Session { id: SessionId, user: UserId },
    Client(ClientId),
    Grant { id: GrantId, client: ClientId, user: UserId },
    Key(KeyId),
    ResourceServer(ResourceServerId),
}

impl Object {
    pub const fn kind(&self) -> SubjectKind {
        match self {
            Self::User(_) => SubjectKind::User,
            Self::Session { .. } => SubjectKind::Session,
            Self::Client(_) => SubjectKind::Client,
            Self::Grant { .. } => SubjectKind::Grant,
            Self::Key(_) => SubjectKind::Key,
            Self::ResourceServer(_) => SubjectKind::ResourceServer,
        }
    }

    pub fn id(&self) -> &str {
        match self {
            Self::User(id) => id.as_str(),
            Self::Session { id, .. } => id.as_str(),
            Self::Client(id) => id.as_str(),
            Self::Grant { id, .. } => id.as_str(),
            Self::Key(id) => id.as_str(),
            Self::ResourceServer(id) => id.as_str(),
        }
    }

    pub const fn grant(&self) -> Option<&GrantId> {
        match self {
            Self::Grant { id, .. } => Some(id),
            _ => None,
        }
    }

    pub const fn client(&self) -> Option<&ClientId> {
        match self {
            Self::Client(client) | Self::Grant { client, .. } => Some(client),
            _ => None,
        }
    }

    pub const fn user(&self) -> Option<&UserId> {
        match self {
            Self::User(user) | Self::Session { user, .. } | Self::Grant { user, .. } => Some(user),
            _ => None,
        }
    }
}

/// One row of the audit.
#[derive(Clone, Debug)]
pub struct Record {
    pub receipt: ReceiptId,
    pub event: Event,
    pub object: Object,
    /// What it changed, as people read it.
    pub detail: Option<String>,
}
