//! The `sessions` table: signed-in browsers.
//!
//! A session is a credential like any other. It carries the generations and the password version that it began under,
//! and is dead once one of them moves.

use crate::clock::Timestamp;
use crate::model::by::By;
use crate::model::id::{SessionId, UserId};
use crate::model::secret::Digest;
use crate::model::user::Role;

use super::sql::{from_row, params};
use super::users::Credentials;
use super::{Denial, Error, Result, Store, Tx};

const LIVE: &str = "SELECT x.id, x.user_id, x.data, x.expires_at FROM sessions AS x, users AS u, server AS s \
    WHERE x.digest = ?1 AND x.expires_at > ?2 AND s.id = 1 AND s.generation = x.server_generation \
    AND u.id = x.user_id AND u.status = 'active' AND u.generation = x.user_generation \
    AND u.password_version = x.password_version";
const INSERT: &str = "INSERT INTO sessions (digest, id, user_id, server_generation, user_generation, password_version, \
    device, data, created_at, expires_at) \
    SELECT ?1, ?2, u.id, s.generation, u.generation, u.password_version, ?3, ?4, ?5, ?6 FROM users AS u, server AS s \
    WHERE s.id = 1 AND s.generation = ?7 AND u.id = ?8 AND u.status = 'active' AND u.generation = ?9 \
    AND u.password_version = ?10";
const DELETE: &str = "DELETE FROM sessions WHERE digest = ?1";

const LIVE_ROLE: &str = "SELECT u.role FROM sessions AS x, users AS u, server AS s WHERE x.id = ?1 AND x.user_id = ?2 \
    AND x.expires_at > ?3 AND s.id = 1 AND s.generation = x.server_generation AND u.id = x.user_id \
    AND u.status = 'active' AND u.generation = x.user_generation AND u.password_version = x.password_version";
const DELETE_OUTDATED: &str = "DELETE FROM sessions WHERE user_id = ?1 \
    AND password_version < (SELECT password_version FROM users WHERE id = ?1)";
const OF_USER: &str = "SELECT x.id, x.device, x.created_at FROM sessions AS x, users AS u, server AS s \
    WHERE x.user_id = ?1 AND x.expires_at > ?2 AND s.id = 1 AND s.generation = x.server_generation \
    AND u.id = x.user_id AND u.generation = x.user_generation AND u.password_version = x.password_version \
    ORDER BY x.id DESC LIMIT 200";
const DELETE_BY_ID: &str = "DELETE FROM sessions WHERE id = ?1 AND user_id = ?2";

/// A signed-in browser, as its user sees it.
#[derive(Clone, Debug)]
pub struct SignedInBrowser {
    pub id: SessionId,
    pub device: String,
    pub created_at: Timestamp,
}

from_row! { SignedInBrowser: id, device, created_at }

/// A live session's row.
pub struct SessionRow {
    pub id: SessionId,
    pub user: UserId,
    pub data: String,
    pub expires_at: Timestamp,
}

pub struct NewSession {
    pub digest: Digest,
    pub id: SessionId,
    pub device: String,
    pub data: String,
    pub expires_at: Timestamp,
}

impl Store {
    pub async fn session(&self, digest: &Digest, now: Timestamp) -> Result<Option<SessionRow>> {
        self.one(LIVE, params![digest, now], |row| {
            Ok(SessionRow { id: row.get(0)?, user: row.get(1)?, data: row.get(2)?, expires_at: row.get(3)? })
        })
        .await
    }

    /// A user's signed-in browsers, newest first.
    pub async fn signed_in_browsers(&self, user: &UserId, now: Timestamp) -> Result<Vec<SignedInBrowser>> {
        self.rows(OF_USER, params![user, now]).await
    }
}

impl Tx<'_> {
    /// `false` if the account's status, its password or a generation has changed since `checked` was read. Sign-in
    /// mints a credential, so it must not outrun a revocation.
    pub fn insert_session(&self, new: &NewSession, checked: &Credentials, now: Timestamp) -> Result<bool> {
        let rows = self.run(
            INSERT,
            params![
                new.digest,
                new.id,
                new.device,
                new.data,
                now,
                new.expires_at,
                checked.server_generation,
                checked.user,
                checked.user_generation,
                checked.password_version,
            ],
        )?;
        Ok(rows == 1)
    }

    pub fn delete_session(&self, digest: &Digest) -> Result<bool> {
        Ok(self.run(DELETE, params![digest])? == 1)
    }

    /// `false` unless it is the user's.
    pub fn delete_session_of(&self, id: &SessionId, user: &UserId) -> Result<bool> {
        Ok(self.run(DELETE_BY_ID, params![id, user])? == 1)
    }

    /// Checks in this transaction that the person who acts on a page still may. Commands and clients have no session,
    /// so there is nothing to check.
    ///
    /// # Errors
    /// `Denied` if the session has ended or the role is too low.
    pub fn check(&self, by: &By) -> Result<()> {
        let Some(session) = &by.page_session else { return Ok(()) };
        let key = params![session.session, session.user, by.at];
        let role: Option<Role> = self.one(LIVE_ROLE, key, |row| row.get(0))?;
        match role {
            None => Err(Error::Denied(Denial::SignedOut)),
            Some(role) if role < session.role => Err(Error::Denied(Denial::RoleLowered)),
            Some(_) => Ok(()),
        }
    }

    /// Deletes the sessions that began under an earlier password.
    pub fn delete_outdated_sessions(&self, user: &UserId) -> Result<()> {
        self.run(DELETE_OUTDATED, params![user])?;
        Ok(())
    }
}
