//! The `clients` and `client_secrets` tables.

use std::ops::Deref;
use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::clock::Timestamp;
use crate::model::client::{Client, ClientField, ClientStatus};
use crate::model::id::{ClientId, ClientSecretId, UserId};
use crate::model::secret::Digest;
use crate::model::stamp::Generations;

use super::sql::{Row, from_row, params};
use super::{Error, Result, Store, Tx};

macro_rules! select {
    ($where:literal) => {
        concat!(
            "SELECT id, owner_id, name, publisher, kind, status, status_at, status_reason, generation, ",
            "token_format, grant_types, scope, redirect_uris, created_at, version FROM clients WHERE ",
            $where
        )
    };
}

const BY_ID: &str = select!("id = ?1");
const BY_OWNER: &str = select!("id = ?1 AND owner_id = ?2");
/// One row for each valid secret, or one without a secret. The newest secret has no end. If there are more than 8, the
/// limit keeps that one and those that end last.
const WITH_SECRETS: &str = "SELECT c.id, c.owner_id, c.name, c.publisher, c.kind, c.status, c.status_at, c.status_reason, \
    c.generation, c.token_format, c.grant_types, c.scope, c.redirect_uris, c.created_at, c.version, s.digest, \
    s.expires_at FROM clients AS c LEFT JOIN client_secrets AS s ON s.client_id = c.id \
    AND (s.expires_at IS NULL OR s.expires_at > ?2) WHERE c.id = ?1 \
    ORDER BY s.expires_at IS NULL DESC, s.expires_at DESC LIMIT 8";
const INSERT: &str = "INSERT INTO clients (id, owner_id, name, publisher, kind, status, status_at, status_reason, \
    generation, token_format, grant_types, scope, redirect_uris, created_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, 'active', ?10, '', 1, ?6, ?7, ?8, ?9, ?10)";
const INSERT_SECRET: &str = "INSERT INTO client_secrets (id, client_id, digest, created_at, expires_at) \
    VALUES (?1, ?2, ?3, ?4, NULL)";

const IS_OF: &str = "SELECT 1 FROM clients WHERE id = ?1 AND owner_id = ?2 AND status <> 'deleted'";
const EXISTS: &str = "SELECT 1 FROM clients WHERE id = ?1 AND status <> 'deleted'";
const MOVE_GENERATION: &str = "UPDATE clients SET generation = generation + 1 WHERE id = ?1 AND status <> 'deleted' \
    AND generation = coalesce(?2, generation) RETURNING generation";
const SHUT: &str = "UPDATE clients SET status = ?2, status_at = ?3, status_reason = ?4, generation = generation + 1 \
    WHERE id = ?1 AND (status = 'active' OR status = 'suspended' AND ?2 <> 'suspended') RETURNING generation";
const REINSTATE: &str = "UPDATE clients SET status = 'active', status_at = ?3, status_reason = '' \
    WHERE id = ?1 AND status = 'suspended' AND owner_id <> ?2 RETURNING generation";
const UPDATE: &str = "UPDATE clients SET name = ?3, publisher = ?4, redirect_uris = ?5, scope = ?6, token_format = ?7, \
    version = version + 1 \
    WHERE id = ?1 AND owner_id = ?2 AND status IN ('active', 'suspended')";
const SET_OWNER: &str = "UPDATE clients SET owner_id = ?2 WHERE id = ?1 AND status <> 'deleted'";
const BEGIN_JWT: &str = "INSERT INTO jwt_spells (client_id, began_at) VALUES (?1, ?2) \
    ON CONFLICT (client_id, began_at) DO UPDATE SET left_at = NULL";
const LEAVE_JWT: &str = "UPDATE jwt_spells SET left_at = ?2 WHERE client_id = ?1 AND left_at IS NULL";
/// Whether a client may have held JWTs at ?2: it had begun to get them by then, and still gets them or stopped after
/// ?3.
const HAD_JWTS: &str = "SELECT 1 FROM jwt_spells WHERE client_id = ?1 AND began_at <= ?2 \
    AND (left_at IS NULL OR left_at > ?3)";
const ANY_HAD_JWTS: &str = "SELECT 1 WHERE EXISTS (SELECT 1 FROM jwt_spells WHERE left_at IS NULL AND began_at <= ?1) \
    OR EXISTS (SELECT 1 FROM jwt_spells WHERE left_at > ?2 AND began_at <= ?1)";
const INSERT_CHANGE: &str = "INSERT INTO client_changes (client_id, at, field, earlier) VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT DO NOTHING";
const CHANGES: &str =
    "SELECT field, earlier FROM client_changes WHERE client_id = ?1 AND at > ?2 ORDER BY at LIMIT 50";
const HAS_CHANGED: &str = "SELECT 1 FROM client_changes WHERE client_id = ?1 AND at > ?2";
const EXPIRE_SECRETS: &str = "UPDATE client_secrets SET expires_at = ?2 WHERE client_id = ?1 \
    AND (expires_at IS NULL OR expires_at > ?2)";
const DELETE_SECRETS: &str = "DELETE FROM client_secrets WHERE client_id = ?1";
const SECRET_ROWS: &str = "SELECT id, created_at, expires_at FROM client_secrets WHERE client_id = ?1 \
    AND (expires_at IS NULL OR expires_at > ?2) ORDER BY expires_at IS NULL DESC, expires_at DESC LIMIT 8";
const OWNS_ANY: &str =
    "SELECT 1 FROM clients WHERE owner_id = ?1 AND status IN ('active', 'suspended') LIMIT 1";
const ACTIVE_OF_OWNER: &str = "SELECT id FROM clients WHERE owner_id = ?1 AND status = 'active' ORDER BY id";

/// The size of a thread's cache of clients.
const CACHED: usize = 256;

/// A valid secret, as its owner sees it.
#[derive(Clone, Debug)]
pub struct SecretRow {
    pub id: ClientSecretId,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

from_row! { SecretRow: id, created_at, expires_at }

/// What a registration said before a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientChange {
    pub field: ClientField,
    pub earlier: String,
}

/// A client and its secrets: more than one while a rotation overlaps.
#[derive(Debug)]
pub struct ClientAndSecrets {
    client: Client,
    secrets: Vec<(Digest, Option<Timestamp>)>,
}

impl ClientAndSecrets {
    /// Digests of the secrets that are valid at `now`.
    pub fn secrets(&self, now: Timestamp) -> impl Iterator<Item = &Digest> {
        let is_valid = move |end: &Option<Timestamp>| end.is_none_or(|end| now < end);
        self.secrets.iter().filter(move |(_, end)| is_valid(end)).map(|(digest, _)| digest)
    }
}

impl Deref for ClientAndSecrets {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// A cache of clients. It is thrown away when the version moves.
pub(super) struct CachedClients(Cache<ClientId, Arc<ClientAndSecrets>>);

impl Default for CachedClients {
    fn default() -> Self {
        Self(Cache::new(CACHED))
    }
}

/// From the first columns.
fn client(row: &Row<'_>) -> Result<Client> {
    Ok(Client {
        id: row.get(0)?,
        owner: row.get(1)?,
        name: row.get(2)?,
        publisher: row.get(3)?,
        kind: row.get(4)?,
        status: ClientStatus::stored(&row.get::<String>(5)?, row.get(6)?, row.get(7)?),
        generation: row.get(8)?,
        token_format: row.get(9)?,
        grant_types: row.get(10)?,
        scope: row.get(11)?,
        redirect_uris: row.get(12)?,
        created_at: row.get(13)?,
        version: row.get(14)?,
    })
}

impl Store {
    async fn read_client_and_secrets(
        &self,
        id: &ClientId,
        now: Timestamp,
    ) -> Result<Option<ClientAndSecrets>> {
        let row = |row: &Row<'_>| Ok((client(row)?, row.get::<Option<Digest>>(15)?, row.get(16)?));
        let mut rows = self.all(WITH_SECRETS, params![id, now], row).await?.into_iter().peekable();
        let Some((client, ..)) = rows.peek().cloned() else { return Ok(None) };
        let secrets = rows.filter_map(|(_, secret, end)| Some((secret?, end))).collect();
        Ok(Some(ClientAndSecrets { client, secrets }))
    }

    /// Whether a client may have held JWTs at `at`: it got them by then, and still does or stopped after `since`.
    pub async fn had_jwts(&self, client: &ClientId, at: Timestamp, since: Timestamp) -> Result<bool> {
        self.any(HAD_JWTS, params![client, at, since]).await
    }

    /// The same for any client. A drill's client never counts.
    pub async fn any_had_jwts(&self, at: Timestamp, since: Timestamp) -> Result<bool> {
        self.any(ANY_HAD_JWTS, params![at, since]).await
    }

    pub async fn client(&self, id: &ClientId) -> Result<Option<Client>> {
        self.one(BY_ID, params![id], client).await
    }

    /// `owner`'s, deleted ones included.
    pub async fn client_of(&self, id: &ClientId, owner: &UserId) -> Result<Option<Client>> {
        self.one(BY_OWNER, params![id, owner], client).await
    }

    /// A client and its secrets that are valid at `now`.
    pub async fn client_and_secrets(
        &self,
        id: &ClientId,
        now: Timestamp,
    ) -> Result<Option<Arc<ClientAndSecrets>>> {
        self.current_held().await?.client_and_secrets(id, now).await
    }

    pub(super) async fn client_and_secrets_at(
        &self,
        version: u64,
        id: &ClientId,
        now: Timestamp,
    ) -> Result<Option<Arc<ClientAndSecrets>>> {
        let cached = self.cached_clients.own();
        let cached = cached.get(version, async || Ok::<_, Error>(CachedClients::default())).await?;
        if let Some(known) = cached.0.get(id) {
            return Ok(Some(known));
        }
        let read = Box::pin(self.read_client_and_secrets(id, now)).await?.map(Arc::new);
        if let Some(read) = &read {
            cached.0.insert(id.clone(), read.clone());
        }
        Ok(read)
    }

    /// The generations that a client's own token is stamped with. `None` if the client may not act. Memory need not be
    /// current: a revocation that it has not heard of ends the token, which has the generation from before.
    pub async fn client_generations(&self, id: &ClientId, now: Timestamp) -> Result<Option<Generations>> {
        let client =
            self.held().client_and_secrets(id, now).await?.filter(|client| client.status.is_active());
        let server = self.published.dead.server_generation();
        Ok(client.map(|client| Generations { server, client: client.generation, user: None }))
    }

    /// What changed in a client's registration after `since`, oldest first.
    pub async fn client_changes(&self, id: &ClientId, since: Timestamp) -> Result<Vec<ClientChange>> {
        let change = |row: &Row<'_>| Ok(ClientChange { field: row.get(0)?, earlier: row.get(1)? });
        self.all(CHANGES, params![id, since], change).await
    }

    /// A client's valid secrets, newest first.
    pub async fn client_secret_rows(&self, id: &ClientId, now: Timestamp) -> Result<Vec<SecretRow>> {
        self.rows(SECRET_ROWS, params![id, now]).await
    }
}

impl Tx<'_> {
    pub fn insert_client(&self, client: &Client) -> Result<()> {
        self.run(
            INSERT,
            params![
                client.id,
                client.owner,
                client.name,
                client.publisher,
                client.kind,
                client.token_format,
                client.grant_types,
                client.scope,
                client.redirect_uris,
                client.created_at,
            ],
        )?;
        self.write_client_texts(client)
    }

    pub fn insert_client_secret(
        &self,
        id: &ClientSecretId,
        client: &ClientId,
        secret: &Digest,
        now: Timestamp,
    ) -> Result<()> {
        self.run(INSERT_SECRET, params![id, client, secret, now])?;
        self.version_moves();
        Ok(())
    }

    /// `owner`'s, and not deleted.
    pub fn client_is_of(&self, id: &ClientId, owner: &UserId) -> Result<bool> {
        self.any(IS_OF, params![id, owner])
    }

    pub fn client_exists(&self, id: &ClientId) -> Result<bool> {
        self.any(EXISTS, params![id])
    }

    /// Revokes all that was minted for the client so far. `None` for an unknown or deleted client, and if the
    /// generation is no longer the one that was `seen`.
    pub(super) fn move_client_generation(&self, id: &ClientId, seen: Option<i64>) -> Result<Option<i64>> {
        self.version_moves();
        self.one(MOVE_GENERATION, params![id, seen], |row| row.get(0))
    }

    /// Suspends, bans or deletes a client, and revokes all that was minted for it so far. `None` if it has this status
    /// already, or may not get it: banned and deleted clients stay so.
    pub(super) fn shut_client(&self, id: &ClientId, status: &ClientStatus) -> Result<Option<i64>> {
        self.version_moves();
        let (at, reason) = match status {
            ClientStatus::Suspended { at, reason } | ClientStatus::Banned { at, reason } => {
                (at, reason.as_str())
            }
            ClientStatus::Deleted { at } => (at, ""),
            ClientStatus::Active => return Ok(None),
        };
        let generation = self.one(SHUT, params![id, status.as_str(), at, reason], |row| row.get(0))?;
        // A suspended client may be reinstated.
        if generation.is_some() && !matches!(status, ClientStatus::Suspended { .. }) {
            self.note_jwt_left(id, *at)?;
        }
        Ok(generation)
    }

    /// Reinstates a suspended client; its earlier tokens stay revoked. `None` if it is not suspended, or `by` owns it.
    pub fn reinstate_client(&self, id: &ClientId, by: &UserId, now: Timestamp) -> Result<Option<i64>> {
        self.version_moves();
        self.one(REINSTATE, params![id, by, now], |row| row.get(0))
    }

    /// `false` unless it is `owner`'s, and neither banned nor deleted.
    pub fn update_client(&self, client: &Client, owner: &UserId) -> Result<bool> {
        let rows = self.run(
            UPDATE,
            params![
                client.id,
                owner,
                client.name,
                client.publisher,
                client.redirect_uris,
                client.scope,
                client.token_format,
            ],
        )?;
        self.version_moves();
        if rows == 1 {
            self.write_client_texts(client)?;
        }
        Ok(rows == 1)
    }

    /// Gives an app to another developer. `false` for an unknown or deleted one.
    pub fn set_client_owner(&self, client: &ClientId, owner: &UserId) -> Result<bool> {
        let rows = self.run(SET_OWNER, params![client, owner])?;
        self.version_moves();
        Ok(rows == 1)
    }

    /// Notes that a client gets JWTs from now on. A drill's client gets them without a note, since no API accepts them.
    pub fn note_jwt_begun(&self, client: &ClientId, now: Timestamp) -> Result<()> {
        self.run(BEGIN_JWT, params![client, now])?;
        Ok(())
    }

    /// Notes that a client gets no more JWTs. It may still hold some.
    pub fn note_jwt_left(&self, client: &ClientId, now: Timestamp) -> Result<()> {
        self.run(LEAVE_JWT, params![client, now])?;
        Ok(())
    }

    /// Stores what a registration said before a change.
    pub fn insert_client_change(
        &self,
        client: &ClientId,
        field: ClientField,
        earlier: &str,
        now: Timestamp,
    ) -> Result<()> {
        self.run(INSERT_CHANGE, params![client, now, field, earlier])?;
        Ok(())
    }

    /// Whether a registration has changed after `since`.
    pub fn client_has_changed(&self, client: &ClientId, since: Timestamp) -> Result<bool> {
        self.any(HAS_CHANGED, params![client, since])
    }

    /// Makes all secrets of a client expire at `at`, unless they expire earlier.
    pub fn expire_client_secrets(&self, client: &ClientId, at: Timestamp) -> Result<()> {
        self.run(EXPIRE_SECRETS, params![client, at])?;
        self.version_moves();
        Ok(())
    }

    pub fn delete_client_secrets(&self, client: &ClientId) -> Result<()> {
        self.run(DELETE_SECRETS, params![client])?;
        self.version_moves();
        Ok(())
    }

    pub fn active_clients_of(&self, owner: &UserId) -> Result<Vec<ClientId>> {
        self.all(ACTIVE_OF_OWNER, params![owner], |row| row.get(0))
    }

    /// Whether a person owns apps that need an owner. Banned apps need none.
    pub fn owns_clients(&self, owner: &UserId) -> Result<bool> {
        self.any(OWNS_ANY, params![owner])
    }

    /// As this transaction sees it.
    pub fn client(&self, id: &ClientId) -> Result<Option<Client>> {
        self.one(BY_ID, params![id], client)
    }
}
