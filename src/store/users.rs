//! The `users` table.

use crate::clock::Timestamp;
use crate::model::id::{ClientId, UserId};
use crate::model::user::{Role, UserStatus, Username};

use super::sql::{Row, params};
use super::{Denial, Error, Result, Store, Tx};

const BY_ID: &str =
    "SELECT id, username, email, role, status, status_at, created_at FROM users WHERE id = ?1";
const ID_BY_NAME: &str = "SELECT id FROM users WHERE username = ?1 AND status <> 'deleted'";
const FOR_SIGN_IN: &str = "SELECT u.id, u.password_hash, u.password_version, u.generation, s.generation \
    FROM users AS u, server AS s WHERE s.id = 1 AND u.username = ?1 AND u.status = 'active'";
const FOR_SESSION: &str = "SELECT u.id, u.password_hash, u.password_version, u.generation, s.generation \
    FROM users AS u, server AS s WHERE s.id = 1 AND u.id = ?1 AND u.status = 'active'";
const INSERT: &str = "INSERT INTO users (id, username, email, role, status, status_at, generation, password_hash, \
    password_version, created_at) VALUES (?1, ?2, ?3, ?4, 'active', ?5, 1, ?6, 1, ?5)";
const SET_PASSWORD: &str = "UPDATE users SET password_hash = ?2, password_version = password_version + 1 \
    WHERE username = ?1 AND status <> 'deleted' RETURNING id";
/// Only if the account is as it was when the current password was checked.
const CHANGE_PASSWORD: &str = "UPDATE users SET password_hash = ?2, password_version = password_version + 1 \
    WHERE id = ?1 AND status = 'active' AND password_version = ?3 AND generation = ?4";
const MOVE_GENERATION: &str = "UPDATE users SET generation = generation + 1 WHERE id = ?1 AND status <> 'deleted' \
    AND generation = coalesce(?2, generation) RETURNING generation";
const SET_STATUS: &str = "UPDATE users SET status = ?2, status_at = ?3, generation = generation + 1 \
    WHERE id = ?1 AND status = 'active' RETURNING generation";
const ENABLE: &str = "UPDATE users SET status = 'active', status_at = ?2 WHERE id = ?1 AND status = 'disabled' \
    RETURNING generation";
const ERASE: &str = "UPDATE users SET username = 'deleted-' || /*sqlite*/lower(hex(randomblob(8)))/*end*/\
    /*postgres encode(substr(uuid_send(gen_random_uuid()), 9), 'hex')*/, email = NULL, \
    password_hash = '' WHERE id = ?1 AND status = 'deleted'";
const SET_ROLE: &str = "UPDATE users SET role = ?2 WHERE id = ?1 AND role <> ?2 AND status <> 'deleted' \
    RETURNING generation";
const IS_LAST_ADMIN: &str = "SELECT min(id) FROM users WHERE role = 'admin' AND status = 'active' \
    HAVING count(*) = 1 AND min(id) = ?1";
const INSERT_BLOCK: &str =
    "INSERT INTO blocks (user_id, client_id, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
const DELETE_BLOCK: &str = "DELETE FROM blocks WHERE user_id = ?1 AND client_id = ?2";
const IS_BLOCKED: &str = "SELECT 1 FROM blocks WHERE user_id = ?1 AND client_id = ?2";
const ANY_ADMIN: &str = "SELECT EXISTS (SELECT 1 FROM users WHERE role = 'admin' AND status = 'active')";

/// A person, without the password.
#[derive(Clone, Debug)]
pub struct User {
    pub id: UserId,
    pub username: Username,
    pub email: Option<String>,
    pub role: Role,
    pub status: UserStatus,
    pub created_at: Timestamp,
}

/// What sign-in compares, and what the session is stamped with.
#[derive(Clone)]
pub struct Credentials {
    pub user: UserId,
    pub password_hash: String,
    pub password_version: i64,
    pub user_generation: i64,
    pub server_generation: i64,
}

impl Credentials {
    fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            user: row.get(0)?,
            password_hash: row.get(1)?,
            password_version: row.get(2)?,
            user_generation: row.get(3)?,
            server_generation: row.get(4)?,
        })
    }
}

impl User {
    fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            username: row.get(1)?,
            email: row.get(2)?,
            role: row.get(3)?,
            status: UserStatus::stored(&row.get::<String>(4)?, row.get(5)?),
            created_at: row.get(6)?,
        })
    }
}

impl Store {
    pub async fn user(&self, id: &UserId) -> Result<Option<User>> {
        self.one(BY_ID, params![id], User::read).await
    }

    pub async fn user_id(&self, name: &Username) -> Result<Option<UserId>> {
        self.one(ID_BY_NAME, params![name], |row| row.get(0)).await
    }

    /// `None` for an unknown name, and for an account that is not active.
    pub async fn credentials(&self, name: &Username) -> Result<Option<Credentials>> {
        self.one(FOR_SIGN_IN, params![name], Credentials::read).await
    }

    /// Whether the user has blocked the client.
    pub async fn is_blocked(&self, user: &UserId, client: &ClientId) -> Result<bool> {
        self.any(IS_BLOCKED, params![user, client]).await
    }

    pub async fn has_admin(&self) -> Result<bool> {
        self.only(ANY_ADMIN, params![], |row| row.get(0)).await
    }
}

impl Tx<'_> {
    /// # Errors
    /// `Exists` when the name is taken.
    pub fn insert_user(
        &self,
        id: &UserId,
        username: &Username,
        email: Option<&str>,
        role: Role,
        password_hash: &str,
        now: Timestamp,
    ) -> Result<()> {
        self.run(INSERT, params![id, username, email, role, now, password_hash])?;
        self.write_user_texts(id, username.as_str(), email)
    }

    /// Sessions that began under an earlier password end. `None` for an unknown name.
    pub fn set_password(&self, username: &Username, password_hash: &str) -> Result<Option<UserId>> {
        let id: Option<UserId> =
            self.one(SET_PASSWORD, params![username, password_hash], |row| row.get(0))?;
        id.iter().try_for_each(|id| self.delete_outdated_sessions(id))?;
        Ok(id)
    }

    /// Replaces the password that `checked` was read with. Sessions that began under it end.
    ///
    /// # Errors
    /// `Denied` if the account's password, generation or status has changed since. Hashing takes time, and the new
    /// password must not outrun such a change.
    pub fn change_password(&self, checked: &Credentials, password_hash: &str) -> Result<()> {
        let rows = self.run(
            CHANGE_PASSWORD,
            params![checked.user, password_hash, checked.password_version, checked.user_generation],
        )?;
        if rows == 0 {
            return Err(Error::Denied(Denial::SignedOut));
        }
        self.delete_outdated_sessions(&checked.user)
    }

    /// The credentials of an active account, as this transaction sees them.
    pub fn credentials(&self, id: &UserId) -> Result<Option<Credentials>> {
        self.one(FOR_SESSION, params![id], Credentials::read)
    }

    /// Revokes all that was minted for the user so far. `None` for an unknown or deleted user, and if the generation is
    /// no longer the one that was `seen`.
    pub(super) fn move_user_generation(&self, id: &UserId, seen: Option<i64>) -> Result<Option<i64>> {
        self.one(MOVE_GENERATION, params![id, seen], |row| row.get(0))
    }

    /// Disables or deletes an account, and revokes all that was minted for it so far. `None` unless it is active.
    pub(super) fn shut_user(&self, id: &UserId, status: &UserStatus) -> Result<Option<i64>> {
        let at = match status {
            UserStatus::Disabled { at } | UserStatus::Deleted { at } => at,
            UserStatus::Active => return Ok(None),
        };
        self.one(SET_STATUS, params![id, status.as_str(), at], |row| row.get(0))
    }

    /// `None` unless it is disabled.
    pub fn enable_user(&self, id: &UserId, now: Timestamp) -> Result<Option<i64>> {
        self.one(ENABLE, params![id, now], |row| row.get(0))
    }

    /// Erases whose account a deleted one was.
    pub fn erase_user(&self, id: &UserId) -> Result<()> {
        self.run(ERASE, params![id])?;
        self.erase_user_texts(id)
    }

    /// Returns the account's generation. `None` if it has that role already, or is deleted.
    pub fn set_role(&self, id: &UserId, role: Role) -> Result<Option<i64>> {
        self.one(SET_ROLE, params![id, role], |row| row.get(0))
    }

    /// To be asked when the admins are locked: [`Locks::AdminsAnd`](super::acts::Locks).
    pub fn is_last_admin(&self, id: &UserId) -> Result<bool> {
        self.any(IS_LAST_ADMIN, params![id])
    }

    /// As this transaction sees it.
    pub fn user(&self, id: &UserId) -> Result<Option<User>> {
        self.one(BY_ID, params![id], User::read)
    }

    /// Blocks the client from asking this user. `false` if it is blocked already.
    pub fn insert_block(&self, user: &UserId, client: &ClientId, now: Timestamp) -> Result<bool> {
        Ok(self.run(INSERT_BLOCK, params![user, client, now])? == 1)
    }

    /// `false` if it is not blocked.
    pub fn delete_block(&self, user: &UserId, client: &ClientId) -> Result<bool> {
        Ok(self.run(DELETE_BLOCK, params![user, client])? == 1)
    }

    pub fn is_blocked(&self, user: &UserId, client: &ClientId) -> Result<bool> {
        self.any(IS_BLOCKED, params![user, client])
    }
}
