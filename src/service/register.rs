//! Registering users, clients and resource servers.

use crate::clock::Timestamp;
use crate::model::client::{AppName, Client, ClientKind, ClientStatus, GrantTypes, RedirectUri, TokenFormat};
use crate::model::id::{ClientId, ClientSecretId, ResourceServerId, UserId};
use crate::model::password::Password;
use crate::model::resource_server::ResourceServer;
use crate::model::scope::Scope;
use crate::model::secret::{ClientSecret, ResourceServerSecret};
use crate::model::user::{Role, Username};
use crate::service::sign_in::{HashError, Passwords};
use crate::store::{self, Store};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Hash(#[from] HashError),
}

pub type Result<T> = std::result::Result<T, Error>;

/// A person to be.
#[derive(Debug)]
pub struct NewUser {
    pub username: Username,
    pub email: Option<String>,
    pub role: Role,
    pub password: Password,
}

/// # Errors
/// `store::Error::Exists` when the name is taken.
pub async fn user(store: &Store, passwords: &Passwords, new: NewUser, now: Timestamp) -> Result<UserId> {
    let NewUser { username, email, role, password } = new;
    let hash = passwords.hash(password).await?;
    let id = UserId::generate(now);
    let made = id.clone();
    store.write(move |tx| tx.insert_user(&id, &username, email.as_deref(), role, &hash, now)).await?;
    Ok(made)
}

/// Gives a user another password; sessions that began under the old one end. `None` for an
/// unknown name.
///
/// # Errors
/// When hashing or the store fails.
pub async fn set_password(
    store: &Store,
    passwords: &Passwords,
    username: Username,
    password: Password,
) -> Result<Option<UserId>> {
    let hash = passwords.hash(password).await?;
    Ok(store.write(move |tx| tx.set_password(&username, &hash)).await?)
}

/// A client to be.
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

/// Registers a client; a confidential one gets its secret, which nobody can read again.
///
/// # Errors
/// When the store fails.
pub async fn client(
    store: &Store,
    new: NewClient,
    now: Timestamp,
) -> Result<(ClientId, Option<ClientSecret>)> {
    let client = Client {
        id: ClientId::generate(now),
        owner: new.owner,
        name: new.name,
        publisher: new.publisher,
        kind: new.kind,
        status: ClientStatus::Active,
        generation: 1,
        token_format: new.token_format,
        grant_types: new.grant_types,
        scope: new.scope,
        redirect_uris: new.redirect_uris,
        created_at: now,
    };
    let id = client.id.clone();
    let secret = (client.kind == ClientKind::Confidential).then(ClientSecret::generate);
    let digest = secret.as_ref().map(ClientSecret::digest);
    store
        .write(move |tx| {
            tx.insert_client(&client)?;
            if let Some(digest) = digest {
                tx.insert_client_secret(&ClientSecretId::generate(now), &client.id, &digest, now)?;
            }
            Ok::<_, store::Error>(())
        })
        .await?;
    Ok((id, secret))
}

/// A resource server to be, with its scopes and what each allows in plain words.
#[derive(Debug)]
pub struct NewResourceServer {
    pub name: String,
    pub audience: String,
    pub scopes: Vec<(String, String)>,
}

/// # Errors
/// `store::Error::Exists` when the audience or one of the scopes is taken.
pub async fn resource_server(
    store: &Store,
    new: NewResourceServer,
    now: Timestamp,
) -> Result<(ResourceServerId, ResourceServerSecret)> {
    let secret = ResourceServerSecret::generate();
    let server = ResourceServer {
        id: ResourceServerId::generate(now),
        name: new.name,
        audience: new.audience,
        secret: secret.digest(),
    };
    let id = server.id.clone();
    store
        .write(move |tx| {
            tx.insert_resource_server(&server, now)?;
            new.scopes
                .iter()
                .try_for_each(|(name, description)| tx.insert_scope(name, &server.id, description))
        })
        .await?;
    Ok((id, secret))
}
