//! Whether the server at the other end of a connection may be believed: it is the primary, and no other one has taken
//! its place.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::model::standby::Standby;
use crate::store::{Error, Result};

/// The number of the history that the server writes. It grows with each promotion of a standby.
const TIMELINE: &str = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint";
/// The first server that sees a new timeline leaves a gap in the ledger's numbers and in the versions. So none that a
/// guard or a server may have seen in the earlier history is given out again.
const LEAP: &str = "UPDATE head SET timeline = $1, sequence = CASE timeline WHEN 0 THEN sequence \
    ELSE sequence + 1048576 END, config = CASE timeline WHEN 0 THEN config ELSE config + 1048576 END \
    WHERE id = 1 AND timeline < $1";
const KNOWN: &str = "SELECT timeline FROM head WHERE id = 1";
const STANDBYS: &str = "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')";

/// How long it counts that the primary had a standby.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// The timeline of the server, which is noted if it is new.
///
/// # Errors
/// When the server is an earlier primary, which a standby has replaced.
pub async fn timeline(client: &Client) -> Result<i64> {
    let timeline: i64 = client.query_one(TIMELINE, &[]).await?.try_get(0)?;
    client.execute(LEAP, &[&timeline]).await?;
    let known: i64 = client.query_one(KNOWN, &[]).await?.try_get(0)?;
    if known > timeline {
        return Err(Error::Unavailable("the database server was replaced by another one".to_owned()));
    }
    Ok(timeline)
}

/// Looks now and then whether the primary still has a standby that holds each commit.
#[derive(Default)]
pub struct Fence {
    looked: Option<Instant>,
}

impl Fence {
    /// # Errors
    /// When there is no such standby: one may have been promoted, and this primary not know of it.
    pub async fn look(&mut self, client: &Client, standby: Standby) -> Result<()> {
        let is_recent = self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY);
        if standby == Standby::Any || is_recent {
            return Ok(());
        }
        let began = Instant::now();
        let standbys: i64 = client.query_one(STANDBYS, &[]).await?.try_get(0)?;
        if standbys == 0 {
            self.looked = None;
            return Err(Error::Unavailable("the primary has no synchronous standby".to_owned()));
        }
        self.looked = Some(began);
        Ok(())
    }
}
