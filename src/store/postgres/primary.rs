//! Whether the server at the other end of a connection may be believed: it is the primary, and no other one has taken
//! its place.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::model::standby::Standby;
use crate::store::postgres::address::{Address, Purpose};
use crate::store::postgres::connect::connect;
use crate::store::{Error, Result};

/// The number of the history that the server writes. It grows with each promotion of a standby.
const TIMELINE: &str = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint";
/// The first server that sees a new timeline leaves a gap in the ledger's numbers and in the versions. So none that a
/// guard or a server may have seen in the earlier history is given out again.
const LEAP: &str = "UPDATE head SET timeline = $1, sequence = CASE timeline WHEN 0 THEN sequence \
    ELSE sequence + 1048576 END, config = CASE timeline WHEN 0 THEN config ELSE config + 1048576 END \
    WHERE id = 1 AND timeline < $1";
const KNOWN: &str =
    "SELECT h.timeline, s.incarnation FROM head AS h JOIN server AS s ON s.id = 1 WHERE h.id = 1";
/// The same for a database whose history begins again.
pub const ACCEPT: &str = "UPDATE head SET sequence = sequence + 1048576, config = config + 1048576, timeline = \
    (SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint) WHERE id = 1";
const SERVERS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 \
    AND datname = current_database()";
const STANDBYS: &str = "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')";

/// How long it counts that the primary had a standby.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// What a server has in memory is of one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    pub timeline: i64,
    /// Moves when the database is restored.
    pub incarnation: i64,
}

/// The history that the database has now. A new timeline is noted, if the standby that became the primary is known to have
/// all that was answered.
///
/// # Errors
/// When it may lack some of that; when the server is an earlier primary, which a standby has replaced.
pub async fn history(client: &Client, address: &Address) -> Result<History> {
    let timeline: i64 = client.query_one(TIMELINE, &[]).await?.try_get(0)?;
    let known = client.query_one(KNOWN, &[]).await?;
    let (known, incarnation): (i64, i64) = (known.try_get(0)?, known.try_get(1)?);
    if known > timeline {
        return Err(Error::Unavailable("the database server was replaced by another one".to_owned()));
    }
    let is_followed = known == 0 || address.standby != Standby::Any;
    if known < timeline && is_followed {
        client.execute(LEAP, &[&timeline]).await?;
    } else if known < timeline && address.purpose == Purpose::Serve {
        return Err(Error::Unusable(
            "the database may lack what was done last, because a standby became its primary or a backup was \
             restored: stop all servers, run rescind restore --in-place, and start them again"
                .to_owned(),
        ));
    }
    Ok(History { timeline, incarnation })
}

/// How many connections servers and commands have to the database.
///
/// # Errors
/// When it can't be asked.
pub async fn connections(address: &Address) -> Result<i64> {
    let client = connect(address).await.map_err(Error::unreachable)?.client;
    Ok(client.query_one(SERVERS, &[&Purpose::Serve.name()]).await?.try_get(0)?)
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
        if standby != Standby::Required || is_recent {
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
