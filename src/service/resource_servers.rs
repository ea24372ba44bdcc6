//! Changes and deletes resource servers.
//!
//! Nothing here ends a credential of an app or a person. A deleted resource server can no longer authenticate, and its
//! guards trust nothing, so nobody accepts what was issued for it. Its audience and the names of its scopes are never
//! used again, so what was issued or allowed for it never works for another resource server.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::model::audit::{Event, Object};
use crate::model::by::By;
use crate::model::id::ResourceServerId;
use crate::model::secret::ResourceServerSecret;
use crate::service::audit;
use crate::store::resource_servers::Described;
use crate::store::{self, Store, Tx};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("there is no such resource server")]
    NotFound,
    /// Somebody else has changed it since the form was shown.
    #[error("it has changed meanwhile")]
    Changed,
    #[error("it has no scope {0}")]
    NoScope(String),
    #[error("another resource server has or had a scope {0}")]
    ScopeTaken(String),
}

pub type Result<T> = std::result::Result<T, Error>;

/// What to change. The audience can't be changed, because tokens name the resource server by it.
#[derive(Debug, Default)]
pub struct Edit {
    /// `None` leaves it unchanged.
    pub name: Option<String>,
    /// Scopes to add, or to give another description: each name with what it allows in plain words.
    pub scopes: Vec<(String, String)>,
    /// Scopes to delete.
    pub deleted: Vec<String>,
    /// The version that a form showed. `None` for commands, which act on the current version.
    pub seen: Option<i64>,
}

/// Changes a resource server's name and scopes. If a scope's description changes, people who consented to the scope are
/// asked again.
///
/// # Errors
/// `NotFound`; `Changed`; `NoScope` if there is no such scope to delete; `ScopeTaken`.
pub async fn edit(store: &Store, id: ResourceServerId, edit: Edit, by: By) -> Result<()> {
    store
        .act(by, move |tx, by| {
            let before = tx.described_resource_server(&id)?.ok_or(Error::NotFound)?;
            if edit.seen.is_some_and(|seen| seen != before.version) {
                return Err(Error::Changed);
            }
            let mut changes = Vec::new();
            let name = edit.name.as_ref().unwrap_or(&before.name);
            if *name != before.name {
                changes.push("name".to_owned());
            }
            for (scope, words) in &edit.scopes {
                changes.extend(set_scope(tx, &id, &before, scope, words, by.at)?);
            }
            for scope in &edit.deleted {
                if !tx.delete_scope(scope, &id, by.at)? {
                    return Err(Error::NoScope(scope.clone()));
                }
                changes.push(format!("-{scope}"));
            }
            if changes.is_empty() {
                return Ok(());
            }
            tx.rename_resource_server(&id, name)?;
            let object = Object::ResourceServer(id.clone());
            Ok(audit::record(tx, Event::ResourceServerEdited, object, Some(changes.join(", ")), by)?)
        })
        .await
}

/// Adds a scope, or changes its description. Returns what changed, as the audit names it.
fn set_scope(
    tx: &Tx<'_>,
    id: &ResourceServerId,
    before: &Described,
    scope: &str,
    words: &str,
    now: Timestamp,
) -> Result<Option<String>> {
    match before.scopes.iter().find(|(name, _)| name == scope) {
        Some((_, earlier)) if earlier == words => Ok(None),
        Some((_, earlier)) => {
            tx.describe_scope(scope, id, words, now)?;
            Ok(Some(format!("{scope} (“{earlier}”)")))
        }
        None => match tx.insert_scope(scope, id, words) {
            Ok(()) => Ok(Some(format!("+{scope}"))),
            Err(store::Error::Exists) => Err(Error::ScopeTaken(scope.to_owned())),
            Err(error) => Err(error.into()),
        },
    }
}

/// Gives a resource server another secret. Earlier secrets work for `overlap` more. Without overlap, earlier secrets
/// are refused from now on, and streams that were opened with them end.
///
/// # Errors
/// `NotFound`.
pub async fn rotate_secret(
    store: &Store,
    id: ResourceServerId,
    overlap: Duration,
    by: By,
) -> Result<ResourceServerSecret> {
    let secret = ResourceServerSecret::generate();
    let digest = secret.digest();
    let rotated = store.act(by, move |tx, by| {
        tx.described_resource_server(&id)?.ok_or(Error::NotFound)?;
        tx.rotate_resource_server_secret(&id, &digest, by.at.plus(overlap), by.at)?;
        let object = Object::ResourceServer(id.clone());
        Ok(audit::record(tx, Event::ResourceServerSecretRotated, object, None, by)?)
    });
    rotated.await.map(|()| secret)
}

/// Deletes a resource server. Its secrets no longer work, its feeds end, and its connected guards trust nothing from
/// then on. No app can ask for its scopes, and refreshes leave them out. Its row stays, for receipts and histories.
///
/// # Errors
/// `NotFound`.
pub async fn delete(store: &Store, id: ResourceServerId, by: By) -> Result<()> {
    store
        .act(by, move |tx, by| {
            let before = tx.described_resource_server(&id)?.ok_or(Error::NotFound)?;
            tx.delete_resource_server(&id, by.at)?;
            let object = Object::ResourceServer(id.clone());
            Ok(audit::record(tx, Event::ResourceServerDeleted, object, Some(before.name), by)?)
        })
        .await
}
