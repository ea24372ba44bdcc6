//! What a JWT access token says (RFC 9068 §2.2, `docs/feed.md`). It contains no personal data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::model::id::{ClientId, FamilyId, GrantId, UserId, random62};
use crate::model::scope::Scope;
use crate::model::stamp::{Generations, Stamp};

/// The claims of one token. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub exp: i64,
    /// Exactly one resource server. With a token for two, each could act at the other.
    pub aud: String,
    /// The user, or the client if there is no user.
    pub sub: String,
    pub client_id: String,
    pub iat: i64,
    pub jti: String,
    pub scope: String,
    pub server_generation: i64,
    pub client_generation: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_generation: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_generation: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family_id: Option<String>,
}

/// What a token allows, where, and what it depends on.
pub struct NewClaims<'a> {
    pub issuer: &'a str,
    pub audience: &'a str,
    pub scope: &'a Scope,
    pub stamp: &'a Stamp,
    /// Read together with the scope. `Some` if the stamp has a grant.
    pub grant_generation: Option<i64>,
}

impl Claims {
    /// The most bytes of scope in one token. With all else the token stays below the 8 KiB that readers and guards
    /// accept.
    pub const LONGEST_SCOPE: usize = 4 * 1024;

    /// The claims of a new token, with its own random `jti`.
    pub fn new(allows: NewClaims<'_>, now: Timestamp, life: Duration) -> Self {
        let NewClaims { issuer, audience, scope, stamp, grant_generation } = allows;
        let Generations { server, client, user } = stamp.generations;
        Self {
            iss: issuer.to_owned(),
            exp: now.plus(life).seconds(),
            aud: audience.to_owned(),
            sub: stamp.user.as_ref().map_or_else(|| stamp.client.to_string(), UserId::to_string),
            client_id: stamp.client.to_string(),
            iat: now.seconds(),
            jti: format!("tok_{}", random62(22)),
            scope: scope.to_string(),
            server_generation: server,
            client_generation: client,
            user_generation: user,
            grant_id: stamp.grant.as_ref().map(GrantId::to_string),
            grant_generation,
            family_id: stamp.family.as_ref().map(FamilyId::to_string),
        }
    }

    /// What the token depends on. `None` if it can't be read.
    pub fn stamp(&self) -> Option<Stamp> {
        let user = self.user_generation.map(|_| UserId::parse(&self.sub).ok_or(())).transpose().ok()?;
        let grant = self.grant_id.as_deref().map(|id| GrantId::parse(id).ok_or(())).transpose().ok()?;
        let family = self.family_id.as_deref().map(|id| FamilyId::parse(id).ok_or(())).transpose().ok()?;
        Some(Stamp {
            family,
            grant,
            client: ClientId::parse(&self.client_id)?,
            user,
            generations: Generations {
                server: self.server_generation,
                client: self.client_generation,
                user: self.user_generation,
            },
        })
    }

    /// The first moment at which the token is expired.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_millis(self.exp.saturating_mul(1000))
    }

    pub fn issued_at(&self) -> Timestamp {
        Timestamp::from_millis(self.iat.saturating_mul(1000))
    }
}
