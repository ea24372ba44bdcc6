//! Snapshots of the feed. Guards of a resource server that ask at the same time get the same one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rescind_guard::wire::{Entry, Snapshot, VERSION};
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::model::act::RETENTION;
use crate::model::resource_server::ResourceServer;
use crate::service::feed::keep;
use crate::store::feed::Tip;
use crate::store::{self, Store};

/// How long a snapshot is used if nothing was revoked. Not longer, because the `keep` of its entries gets older.
const SAME_FOR: Duration = Duration::from_secs(1);

/// The newest snapshot for each audience. Cheap to clone.
#[derive(Clone, Default)]
pub struct Snapshots(Arc<Mutex<HashMap<String, Slot>>>);

type Slot = Arc<tokio::sync::Mutex<Option<CachedSnapshot>>>;

/// A snapshot as JSON, and the time and the tip that it was made at.
struct CachedSnapshot {
    began: Instant,
    at: Timestamp,
    tip: Tip,
    text: Arc<str>,
}

impl Snapshots {
    /// A snapshot from one read of the database. That read began after this call, or the ledger has not moved since.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn read(
        &self,
        store: &Store,
        issuer: &str,
        server: &ResourceServer,
        now: Timestamp,
    ) -> store::Result<Arc<str>> {
        let arrived = Instant::now();
        let slot = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry(server.audience.to_string()).or_default().clone()
        };
        // While a snapshot is being made, other callers wait for it.
        let mut slot = slot.lock().await;
        let tip = store.feed_tip().await?;
        if let Some(cached) = &*slot
            && (cached.began >= arrived
                || cached.tip == tip && now.since(cached.at) < SAME_FOR && cached.at <= now)
        {
            return Ok(cached.text.clone());
        }
        let began = Instant::now();
        let since = now.minus(RETENTION);
        let held = store.feed_snapshot(server.audience.to_string(), since).await?;
        let entries = held.entries.into_iter();
        let snapshot = Snapshot {
            version: VERSION,
            issuer: issuer.to_owned(),
            audience: server.audience.to_string(),
            incarnation: held.tip.incarnation,
            through: held.through.unsigned_abs(),
            max_staleness: server.guarding.max_staleness.seconds(),
            server_generation: held.tip.server_generation,
            keys: held.keys.wire(),
            entries: entries.map(|(subject, at)| Entry { subject, keep: keep(at, now) }).collect(),
        };
        let text: Arc<str> = serde_json::to_string(&snapshot)
            .map_err(|error| store::Error::Unavailable(error.to_string()))?
            .into();
        *slot = Some(CachedSnapshot { began, at: now, tip: held.tip, text: text.clone() });
        Ok(text)
    }
}
