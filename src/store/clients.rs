//! The `clients` and `client_secrets` tables.

use rusqlite::{OptionalExtension, params};

use crate::clock::Timestamp;
use crate::model::client::{Client, ClientStatus, RedirectUri};
use crate::model::id::{ClientId, ClientSecretId};
use crate::model::secret::Digest;

use super::{Result, Store, Tx};

const BY_ID: &str = "SELECT id, owner_id, name, publisher, kind, status, status_at, status_reason, generation, \
    token_format, grant_types, scope, redirect_uris, created_at FROM clients WHERE id = ?1";
const SECRETS: &str = "SELECT digest FROM client_secrets WHERE client_id = ?1 \
    AND (expires_at IS NULL OR expires_at > ?2) LIMIT 8";
const INSERT: &str = "INSERT INTO clients (id, owner_id, name, publisher, kind, status, status_at, status_reason, \
    generation, token_format, grant_types, scope, redirect_uris, created_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, 'active', ?10, '', 1, ?6, ?7, ?8, ?9, ?10)";
const INSERT_SECRET: &str = "INSERT INTO client_secrets (id, client_id, digest, created_at, expires_at) \
    VALUES (?1, ?2, ?3, ?4, NULL)";

const MOVE_GENERATION: &str = "UPDATE clients SET generation = generation + 1 WHERE id = ?1 AND status <> 'deleted' RETURNING generation";

/// What `store::plans` looks at.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[BY_ID, SECRETS, MOVE_GENERATION];

fn client(row: &rusqlite::Row<'_>) -> rusqlite::Result<Client> {
    let at = row.get(6)?;
    let reason = row.get(7)?;
    let uris = row.get_ref(12)?.as_str()?.lines().filter_map(|uri| RedirectUri::parse(uri).ok());
    Ok(Client {
        id: row.get(0)?,
        owner: row.get(1)?,
        name: row.get(2)?,
        publisher: row.get(3)?,
        kind: row.get(4)?,
        status: match row.get_ref(5)?.as_str()? {
            "active" => ClientStatus::Active,
            "suspended" => ClientStatus::Suspended { at, reason },
            "banned" => ClientStatus::Banned { at, reason },
            _ => ClientStatus::Deleted { at },
        },
        generation: row.get(8)?,
        token_format: row.get(9)?,
        grant_types: row.get(10)?,
        scope: row.get(11)?,
        redirect_uris: uris.collect(),
        created_at: row.get(13)?,
    })
}

impl Store {
    pub fn client(&self, id: &ClientId) -> Result<Option<Client>> {
        self.lookup(|c| c.prepare_cached(BY_ID)?.query_row([id], client).optional())
    }

    /// The digests of a client's valid secrets: two while a rotation overlaps.
    pub fn client_secrets(&self, id: &ClientId, now: Timestamp) -> Result<Vec<Digest>> {
        self.lookup(|c| c.prepare_cached(SECRETS)?.query_map(params![id, now], |row| row.get(0))?.collect())
    }
}

impl Tx<'_> {
    pub fn insert_client(&self, client: &Client) -> Result<()> {
        let uris: Vec<_> = client.redirect_uris.iter().map(RedirectUri::as_str).collect();
        self.connection.prepare_cached(INSERT)?.execute(params![
            client.id,
            client.owner,
            client.name,
            client.publisher,
            client.kind,
            client.token_format,
            client.grant_types,
            client.scope,
            uris.join("\n"),
            client.created_at,
        ])?;
        Ok(())
    }

    pub fn insert_client_secret(
        &self,
        id: &ClientSecretId,
        client: &ClientId,
        secret: &Digest,
        now: Timestamp,
    ) -> Result<()> {
        self.connection.prepare_cached(INSERT_SECRET)?.execute(params![id, client, secret, now])?;
        Ok(())
    }

    /// All that was minted for the client so far dies with this. `None` for an unknown client.
    pub fn move_client_generation(&self, id: &ClientId) -> Result<Option<i64>> {
        Ok(self.connection.prepare_cached(MOVE_GENERATION)?.query_row([id], |row| row.get(0)).optional()?)
    }
}
