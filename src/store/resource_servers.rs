//! The `resource_servers` and `scopes` tables.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};

use crate::clock::Timestamp;
use crate::model::canary;
use crate::model::id::ResourceServerId;
use crate::model::resource_server::{Guard, Guarding, MaxStaleness, ResourceServer, is_same_audience};
use crate::model::scope::Scope;
use crate::model::secret::Digest;

use super::{Error, Result, Store, Tx};

const ALL: &str = "SELECT id, name, audience, secret_digest, guard, max_staleness, guard_seen_at \
    FROM resource_servers ORDER BY name LIMIT 1000";
const SCOPES: &str = "SELECT x.name, x.description, r.audience FROM scopes AS x \
    JOIN resource_servers AS r ON r.id = x.resource_server_id ORDER BY x.name LIMIT 1000";
const AUDIENCES: &str = "SELECT audience FROM resource_servers LIMIT 1000";
const INSERT: &str = "INSERT INTO resource_servers (id, name, audience, secret_digest, created_at, guard, \
    max_staleness) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const UPDATE_GUARDING: &str = "UPDATE resource_servers SET guard = ?2, max_staleness = ?3 WHERE id = ?1";
const REPLACE_SECRET: &str =
    "UPDATE resource_servers SET secret_digest = ?2 WHERE audience = ?1 RETURNING id";
const INSERT_SCOPE: &str = "INSERT INTO scopes (name, resource_server_id, description) VALUES (?1, ?2, ?3)";

/// A scope, what it allows in plain words, and the resource server that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeEntry {
    pub name: String,
    pub description: String,
    pub audience: String,
}

/// All scopes that resource servers have registered, by name, and beside them the canary's. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Scopes {
    entries: Arc<[ScopeEntry]>,
    canary: Option<Arc<ScopeEntry>>,
}

/// All resource servers and their scopes: every request needs them, and they change when an API is registered.
pub(super) struct Registered {
    servers: Arc<[ResourceServer]>,
    /// What a drill follows. It is no API: nothing that concerns them all concerns it.
    canary: Option<ResourceServer>,
    scopes: Scopes,
}

impl Scopes {
    /// All that an app may ask for which is bound to nothing.
    pub fn all(&self) -> Scope {
        self.entries.iter().map(|entry| entry.name.as_str()).collect()
    }

    /// What a client may ask for that is registered with this scope, or with none.
    pub fn allowed(&self, registered: Option<&Scope>) -> Scope {
        registered
            .map_or_else(|| self.all(), |scope| self.of(scope).map(|entry| entry.name.as_str()).collect())
    }

    /// The entries of `scope`, in its order; names that nobody registered any more have none.
    pub fn of<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a ScopeEntry> {
        scope.names().filter_map(|name| {
            let known = self.entries.binary_search_by(|entry| entry.name.as_str().cmp(name));
            known
                .map(|place| &self.entries[place])
                .ok()
                .or(self.canary.as_deref().filter(|it| it.name == name))
        })
    }

    /// The audiences of `scope`, separated by spaces.
    pub fn audience(&self, scope: &Scope) -> String {
        let mut audiences: Vec<&str> = self.of(scope).map(|entry| entry.audience.as_str()).collect();
        audiences.sort_unstable();
        audiences.dedup();
        audiences.join(" ")
    }

    /// The part of `scope` that the resource server with this audience registered.
    pub fn for_audience(&self, scope: &Scope, audience: &str) -> Scope {
        self.of(scope).filter(|entry| entry.audience == audience).map(|entry| entry.name.as_str()).collect()
    }

    /// The registered audience that is the same resource as this one, of a resource server with scopes.
    pub fn audience_of(&self, resource: &str) -> Option<&str> {
        let audiences = || self.entries.iter().map(|entry| entry.audience.as_str());
        // The same text comes first: earlier versions could register two that differ by a slash.
        audiences()
            .find(|&audience| audience == resource)
            .or_else(|| audiences().find(|&audience| is_same_audience(audience, resource)))
    }

    /// The part of `scope` that is for these audiences; all of it where none is named.
    pub fn narrowed(&self, scope: &Scope, audiences: &[String]) -> Scope {
        if audiences.is_empty() {
            return scope.clone();
        }
        let is_meant = |entry: &&ScopeEntry| audiences.contains(&entry.audience);
        self.of(scope).filter(is_meant).map(|entry| entry.name.as_str()).collect()
    }

    pub fn entries(&self) -> &[ScopeEntry] {
        &self.entries
    }
}

/// One row whose values can't be read is logged and left out: all requests need the others.
fn readable<T>(rows: impl Iterator<Item = rusqlite::Result<T>>) -> rusqlite::Result<Vec<T>> {
    let is_fatal = |error: &rusqlite::Error| matches!(error, rusqlite::Error::SqliteFailure(..));
    let read = |row: rusqlite::Result<T>| match row {
        Err(error) if !is_fatal(&error) => {
            tracing::error!(row.kind = std::any::type_name::<T>(), error = %error, "store.unreadable_row");
            None
        }
        row => Some(row),
    };
    rows.filter_map(read).collect()
}

fn read(connection: &rusqlite::Connection) -> rusqlite::Result<Registered> {
    let server = |row: &rusqlite::Row<'_>| {
        let guard: String = row.get(4)?;
        let given = Guarding::default();
        Ok(ResourceServer {
            id: row.get(0)?,
            name: row.get(1)?,
            audience: row.get(2)?,
            secret: row.get(3)?,
            guarding: Guarding {
                guard: Guard::parse(&guard).unwrap_or(given.guard),
                max_staleness: MaxStaleness::new(row.get(5)?).unwrap_or(given.max_staleness),
            },
            guard_seen_at: row.get(6)?,
        })
    };
    let scope = |row: &rusqlite::Row<'_>| {
        Ok(ScopeEntry { name: row.get(0)?, description: row.get(1)?, audience: row.get(2)? })
    };
    let mut servers: Vec<ResourceServer> = readable(connection.prepare_cached(ALL)?.query_map([], server)?)?;
    let mut entries: Vec<ScopeEntry> = readable(connection.prepare_cached(SCOPES)?.query_map([], scope)?)?;
    let canary = servers.extract_if(.., |server| *server.audience == *canary::AUDIENCE).next();
    let canary_scope = entries.extract_if(.., |entry| entry.audience == canary::AUDIENCE).next();
    Ok(Registered {
        servers: servers.into(),
        canary,
        scopes: Scopes { entries: entries.into(), canary: canary_scope.map(Arc::new) },
    })
}

impl Store {
    fn registered(&self) -> Result<Arc<Registered>> {
        self.registry.own().get(self.writer.registry_version(), || self.lookup(read))
    }

    pub fn resource_server(&self, id: &ResourceServerId) -> Result<Option<ResourceServer>> {
        let registered = self.registered()?;
        let known = registered.servers.iter().chain(&registered.canary);
        Ok(known.into_iter().find(|server| server.id == *id).cloned())
    }

    /// All APIs, by name.
    pub fn resource_servers(&self) -> Result<Arc<[ResourceServer]>> {
        Ok(self.registered()?.servers.clone())
    }

    pub fn scopes(&self) -> Result<Scopes> {
        Ok(self.registered()?.scopes.clone())
    }
}

impl Tx<'_> {
    /// # Errors
    /// `Exists` when the audience is taken, or one that names the same resource.
    pub fn insert_resource_server(&self, server: &ResourceServer, now: Timestamp) -> Result<()> {
        let mut audiences = self.connection.prepare_cached(AUDIENCES)?;
        for taken in audiences.query_map([], |row| row.get::<_, String>(0))? {
            if is_same_audience(&taken?, &server.audience) {
                return Err(Error::Exists);
            }
        }
        self.connection.prepare_cached(INSERT)?.execute(params![
            server.id,
            server.name,
            server.audience,
            server.secret,
            now,
            server.guarding.guard.as_str(),
            server.guarding.max_staleness.seconds().cast_signed(),
        ])?;
        self.registry_moved.set(true);
        Ok(())
    }

    /// Gives the resource server with this audience another secret; `None` for an unknown one.
    pub fn replace_resource_server_secret(
        &self,
        audience: &str,
        secret: &Digest,
    ) -> Result<Option<ResourceServerId>> {
        let mut statement = self.connection.prepare_cached(REPLACE_SECRET)?;
        let replaced = statement.query_row(params![audience, secret], |row| row.get(0)).optional()?;
        self.registry_moved.set(true);
        Ok(replaced)
    }

    /// `false` for an unknown one.
    pub fn update_guarding(&self, id: &ResourceServerId, guarding: Guarding) -> Result<bool> {
        let max_staleness = guarding.max_staleness.seconds().cast_signed();
        let rows = self.connection.prepare_cached(UPDATE_GUARDING)?.execute(params![
            id,
            guarding.guard.as_str(),
            max_staleness
        ])?;
        self.registry_moved.set(true);
        Ok(rows == 1)
    }

    /// # Errors
    /// `Exists` when another resource server has a scope of this name.
    pub fn insert_scope(&self, name: &str, of: &ResourceServerId, description: &str) -> Result<()> {
        self.connection.prepare_cached(INSERT_SCOPE)?.execute(params![name, of, description])?;
        self.registry_moved.set(true);
        Ok(())
    }
}
