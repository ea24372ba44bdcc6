//! The `access_tokens` table: opaque tokens.

use rusqlite::{OptionalExtension, Row, params};

use crate::clock::Timestamp;
use crate::model::id::{ClientId, GrantId, UserId};
use crate::model::scope::Scope;
use crate::model::secret::Digest;
use crate::model::stamp::{Generations, Now, Stamp, Standing};

use super::{Result, Store, Tx};

const INSERT: &str = "INSERT INTO access_tokens (digest, family_id, grant_id, client_id, user_id, server_generation, \
    client_generation, user_generation, scope, audience, created_at, expires_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
const INSERT_FOR_CLIENT: &str = "INSERT INTO access_tokens (digest, client_id, server_generation, client_generation, \
    scope, audience, created_at, expires_at) \
    SELECT ?1, c.id, s.generation, c.generation, ?3, ?4, ?5, ?6 FROM clients AS c, server AS s \
    WHERE s.id = 1 AND c.id = ?2 AND c.status = 'active'";
const FACTS: &str = "SELECT t.family_id, t.grant_id, t.client_id, t.user_id, t.server_generation, t.client_generation, \
    t.user_generation, t.scope, t.audience, t.created_at, t.expires_at, f.status, g.status, g.scope, c.status, \
    c.generation, u.status, u.generation, s.generation, f.last_used_at, g.generation FROM access_tokens AS t \
    JOIN server AS s ON s.id = 1 \
    LEFT JOIN clients AS c ON c.id = t.client_id \
    LEFT JOIN families AS f ON f.id = t.family_id \
    LEFT JOIN grants AS g ON g.id = t.grant_id \
    LEFT JOIN users AS u ON u.id = t.user_id \
    WHERE t.digest = ?1";
const OWNER: &str = "SELECT client_id FROM access_tokens WHERE digest = ?1";
const DELETE: &str =
    "DELETE FROM access_tokens WHERE digest = ?1 AND client_id = ?2 RETURNING grant_id, user_id, audience";

/// What `store::plans` looks at.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[INSERT_FOR_CLIENT, FACTS, OWNER, DELETE];

/// A token as it was minted, and what is true now of all that it was stamped with.
pub struct AccessTokenFacts {
    /// Its public name, the `jti` of RFC 7519 §4.1.7.
    pub id: String,
    pub stamp: Stamp,
    pub now: Now,
    pub scope: Scope,
    /// What its grant still allows; `None` where there is no grant.
    pub grant_scope: Option<Scope>,
    pub grant_generation: Option<i64>,
    pub audience: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// When its device was last used, as far as that is written.
    pub last_used_at: Option<Timestamp>,
}

impl AccessTokenFacts {
    fn from_row(token: &Digest, row: &Row<'_>) -> rusqlite::Result<Self> {
        let stamp = Stamp {
            family: row.get(0)?,
            grant: row.get(1)?,
            client: row.get(2)?,
            user: row.get(3)?,
            generations: Generations { server: row.get(4)?, client: row.get(5)?, user: row.get(6)? },
        };
        let standing = |column, open| -> rusqlite::Result<Standing> {
            let is_open = row.get_ref(column)?.as_str_or_null()? == Some(open);
            Ok(if is_open { Standing::Open } else { Standing::Shut })
        };
        let user_generation: Option<i64> = row.get(17)?;
        Ok(Self {
            id: token.token_id(),
            grant_generation: row.get(20)?,
            now: Now {
                family: stamp.family.as_ref().map(|_| standing(11, "open")).transpose()?,
                grant: stamp.grant.as_ref().map(|_| standing(12, "open")).transpose()?,
                client: standing(14, "active")?,
                user: stamp.user.as_ref().map(|_| standing(16, "active")).transpose()?,
                generations: Generations {
                    server: row.get(18)?,
                    client: row.get::<_, Option<i64>>(15)?.unwrap_or_default(),
                    user: stamp.user.as_ref().and(user_generation),
                },
            },
            stamp,
            scope: row.get(7)?,
            grant_scope: row.get(13)?,
            audience: row.get(8)?,
            created_at: row.get(9)?,
            expires_at: row.get(10)?,
            last_used_at: row.get(19)?,
        })
    }
}

impl Store {
    pub fn access_token(&self, token: &Digest) -> Result<Option<AccessTokenFacts>> {
        let facts = |row: &Row<'_>| AccessTokenFacts::from_row(token, row);
        self.lookup(|c| c.prepare_cached(FACTS)?.query_row([token], facts).optional())
    }
}

/// What an access token allows, where and until when.
pub struct Allowance<'a> {
    pub scope: &'a Scope,
    pub audience: &'a str,
    pub expires_at: Timestamp,
}

/// What a deleted token belonged to.
pub struct DeletedToken {
    pub grant: Option<GrantId>,
    pub user: Option<UserId>,
    /// Separated by spaces.
    pub audience: String,
}

impl Tx<'_> {
    pub fn insert_access_token(
        &self,
        token: &Digest,
        stamp: &Stamp,
        allows: &Allowance<'_>,
        now: Timestamp,
    ) -> Result<()> {
        self.connection.prepare_cached(INSERT)?.execute(params![
            token,
            stamp.family,
            stamp.grant,
            stamp.client,
            stamp.user,
            stamp.generations.server,
            stamp.generations.client,
            stamp.generations.user,
            allows.scope,
            allows.audience,
            now,
            allows.expires_at,
        ])?;
        Ok(())
    }

    /// For client_credentials: stamps with the current generations in the statement that checks
    /// the client's status. `false` if it may not act.
    pub fn insert_client_access_token(
        &self,
        token: &Digest,
        client: &ClientId,
        allows: &Allowance<'_>,
        now: Timestamp,
    ) -> Result<bool> {
        let rows = self.connection.prepare_cached(INSERT_FOR_CLIENT)?.execute(params![
            token,
            client,
            allows.scope,
            allows.audience,
            now,
            allows.expires_at,
        ])?;
        Ok(rows == 1)
    }

    pub fn access_token_owner(&self, token: &Digest) -> Result<Option<ClientId>> {
        Ok(self.connection.prepare_cached(OWNER)?.query_row([token], |row| row.get(0)).optional()?)
    }

    /// Deletes a client's own token; `None` if it has no such token.
    pub fn delete_access_token(&self, token: &Digest, client: &ClientId) -> Result<Option<DeletedToken>> {
        Ok(self
            .connection
            .prepare_cached(DELETE)?
            .query_row(params![token, client], |row| {
                Ok(DeletedToken { grant: row.get(0)?, user: row.get(1)?, audience: row.get(2)? })
            })
            .optional()?)
    }
}
