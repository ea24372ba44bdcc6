//! Rows that a transaction locks before it reads what another server may be changing.
//!
//! On SQLite there is one writer, so nothing is locked. On PostgreSQL, a transaction sees what others committed before
//! each of its statements. So a verb that reads first and then writes begins with a lock, and verbs that must not
//! overlap lock the same row. Rows are locked in this order, so that no two verbs wait for each other: `server`, users
//! by id, clients, everything else, and `head` at the end of the transaction (`ledger`). Acts lock `server` and users
//! before all else (`acts::Locks`), so that the actor's right can't be taken away meanwhile. Requests that share a commit
//! may still wait for each other (`postgres::lane`).
//!
//! Nobody takes a shared lock for this: there is always somebody who holds one, and a revocation would wait for them all.

use crate::model::client::Client;
use crate::model::id::{ClientId, UserId};

use super::sql::{Connection, Value, params};
use super::{Result, Tx};

const SERVER: &str = "SELECT 1 FROM server WHERE id = 1 /*postgres FOR NO KEY UPDATE*/";
const USER: &str = "SELECT 1 FROM users WHERE id = ?1 /*postgres FOR NO KEY UPDATE*/";
const USERS: &str = "SELECT 1 FROM users WHERE id IN (?1, ?2) ORDER BY id /*postgres FOR NO KEY UPDATE*/";
const ADMINS_AND: &str = "SELECT 1 FROM users WHERE id IN (?1, ?2) OR role = 'admin' AND status = 'active' \
    ORDER BY id /*postgres FOR NO KEY UPDATE*/";
const CLIENT: &str = "SELECT 1 FROM clients WHERE id = ?1 /*postgres FOR NO KEY UPDATE*/";

impl Tx<'_> {
    /// One at a time on all servers: key rotations, bans, and registrations, which may not be banned or look like
    /// another.
    pub fn lock_server(&self) -> Result<()> {
        self.lock(SERVER, params![])
    }

    /// One at a time for each user: consents, the ends of grants, and new apps of the user.
    pub fn lock_user(&self, id: &UserId) -> Result<()> {
        self.lock(USER, params![id])
    }

    /// Two users, who may be the same.
    pub(super) fn lock_users(&self, one: &UserId, other: &UserId) -> Result<()> {
        self.lock(USERS, params![one, other])
    }

    /// Two users and all active admins.
    pub(super) fn lock_admins_and(&self, one: &UserId, other: &UserId) -> Result<()> {
        self.lock(ADMINS_AND, params![one, other])
    }

    /// A client that nobody else changes until the commit.
    pub fn locked_client(&self, id: &ClientId) -> Result<Option<Client>> {
        self.lock(CLIENT, params![id])?;
        self.client(id)
    }

    fn lock(&self, statement: &'static str, values: &[Value<'_>]) -> Result<()> {
        if let Connection::Postgres(session) = self.connection() {
            session.one(statement, values, |_| Ok(()))?;
        }
        Ok(())
    }
}
