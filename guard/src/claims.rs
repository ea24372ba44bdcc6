//! What an accepted token says.

use serde::Serialize;

/// What an accepted token says, under the names of RFC 9068 §2.2 and RFC 7662 §2.2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// The user, or the client if no user is involved.
    pub sub: String,
    pub client_id: String,
    /// Scopes, separated by spaces. [`Claims::allows`] checks for one.
    pub scope: String,
    /// The token's id. A server may leave it out of an answer about an opaque token.
    pub jti: Option<String>,
    /// Unix seconds.
    pub iat: i64,
    /// Unix seconds.
    pub exp: i64,
    #[serde(flatten)]
    pub stamp: Stamp,
    /// The key that signed it, if the guard has checked the signature. The token is refused once this key is withdrawn.
    #[serde(skip)]
    pub kid: Option<String>,
}

/// What the token depends on, and the generations under which it was issued. It dies if any of these is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stamp {
    pub server_generation: u64,
    pub client_generation: u64,
    /// `None` if a client acts for itself.
    #[serde(flatten)]
    pub user: Option<UserStamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserStamp {
    pub user_generation: u64,
    /// The user's standing authorization of the client.
    pub grant_id: String,
    /// The tokens of one authorization: one device.
    pub family_id: String,
    /// Always present in a JWT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_generation: Option<u64>,
}

impl Claims {
    /// Whether the token has this scope.
    pub fn allows(&self, scope: &str) -> bool {
        !scope.is_empty() && self.scope.split(' ').any(|word| word == scope)
    }

    /// The user, if the token is a user's.
    pub fn user(&self) -> Option<&str> {
        self.stamp.user.is_some().then_some(self.sub.as_str())
    }
}
