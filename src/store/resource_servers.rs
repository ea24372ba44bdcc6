//! The `resource_servers`, `earlier_resource_server_secrets` and `scopes` tables.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::model::canary;
use crate::model::id::ResourceServerId;
use crate::model::resource_server::{
    AudienceSet, EarlierSecret, Guarding, MaxStaleness, ResourceServer, is_same_audience,
};
use crate::model::scope::Scope;
use crate::model::secret::Digest;

use super::sql::{Row, Value, logged, params};
use super::{Error, Result, Store, Tx};

const ALL: &str = "SELECT id, name, audience, secret_digest, guard, max_staleness, guard_seen_at, version, deleted_at \
    FROM resource_servers ORDER BY deleted_at IS NOT NULL, name LIMIT 1000";
const EARLIER_SECRETS: &str =
    "SELECT resource_server_id, digest, expires_at FROM earlier_resource_server_secrets LIMIT 10000";
const SCOPES: &str = "SELECT x.name, x.description, r.audience, x.described_at FROM scopes AS x \
    JOIN resource_servers AS r ON r.id = x.resource_server_id \
    WHERE x.deleted_at IS NULL AND r.deleted_at IS NULL ORDER BY x.name LIMIT 1000";
const AUDIENCES: &str = "SELECT audience FROM resource_servers LIMIT 1000";
const INSERT: &str = "INSERT INTO resource_servers (id, name, audience, secret_digest, created_at, guard, \
    max_staleness) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const UPDATE_GUARDING: &str = "UPDATE resource_servers SET guard = ?2, max_staleness = ?3 \
    WHERE id = ?1 AND deleted_at IS NULL";
const REPLACE_SECRET: &str =
    "UPDATE resource_servers SET secret_digest = ?2 WHERE audience = ?1 RETURNING id";
const INSERT_SCOPE: &str = "INSERT INTO scopes (name, resource_server_id, description) VALUES (?1, ?2, ?3)";

/// The drill's own resource server may not be changed.
const EDITABLE: &str = "SELECT name, version FROM resource_servers \
    WHERE id = ?1 AND deleted_at IS NULL AND audience <> ?2 /*postgres FOR NO KEY UPDATE*/";
const SCOPES_OF: &str = "SELECT name, description FROM scopes \
    WHERE resource_server_id = ?1 AND deleted_at IS NULL ORDER BY name LIMIT 1000";
const RENAME: &str = "UPDATE resource_servers SET name = ?2, version = version + 1 WHERE id = ?1";
const DESCRIBE_SCOPE: &str = "UPDATE scopes SET description = ?3, described_at = ?4 \
    WHERE name = ?1 AND resource_server_id = ?2 AND deleted_at IS NULL";
const DELETE_SCOPE: &str = "UPDATE scopes SET deleted_at = ?3 \
    WHERE name = ?1 AND resource_server_id = ?2 AND deleted_at IS NULL";
const KEEP_SECRET: &str = "INSERT INTO earlier_resource_server_secrets (digest, resource_server_id, expires_at) \
    SELECT secret_digest, id, ?2 FROM resource_servers WHERE id = ?1";
const SHORTEN_SECRETS: &str = "UPDATE earlier_resource_server_secrets \
    SET expires_at = CASE WHEN expires_at < ?2 THEN expires_at ELSE ?2 END WHERE resource_server_id = ?1";
const DELETE_EXPIRED_SECRETS: &str =
    "DELETE FROM earlier_resource_server_secrets WHERE resource_server_id = ?1 AND expires_at <= ?2";
const SET_SECRET: &str = "UPDATE resource_servers SET secret_digest = ?2 WHERE id = ?1";
const DELETE_SECRETS: &str = "DELETE FROM earlier_resource_server_secrets WHERE resource_server_id = ?1";
const DELETE: &str = "UPDATE resource_servers SET deleted_at = ?2, secret_digest = \
    /*sqlite*/zeroblob(32)/*end*/ /*postgres decode(repeat('00', 32), 'hex')*/ \
    WHERE id = ?1 AND deleted_at IS NULL";

/// A scope, what it allows in plain words, and the resource server that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeEntry {
    pub name: String,
    pub description: String,
    pub audience: String,
    /// When its description last changed.
    pub described_at: Timestamp,
}

/// A resource server's name and scopes, as a transaction sees them.
#[derive(Clone, Debug)]
pub struct Described {
    pub name: String,
    pub version: i64,
    /// Names and what each allows in plain words.
    pub scopes: Vec<(String, String)>,
}

/// All registered scopes, by name, and separately the canary's. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Scopes {
    entries: Arc<[ScopeEntry]>,
    canary: Option<Arc<ScopeEntry>>,
}

/// All resource servers and their scopes. Every request needs them, and they change rarely.
pub(super) struct Registered {
    servers: Arc<[ResourceServer]>,
    /// Deleted ones. Only records of the past need them.
    deleted: Arc<[ResourceServer]>,
    /// The resource server of drills. It is not an API, so it is left out of what concerns all APIs.
    canary: Option<ResourceServer>,
    pub(super) scopes: Scopes,
}

impl Scopes {
    /// Every scope, without the canary's: what an app without a registered scope may ask for.
    pub fn all(&self) -> Scope {
        self.entries.iter().map(|entry| entry.name.as_str()).collect()
    }

    /// What a client may ask for if it is registered with this scope, or with none.
    pub fn allowed(&self, registered: Option<&Scope>) -> Scope {
        registered
            .map_or_else(|| self.all(), |scope| self.of(scope).map(|entry| entry.name.as_str()).collect())
    }

    /// The entries of `scope`, in its order. Names that are no longer registered are left out.
    pub fn of<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a ScopeEntry> {
        scope.names().filter_map(|name| {
            let known = self.entries.binary_search_by(|entry| entry.name.as_str().cmp(name));
            known
                .map(|place| &self.entries[place])
                .ok()
                .or(self.canary.as_deref().filter(|it| it.name == name))
        })
    }

    /// The audiences of `scope`.
    pub fn audiences(&self, scope: &Scope) -> AudienceSet {
        self.of(scope).map(|entry| entry.audience.as_str()).collect()
    }

    /// All entries of the resource server with this audience.
    pub fn of_audience(&self, audience: &str) -> Vec<ScopeEntry> {
        self.entries.iter().filter(|entry| entry.audience == audience).cloned().collect()
    }

    /// The part of `scope` that the resource server with this audience registered.
    pub fn for_audience(&self, scope: &Scope, audience: &str) -> Scope {
        self.of(scope).filter(|entry| entry.audience == audience).map(|entry| entry.name.as_str()).collect()
    }

    /// The registered audience that means this resource. Only of a resource server with scopes.
    pub fn audience_of(&self, resource: &str) -> Option<&str> {
        let audiences = || self.entries.iter().map(|entry| entry.audience.as_str());
        // The exact text comes first: earlier versions could register two audiences that differ by a slash.
        audiences()
            .find(|&audience| audience == resource)
            .or_else(|| audiences().find(|&audience| is_same_audience(audience, resource)))
    }

    /// The part of `scope` that is for these audiences, or all of it if no audience is named. Scopes that are no longer
    /// registered allow nothing, so they are left out.
    pub fn narrowed(&self, scope: &Scope, audiences: &[String]) -> Scope {
        let is_meant = |entry: &&ScopeEntry| audiences.is_empty() || audiences.contains(&entry.audience);
        self.of(scope).filter(is_meant).map(|entry| entry.name.as_str()).collect()
    }

    /// Whether the description of one of these scopes has changed since a person read it at `consented_at`.
    pub fn has_new_words(&self, scope: &Scope, consented_at: Timestamp) -> bool {
        self.of(scope).any(|entry| entry.described_at >= consented_at)
    }

    pub fn entries(&self) -> &[ScopeEntry] {
        &self.entries
    }
}

fn server(row: &Row<'_>) -> Result<ResourceServer> {
    let usual = Guarding::default();
    Ok(ResourceServer {
        id: row.get(0)?,
        name: row.get(1)?,
        audience: row.get(2)?,
        secret: row.get(3)?,
        earlier_secrets: Arc::default(),
        guarding: Guarding {
            guard: row.get(4)?,
            max_staleness: MaxStaleness::new(row.get(5)?).unwrap_or(usual.max_staleness),
        },
        guard_seen_at: row.get(6)?,
        version: row.get(7)?,
        deleted_at: row.get(8)?,
    })
}

fn scope(row: &Row<'_>) -> Result<ScopeEntry> {
    Ok(ScopeEntry {
        name: row.get(0)?,
        description: row.get(1)?,
        audience: row.get(2)?,
        described_at: row.get(3)?,
    })
}

impl Registered {
    /// One that is registered now, perhaps the drill's.
    pub(super) fn server(&self, id: &ResourceServerId) -> Option<&ResourceServer> {
        self.servers.iter().chain(&self.canary).find(|server| server.id == *id)
    }

    fn new(mut servers: Vec<ResourceServer>, mut entries: Vec<ScopeEntry>) -> Self {
        let canary = servers.extract_if(.., |server| *server.audience == *canary::AUDIENCE).next();
        let deleted: Vec<_> = servers.extract_if(.., |server| server.deleted_at.is_some()).collect();
        let canary_scope = entries.extract_if(.., |entry| entry.audience == canary::AUDIENCE).next();
        Self {
            servers: servers.into(),
            deleted: deleted.into(),
            canary,
            scopes: Scopes { entries: entries.into(), canary: canary_scope.map(Arc::new) },
        }
    }
}

impl Store {
    async fn registered(&self) -> Result<Arc<Registered>> {
        let version = self.version().await?;
        self.registered_at(version).await
    }

    pub(super) async fn registered_at(&self, version: u64) -> Result<Arc<Registered>> {
        self.registry.own().get(version, async || self.read_registered().await).await
    }

    async fn read_registered(&self) -> Result<Registered> {
        // Rows that can't be read are left out, because all requests need the others.
        let servers = self.all(ALL, params![], |row| logged(server(row))).await?;
        let scopes = self.all(SCOPES, params![], |row| logged(scope(row))).await?;
        let mut servers: Vec<_> = servers.into_iter().flatten().collect();
        let mut earlier = self.earlier_secrets().await?;
        for server in &mut servers {
            server.earlier_secrets = earlier.remove(&server.id).unwrap_or_default().into();
        }
        Ok(Registered::new(servers, scopes.into_iter().flatten().collect()))
    }

    async fn earlier_secrets(&self) -> Result<HashMap<ResourceServerId, Vec<EarlierSecret>>> {
        let mut by_server: HashMap<ResourceServerId, Vec<EarlierSecret>> = HashMap::new();
        let row =
            |row: &Row<'_>| Ok((row.get(0)?, EarlierSecret { digest: row.get(1)?, expires_at: row.get(2)? }));
        for (server, secret) in self.all(EARLIER_SECRETS, params![], row).await? {
            by_server.entry(server).or_default().push(secret);
        }
        Ok(by_server)
    }

    /// A resource server that is registered now, perhaps the drill's.
    pub async fn resource_server(&self, id: &ResourceServerId) -> Result<Option<ResourceServer>> {
        Ok(self.registered().await?.server(id).cloned())
    }

    /// A resource server that was deleted.
    pub async fn deleted_resource_server(&self, id: &ResourceServerId) -> Result<Option<ResourceServer>> {
        Ok(self.registered().await?.deleted.iter().find(|server| server.id == *id).cloned())
    }

    /// All APIs, then deleted ones.
    pub async fn resource_servers_ever(&self) -> Result<Vec<ResourceServer>> {
        let registered = self.registered().await?;
        Ok(registered.servers.iter().chain(registered.deleted.iter()).cloned().collect())
    }

    /// All APIs, by name.
    pub async fn resource_servers(&self) -> Result<Arc<[ResourceServer]>> {
        Ok(self.registered().await?.servers.clone())
    }

    pub async fn scopes(&self) -> Result<Scopes> {
        Ok(self.registered().await?.scopes.clone())
    }
}

impl Tx<'_> {
    /// # Errors
    /// `Exists` if the audience is taken, or another one that names the same resource.
    pub fn insert_resource_server(&self, server: &ResourceServer, now: Timestamp) -> Result<()> {
        let taken: Vec<String> = self.all(AUDIENCES, params![], |row| row.get(0))?;
        if taken.iter().any(|taken| is_same_audience(taken, &server.audience)) {
            return Err(Error::Exists);
        }
        self.run(
            INSERT,
            params![
                server.id,
                server.name,
                server.audience,
                server.secret,
                now,
                server.guarding.guard,
                server.guarding.max_staleness.seconds().cast_signed(),
            ],
        )?;
        self.version_moves();
        Ok(())
    }

    /// Gives the resource server with this audience another secret. `None` for an unknown audience.
    pub fn replace_resource_server_secret(
        &self,
        audience: &str,
        secret: &Digest,
    ) -> Result<Option<ResourceServerId>> {
        let replaced = self.one(REPLACE_SECRET, params![audience, secret], |row| row.get(0))?;
        self.version_moves();
        Ok(replaced)
    }

    /// `false` for an unknown one.
    pub fn update_guarding(&self, id: &ResourceServerId, guarding: Guarding) -> Result<bool> {
        let max_staleness = guarding.max_staleness.seconds().cast_signed();
        let rows = self.run(UPDATE_GUARDING, params![id, guarding.guard, max_staleness])?;
        self.version_moves();
        Ok(rows == 1)
    }

    /// # Errors
    /// `Exists` when another resource server has a scope of this name.
    pub fn insert_scope(&self, name: &str, of: &ResourceServerId, description: &str) -> Result<()> {
        self.run(INSERT_SCOPE, params![name, of, description])?;
        self.version_moves();
        Ok(())
    }

    /// Name and scopes of a resource server that may be changed. `None` for a deleted or unknown one and for the
    /// drill's.
    pub fn described_resource_server(&self, id: &ResourceServerId) -> Result<Option<Described>> {
        let found =
            self.one(EDITABLE, params![id, canary::AUDIENCE], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let Some((name, version)) = found else { return Ok(None) };
        let scopes = self.all(SCOPES_OF, params![id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Some(Described { name, version, scopes }))
    }

    /// Sets a resource server's name, and raises its version.
    pub fn rename_resource_server(&self, id: &ResourceServerId, name: &str) -> Result<()> {
        self.change_resource_server(RENAME, params![id, name]).map(drop)
    }

    /// Changes a scope's description. `false` unless the scope is that resource server's.
    pub fn describe_scope(
        &self,
        name: &str,
        of: &ResourceServerId,
        description: &str,
        now: Timestamp,
    ) -> Result<bool> {
        Ok(self.change_resource_server(DESCRIBE_SCOPE, params![name, of, description, now])? == 1)
    }

    /// Deletes a scope for good. `false` unless the scope is that resource server's.
    pub fn delete_scope(&self, name: &str, of: &ResourceServerId, now: Timestamp) -> Result<bool> {
        Ok(self.change_resource_server(DELETE_SCOPE, params![name, of, now])? == 1)
    }

    /// Gives a resource server another secret. Earlier ones work until `earlier_until` at the latest.
    pub fn rotate_resource_server_secret(
        &self,
        id: &ResourceServerId,
        secret: &Digest,
        earlier_until: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        self.change_resource_server(SHORTEN_SECRETS, params![id, earlier_until])?;
        self.change_resource_server(KEEP_SECRET, params![id, earlier_until])?;
        self.change_resource_server(DELETE_EXPIRED_SECRETS, params![id, now])?;
        self.change_resource_server(SET_SECRET, params![id, secret]).map(drop)
    }

    /// Deletes a resource server's secrets and marks its row as deleted; its scopes are no longer read. `false` if it
    /// was deleted already.
    pub fn delete_resource_server(&self, id: &ResourceServerId, now: Timestamp) -> Result<bool> {
        self.change_resource_server(DELETE_SECRETS, params![id])?;
        Ok(self.change_resource_server(DELETE, params![id, now])? == 1)
    }

    fn change_resource_server(&self, statement: &'static str, values: &[Value<'_>]) -> Result<usize> {
        let rows = self.run(statement, values)?;
        self.version_moves();
        Ok(rows)
    }
}
