//! Why a token is refused.

/// What was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Revoked {
    Token,
    Family,
    Grant,
    Client,
    User,
    Server,
    /// The key that signed the token was withdrawn.
    Key,
}

impl Revoked {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Family => "family",
            Self::Grant => "grant",
            Self::Client => "client",
            Self::User => "user",
            Self::Server => "server",
            Self::Key => "key",
        }
    }
}

/// Why a token is refused. The texts are for logs. A caller with a bad token is told only `invalid_token`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Not three parts of canonical base64url with JSON in them, too long, or with duplicate members.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// `alg` is not EdDSA or ES256, or not the algorithm of the key.
    #[error("the algorithm is not that of the key")]
    Algorithm,
    /// `typ` is not `at+jwt` (RFC 9068 §4). It may be an ID token, for example.
    #[error("typ is not at+jwt")]
    Type,
    /// A header member beyond `alg`, `typ` and `kid`.
    #[error("a header member that access tokens do not have")]
    Header,
    #[error("no accepted key has this kid")]
    UnknownKey,
    #[error("the signature does not fit")]
    Signature,
    #[error("iss is another")]
    Issuer,
    #[error("aud is another")]
    Audience,
    #[error("expired")]
    Expired,
    /// `iat` or `nbf` is in the future.
    #[error("not valid yet")]
    NotYetValid,
    /// It lives longer than revocations are kept.
    #[error("exp is more than an hour after iat")]
    Lifetime,
    /// A claim is missing or of the wrong type.
    #[error("claim {0} is missing or of the wrong type")]
    Claim(&'static str),
    /// It must come with proof of possession, which a guard can't check.
    #[error("bound to a key or certificate of its holder")]
    SenderConstrained,
    #[error("the {} was revoked", .0.as_str())]
    Revoked(Revoked),
    /// An opaque token with a wrong checksum: a typo.
    #[error("the checksum does not fit")]
    Checksum,
    /// An opaque token: [`Guard::check`](crate::Guard::check) may ask about it.
    #[error("an opaque token")]
    Opaque,
    /// The server says that it is not active.
    #[error("the server calls it inactive")]
    Inactive,
    /// The guard does not know the newest revocations, so it can't tell.
    #[error("the newest revocations are not known")]
    Stale,
    /// Introspection was needed, but gave no usable answer.
    #[error("the server could not be asked")]
    Unreachable,
}

impl Refusal {
    /// Whether this is about the guard, and says nothing about the token.
    pub const fn is_unknown(self) -> bool {
        matches!(self, Self::Stale | Self::Unreachable)
    }
}
