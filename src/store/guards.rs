//! The `guard_instances` and `confirmations` tables: which guards have a lease, and which resource servers confirmed
//! which revocations.

use std::collections::HashSet;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::model::confirmation::Confirmation;
use crate::model::id::{ReceiptId, ResourceServerId};

use super::feed::{self, FeedRow};
use super::sql::{Connection, Row, params};
use super::{Result, Store, Tx, postgres};

const LEASED: &str = "SELECT resource_server_id, instance, since, through, keys_version, acknowledged_at, confirmed_at, \
    leased_until FROM guard_instances WHERE leased_until > ?1 LIMIT 100000";
const LEASED_ONE: &str = "SELECT resource_server_id, instance, since, through, keys_version, acknowledged_at, \
    confirmed_at, leased_until FROM guard_instances WHERE resource_server_id = ?1 AND instance = ?2";
const LEASE: &str = "INSERT INTO guard_instances (resource_server_id, instance, since, through, keys_version, \
    acknowledged_at, confirmed_at, leased_until) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
    ON CONFLICT (resource_server_id, instance) DO UPDATE SET since = excluded.since, through = excluded.through, \
    keys_version = excluded.keys_version, acknowledged_at = excluded.acknowledged_at, \
    confirmed_at = excluded.confirmed_at, leased_until = excluded.leased_until";
const FORGET: &str = "DELETE FROM guard_instances WHERE leased_until <= ?1";
const SEEN: &str = "UPDATE resource_servers SET guard_seen_at = ?2 WHERE id = ?1 AND guard_seen_at IS NULL";
/// Rows that may not be settled for every resource server: the newest ones, and those that are settled for none.
const UNSETTLED: &str = "SELECT l.sequence, l.at, l.subject_kind, l.subject_id, l.generation, l.audiences \
    FROM ledger AS l WHERE l.sequence > coalesce((SELECT o.sequence FROM ledger AS o WHERE o.at <= ?1 \
    ORDER BY o.at DESC LIMIT 1), 0) AND (l.at > (SELECT max(n.at) FROM ledger AS n) - ?2 \
    OR NOT EXISTS (SELECT 1 FROM confirmations AS x WHERE x.ledger_sequence = l.sequence)) \
    ORDER BY l.sequence LIMIT 100000";
const SETTLED_FROM: &str =
    "SELECT ledger_sequence, resource_server_id FROM confirmations WHERE ledger_sequence >= ?1";
const SETTLE: &str = "INSERT INTO confirmations (ledger_sequence, resource_server_id, guard, instances, confirmed, \
    last_ms, open_until) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
const OF_RECEIPT: &str = "SELECT x.ledger_sequence, x.resource_server_id, x.guard, x.instances, x.confirmed, x.last_ms, \
    x.open_until FROM ledger AS l JOIN confirmations AS x ON x.ledger_sequence = l.sequence WHERE l.receipt_id = ?1 \
    ORDER BY x.ledger_sequence LIMIT 50000";

/// A guard that may accept tokens until its lease ends.
#[derive(Clone, Debug)]
pub struct Leased {
    pub server: ResourceServerId,
    pub instance: String,
    /// The newest row when the lease began. The guard accepted nothing until then, so it need not confirm earlier ones.
    pub since: i64,
    /// It has confirmed all rows up to this sequence, perhaps more.
    pub through: i64,
    pub keys_version: u64,
    /// When it said something last.
    pub at: Timestamp,
    /// When it said that it has confirmed `through`, or a little later.
    pub confirmed_at: Timestamp,
    pub until: Timestamp,
}

/// What a guard that left has confirmed: it accepts nothing any more.
pub const EVERYTHING: i64 = i64::MAX;

/// How far a resource server's guards confirmed a ledger row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    pub sequence: i64,
    pub server: ResourceServerId,
    pub confirmation: Confirmation,
}

fn settled(row: &Row<'_>) -> Result<Settled> {
    let last: Option<i64> = row.get(5)?;
    let confirmation = Confirmation {
        guarded: row.get(2)?,
        instances: row.get(3)?,
        confirmed: row.get(4)?,
        last: last.map(|ms| Duration::from_millis(ms.unsigned_abs())),
        open_until: row.get(6)?,
    };
    Ok(Settled { sequence: row.get(0)?, server: row.get(1)?, confirmation })
}

fn leased(row: &Row<'_>) -> Result<Leased> {
    Ok(Leased {
        server: row.get(0)?,
        instance: row.get(1)?,
        since: row.get(2)?,
        through: row.get(3)?,
        keys_version: row.get::<i64>(4)?.unsigned_abs(),
        at: row.get(5)?,
        confirmed_at: row.get(6)?,
        until: row.get(7)?,
    })
}

impl Store {
    /// Guards whose lease ends after `since`.
    pub async fn leased_guards(&self, since: Timestamp) -> Result<Vec<Leased>> {
        self.rows_read(LEASED, params![since], leased).await
    }

    /// A guard, even if its lease has ended.
    pub async fn leased_guard(&self, server: &ResourceServerId, instance: &str) -> Result<Option<Leased>> {
        self.one(LEASED_ONE, params![server, instance], leased).await
    }

    /// Rows written after `since` that may not be settled for every resource server, oldest first. They include all
    /// rows that are within `settling` of the newest one.
    pub async fn unsettled_rows(&self, since: Timestamp, settling: Duration) -> Result<Vec<FeedRow>> {
        let settling = i64::try_from(settling.as_millis()).unwrap_or(i64::MAX);
        self.all(UNSETTLED, params![since, settling], feed::feed_row).await
    }

    /// Which rows from `sequence` on are settled, and for which resource servers.
    pub async fn settled_from(&self, sequence: i64) -> Result<HashSet<(i64, ResourceServerId)>> {
        let pair = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        Ok(self.all(SETTLED_FROM, params![sequence], pair).await?.into_iter().collect())
    }

    /// The settled confirmations of a receipt's rows.
    pub async fn settled_of(&self, receipt: &ReceiptId) -> Result<Vec<Settled>> {
        self.all(OF_RECEIPT, params![receipt], settled).await
    }
}

impl Tx<'_> {
    /// Writes a lease that begins, and returns it as it is stored: it may run already, by way of another server.
    pub fn begin_lease(&self, leased: &Leased) -> Result<Leased> {
        match self.connection() {
            Connection::Postgres(session) => postgres::guards::begin(session, leased, self::leased),
            Connection::Sqlite(_) => {
                self.lease_guards(std::slice::from_ref(leased))?;
                Ok(leased.clone())
            }
        }
    }

    /// Writes leases that run on.
    pub fn lease_guards(&self, leases: &[Leased]) -> Result<()> {
        if let Connection::Postgres(session) = self.connection() {
            return postgres::guards::lease(session, leases);
        }
        leases.iter().try_for_each(|leased| {
            let Leased { server, instance, since, through, keys_version, at, confirmed_at, until } = leased;
            let keys_version = keys_version.cast_signed();
            self.run(
                LEASE,
                params![server, instance, since, through, keys_version, at, confirmed_at, until],
            )?;
            Ok(())
        })
    }

    /// Deletes guards whose lease has ended by `until`.
    pub fn forget_guards(&self, until: Timestamp) -> Result<()> {
        self.run(FORGET, params![until])?;
        Ok(())
    }

    /// Notes that a guard runs at a resource server.
    pub fn note_guard(&self, server: &ResourceServerId, now: Timestamp) -> Result<()> {
        if self.run(SEEN, params![server, now])? > 0 {
            self.version_moves();
        }
        Ok(())
    }

    /// Stores what is settled, except what is stored already. Returns which rows were new.
    pub fn settle(&self, settled: &[Settled]) -> Result<Vec<(i64, ResourceServerId)>> {
        if let Connection::Postgres(session) = self.connection() {
            return postgres::guards::settle(session, settled);
        }
        let mut new = Vec::new();
        for Settled { sequence, server, confirmation } in settled {
            let last = confirmation.last_ms();
            let Confirmation { guarded, instances, confirmed, open_until, .. } = confirmation;
            let values = params![sequence, server, guarded, instances, confirmed, last, open_until];
            if self.run(SETTLE, values)? > 0 {
                new.push((*sequence, server.clone()));
            }
        }
        Ok(new)
    }
}
