//! Registering users, clients and resource servers.

use std::time::Duration;

use crate::model::audit::{Event, Object};
use crate::model::by::By;
use crate::model::client::{
    AppName, Client, ClientField, ClientKind, ClientStatus, GrantTypes, RedirectUri, RedirectUris,
    TokenFormat,
};
use crate::model::id::{ClientId, ClientSecretId, ResourceServerId, UserId};
use crate::model::password::Password;
use crate::model::resource_server::{Guarding, ResourceServer};
use crate::model::scope::Scope;
use crate::model::secret::{ClientSecret, ResourceServerSecret};
use crate::model::user::{Role, UserStatus, Username};
use crate::service::audit;
use crate::service::sign_in::{HashError, Passwords};
use crate::store::acts::Locks;
use crate::store::{self, Store, Tx};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Hash(#[from] HashError),
    /// A banned app sent people to one of these hosts or URI schemes.
    #[error("a redirect address leads to a banned domain")]
    BannedRedirect,
    /// Another developer's app has a name that looks the same but is not the same.
    #[error("the name looks like that of another developer's app")]
    LooksLikeAnother,
    #[error("there is no such app of yours")]
    NotFound,
    /// The account was deleted meanwhile.
    #[error("the owner's account has been deleted")]
    NoOwner,
}

pub type Result<T> = std::result::Result<T, Error>;

/// The data of a new account.
#[derive(Debug)]
pub struct NewUser {
    pub username: Username,
    pub email: Option<String>,
    pub role: Role,
    pub password: Password,
}

/// # Errors
/// `store::Error::Exists` when the name is taken.
pub async fn user(store: &Store, passwords: &Passwords, new: NewUser, by: By) -> Result<UserId> {
    let NewUser { username, email, role, password } = new;
    let hash = passwords.hash(password).await?;
    let id = UserId::generate(by.at);
    let made = id.clone();
    store
        .act(by, move |tx, by| {
            tx.insert_user(&id, &username, email.as_deref(), role, &hash, by.at)?;
            let role = (role != Role::User).then(|| role.as_str().to_owned());
            audit::record(tx, Event::AccountCreated, Object::User(id.clone()), role, by)
        })
        .await?;
    Ok(made)
}

/// An operator sets a user's password. Sessions that began under an earlier one end. `None` for an unknown name.
///
/// # Errors
/// When hashing or the store fails.
pub async fn set_password(
    store: &Store,
    passwords: &Passwords,
    username: Username,
    password: Password,
    by: By,
) -> Result<Option<UserId>> {
    let hash = passwords.hash(password).await?;
    let set = store.act(by, move |tx, by| {
        let Some(id) = tx.set_password(&username, &hash)? else { return Ok(None) };
        audit::record(tx, Event::PasswordChanged, Object::User(id.clone()), None, by)?;
        Ok::<_, store::Error>(Some(id))
    });
    Ok(set.await?)
}

/// The data of a new client.
#[derive(Debug)]
pub struct NewClient {
    pub owner: UserId,
    pub name: AppName,
    pub publisher: String,
    pub kind: ClientKind,
    pub token_format: TokenFormat,
    pub grant_types: GrantTypes,
    pub scope: Option<Scope>,
    pub redirect_uris: Vec<RedirectUri>,
}

fn refuse_banned(tx: &Tx<'_>, uris: &[RedirectUri]) -> Result<()> {
    for uri in uris {
        if tx.is_banned(uri)? {
            return Err(Error::BannedRedirect);
        }
    }
    Ok(())
}

fn refuse_look_alike(tx: &Tx<'_>, client: &Client) -> Result<()> {
    if tx.looks_like_another(client)? { Err(Error::LooksLikeAnother) } else { Ok(()) }
}

/// Locks the owner's account, so that it does not end before the app is there.
fn lock_owner(tx: &Tx<'_>, owner: &UserId) -> Result<()> {
    tx.lock_user(owner)?;
    let known = tx.user(owner)?.filter(|owner| !matches!(owner.status, UserStatus::Deleted { .. }));
    known.map(drop).ok_or(Error::NoOwner)
}

/// Registers a client. A confidential one gets a secret, which can't be read again later.
///
/// # Errors
/// `NoOwner`; `BannedRedirect`; `LooksLikeAnother`.
pub async fn client(store: &Store, new: NewClient, by: By) -> Result<(ClientId, Option<ClientSecret>)> {
    let now = by.at;
    let client = Client {
        id: ClientId::generate(now),
        owner: new.owner,
        name: new.name,
        publisher: new.publisher,
        kind: new.kind,
        status: ClientStatus::Active,
        generation: 1,
        version: 1,
        token_format: new.token_format,
        grant_types: new.grant_types,
        scope: new.scope,
        redirect_uris: RedirectUris::new(new.redirect_uris),
        created_at: now,
    };
    let id = client.id.clone();
    let secret = (client.kind == ClientKind::Confidential).then(ClientSecret::generate);
    let digest = secret.as_ref().map(ClientSecret::digest);
    store
        .act_with(by, Locks::Server, move |tx, by| {
            lock_owner(tx, &client.owner)?;
            refuse_banned(tx, &client.redirect_uris)?;
            refuse_look_alike(tx, &client)?;
            tx.insert_client(&client)?;
            if client.token_format == TokenFormat::Jwt {
                tx.note_jwt_begun(&client.id, now)?;
            }
            if let Some(digest) = digest {
                tx.insert_client_secret(&ClientSecretId::generate(now), &client.id, &digest, now)?;
            }
            audit::record(tx, Event::ClientRegistered, Object::Client(client.id.clone()), None, by)?;
            Ok::<_, Error>(())
        })
        .await?;
    Ok((id, secret))
}

/// What a developer may change in a registration.
#[derive(Debug)]
pub struct ClientEdit {
    pub name: AppName,
    pub publisher: String,
    pub redirect_uris: Vec<RedirectUri>,
    pub scope: Option<Scope>,
    /// The format of new tokens. Existing tokens stay as they are.
    pub token_format: TokenFormat,
}

/// Changes a registration. Earlier names, publishers and redirect domains are stored, so that users see the change at
/// their next consent.
///
/// # Errors
/// `NotFound` unless the app is the owner's, and neither banned nor deleted; `BannedRedirect`;
/// `LooksLikeAnother`.
pub async fn edit_client(store: &Store, id: ClientId, owner: UserId, edit: ClientEdit, by: By) -> Result<()> {
    store
        .act_with(by, Locks::Server, move |tx, by| {
            let now = by.at;
            refuse_banned(tx, &edit.redirect_uris)?;
            let before = tx.locked_client(&id)?.ok_or(Error::NotFound)?;
            let after = Client {
                name: edit.name.clone(),
                publisher: edit.publisher.clone(),
                redirect_uris: RedirectUris::new(edit.redirect_uris.clone()),
                scope: edit.scope.clone(),
                token_format: edit.token_format,
                ..before.clone()
            };
            if before.name != after.name {
                refuse_look_alike(tx, &after)?;
            }
            if !tx.update_client(&after, &owner)? {
                return Err(Error::NotFound);
            }
            match (before.token_format, after.token_format) {
                (TokenFormat::Opaque, TokenFormat::Jwt) => tx.note_jwt_begun(&id, now)?,
                (TokenFormat::Jwt, TokenFormat::Opaque) => tx.note_jwt_left(&id, now)?,
                (TokenFormat::Opaque, TokenFormat::Opaque) | (TokenFormat::Jwt, TokenFormat::Jwt) => {}
            }
            if before.name != after.name {
                tx.insert_client_change(&id, ClientField::Name, before.name.as_str(), now)?;
            }
            if before.publisher != after.publisher {
                tx.insert_client_change(&id, ClientField::Publisher, &before.publisher, now)?;
            }
            if before.redirect_uris != after.redirect_uris {
                tx.insert_client_change(
                    &id,
                    ClientField::RedirectUris,
                    &before.redirect_uris.domains(),
                    now,
                )?;
            }
            let fields = Some(edited_fields(&before, &after)).filter(|fields| !fields.is_empty());
            Ok(audit::record(tx, Event::ClientEdited, Object::Client(id.clone()), fields, by)?)
        })
        .await
}

/// The fields of a registration that differ, as the audit names them.
fn edited_fields(before: &Client, after: &Client) -> String {
    let fields = [
        ("name", before.name != after.name),
        ("publisher", before.publisher != after.publisher),
        ("redirect_uris", before.redirect_uris != after.redirect_uris),
        ("scope", before.scope != after.scope),
        ("token_format", before.token_format != after.token_format),
    ];
    let edited: Vec<_> = fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect();
    edited.join(", ")
}

/// Gives a confidential client another secret. Earlier secrets work for `overlap` more. No token ends.
///
/// # Errors
/// `NotFound` unless the app is the owner's, active and confidential.
pub async fn rotate_secret(
    store: &Store,
    id: ClientId,
    owner: UserId,
    overlap: Duration,
    by: By,
) -> Result<ClientSecret> {
    let secret = ClientSecret::generate();
    let digest = secret.digest();
    let rotated = store.act(by, move |tx, by| {
        let now = by.at;
        let client =
            tx.locked_client(&id)?.filter(|client| client.owner == owner && client.status.is_active());
        client.filter(|client| client.kind == ClientKind::Confidential).ok_or(Error::NotFound)?;
        tx.expire_client_secrets(&id, now.plus(overlap))?;
        tx.insert_client_secret(&ClientSecretId::generate(now), &id, &digest, now)?;
        Ok(audit::record(tx, Event::ClientSecretRotated, Object::Client(id.clone()), None, by)?)
    });
    rotated.await.map(|()| secret)
}

/// The data of a new resource server. Each scope has a description of what it allows, in plain words.
#[derive(Debug)]
pub struct NewResourceServer {
    pub name: String,
    pub audience: String,
    pub scopes: Vec<(String, String)>,
    pub guarding: Guarding,
}

/// # Errors
/// `store::Error::Exists` when the audience or one of the scopes is taken.
pub async fn resource_server(
    store: &Store,
    new: NewResourceServer,
    by: By,
) -> Result<(ResourceServerId, ResourceServerSecret)> {
    let secret = ResourceServerSecret::generate();
    let id = ResourceServerId::generate(by.at);
    let server = ResourceServer::new(id, &new.name, &new.audience, secret.digest(), new.guarding);
    let id = server.id.clone();
    store
        .act_with(by, Locks::Server, move |tx, by| {
            tx.insert_resource_server(&server, by.at)?;
            let mut scopes = new.scopes.iter();
            scopes.try_for_each(|(name, description)| tx.insert_scope(name, &server.id, description))?;
            let object = Object::ResourceServer(server.id.clone());
            audit::record(tx, Event::ResourceServerRegistered, object, None, by)
        })
        .await?;
    Ok((id, secret))
}

/// Changes whether a resource server's guards are waited for, and how long they may go on without an answer. It counts
/// from their next acknowledgement on.
///
/// # Errors
/// `NotFound`.
pub async fn guarding(store: &Store, id: ResourceServerId, guarding: Guarding, by: By) -> Result<()> {
    store
        .act(by, move |tx, by| {
            if !tx.update_guarding(&id, guarding)? {
                return Err(Error::NotFound);
            }
            let fields = Some("guard, max_staleness".to_owned());
            Ok(audit::record(
                tx,
                Event::ResourceServerEdited,
                Object::ResourceServer(id.clone()),
                fields,
                by,
            )?)
        })
        .await
}
