//! An acknowledgement of a guard: it extends the guard's lease, and confirms what the guard has applied.

use crate::clock::Timestamp;
use crate::model::id::ResourceServerId;
use crate::model::resource_server::ResourceServer;
use crate::service::guard_instance::{AHEAD, Acknowledgement, Instance, Servers, Written};
use crate::service::guards::Guards;
use crate::store::guards::{EVERYTHING, Leased};
use crate::store::{self, Store};

/// At most this many guards of one resource server have a lease. Every revocation looks at all of them, so a stolen
/// secret, or a program that restarts every second, must not add guards without limit.
pub const MOST_GUARDS: usize = 5_000;

/// Whether a lease has to be written before its guard gets an answer.
#[derive(Clone, Debug)]
#[must_use]
pub enum Lease {
    Known,
    New(Leased),
    /// It is longer than what other servers know of it.
    Extended(Leased),
    /// There are [`MOST_GUARDS`] already: this guard may not go on.
    TooMany,
}

impl Guards {
    /// Notes an acknowledgement, and extends its sender's lease from `acknowledged.at` on.
    ///
    /// Must be called before the answer is read from the database: then everything that is revoked after that read
    /// finds the lease, and waits for it.
    pub fn acknowledged(
        &self,
        server: &ResourceServer,
        instance: &str,
        acknowledged: Acknowledgement,
    ) -> Lease {
        let mut leases = self.leases();
        let (position, complete) = (leases.position, leases.complete);
        let now = acknowledged.at;
        let lease = now.plus(server.guarding.max_staleness.duration());
        let watched = leases.servers.entry(server.id.clone()).or_default();
        let runs = |known: &Instance| known.end(self.kind) > now;
        if let Some(known) = watched.instances.get(instance).copied().filter(runs) {
            let through = known.through.max(acknowledged.through.min(position));
            let confirmed_at = if through > known.through { now } else { known.confirmed_at };
            let extended = Instance { through, lease, acknowledged, confirmed_at, ..known };
            return match self.kind {
                Servers::One => {
                    watched.instances.insert(instance.to_owned(), extended);
                    watched.confirm(known.through, through, now, self.metrics());
                    Lease::Known
                }
                Servers::Several => {
                    watched.replace(instance, extended, complete, self.metrics());
                    if through > known.through {
                        self.news.notify_one();
                    }
                    if lease <= known.written.until {
                        Lease::Known
                    } else {
                        Lease::Extended(extended.leased(&server.id, instance))
                    }
                }
            };
        }
        if watched.instances.len() >= MOST_GUARDS {
            watched.instances.retain(|_, known| runs(known));
            if watched.instances.len() >= MOST_GUARDS {
                return Lease::TooMany;
            }
        }
        // It accepted nothing until now, so it need not confirm what ended earlier.
        let until = match self.kind {
            Servers::One => lease.plus(AHEAD),
            // Other servers do not know it yet.
            Servers::Several => now,
        };
        let written = Written { until, through: position, keys_version: acknowledged.keys_version };
        let begun =
            Instance { since: position, through: position, lease, acknowledged, confirmed_at: now, written };
        watched.instances.insert(instance.to_owned(), begun);
        Lease::New(begun.leased(&server.id, instance))
    }

    /// Takes what is stored of a lease.
    fn stored(&self, leased: &Leased) {
        let mut leases = self.leases();
        let complete = leases.complete;
        let watched = leases.servers.entry(leased.server.clone()).or_default();
        let stored = Instance::stored(Servers::Several, leased);
        let lease = watched.instances.get(&leased.instance).map_or(stored.lease, |known| known.lease);
        watched.replace(&leased.instance, Instance { lease, ..stored }, complete, self.metrics());
    }

    fn is_running(&self, server: &ResourceServerId, instance: &str, now: Timestamp) -> bool {
        let leases = self.leases();
        let known = leases.servers.get(server).and_then(|watched| watched.instances.get(instance));
        known.is_some_and(|known| known.end(self.kind) > now)
    }

    /// Removes a guard that accepts nothing any more, so that nobody waits for it.
    pub fn left(&self, server: &ResourceServer, instance: &str, now: Timestamp) -> Option<Leased> {
        let mut leases = self.leases();
        let (position, complete) = (leases.position, leases.complete);
        let watched = leases.servers.get_mut(&server.id)?;
        let gone = watched.instances.get(instance).copied()?;
        let left = match self.kind {
            Servers::One => {
                watched.instances.remove(instance);
                watched.confirm(gone.through, position, now, self.metrics());
                Instance { through: position, ..gone }
            }
            Servers::Several => {
                let written = Written { until: now, through: EVERYTHING, ..gone.written };
                let left = Instance { through: EVERYTHING, lease: now, confirmed_at: now, written, ..gone };
                watched.replace(instance, left, complete, self.metrics());
                self.news.notify_one();
                left
            }
        };
        Some(Leased { until: now, ..left.leased(&server.id, instance) })
    }
}

/// Makes a lease durable, and known to other servers.
///
/// # Errors
/// When the store fails. Then the guard may not go on.
pub async fn write_lease(guards: &Guards, store: &Store, lease: Lease, now: Timestamp) -> store::Result<()> {
    match lease {
        Lease::Known | Lease::TooMany => Ok(()),
        Lease::New(leased) => {
            let begin = move |tx: &store::Tx<'_>| {
                tx.note_guard(&leased.server, now)?;
                tx.begin_lease(&leased)
            };
            let stored = store.write(begin).await?;
            if guards.kind == Servers::Several {
                guards.stored(&stored);
            }
            Ok(())
        }
        Lease::Extended(leased) => {
            let written = [leased.clone()];
            store.write(move |tx| tx.lease_guards(std::slice::from_ref(&leased))).await?;
            guards.leases().written(&written, guards.metrics());
            Ok(())
        }
    }
}

/// Ends the lease of a guard that accepts nothing any more.
///
/// # Errors
/// When the store fails. The lease then runs out by itself.
pub async fn leave(
    guards: &Guards,
    store: &Store,
    server: &ResourceServer,
    instance: &str,
    now: Timestamp,
) -> store::Result<()> {
    let Some(leased) = guards.left(server, instance, now) else { return Ok(()) };
    store.write(move |tx| tx.lease_guards(std::slice::from_ref(&leased))).await
}

/// Learns of a guard that has its lease from another server.
///
/// # Errors
/// When the database can't be read.
pub async fn look_up(
    guards: &Guards,
    store: &Store,
    server: &ResourceServer,
    instance: &str,
    now: Timestamp,
) -> store::Result<()> {
    if guards.kind == Servers::One || guards.is_running(&server.id, instance, now) {
        return Ok(());
    }
    if let Some(leased) = store.leased_guard(&server.id, instance).await?.filter(|leased| leased.until > now)
    {
        guards.stored(&leased);
    }
    Ok(())
}
