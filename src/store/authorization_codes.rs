//! The `authorization_codes` table.

use crate::clock::Timestamp;
use crate::model::id::{ClientId, FamilyId};
use crate::model::scope::Scope;
use crate::model::secret::Digest;
use crate::model::stamp::{Generations, Stamp};

use super::sql::{Row, params};
use super::{Result, Tx};

const INSERT: &str = "INSERT INTO authorization_codes (digest, family_id, grant_id, client_id, user_id, \
    server_generation, client_generation, user_generation, scope, redirect_uri, code_challenge, created_at, expires_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
/// A code is live while all that it was stamped with is open and current. Tokens are checked in another way: against
/// what is dead (`super::memory::dead`).
const USE: &str = "UPDATE authorization_codes AS a SET used_at = ?5 WHERE digest = ?1 AND client_id = ?2 \
    AND redirect_uri IS NOT DISTINCT FROM ?3 AND code_challenge IS NOT DISTINCT FROM ?4 \
    AND used_at IS NULL AND expires_at > ?5 AND EXISTS \
    (SELECT 1 FROM server AS s, clients AS c, users AS u, grants AS g, families AS f \
    WHERE s.id = 1 AND s.generation = a.server_generation \
    AND c.id = a.client_id AND c.status = 'active' AND c.generation = a.client_generation \
    AND u.id = a.user_id AND u.status = 'active' AND u.generation = a.user_generation \
    AND g.id = a.grant_id AND g.status = 'open' AND f.id = a.family_id AND f.status = 'open') \
    RETURNING family_id, grant_id, client_id, user_id, server_generation, client_generation, user_generation, scope, \
    (SELECT generation FROM grants WHERE id = grant_id), (SELECT expires_at FROM families WHERE id = family_id)";
const REPLAYED: &str = "SELECT family_id FROM authorization_codes WHERE digest = ?1 AND client_id = ?2 \
    AND redirect_uri IS NOT DISTINCT FROM ?3 AND code_challenge IS NOT DISTINCT FROM ?4 \
    AND used_at IS NOT NULL AND expires_at > ?5";
const HAS_CHALLENGE: &str =
    "SELECT code_challenge IS NOT NULL FROM authorization_codes WHERE digest = ?1 AND client_id = ?2";

/// A code as it is stored.
pub struct NewCode {
    pub digest: Digest,
    pub stamp: Stamp,
    pub scope: Scope,
    pub redirect_uri: Option<String>,
    pub code_challenge: Option<String>,
    pub expires_at: Timestamp,
}

/// What a token request shows to redeem a code. All of it must be right (RFC 6749 §4.1.3, RFC 7636 §4.6).
pub struct Redemption {
    pub code: Digest,
    pub client: ClientId,
    pub redirect_uri: Option<String>,
    pub code_challenge: Option<String>,
}

/// What a code or a refresh token is exchanged for: a successor with this stamp.
pub struct Exchanged {
    pub stamp: Stamp,
    pub scope: Scope,
    /// What the grant's generation was when its code was exchanged.
    pub grant_generation: i64,
    /// The family's row stays at least until then.
    pub kept_until: Timestamp,
}

impl Exchanged {
    /// Reads the columns that follow the stamp: scope, the grant's generation, and until when the family is kept.
    pub(super) fn read(stamp: Stamp, row: &Row<'_>) -> Result<Self> {
        Ok(Self { stamp, scope: row.get(7)?, grant_generation: row.get(8)?, kept_until: row.get(9)? })
    }
}

impl Tx<'_> {
    pub fn insert_authorization_code(&self, code: &NewCode, now: Timestamp) -> Result<()> {
        self.run(
            INSERT,
            params![
                code.digest,
                code.stamp.family,
                code.stamp.grant,
                code.stamp.client,
                code.stamp.user,
                code.stamp.generations.server,
                code.stamp.generations.client,
                code.stamp.generations.user,
                code.scope,
                code.redirect_uri,
                code.code_challenge,
                now,
                code.expires_at,
            ],
        )?;
        Ok(())
    }

    /// HashedTokenIds a code as used. `None` unless everything is right and it is live and unused.
    pub fn use_authorization_code(&self, with: &Redemption, now: Timestamp) -> Result<Option<Exchanged>> {
        self.one(USE, params![with.code, with.client, with.redirect_uri, with.code_challenge, now], |row| {
            let stamp = Stamp {
                family: row.get(0)?,
                grant: row.get(1)?,
                client: row.get(2)?,
                user: row.get(3)?,
                generations: Generations { server: row.get(4)?, client: row.get(5)?, user: row.get(6)? },
            };
            Exchanged::read(stamp, row)
        })
    }

    /// The family of a used code that its own client shows again, with everything else right.
    pub fn replayed_code_family(&self, with: &Redemption, now: Timestamp) -> Result<Option<FamilyId>> {
        self.one(
            REPLAYED,
            params![with.code, with.client, with.redirect_uri, with.code_challenge, now],
            |row| row.get(0),
        )
    }

    /// Whether the authorization request for this code had a challenge. `None` for an unknown code.
    pub fn code_has_challenge(&self, code: &Digest, client: &ClientId) -> Result<Option<bool>> {
        self.one(HAS_CHALLENGE, params![code, client], |row| row.get(0))
    }
}
