//! What an accepted token says.

use serde::Serialize;

/// What an accepted token says (RFC 9068 §2.2, RFC 7662 §2.2), by the names of the RFCs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// The user, or the client where no user is involved.
    pub sub: String,
    pub client_id: String,
    /// Words with a space between; ask with [`Claims::allows`].
    pub scope: String,
    /// The token's name. A server may leave it out of what it says about an opaque token.
    pub jti: Option<String>,
    /// Unix seconds.
    pub iat: i64,
    /// Unix seconds.
    pub exp: i64,
    #[serde(flatten)]
    pub stamp: Stamp,
    /// The key that signed it, if the guard has checked that itself: a token dies with its key.
    #[serde(skip)]
    pub kid: Option<String>,
}

/// What the token hangs on, and the generations at which it was made: it dies with any of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stamp {
    pub server_generation: u64,
    pub client_generation: u64,
    /// `None` where a client acts for itself.
    #[serde(flatten)]
    pub user: Option<UserStamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserStamp {
    pub user_generation: u64,
    /// The user's standing authorization of the client.
    pub grant_id: String,
    /// What one authorization gave: one device.
    pub family_id: String,
    /// Always there in a JWT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_generation: Option<u64>,
}

impl Claims {
    /// Whether `scope` is among the token's.
    pub fn allows(&self, scope: &str) -> bool {
        !scope.is_empty() && self.scope.split(' ').any(|word| word == scope)
    }

    /// The user, if the token stands for one.
    pub fn user(&self) -> Option<&str> {
        self.stamp.user.is_some().then_some(self.sub.as_str())
    }
}
