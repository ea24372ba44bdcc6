//! Gives an app to another developer.

use crate::model::audit::{Event, Object};
use crate::model::by::By;
use crate::model::client::ClientStatus;
use crate::model::id::{ClientId, UserId};
use crate::model::user::{Role, UserStatus, Username};
use crate::service::audit;
use crate::store::acts::Locks;
use crate::store::{self, Store};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("there is no such app")]
    NotFound,
    /// Nobody has this name.
    #[error("there is no such person")]
    NoOwner,
    /// The account is disabled, or its owner is no developer.
    #[error("the new owner has to be active, and a developer or an admin")]
    NotDeveloper,
    #[error("the app is theirs already")]
    SameOwner,
    /// Otherwise an admin could reinstate their own app.
    #[error("this is your own app, and it was taken out of use")]
    Oneself,
}

/// Gives an app to the developer with this name. It keeps its settings, status, secrets and tokens; only who may change
/// it is different.
///
/// # Errors
/// `Store`, or why the app can't be given to this person.
pub async fn client(store: &Store, id: ClientId, to: Username, by: By) -> Result<UserId, Error> {
    let found = store.user_id(&to).await?.ok_or(Error::NoOwner)?;
    let owner = found.clone();
    store
        .act_with(by, Locks::User(owner.clone()), move |tx, by| {
            let client = tx.locked_client(&id)?.ok_or(Error::NotFound)?;
            if matches!(client.status, ClientStatus::Deleted { .. }) {
                return Err(Error::NotFound);
            }
            if !client.status.is_active() && by.actor.id() == Some(client.owner.as_str()) {
                return Err(Error::Oneself);
            }
            let user = tx.user(&owner)?.ok_or(Error::NoOwner)?;
            if user.status != UserStatus::Active || user.role < Role::Developer {
                return Err(Error::NotDeveloper);
            }
            if client.owner == owner {
                return Err(Error::SameOwner);
            }
            tx.set_client_owner(&id, &owner)?;
            let detail = Some(user.username.to_string());
            Ok(audit::record(tx, Event::ClientHandedOver, Object::Client(id.clone()), detail, by)?)
        })
        .await?;
    Ok(found)
}
