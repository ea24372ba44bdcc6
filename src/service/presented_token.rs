//! A token that was sent to be revoked (RFC 7009): what it is, and what has to end.

use crate::clock::Timestamp;
use crate::jwt::claims::Claims;
use crate::jwt::token::Reader;
use crate::model::act::{ACCEPTED_AFTER_EXPIRY, Act};
use crate::model::id::{ClientId, FamilyId, ReceiptId};
use crate::model::resource_server::AudienceSet;
use crate::model::secret::{AccessToken, Digest, RefreshToken};
use crate::store::access_tokens::{OwnedToken, owned_access_token};
use crate::store::{self, Lookup, Tx};

/// At most this many JWTs of a client are revoked one by one, of those that a guard could still accept.
const MOST_REVOKED_TOKENS: i64 = 1_000;

/// A token of an RFC 7009 request. Its text tells its type, whatever the hint says.
pub enum Token {
    Access(AccessToken),
    /// An access token that was signed here.
    Jwt(Box<Claims>),
    Refresh(RefreshToken),
}

/// The result of a token's revocation.
#[derive(Debug, PartialEq, Eq)]
pub enum TokenRevocation {
    Revoked(ReceiptId),
    /// Unknown, expired or revoked already: nothing to do (RFC 7009 §2.2).
    Nothing,
    /// It is another client's, and stays valid (RFC 7009 §2.1).
    NotYours,
}

/// What a token's revocation has to end.
pub(super) enum Found {
    /// As [`TokenRevocation::Nothing`].
    Nothing,
    /// As [`TokenRevocation::NotYours`].
    NotYours,
    /// An opaque access token: its row is deleted.
    AccessToken(Digest, OwnedToken),
    /// A JWT: a row with its id is added.
    Jwt(String, Timestamp, OwnedToken),
    /// The family of a refresh token, or of a JWT if too many are revoked one by one already.
    Family(FamilyId, Act),
    /// [`MOST_REVOKED_TOKENS`] of the client's own JWTs are revoked already.
    TooMany,
}

impl Token {
    /// `None` if it is not a token of this server.
    pub fn read(text: &str, reader: &Reader) -> Option<Self> {
        AccessToken::parse(text)
            .map(Self::Access)
            .or_else(|| RefreshToken::parse(text).map(Self::Refresh))
            .or_else(|| reader.read(text).map(|claims| Self::Jwt(Box::new(claims))))
    }

    /// What [`Self::find`] looks up first.
    pub(super) fn first_lookup(&self) -> Option<Lookup> {
        match self {
            Self::Access(token) => Some(owned_access_token(&token.digest())),
            Self::Jwt(_) | Self::Refresh(_) => None,
        }
    }

    /// What has to end if `client` asks for it, or anybody if it is `None`.
    pub(super) fn find(
        &self,
        tx: &Tx<'_>,
        client: Option<&ClientId>,
        now: Timestamp,
    ) -> store::Result<Found> {
        let is_anothers = |owner: &ClientId| client.is_some_and(|client| client != owner);
        match self {
            Self::Access(token) => {
                let digest = token.digest();
                Ok(match tx.owned_access_token(&digest)? {
                    None => Found::Nothing,
                    Some(owned) if is_anothers(&owned.client) => Found::NotYours,
                    Some(owned) => Found::AccessToken(digest, owned),
                })
            }
            Self::Jwt(claims) => find_jwt(tx, claims, is_anothers, now),
            Self::Refresh(token) => Ok(match tx.refresh_token_owner(&token.digest())? {
                None => Found::Nothing,
                Some((owner, _)) if is_anothers(&owner) => Found::NotYours,
                Some((_, family)) => Found::Family(family, Act::RefreshTokenRevoked),
            }),
        }
    }
}

/// A JWT has no row that could be deleted, so its id is stored as long as a guard may accept the token. Guards may
/// accept it for a while after its `exp` (RFC 7519 §4.1.4), so an expired token is recorded during that time too.
///
/// Every guard has to hold each of these entries. So for a client that has [`MOST_REVOKED_TOKENS`], the token's family
/// is closed instead. The client's own tokens (client_credentials) have no family: all else that they depend on is the
/// client itself, and nobody has asked to end its users' access. So their revocation is refused. They expire within an
/// hour.
fn find_jwt(
    tx: &Tx<'_>,
    claims: &Claims,
    is_anothers: impl Fn(&ClientId) -> bool,
    now: Timestamp,
) -> store::Result<Found> {
    let is_accepted = now < claims.expires_at().plus(ACCEPTED_AFTER_EXPIRY);
    let Some(stamp) = claims.stamp().filter(|_| is_accepted) else { return Ok(Found::Nothing) };
    if is_anothers(&stamp.client) {
        return Ok(Found::NotYours);
    }
    if tx.is_revoked_token(&claims.jti)? {
        return Ok(Found::Nothing);
    }
    let accepted_since = now.minus(ACCEPTED_AFTER_EXPIRY);
    if tx.count_revoked_tokens(&stamp.client, accepted_since, MOST_REVOKED_TOKENS)? == MOST_REVOKED_TOKENS {
        return Ok(stamp
            .family
            .map_or(Found::TooMany, |family| Found::Family(family, Act::AccessTokenRevoked)));
    }
    let owned = OwnedToken {
        client: stamp.client,
        grant: stamp.grant,
        user: stamp.user,
        audiences: AudienceSet::stored(claims.aud.as_str()),
    };
    Ok(Found::Jwt(claims.jti.clone(), claims.expires_at(), owned))
}
