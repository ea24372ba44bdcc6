//! The one door: everything that takes access away.
//!
//! Each verb checks who may act, then makes one call: [`Tx::revoke`] moves a generation or a status, writes the ledger
//! row, marks as dead all that depends on it, and queues the purge, in one transaction. It does not count or look up
//! what it ends, so its cost does not grow with that. Repeating an act changes nothing.
//!
//! Some credentials end elsewhere, for their own reasons:
//! - [`keys`](super::keys): the withdrawal of a signing key ends the JWTs that it signed, for every app and user.
//! - [`restore`](super::restore): a restored backup ends everything, and does again what the ledger says.
//! - [`register`](super::register), [`resource_servers`](super::resource_servers): a rotated secret of a client or
//!   resource server ends with its overlap. No token depends on it.
//! - [`account`](super::account), [`sign_in`](super::sign_in), [`register`](super::register): sessions end by sign-out,
//!   and when the password changes.
//! - [`drill`](super::drill): secrets of the drill's app, and its owner's account, which nobody else uses.

use crate::model::act::Act;
use crate::model::audit::{Event, Object};
use crate::model::by::By;
use crate::model::client::ClientStatus;
use crate::model::id::{ClientId, FamilyId, GrantId, ReceiptId, UserId};
use crate::model::user::UserStatus;
use crate::service::audit;
pub use crate::service::authority::Authority;
use crate::service::presented_token::Found;
pub use crate::service::presented_token::{Token, TokenRevocation};
use crate::store::acts::Locks;
use crate::store::purges::DeletedRows;
use crate::store::revocations::Target;
use crate::store::users::Credentials;
use crate::store::{self, Store, Tx};

/// Why nothing was revoked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    /// It does not exist, or it is somebody else's.
    #[error("there is no such thing")]
    NotFound,
    /// Nobody may do this to their own account.
    #[error("this is your own account")]
    Oneself,
    /// Without an admin nobody could moderate.
    #[error("this is the last admin")]
    LastAdmin,
    /// Apps need an owner.
    #[error("the account still owns apps")]
    HasApps,
    /// Too many of the client's own JWTs were revoked one by one.
    #[error("too many tokens of this client are revoked one by one: revoke all of its tokens instead")]
    TooMany,
}

pub type Result<T> = std::result::Result<T, Error>;

/// The receipt of what an act ended. `None` if it had ended already.
pub type Receipt = Option<ReceiptId>;

/// Does one act under its own receipt.
fn act(tx: &Tx<'_>, act: Act, target: Target<'_>, by: &By) -> store::Result<Receipt> {
    let receipt = ReceiptId::generate(by.at);
    Ok(tx.revoke(target, act, &receipt, by)?.then_some(receipt))
}

/// Closes a family: one device loses its access. To be called in the transaction that found the reason.
///
/// # Errors
/// When the store fails.
pub fn close_family(tx: &Tx<'_>, family: &FamilyId, why: Act, by: &By) -> store::Result<Receipt> {
    act(tx, why, Target::Family(family), by)
}

/// A user signs out one device of an app.
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

/// Ends several grants under one receipt.
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
    /// Not until the user unblocks them.
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
        .act_with(by, Locks::User(owner.clone()), move |tx, by| {
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

/// A user revokes all apps with an open grant.
///
/// # Errors
/// When the store fails.
pub async fn all_grants(store: &Store, owner: UserId, by: By) -> Result<Receipt> {
    store.act_with(by, Locks::User(owner.clone()), move |tx, by| Ok(all_grants_in(tx, &owner, by)?)).await
}

/// The same, in the transaction of another act, which has locked or changed the user's row.
pub(super) fn all_grants_in(tx: &Tx<'_>, owner: &UserId, by: &By) -> store::Result<Receipt> {
    end_grants(tx, &tx.open_grants_of(owner)?, by)
}

/// An operator ends any user's grant.
///
/// # Errors
/// `NotFound` for an unknown one.
pub async fn any_grant(store: &Store, grant: GrantId, by: By) -> Result<Receipt> {
    store
        .act(by, move |tx, by| {
            tx.lock_user(&tx.grant_owner(&grant)?.ok_or(Error::NotFound)?)?;
            Ok(act(tx, Act::AppRevoked, Target::Grant(&grant), by)?)
        })
        .await
}

/// Revokes all user tokens of a client, and the tokens that it got for itself. The client stays active.
///
/// `seen` is the generation that the person saw when they decided. If it has moved since, nothing happens.
///
/// # Errors
/// `NotFound` unless there is such a client and `authority` may act on it.
pub async fn client_tokens(
    store: &Store,
    client: ClientId,
    authority: Authority,
    seen: Option<i64>,
    by: By,
) -> Result<Receipt> {
    store
        .act(by, move |tx, by| {
            if !authority.may_act(tx, &client)? {
                return Err(Error::NotFound);
            }
            Ok(act(tx, Act::UserTokensRevoked, Target::TokensOfClient(&client, seen), by)?)
        })
        .await
}

/// A drill revokes its canary: like [`client_tokens`], but only guards that follow the canary are told.
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

/// A developer or an operator deletes an app: its tokens are revoked, its secrets are deleted, and it never comes back.
///
/// # Errors
/// `NotFound` unless there is such a client and `authority` may act on it. Also for a banned app: it can't be deleted,
/// so that its ban stays.
pub async fn delete_client(store: &Store, client: ClientId, authority: Authority, by: By) -> Result<Receipt> {
    store
        .act(by, move |tx, by| {
            if !authority.may_act(tx, &client)? {
                return Err(Error::NotFound);
            }
            let status = ClientStatus::Deleted { at: by.at };
            let deleted = act(tx, Act::ClientDeleted, Target::Client(&client, &status), by)?;
            let deleted = deleted.ok_or(Error::NotFound)?;
            tx.delete_client_secrets(&client)?;
            Ok(Some(deleted))
        })
        .await
}

/// `by.reason` is the reason that the app's users read.
pub(super) fn suspend_in(tx: &Tx<'_>, client: &ClientId, by: &By) -> store::Result<Receipt> {
    let status = ClientStatus::Suspended { at: by.at, reason: by.reason.clone().unwrap_or_default() };
    act(tx, Act::ClientSuspended, Target::Client(client, &status), by)
}

/// An admin suspends an app. Its users read `reason`.
///
/// # Errors
/// `NotFound` for an unknown app.
pub async fn suspend_client(store: &Store, client: ClientId, reason: String, by: By) -> Result<Receipt> {
    store
        .act(by.because(reason), move |tx, by| {
            if !tx.client_exists(&client)? {
                return Err(Error::NotFound);
            }
            Ok(suspend_in(tx, &client, by)?)
        })
        .await
}

/// An admin bans an app for good. Registrations that use its redirect domains are refused from then on.
///
/// # Errors
/// `NotFound` for an unknown app.
pub async fn ban_client(store: &Store, client: ClientId, reason: String, by: By) -> Result<Receipt> {
    store
        .act_with(by.because(reason), Locks::Server, move |tx, by| {
            let banned = tx.locked_client(&client)?.ok_or(Error::NotFound)?;
            let status = ClientStatus::Banned { at: by.at, reason: by.reason.clone().unwrap_or_default() };
            let receipt = act(tx, Act::ClientBanned, Target::Client(&client, &status), by)?;
            if receipt.is_some() {
                // A ban is for good, so its secrets are never needed again.
                tx.delete_client_secrets(&client)?;
                tx.ban_domains_of(&banned, by.at)?;
            }
            Ok(receipt)
        })
        .await
}

/// Revokes all that was ever issued for a user, sessions included. The account stays active.
///
/// `seen` is the generation that the person saw when they decided. If it has moved since, nothing happens.
///
/// # Errors
/// `NotFound` for an unknown or deleted user.
pub async fn user(store: &Store, user: UserId, seen: Option<i64>, by: By) -> Result<Receipt> {
    store
        .act_with(by, Locks::User(user.clone()), move |tx, by| {
            // A deleted account has nothing left, and no command or page names it.
            let found = tx.user(&user)?.filter(|user| !matches!(user.status, UserStatus::Deleted { .. }));
            found.ok_or(Error::NotFound)?;
            Ok(act(tx, Act::UserRevoked, Target::TokensOfUser(&user, seen), by)?)
        })
        .await
}

/// "My account was taken over": like [`user`], with a new password in the same transaction.
///
/// # Errors
/// `Denied` if the account has changed since the current password was `checked`.
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

/// What happens to a disabled developer's apps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apps {
    Keep,
    /// Suspend them. Their users read the same reason.
    Suspend,
}

/// An admin disables an account, and with [`Apps::Suspend`] suspends its apps.
///
/// # Errors
/// `NotFound` for an unknown user; `LastAdmin`; `Oneself`.
pub async fn disable_user(store: &Store, user: UserId, apps: Apps, by: By) -> Result<Receipt> {
    store
        .act_with(by, Locks::AdminsAnd(user.clone()), move |tx, by| {
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

/// A user deletes their account: everything issued for it is revoked, and whose account it was is erased.
///
/// # Errors
/// `HasApps` while the user owns active or suspended apps; `LastAdmin`.
pub async fn delete_user(store: &Store, user: UserId, by: By) -> Result<Receipt> {
    store
        .act_with(by, Locks::AdminsAnd(user.clone()), move |tx, by| {
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

/// Revokes all that was ever minted, in this history of the database and in any other. For a restored copy that nobody
/// serves yet, so the rows are deleted at once.
pub(super) fn everything_in(tx: &Tx<'_>, by: &By) -> store::Result<(ReceiptId, DeletedRows)> {
    let receipt = ReceiptId::generate(by.at);
    let deleted = tx.revoke_everything(&receipt, by)?;
    Ok((receipt, deleted))
}

/// Revokes a token, for its client or, if `client` is `None`, for any caller that shows it. An access token ends alone,
/// a refresh token with its family, access tokens included (RFC 7009 §2.1).
///
/// # Errors
/// `TooMany`, or when the store fails. The caller must then assume that the token still works.
pub async fn token(store: &Store, token: Token, client: Option<ClientId>, by: By) -> Result<TokenRevocation> {
    store
        .act_after(token.first_lookup(), by, Locks::Actor, move |tx, by| {
            tx.waits_for_earlier_acts();
            let receipt = match token.find(tx, client.as_ref(), by.at)? {
                Found::Nothing => None,
                Found::NotYours => return Ok(TokenRevocation::NotYours),
                Found::TooMany => return Err(Error::TooMany),
                Found::AccessToken(digest, owned) => {
                    act(tx, Act::AccessTokenRevoked, Target::AccessToken(&digest, owned), by)?
                }
                Found::Jwt(id, expires_at, owned) => {
                    act(tx, Act::AccessTokenRevoked, Target::Jwt(&id, expires_at, owned), by)?
                }
                Found::Family(family, why) => close_family(tx, &family, why, by)?,
            };
            Ok(receipt.map_or(TokenRevocation::Nothing, TokenRevocation::Revoked))
        })
        .await
}
