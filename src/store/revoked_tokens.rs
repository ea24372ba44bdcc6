//! The `revoked_tokens` table: JWT access tokens that were revoked one by one, until no guard can accept them.

use rusqlite::{OptionalExtension, params};

use crate::clock::Timestamp;
use crate::model::id::{ClientId, GrantId};
use crate::model::scope::Scope;
use crate::model::stamp::{Generations, Now, Stamp, Standing};

use super::{Result, Store, Tx};

const INSERT: &str = "INSERT INTO revoked_tokens (id, client_id, expires_at) VALUES (?1, ?2, ?3)";
const IS_REVOKED: &str = "SELECT 1 FROM revoked_tokens WHERE id = ?1";
const COUNT: &str =
    "SELECT count(*) FROM (SELECT 1 FROM revoked_tokens WHERE client_id = ?1 AND expires_at > ?2 LIMIT ?3)";
const STANDING: &str = "SELECT f.status, g.status, c.status, u.status, s.generation, c.generation, u.generation, \
    g.generation, EXISTS (SELECT 1 FROM revoked_tokens AS r WHERE r.id = ?5) FROM server AS s \
    LEFT JOIN clients AS c ON c.id = ?1 LEFT JOIN families AS f ON f.id = ?2 LEFT JOIN grants AS g ON g.id = ?3 \
    LEFT JOIN users AS u ON u.id = ?4 WHERE s.id = 1";
const GRANT_TERMS: &str = "SELECT generation, scope FROM grants WHERE id = ?1";
const CLIENT_TERMS: &str = "SELECT s.generation, c.generation FROM server AS s, clients AS c \
    WHERE s.id = 1 AND c.id = ?1 AND c.status = 'active'";

/// What `store::plans` looks at.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[IS_REVOKED, COUNT, STANDING, GRANT_TERMS, CLIENT_TERMS];

/// What is true now of all that a JWT hangs on.
pub struct JwtStanding {
    pub now: Now,
    pub grant_generation: Option<i64>,
    pub is_revoked: bool,
}

impl Store {
    /// What has become of a JWT that was minted under `stamp`, from one read; `None` unless `is_live` holds of it.
    pub fn jwt_standing(
        &self,
        id: &str,
        stamp: &Stamp,
        is_live: impl Fn(&JwtStanding) -> bool,
    ) -> Result<Option<JwtStanding>> {
        let Stamp { family, grant, client, user, .. } = stamp;
        self.views.find(|connection| {
            let mut statement = connection.prepare_cached(STANDING)?;
            let standing = statement.query_row(params![client, family, grant, user, id], |row| {
                let standing = |column, open| -> rusqlite::Result<Standing> {
                    let is_open = row.get_ref(column)?.as_str_or_null()? == Some(open);
                    Ok(if is_open { Standing::Open } else { Standing::Shut })
                };
                let user_generation: Option<i64> = row.get(6)?;
                let now = Now {
                    family: family.as_ref().map(|_| standing(0, "open")).transpose()?,
                    grant: grant.as_ref().map(|_| standing(1, "open")).transpose()?,
                    client: standing(2, "active")?,
                    user: user.as_ref().map(|_| standing(3, "active")).transpose()?,
                    generations: Generations {
                        server: row.get(4)?,
                        client: row.get::<_, Option<i64>>(5)?.unwrap_or_default(),
                        user: user.as_ref().and(user_generation),
                    },
                };
                Ok(JwtStanding { now, grant_generation: row.get(7)?, is_revoked: row.get(8)? })
            })?;
            Ok(Some(standing).filter(&is_live))
        })
    }

    /// What a client's own token is minted under; `None` if the client may not act. One statement
    /// checks the one and reads the other.
    pub fn client_generations(&self, client: &ClientId) -> Result<Option<Generations>> {
        self.views.find(|connection| {
            connection
                .prepare_cached(CLIENT_TERMS)?
                .query_row([client], |row| {
                    Ok(Generations { server: row.get(0)?, client: row.get(1)?, user: None })
                })
                .optional()
        })
    }
}

impl Tx<'_> {
    pub fn insert_revoked_token(&self, id: &str, client: &ClientId, expires_at: Timestamp) -> Result<()> {
        self.connection.prepare_cached(INSERT)?.execute(params![id, client, expires_at])?;
        self.outdates.set(true);
        Ok(())
    }

    pub fn is_revoked_token(&self, id: &str) -> Result<bool> {
        Ok(self.connection.prepare_cached(IS_REVOKED)?.exists([id])?)
    }

    /// How many of a client's tokens are revoked one by one and expire after `since`; `most` at most.
    pub fn count_revoked_tokens(&self, client: &ClientId, since: Timestamp, most: i64) -> Result<i64> {
        Ok(self
            .connection
            .prepare_cached(COUNT)?
            .query_row(params![client, since, most], |row| row.get(0))?)
    }

    /// The generation and the scope of a grant, from one row read.
    pub fn grant_terms(&self, grant: &GrantId) -> Result<Option<(i64, Scope)>> {
        Ok(self
            .connection
            .prepare_cached(GRANT_TERMS)?
            .query_row([grant], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?)
    }
}
