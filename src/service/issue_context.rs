//! What issuing tokens depends on: who asks, how long tokens live, and how they are made.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::model::by::By;
use crate::model::id::ClientId;
use crate::model::secret::SuccessorSecret;
use crate::service::keys::Signing;
use crate::store::resource_servers::Scopes;

/// How long credentials live.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    pub code: Duration,
    pub access_token: Duration,
    /// Of an access token that is a JWT.
    pub jwt: Duration,
    pub refresh_token: Duration,
    /// How long a superseded refresh token may be repeated.
    pub refresh_grace: Duration,
}

/// How the client's access tokens are made.
#[derive(Clone, Debug)]
pub enum AccessTokenKind {
    Opaque,
    /// Signed after the commit, on the caller's thread.
    Jwt {
        issuer: Arc<str>,
        signing: Arc<Signing>,
    },
}

/// What issuing any token needs: who asks, and what it gets.
#[derive(Clone, Debug)]
pub struct IssueContext {
    pub client: ClientId,
    /// Where the request came from.
    pub address: Option<IpAddr>,
    pub kind: AccessTokenKind,
    /// The audiences that the request names for the access token. If there are none, it is for all audiences of its
    /// scope (RFC 8707 §2.2).
    pub resources: Vec<String>,
    pub lives: Lives,
    pub scopes: Scopes,
    pub successors: SuccessorSecret,
    pub now: Timestamp,
}

impl IssueContext {
    /// The client as actor, for requests that revoke something.
    pub fn by(&self) -> By {
        By::client_by_protocol(&self.client, self.now).from_address(self.address)
    }

    pub const fn life(&self) -> Duration {
        match self.kind {
            AccessTokenKind::Opaque => self.lives.access_token,
            AccessTokenKind::Jwt { .. } => self.lives.jwt,
        }
    }
}
