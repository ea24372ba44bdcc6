//! What people change about their own account.

use crate::model::act::By;
use crate::model::id::{SessionId, UserId};
use crate::model::user::Username;
use crate::service::revoke::{self, Receipt};
use crate::store::{self, Store};

/// What a new password does to the apps that can reach the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apps {
    Keep,
    Revoke,
}

/// Changes a password; every session ends, and the apps' access too if so chosen.
///
/// # Errors
/// When the store fails.
pub async fn change_password(
    store: &Store,
    user: UserId,
    username: Username,
    password_hash: String,
    apps: Apps,
    by: By,
) -> store::Result<Receipt> {
    store
        .write(move |tx| {
            tx.set_password(&username, &password_hash)?;
            match apps {
                Apps::Keep => Ok(None),
                Apps::Revoke => revoke::all_grants_in(tx, &user, &by),
            }
        })
        .await
}

/// Signs one of a user's browsers out. `false` unless there is such a session of theirs.
///
/// # Errors
/// When the store fails.
pub async fn end_session(store: &Store, session: SessionId, user: UserId) -> store::Result<bool> {
    store.write(move |tx| tx.delete_session_of(&session, &user)).await
}
