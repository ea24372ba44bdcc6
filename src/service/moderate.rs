//! What admins give back, role changes, and unblocking an app. Nothing here ends or revives a credential.

use crate::model::act::{Act, Entry, Subject};
use crate::model::audit::{Event, Object};
use crate::model::by::By;
use crate::model::id::{ClientId, GrantId, ReceiptId, UserId};
use crate::model::user::{Role, UserStatus};
use crate::service::audit;
use crate::store::acts::Locks;
use crate::store::{self, Store};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("there is no such thing")]
    NotFound,
    /// Nobody may do this to their own account or app.
    #[error("this is your own account or app")]
    Oneself,
    /// Without an admin nobody could moderate.
    #[error("this is the last admin")]
    LastAdmin,
}

pub type Result<T> = std::result::Result<T, Error>;

/// An admin reinstates a suspended app. Its earlier tokens stay revoked, and its users have to consent again.
///
/// # Errors
/// `NotFound` for an unknown app; `Oneself` for the admin's own app.
pub async fn reinstate_client(store: &Store, client: ClientId, admin: UserId, by: By) -> Result<()> {
    store
        .act(by, move |tx, by| {
            let owner = tx.client(&client)?.ok_or(Error::NotFound)?.owner;
            if owner == admin {
                return Err(Error::Oneself);
            }
            let Some(generation) = tx.reinstate_client(&client, &admin, by.at)? else { return Ok(()) };
            let entry = Entry {
                receipt: ReceiptId::generate(by.at),
                act: Act::ClientReinstated,
                subject: Subject::Client { id: client.clone(), generation },
                grant: None,
                client: Some(client.clone()),
                user: None,
            };
            tx.record_act(&entry, by)?;
            Ok(())
        })
        .await
}

/// An admin enables a disabled account. Its earlier tokens and sessions stay revoked.
///
/// # Errors
/// `NotFound` for an unknown account; `Oneself`.
pub async fn enable_user(store: &Store, user: UserId, by: By) -> Result<()> {
    store
        .act_with(by, Locks::User(user.clone()), move |tx, by| {
            if by.actor.id() == Some(user.as_str()) {
                return Err(Error::Oneself);
            }
            tx.user(&user)?.ok_or(Error::NotFound)?;
            let Some(generation) = tx.enable_user(&user, by.at)? else { return Ok(()) };
            let entry = Entry {
                receipt: ReceiptId::generate(by.at),
                act: Act::UserEnabled,
                subject: Subject::User { id: user.clone(), generation },
                grant: None,
                client: None,
                user: Some(user.clone()),
            };
            tx.record_act(&entry, by)?;
            Ok(())
        })
        .await
}

/// Changes a person's role. It counts from their next request on.
///
/// # Errors
/// `NotFound`; `Oneself`, if `by` is this person; `LastAdmin`.
pub async fn set_role(store: &Store, user: UserId, role: Role, by: By) -> Result<()> {
    store
        .act_with(by, Locks::AdminsAnd(user.clone()), move |tx, by| {
            if by.actor.id() == Some(user.as_str()) {
                return Err(Error::Oneself);
            }
            if role != Role::Admin && tx.is_last_admin(&user)? {
                return Err(Error::LastAdmin);
            }
            tx.user(&user)?
                .filter(|user| !matches!(user.status, UserStatus::Deleted { .. }))
                .ok_or(Error::NotFound)?;
            let Some(generation) = tx.set_role(&user, role)? else { return Ok(()) };
            let receipt = ReceiptId::generate(by.at);
            let entry = Entry {
                receipt: receipt.clone(),
                act: Act::RoleChanged,
                subject: Subject::User { id: user.clone(), generation },
                grant: None,
                client: None,
                user: Some(user.clone()),
            };
            tx.record_act(&entry, by)?;
            Ok(tx.insert_note(&receipt, by, Some(role.as_str()))?)
        })
        .await
}

/// A user lets a blocked app ask again. `grant` is the grant that the app had.
///
/// # Errors
/// When the store fails.
pub async fn lift_block(
    store: &Store,
    grant: GrantId,
    client: ClientId,
    user: UserId,
    by: By,
) -> store::Result<()> {
    store
        .act(by, move |tx, by| {
            if !tx.delete_block(&user, &client)? {
                return Ok(());
            }
            let object = Object::Grant { id: grant.clone(), client: client.clone(), user: user.clone() };
            audit::record(tx, Event::AppUnblocked, object, None, by)
        })
        .await
}
