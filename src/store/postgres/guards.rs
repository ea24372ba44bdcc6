//! Leases and confirmations in batches: servers write them all the time, and each statement is a round trip.

use serde_json::{Value as Json, json};

use crate::model::id::ResourceServerId;
use crate::store::Result;
use crate::store::guards::{Leased, Settled};
use crate::store::postgres::session::Session;
use crate::store::sql::{Connection, Row, params};

/// Where another server has begun the same lease at the same time, it stays what it is, and lasts longer.
const BEGIN: &str = "INSERT INTO guard_instances AS g (resource_server_id, instance, since, through, keys_version, \
    acknowledged_at, confirmed_at, leased_until) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7) \
    ON CONFLICT (resource_server_id, instance) \
    DO UPDATE SET since = CASE WHEN g.leased_until > ?6 THEN g.since ELSE excluded.since END, \
    through = CASE WHEN g.leased_until > ?6 THEN g.through ELSE excluded.through END, \
    keys_version = excluded.keys_version, acknowledged_at = excluded.acknowledged_at, \
    confirmed_at = CASE WHEN g.leased_until > ?6 THEN g.confirmed_at ELSE excluded.confirmed_at END, \
    leased_until = greatest(g.leased_until, excluded.leased_until) RETURNING resource_server_id, instance, since, \
    through, keys_version, acknowledged_at, confirmed_at, leased_until";
/// A guard may be known to several servers. None of them takes back what another one has written, in whatever order
/// they write. Rows are locked in the order of their keys.
const LEASE: &str = "INSERT INTO guard_instances AS g (resource_server_id, instance, since, through, keys_version, \
    acknowledged_at, confirmed_at, leased_until) SELECT x.server, x.instance, x.since, x.through, x.keys_version, \
    x.at, x.confirmed_at, x.until FROM jsonb_to_recordset(CAST(CAST(?1 AS TEXT) AS JSONB)) AS x (server TEXT, instance TEXT, since BIGINT, \
    through BIGINT, keys_version BIGINT, at BIGINT, confirmed_at BIGINT, until BIGINT) ORDER BY 1, 2 \
    ON CONFLICT (resource_server_id, instance) DO UPDATE SET since = greatest(g.since, excluded.since), \
    through = greatest(g.through, excluded.through), \
    keys_version = CASE WHEN g.acknowledged_at > excluded.acknowledged_at THEN g.keys_version \
    ELSE excluded.keys_version END, \
    acknowledged_at = greatest(g.acknowledged_at, excluded.acknowledged_at), \
    confirmed_at = CASE WHEN g.through >= excluded.through THEN g.confirmed_at ELSE excluded.confirmed_at END, \
    leased_until = CASE WHEN g.through = 9223372036854775807 THEN g.leased_until \
    WHEN excluded.through = 9223372036854775807 THEN excluded.leased_until \
    ELSE greatest(g.leased_until, excluded.leased_until) END";
/// The first server that settles a row says how.
const SETTLE: &str = "INSERT INTO confirmations (ledger_sequence, resource_server_id, guard, instances, confirmed, \
    last_ms, open_until) SELECT x.sequence, x.server, x.guard, x.instances, x.confirmed, x.last, x.until \
    FROM jsonb_to_recordset(CAST(CAST(?1 AS TEXT) AS JSONB)) AS x (sequence BIGINT, server TEXT, guard TEXT, \
    instances BIGINT, confirmed BIGINT, last BIGINT, until BIGINT) ORDER BY 1, 2 ON CONFLICT DO NOTHING \
    RETURNING ledger_sequence, resource_server_id";

pub fn begin(
    session: &Session,
    leased: &Leased,
    read: impl FnOnce(&Row<'_>) -> Result<Leased>,
) -> Result<Leased> {
    let Leased { server, instance, since, through, at, until, .. } = leased;
    let keys_version = leased.keys_version.cast_signed();
    let values = params![server, instance, since, through, keys_version, at, until];
    Connection::Postgres(session).only(BEGIN, values, read)
}

pub fn lease(session: &Session, leases: &[Leased]) -> Result<()> {
    let row = |leased: &Leased| {
        json!({
            "server": leased.server.as_str(),
            "instance": leased.instance,
            "since": leased.since,
            "through": leased.through,
            "keys_version": leased.keys_version,
            "at": leased.at.millis(),
            "confirmed_at": leased.confirmed_at.millis(),
            "until": leased.until.millis(),
        })
    };
    session.run(LEASE, params![array(leases.iter().map(row))])?;
    Ok(())
}

/// Returns which rows were new.
pub fn settle(session: &Session, settled: &[Settled]) -> Result<Vec<(i64, ResourceServerId)>> {
    let row = |Settled { sequence, server, confirmation }: &Settled| {
        json!({
            "sequence": sequence,
            "server": server.as_str(),
            "guard": confirmation.guarded.as_str(),
            "instances": confirmation.instances,
            "confirmed": confirmation.confirmed,
            "last": confirmation.last_ms(),
            "until": confirmation.open_until.map(|until| until.millis()),
        })
    };
    let mut new = Vec::new();
    session.each(SETTLE, params![array(settled.iter().map(row))], |row| {
        new.push((row.get(0)?, row.get(1)?));
        Ok(())
    })?;
    Ok(new)
}

fn array(rows: impl Iterator<Item = Json>) -> String {
    Json::Array(rows.collect()).to_string()
}
