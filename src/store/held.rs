//! What is kept in memory, used before it is known to be current.
//!
//! On PostgreSQL other servers write too, so whoever uses memory has to ask the database whether it is current. Most
//! callers ask first, and once for all that they need ([`Store::current_held`]). Introspection takes what it needs as it
//! is, asks once at the end, and begins again if memory was behind ([`Held::was_current`]): rows that it read are then
//! no older than what memory says of them.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::model::id::{ClientId, ResourceServerId};
use crate::model::resource_server::ResourceServer;
use crate::model::secret::Digest;

use super::access_tokens::AccessTokenFacts;
use super::clients::ClientAndSecrets;
use super::resource_servers::{Registered, Scopes};
use super::{Result, Store};

/// The memory of a store, and the version that it had.
#[derive(Clone, Copy)]
pub struct Held<'s> {
    store: &'s Store,
    version: u64,
}

impl Store {
    /// # Errors
    /// As [`Store::current`].
    pub async fn current_held(&self) -> Result<Held<'_>> {
        self.current().await?;
        Ok(self.held())
    }

    pub fn held(&self) -> Held<'_> {
        Held { store: self, version: self.published.version() }
    }
}

impl Held<'_> {
    /// Asks whether all registrations that were taken from here were current. What is dead is current from then on,
    /// whatever the answer ([`Store::is_dead_here`]).
    ///
    /// # Errors
    /// When the database can't be asked.
    pub async fn was_current(&self) -> Result<bool> {
        self.store.current().await?;
        Ok(self.store.published.version() == self.version)
    }

    pub const fn version(&self) -> u64 {
        self.version
    }

    async fn registered(&self) -> Result<Arc<Registered>> {
        self.store.registered_at(self.version).await
    }

    /// A resource server that is registered, perhaps the drill's.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn resource_server(&self, id: &ResourceServerId) -> Result<Option<ResourceServer>> {
        Ok(self.registered().await?.server(id).cloned())
    }

    /// # Errors
    /// When the store fails.
    pub async fn scopes(&self) -> Result<Scopes> {
        Ok(self.registered().await?.scopes.clone())
    }

    /// A client and its secrets that are valid at `now`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn client_and_secrets(
        &self,
        id: &ClientId,
        now: Timestamp,
    ) -> Result<Option<Arc<ClientAndSecrets>>> {
        self.store.client_and_secrets_at(self.version, id, now).await
    }

    /// An access token that has not expired. It may have been revoked: that is asked last, of
    /// [`Store::is_dead_here`].
    ///
    /// # Errors
    /// When the store fails.
    pub async fn access_token(&self, token: &Digest, now: Timestamp) -> Result<Option<AccessTokenFacts>> {
        self.store.access_token_facts(token, now).await
    }
}
