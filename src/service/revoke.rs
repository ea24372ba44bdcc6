//! The one door: everything that takes access away.
//!
//! Each verb decides who may, then makes the one call that does all of it: [`Tx::revoke`] moves a generation or a status,
//! writes the ledger row, makes dead what hung on it, and queues the purge, in one transaction. It counts nothing and
//! finds nothing, so its cost does not grow with what it ends. Repeating an act is success without effect.
//!
//! What ends credentials elsewhere, with its own reason:
//! - [`keys`](super::keys): withdrawing a signing key ends the JWTs that it signed, of whatever app or user.
//! - [`restore`](super::restore): a restored backup ends everything, and does again what the ledger says.
//! - [`register`](super::register), [`resource_servers`](super::resource_servers): a rotated client or resource server
//!   secret ends with its overlap; no token depends on it.
//! - [`account`](super::account), [`sign_in`](super::sign_in): sessions end by signing out, and with the password.
//! - [`drill`](super::drill): what belongs to the drill's own app and account, which nobody else uses.

use crate::clock::Timestamp;
use crate::jwt::claims::Claims;
use crate::jwt::token::Reader;
use crate::model::act::{ACCEPTED_AFTER_EXPIRY, Act};
use crate::model::audit::{Event, Object};
use crate::model::by::By;
use crate::model::client::{Client, ClientStatus};
use crate::model::id::{ClientId, FamilyId, GrantId, ReceiptId, UserId};
use crate::model::resource_server::AudienceSet;
use crate::model::secret::{AccessToken, RefreshToken};
use crate::model::user::UserStatus;
use crate::service::audit;
use crate::store::access_tokens::OwnedToken;
use crate::store::purges::DeletedRows;
use crate::store::revocations::Target;
use crate::store::users::Credentials;
use crate::store::{self, Store, Tx};

/// Why nothing was revoked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    /// There is no such thing, or it is somebody else's.
    #[error("there is no such thing")]
    NotFound,
    /// Nobody does this to their own account.
    #[error("this is your own account")]
    Oneself,
    /// Nobody could moderate any more.
    #[error("this is the last admin")]
    LastAdmin,
    /// Apps need an owner.
    #[error("the account still owns apps")]
    HasApps,
    /// Of the client's own JWTs, too many are revoked one by one.
    #[error("too many tokens of this client are revoked one by one: revoke all of its tokens instead")]
    TooMany,
}

/// JWTs of a client that are revoked one by one and that a guard may still accept.
const MOST_REVOKED_TOKENS: i64 = 1_000;

pub type Result<T> = std::result::Result<T, Error>;

/// What an act ended; `None` where it had ended before.
pub type Receipt = Option<ReceiptId>;

/// Does it, under a receipt of its own.
fn act(tx: &Tx<'_>, act: Act, target: Target<'_>, by: &By) -> store::Result<Receipt> {
    let receipt = ReceiptId::generate(by.at);
    Ok(tx.revoke(target, act, &receipt, by)?.then_some(receipt))
}

/// Closes a family: one device loses its access. For use inside the transaction that proved why.
///
/// # Errors
/// When the store fails.
pub fn close_family(tx: &Tx<'_>, family: &FamilyId, why: Act, by: &By) -> store::Result<Receipt> {
    act(tx, why, Target::Family(family), by)
}

/// A user signs one device of an app out.
///
/// # Errors
/// `NotFound` unless the device is the user's, under that grant.
pub async fn device(
    store: &Store,
    owner: UserId,
    grant: GrantId,
    family: FamilyId,
    by: By,
) -> Result<Receipt> {
    store
        .act(by, move |tx, by| {
            if !tx.family_is_of(&family, &grant, &owner)? {
                return Err(Error::NotFound);
            }
            Ok(close_family(tx, &family, Act::DeviceSignedOut, by)?)
        })
        .await
}

/// Several grants end under one receipt.
fn end_grants(tx: &Tx<'_>, grants: &[GrantId], by: &By) -> store::Result<Receipt> {
    let receipt = ReceiptId::generate(by.at);
    let mut any = false;
    for grant in grants {
        any |= tx.revoke(Target::Grant(grant), Act::AppRevoked, &receipt, by)?;
    }
    Ok(any.then_some(receipt))
}

/// Whether revoked apps may ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    Allowed,
    /// Not until the user lifts it.
    Blocked,
}

/// A user revokes apps: the grants end, and with them every device.
///
/// # Errors
/// `NotFound` if one of them is not the user's; then none ends.
pub async fn grants(
    store: &Store,
    owner: UserId,
    grants: Vec<GrantId>,
    asking: Asking,
    by: By,
) -> Result<Receipt> {
    store
        .act(by, move |tx, by| {
            for grant in &grants {
                let client = tx.grant_client(grant, &owner)?.ok_or(Error::NotFound)?;
                if asking == Asking::Blocked && tx.insert_block(&owner, &client, by.at)? {
                    let object = Object::Grant { id: grant.clone(), client, user: owner.clone() };
                    audit::record(tx, Event::AppBlocked, object, None, by)?;
                }
            }
            Ok(end_grants(tx, &grants, by)?)
        })
        .await
}

/// A user revokes all apps that can reach the account now.
///
/// # Errors
/// When the store fails.
pub async fn all_grants(store: &Store, owner: UserId, by: By) -> Result<Receipt> {
    store.act(by, move |tx, by| Ok(all_grants_in(tx, &owner, by)?)).await
}

/// The same, inside the transaction of another act.
///
/// # Errors
/// When the store fails.
pub fn all_grants_in(tx: &Tx<'_>, owner: &UserId, by: &By) -> store::Result<Receipt> {
    end_grants(tx, &tx.open_grants_of(owner)?, by)
}

/// An operator ends a grant, whosever it is.
///
/// # Errors
/// `NotFound` for an unknown one.
pub async fn any_grant(store: &Store, grant: GrantId, by: By) -> Result<Receipt> {
    store
        .act(by, move |tx, by| {
            if !tx.grant_exists(&grant)? {
                return Err(Error::NotFound);
            }
            Ok(act(tx, Act::AppRevoked, Target::Grant(&grant), by)?)
        })
        .await
}

/// Who may act on a client.
#[derive(Clone, Debug)]
pub enum Authority {
    /// Its own developer, and nobody else.
    Owner(UserId),
    /// An admin or operator, on any client.
    Provider,
}

impl Authority {
    fn check(&self, tx: &Tx<'_>, client: &ClientId) -> Result<()> {
        let may_act = match self {
            Self::Owner(owner) => tx.client_is_of(client, owner)?,
            Self::Provider => tx.client_exists(client)?,
        };
        if may_act { Ok(()) } else { Err(Error::NotFound) }
    }
}

/// All user tokens of a client die, and the tokens that it got for itself; the client goes on.
///
/// `seen` is the generation that the person saw when they decided: if it has moved since, nothing
/// happens.
///
/// # Errors
/// `NotFound` unless there is such a client under that authority.
pub async fn client_tokens(
    store: &Store,
    client: ClientId,
    authority: Authority,
    seen: Option<i64>,
    by: By,
) -> Result<Receipt> {
    store
        .act(by, move |tx, by| {
            authority.check(tx, &client)?;
            Ok(act(tx, Act::UserTokensRevoked, Target::TokensOfClient(&client, seen), by)?)
        })
        .await
}

/// A drill revokes its canary: like [`client_tokens`], for whoever follows the canary alone.
///
/// # Errors
/// `NotFound` unless `client` is the canary.
pub async fn canary(store: &Store, client: ClientId, seen: i64, by: By) -> Result<Receipt> {
    store
        .act(by, move |tx, by| {
            if tx.canary_client()?.as_ref() != Some(&client) {
                return Err(Error::NotFound);
            }
            Ok(act(tx, Act::CanaryRevoked, Target::TokensOfClient(&client, Some(seen)), by)?)
        })
        .await
}

/// A developer or an operator deletes an app: everything it holds dies, its secrets go, and it never comes back.
///
/// # Errors
/// `NotFound` unless there is such a client under that authority; a banned app can't be deleted, so that its ban stands.
pub async fn delete_client(store: &Store, client: ClientId, authority: Authority, by: By) -> Result<Receipt> {
    store
        .act(by, move |tx, by| {
            authority.check(tx, &client)?;
            let status = ClientStatus::Deleted { at: by.at };
            let deleted = act(tx, Act::ClientDeleted, Target::Client(&client, &status), by)?;
            tx.delete_client_secrets(&client)?;
            Ok(Some(deleted.ok_or(Error::NotFound)?))
        })
        .await
}

/// `by.reason` is the sentence that its users read.
pub(super) fn suspend_in(tx: &Tx<'_>, client: &ClientId, by: &By) -> store::Result<Receipt> {
    let reason = by.reason.clone().unwrap_or_default();
    let status = ClientStatus::Suspended { at: by.at, reason };
    act(tx, Act::ClientSuspended, Target::Client(client, &status), by)
}

/// An admin suspends an app; `reason` is the sentence that its users read.
///
/// # Errors
/// `NotFound` for an unknown app.
pub async fn suspend_client(store: &Store, client: ClientId, reason: String, by: By) -> Result<Receipt> {
    store
        .act(by.because(reason), move |tx, by| {
            Authority::Provider.check(tx, &client)?;
            Ok(suspend_in(tx, &client, by)?)
        })
        .await
}

/// The hosts that a banned app sent people to: refused at registration.
pub(super) fn ban_domains(tx: &Tx<'_>, banned: &Client, at: Timestamp) -> store::Result<()> {
    banned.redirect_uris.remote_domains().iter().try_for_each(|domain| tx.ban_domain(domain, &banned.id, at))
}

/// An admin bans an app for good: the hosts that it sent people to are refused at registration.
///
/// # Errors
/// `NotFound` for an unknown app.
pub async fn ban_client(store: &Store, client: ClientId, reason: String, by: By) -> Result<Receipt> {
    store
        .act(by.because(reason), move |tx, by| {
            let banned = tx.client(&client)?.ok_or(Error::NotFound)?;
            let reason = by.reason.clone().unwrap_or_default();
            let status = ClientStatus::Banned { at: by.at, reason };
            let receipt = act(tx, Act::ClientBanned, Target::Client(&client, &status), by)?;
            if receipt.is_some() {
                // A ban is for good: like a deleted client's, its secrets open nothing ever again.
                tx.delete_client_secrets(&client)?;
                ban_domains(tx, &banned, by.at)?;
            }
            Ok(receipt)
        })
        .await
}

/// All that was ever given for a user dies, sessions included; the account goes on.
///
/// `seen` is the generation that the person saw when they decided: if it has moved since, nothing
/// happens.
///
/// # Errors
/// `NotFound` for an unknown or deleted user.
pub async fn user(store: &Store, user: UserId, seen: Option<i64>, by: By) -> Result<Receipt> {
    store
        .act(by, move |tx, by| {
            // Who is deleted has nothing left, and no command or page names them.
            let found = tx.user(&user)?.filter(|user| !matches!(user.status, UserStatus::Deleted { .. }));
            found.ok_or(Error::NotFound)?;
            Ok(act(tx, Act::UserRevoked, Target::TokensOfUser(&user, seen), by)?)
        })
        .await
}

/// "My account was taken over": like [`user`], with another password in the same transaction.
///
/// # Errors
/// `Denied` when the account has moved since the present password was `checked`.
pub async fn taken_over_account(
    store: &Store,
    checked: Credentials,
    password_hash: String,
    by: By,
) -> Result<(ReceiptId, Credentials)> {
    store
        .act(by, move |tx, by| {
            let user = &checked.user;
            tx.change_password(&checked, &password_hash)?;
            let receipt = act(tx, Act::AccountTakenOver, Target::TokensOfUser(user, None), by)?;
            Ok((receipt.ok_or(Error::NotFound)?, tx.credentials(user)?.ok_or(Error::NotFound)?))
        })
        .await
}

/// What becomes of a disabled developer's apps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apps {
    Keep,
    /// Suspended; their users read the same reason.
    Suspend,
}

/// An admin disables an account, and suspends its apps unless told otherwise.
///
/// # Errors
/// `NotFound` for an unknown user; `LastAdmin`; `Oneself`.
pub async fn disable_user(store: &Store, user: UserId, apps: Apps, by: By) -> Result<Receipt> {
    store
        .act(by, move |tx, by| {
            tx.user(&user)?.ok_or(Error::NotFound)?;
            if by.actor.id() == Some(user.as_str()) {
                return Err(Error::Oneself);
            }
            if tx.is_last_admin(&user)? {
                return Err(Error::LastAdmin);
            }
            let status = UserStatus::Disabled { at: by.at };
            let receipt = act(tx, Act::UserDisabled, Target::User(&user, &status), by)?;
            if receipt.is_some() && apps == Apps::Suspend {
                for client in tx.active_clients_of(&user)? {
                    suspend_in(tx, &client, by)?;
                }
            }
            Ok(receipt)
        })
        .await
}

/// A user deletes their account: everything given for it dies, and who it belonged to is forgotten.
///
/// # Errors
/// `HasApps` while apps of theirs are registered; `LastAdmin`.
pub async fn delete_user(store: &Store, user: UserId, by: By) -> Result<Receipt> {
    store
        .act(by, move |tx, by| {
            tx.user(&user)?.ok_or(Error::NotFound)?;
            if tx.is_last_admin(&user)? {
                return Err(Error::LastAdmin);
            }
            if tx.owns_clients(&user)? {
                return Err(Error::HasApps);
            }
            let status = UserStatus::Deleted { at: by.at };
            let receipt = act(tx, Act::UserDeleted, Target::User(&user, &status), by)?;
            if receipt.is_some() {
                tx.erase_user(&user)?;
                tx.erase_addresses(&user)?;
            }
            Ok(receipt)
        })
        .await
}

/// A copy of the database takes its place: all that was ever minted dies, in this history and in any other.
/// Nobody serves it yet, so the rows go with the act.
pub(super) fn everything_in(tx: &Tx<'_>, by: &By) -> store::Result<(ReceiptId, DeletedRows)> {
    let receipt = ReceiptId::generate(by.at);
    let deleted = tx.revoke_everything(&receipt, by)?;
    Ok((receipt, deleted))
}

/// A token as RFC 7009 requests carry one; its text tells its type, whatever the hint says.
pub enum Token {
    Access(AccessToken),
    /// An access token that was signed here.
    Jwt(Box<Claims>),
    Refresh(RefreshToken),
}

impl Token {
    /// `None` for what is no token of this server.
    pub fn read(text: &str, reader: &Reader) -> Option<Self> {
        AccessToken::parse(text)
            .map(Self::Access)
            .or_else(|| RefreshToken::parse(text).map(Self::Refresh))
            .or_else(|| reader.read(text).map(|claims| Self::Jwt(Box::new(claims))))
    }
}

/// What became of a token.
#[derive(Debug, PartialEq, Eq)]
pub enum TokenRevocation {
    Revoked(ReceiptId),
    /// Unknown, expired or revoked before: nothing to do (RFC 7009 §2.2).
    Nothing,
    /// It is another client's, and lives on (RFC 7009 §2.1).
    NotYours,
}

impl TokenRevocation {
    fn of(receipt: Receipt) -> Self {
        receipt.map_or(Self::Nothing, Self::Revoked)
    }
}

/// A token is revoked, by its client or, where `client` is `None`, by whoever shows it.
///
/// An access token's row goes, or, for a JWT, a row with its id comes; with a refresh token its
/// family closes, access tokens included (RFC 7009 §2.1).
///
/// # Errors
/// `TooMany`, or when the store fails: the caller must then assume that the token still works.
pub async fn token(store: &Store, token: Token, client: Option<ClientId>, by: By) -> Result<TokenRevocation> {
    store
        .act(by, move |tx, by| match &token {
            Token::Access(token) => access_token(tx, token, client.as_ref(), by),
            Token::Jwt(claims) => jwt(tx, claims, client.as_ref(), by),
            Token::Refresh(token) => {
                let Some((owner, family)) = tx.refresh_token_owner(&token.digest())? else {
                    return Ok(TokenRevocation::Nothing);
                };
                if client.as_ref().is_some_and(|client| *client != owner) {
                    return Ok(TokenRevocation::NotYours);
                }
                Ok(TokenRevocation::of(close_family(tx, &family, Act::RefreshTokenRevoked, by)?))
            }
        })
        .await
}

fn access_token(
    tx: &Tx<'_>,
    token: &AccessToken,
    client: Option<&ClientId>,
    by: &By,
) -> Result<TokenRevocation> {
    let digest = token.digest();
    let Some(owned) = tx.owned_access_token(&digest)? else { return Ok(TokenRevocation::Nothing) };
    if client.is_some_and(|client| *client != owned.client) {
        return Ok(TokenRevocation::NotYours);
    }
    let revoked = act(tx, Act::AccessTokenRevoked, Target::AccessToken(&digest, owned), by)?;
    Ok(TokenRevocation::of(revoked))
}

/// A JWT has no row that could go, so its id is kept for as long as a guard may accept the token. Guards accept it for
/// a while after its `exp` (RFC 7519 §4.1.4), so one that has expired is recorded during that while as well.
///
/// Each is an entry that every guard has to hold; a client that mints and revokes in bulk closes
/// families instead. Its own tokens (client_credentials) have none: of all that they hang on, the
/// next is the client itself, and to end its users' access nobody has asked. They are refused then,
/// and expire within the hour at most.
fn jwt(tx: &Tx<'_>, claims: &Claims, client: Option<&ClientId>, by: &By) -> Result<TokenRevocation> {
    let Some(stamp) = claims.stamp().filter(|_| by.at < claims.expires_at().plus(ACCEPTED_AFTER_EXPIRY))
    else {
        return Ok(TokenRevocation::Nothing);
    };
    if client.is_some_and(|client| *client != stamp.client) {
        return Ok(TokenRevocation::NotYours);
    }
    if tx.is_revoked_token(&claims.jti)? {
        return Ok(TokenRevocation::Nothing);
    }
    let accepted_since = by.at.minus(ACCEPTED_AFTER_EXPIRY);
    if tx.count_revoked_tokens(&stamp.client, accepted_since, MOST_REVOKED_TOKENS)? == MOST_REVOKED_TOKENS {
        let family = stamp.family.as_ref().ok_or(Error::TooMany)?;
        return Ok(TokenRevocation::of(close_family(tx, family, Act::AccessTokenRevoked, by)?));
    }
    let owned = OwnedToken {
        client: stamp.client,
        grant: stamp.grant,
        user: stamp.user,
        audiences: AudienceSet::stored(claims.aud.as_str()),
    };
    let token = Target::Jwt(&claims.jti, claims.expires_at(), owned);
    Ok(TokenRevocation::of(act(tx, Act::AccessTokenRevoked, token, by)?))
}
