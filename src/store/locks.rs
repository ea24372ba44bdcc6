//! Rows that a transaction locks before it reads what another server may be changing.
//!
//! On SQLite there is one writer, so nothing is locked. On PostgreSQL, a transaction sees what others committed before
//! each of its statements. So a verb that reads first and then writes begins with a lock, and verbs that must not
//! overlap lock the same row. Rows are locked in this order, so that no two verbs wait for each other: `server`, users
//! by id, clients, everything else, and `head` at the end of the transaction (`ledger`). Requests that share a commit may
//! still do that (`postgres::lane`).
//!
//! Nobody takes a shared lock for this: there is always somebody who holds one, and a revocation would wait for them all.

use crate::model::client::Client;
use crate::model::id::{ClientId, UserId};

use super::sql::{Connection, Value, params};
use super::{Result, Tx};

const SERVER: &str = "SELECT 1 FROM server WHERE id = 1 /*postgres FOR NO KEY UPDATE*/";
const USER: &str = "SELECT 1 FROM users WHERE id = ?1 /*postgres FOR NO KEY UPDATE*/";
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
