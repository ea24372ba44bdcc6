//! The `families` table. Pages call a family a device.

use crate::clock::Timestamp;
use crate::model::id::{ClientId, FamilyId, GrantId, UserId};
use crate::model::resource_server::Audiences;
use crate::model::stamp::Stamp;

use super::sql::{from_row, params};
use super::{Result, Store, Tx};

const INSERT: &str = "INSERT INTO families (id, grant_id, client_id, user_id, server_generation, client_generation, \
    user_generation, status, device, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'open', ?8, ?9, ?10)";
const PROLONG: &str = "UPDATE families SET expires_at = ?3 WHERE id = ?1 AND expires_at < ?2";
const FAMILY_USED: &str =
    "UPDATE families SET last_used_at = ?2 WHERE id = ?1 AND coalesce(last_used_at, 0) < ?2";
const GRANT_USED: &str =
    "UPDATE grants SET last_used_at = ?2 WHERE id = ?1 AND coalesce(last_used_at, 0) < ?2";
const CLOSE: &str = "UPDATE families SET status = 'closed' WHERE id = ?1 AND status = 'open' \
    RETURNING grant_id, client_id, user_id";
const OF_USER: &str = "SELECT 1 FROM families WHERE id = ?1 AND grant_id = ?2 AND user_id = ?3";
/// Devices of a grant whose credentials can still be live.
const DEVICES: &str = "SELECT f.id, f.device AS name, f.created_at, f.last_used_at FROM families AS f, clients AS c, users AS u, \
    server AS s WHERE f.grant_id = ?1 AND f.user_id = ?2 AND f.status = 'open' AND f.expires_at > ?3 \
    AND c.id = f.client_id AND c.generation = f.client_generation AND u.id = f.user_id \
    AND u.generation = f.user_generation AND s.id = 1 AND s.generation = f.server_generation \
    ORDER BY f.id DESC LIMIT 200";

const AUDIENCES: &str = "SELECT g.audiences FROM families AS f JOIN grants AS g ON g.id = f.grant_id \
    WHERE f.id = ?1 AND f.grant_id = ?2";

/// A device, as its owner sees it.
#[derive(Clone, Debug)]
pub struct Device {
    pub id: FamilyId,
    pub name: String,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

from_row! { Device: id, name, created_at, last_used_at }

/// What a closed family belonged to.
pub(super) struct ClosedFamily {
    pub grant: GrantId,
    pub client: ClientId,
    pub user: UserId,
}

impl Store {
    /// All audiences that a device's grant ever had. `None` if there is no such device under this grant.
    pub async fn device_audiences(&self, family: &FamilyId, grant: &GrantId) -> Result<Option<Audiences>> {
        self.one(AUDIENCES, params![family, grant], |row| row.get(0)).await
    }

    pub async fn devices(&self, grant: &GrantId, owner: &UserId, now: Timestamp) -> Result<Vec<Device>> {
        self.rows(DEVICES, params![grant, owner, now]).await
    }
}

impl Tx<'_> {
    /// Inserts the family that `stamp` names. Its `created_at` comes from its id: its tokens are found by that time.
    pub fn insert_family(&self, stamp: &Stamp, device: &str, expires_at: Timestamp) -> Result<()> {
        self.run(
            INSERT,
            params![
                stamp.family,
                stamp.grant,
                stamp.client,
                stamp.user,
                stamp.generations.server,
                stamp.generations.client,
                stamp.generations.user,
                device,
                stamp.family.as_ref().map(FamilyId::born),
                expires_at,
            ],
        )?;
        Ok(())
    }

    /// Notes the newest use of a device and of its app.
    pub fn note_used(&self, family: &FamilyId, grant: &GrantId, at: Timestamp) -> Result<()> {
        self.run(GRANT_USED, params![grant, at])?;
        self.run(FAMILY_USED, params![family, at])?;
        Ok(())
    }

    /// Keeps a family at least as long as its longest-lived credential. If it would end before `until`, it is kept
    /// until `longer`. Returns `longer` then, or else `until`.
    pub fn prolong_family(&self, id: &FamilyId, until: Timestamp, longer: Timestamp) -> Result<Timestamp> {
        let rows = self.run(PROLONG, params![id, until, longer])?;
        Ok(if rows == 1 { longer } else { until })
    }

    /// `None` if it is closed or deleted already.
    pub(super) fn close_family(&self, id: &FamilyId) -> Result<Option<ClosedFamily>> {
        self.one(CLOSE, params![id], |row| {
            Ok(ClosedFamily { grant: row.get(0)?, client: row.get(1)?, user: row.get(2)? })
        })
    }

    pub fn family_is_of(&self, id: &FamilyId, grant: &GrantId, owner: &UserId) -> Result<bool> {
        self.any(OF_USER, params![id, grant, owner])
    }
}
