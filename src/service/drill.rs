//! What a drill needs and leaves: one client with its owner, one resource server, and the result.

use crate::clock::Timestamp;
use crate::model::canary::{AUDIENCE, NAME, Outcome, PUBLISHER, SCOPE};
use crate::model::client::{
    AppName, Client, ClientKind, ClientStatus, GrantType, GrantTypes, RedirectUris, TokenFormat,
};
use crate::model::id::{ClientId, ClientSecretId, ResourceServerId, UserId, random62};
use crate::model::resource_server::{Guarding, ResourceServer};
use crate::model::scope::Scope;
use crate::model::secret::{ClientSecret, Digest, ResourceServerSecret};
use crate::model::user::{Role, UserStatus, Username};
use crate::store::revocations::Target;
use crate::store::{self, Store, Tx};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    /// An admin or a restoration suspended it.
    #[error("the drill's app {0} is suspended: reinstate it at /admin/apps/{0}")]
    Suspended(ClientId),
    #[error("a constant of the drill is not what it should be")]
    Constant,
}

/// The canary, ready for one drill. Secrets of earlier drills no longer work.
#[derive(Debug)]
pub struct PreparedCanary {
    pub client: ClientId,
    pub client_secret: ClientSecret,
    /// The client's current generation.
    pub generation: i64,
    pub server: ResourceServerId,
    pub server_secret: ResourceServerSecret,
}

/// Prepares a drill. Client and resource server are created once and used by every drill, so that any number of drills
/// leaves one of each.
///
/// # Errors
/// `Suspended`; `store::Error::Exists` if the canary's scope is another resource server's.
pub async fn begin(store: &Store, now: Timestamp) -> Result<PreparedCanary, Error> {
    let (client_secret, server_secret) = (ClientSecret::generate(), ResourceServerSecret::generate());
    let (client_digest, server_digest) = (client_secret.digest(), server_secret.digest());
    let made = store.write(move |tx| {
        tx.lock_server()?;
        let server = guarded(tx, &server_digest, now)?;
        let client = client(tx, now)?;
        tx.delete_client_secrets(&client.id)?;
        tx.insert_client_secret(&ClientSecretId::generate(now), &client.id, &client_digest, now)?;
        Ok::<_, Error>((client, server))
    });
    let (Client { id: client, generation, .. }, server) = made.await?;
    Ok(PreparedCanary { client, client_secret, generation, server, server_secret })
}

fn guarded(tx: &Tx<'_>, secret: &Digest, now: Timestamp) -> Result<ResourceServerId, Error> {
    if let Some(known) = tx.replace_resource_server_secret(AUDIENCE, secret)? {
        return Ok(known);
    }
    let id = ResourceServerId::generate(now);
    let server = ResourceServer::new(id, NAME, AUDIENCE, *secret, Guarding::default());
    tx.insert_resource_server(&server, now)?;
    tx.insert_scope(SCOPE, &server.id, NAME)?;
    Ok(server.id)
}

/// The app of earlier drills, or a new one if there is none or it was banned or deleted.
fn client(tx: &Tx<'_>, now: Timestamp) -> Result<Client, Error> {
    let known = tx.canary_client()?.map(|id| tx.client(&id)).transpose()?.flatten();
    let owner = match known {
        Some(client) if client.status.is_active() => return Ok(client),
        Some(Client { id, status: ClientStatus::Suspended { .. }, .. }) => return Err(Error::Suspended(id)),
        Some(Client { owner, .. }) => owner,
        None => nobody(tx, now)?,
    };
    let client = Client {
        id: ClientId::generate(now),
        owner,
        name: AppName::parse(NAME).map_err(|_| Error::Constant)?,
        publisher: PUBLISHER.to_owned(),
        kind: ClientKind::Confidential,
        status: ClientStatus::Active,
        generation: 1,
        version: 1,
        token_format: TokenFormat::Jwt,
        grant_types: GrantTypes::new(vec![GrantType::ClientCredentials]),
        scope: Some(Scope::from_iter([SCOPE])),
        redirect_uris: RedirectUris::default(),
        created_at: now,
    };
    tx.insert_client(&client)?;
    tx.set_canary_client(&client.id)?;
    Ok(client)
}

/// Creates the owner of the drill's app: an account that nobody can sign in to, since it has no password and is
/// disabled.
fn nobody(tx: &Tx<'_>, now: Timestamp) -> Result<UserId, Error> {
    let id = UserId::generate(now);
    let username = Username::parse(&format!("rescind-drill-{}", random62(8))).ok_or(Error::Constant)?;
    tx.insert_user(&id, &username, None, Role::User, "", now)?;
    tx.end_silently(Target::User(&id, &UserStatus::Disabled { at: now }), now)?;
    Ok(id)
}

/// Stores a drill's result in place of the last one. `false` if no drill ever began.
///
/// # Errors
/// When the store fails.
pub async fn end(store: &Store, outcome: Outcome, now: Timestamp) -> store::Result<bool> {
    store.write(move |tx| tx.end_drill(outcome, now)).await
}
