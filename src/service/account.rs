//! What people change about their own account.

use crate::model::audit::{Event, Object};
use crate::model::by::By;
use crate::model::id::{SessionId, UserId};
use crate::service::audit;
use crate::service::revoke::{self, Receipt};
use crate::store::users::Credentials;
use crate::store::{self, Denial, Store};

/// What a new password does to the apps that can reach the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppAccess {
    Keep,
    Revoke,
}

/// Changes a password. Every session ends, and with [`AppAccess::Revoke`] the apps' access too. Returns the credentials
/// for the next session, which are read in the same transaction.
///
/// # Errors
/// `Denied` if the account has changed since the current password was `checked`.
pub async fn change_password(
    store: &Store,
    checked: Credentials,
    password_hash: String,
    app_access: AppAccess,
    by: By,
) -> store::Result<(Receipt, Credentials)> {
    store
        .act(by, move |tx, by| {
            let user = &checked.user;
            tx.change_password(&checked, &password_hash)?;
            audit::record(tx, Event::PasswordChanged, Object::User(user.clone()), None, by)?;
            let receipt = match app_access {
                AppAccess::Keep => None,
                AppAccess::Revoke => revoke::all_grants_in(tx, user, by)?,
            };
            let changed = tx.credentials(user)?.ok_or(store::Error::Denied(Denial::SignedOut))?;
            Ok((receipt, changed))
        })
        .await
}

/// Ends one of a user's sessions. `false` if the user has no such session.
///
/// # Errors
/// When the store fails.
pub async fn end_session(store: &Store, session: SessionId, user: UserId, by: By) -> store::Result<bool> {
    store
        .act(by, move |tx, by| {
            if !tx.delete_session_of(&session, &user)? {
                return Ok(false);
            }
            let object = Object::Session { id: session.clone(), user: user.clone() };
            audit::record(tx, Event::SessionEnded, object, None, by)?;
            Ok(true)
        })
        .await
}
