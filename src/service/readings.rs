//! What metrics read from the database. Acts are counted from the ledger, so counting them slows no act down, and none
//! is missed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::clock::Timestamp;
use crate::metrics::{DrillReading, Reading, ServerReading};
use crate::model::act::Act;
use crate::model::canary::{Drill, Outcome};
use crate::model::resource_server::ResourceServer;
use crate::service::guards::Guards;
use crate::store::{self, Store};

/// Counts of acts since the process began. Cheap to clone.
#[derive(Clone)]
pub struct Readings(Arc<Mutex<ActCounts>>);

struct ActCounts {
    upto: i64,
    acts: Vec<(Act, u64)>,
}

impl Readings {
    pub fn since_now(store: &Store) -> Self {
        let acts = Act::ALL.iter().map(|act| (*act, 0)).collect();
        Self(Arc::new(Mutex::new(ActCounts { upto: *store.ledger_head().borrow(), acts })))
    }

    /// # Errors
    /// When the store fails.
    pub async fn read(&self, store: &Store, guards: &Guards, now: Timestamp) -> store::Result<Reading> {
        let acts = {
            let mut counts = self.0.lock().await;
            for count in store.acts_since(counts.upto).await? {
                counts.upto = counts.upto.max(count.upto);
                if let Some((_, rows)) = counts.acts.iter_mut().find(|(act, _)| *act == count.act) {
                    *rows += u64::try_from(count.rows).unwrap_or(0);
                }
            }
            counts.acts.iter().map(|(act, rows)| (act.as_str(), *rows)).collect()
        };
        let (unfinished, oldest) = store.purge_backlog().await?;
        let servers = store.resource_servers().await?;
        let server = |server: &ResourceServer| {
            let (running, lag) = guards.lag(&server.id, now);
            ServerReading { id: server.id.to_string(), name: server.name.to_string(), guards: running, lag }
        };
        Ok(Reading {
            acts,
            servers: servers.iter().map(server).collect(),
            drill: store.last_drill().await?.map(drill),
            unfinished_purges: u64::try_from(unfinished).unwrap_or(0),
            oldest_purge: oldest.map_or(Duration::ZERO, |at| now.since(at)),
            queued_writes: store.queued_writes() as u64,
            busy_readers: store.busy_readers() as u64,
        })
    }
}

fn drill(drill: Drill) -> DrillReading {
    let p99 = match drill.outcome {
        Outcome::Passed(times) => Some(times.p99),
        Outcome::Failed { .. } => None,
    };
    DrillReading { at: drill.at.since(Timestamp::from_millis(0)), p99 }
}
