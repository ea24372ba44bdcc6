//! The handles that every request shares.

pub mod address;

use std::ops::Deref;
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::service::counts::Counts;
use crate::service::feed::Feed;
use crate::service::guards::{Guards, Servers};
use crate::service::keys::Keys;
use crate::service::last_used::LastUsed;
use crate::service::readings::Readings;
use crate::service::sign_in::{HashError, Passwords};
use crate::service::sign_in_limit::SignInLimit;
use crate::service::snapshots::Snapshots;
use crate::service::streams::Streams;
use crate::store::Store;
use crate::store::sqlite::lock::beside;

/// The handles. Cheap to clone: every request and layer has a clone.
#[derive(Clone)]
pub struct App(Arc<OfThread>);

/// Each thread has its own, so that threads don't share the count of clones.
struct OfThread(Arc<Shared>);

pub struct Shared {
    pub config: Config,
    pub store: Store,
    pub clock: Clock,
    pub keys: Keys,
    pub passwords: Passwords,
    pub last_used: LastUsed,
    pub counts: Counts,
    pub feed: Feed,
    pub guards: Guards,
    pub snapshots: Snapshots,
    pub sign_in_limit: SignInLimit,
    pub streams: Streams,
    pub metrics: Arc<Metrics>,
    pub readings: Readings,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0.0
    }
}

impl App {
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(config: Config, store: Store, clock: Clock) -> Result<Self, HashError> {
        let key_file = config.key_file.clone().or_else(|| store.path().map(|file| beside(file, "key")));
        // With a database without a file, it has to be set.
        let key_file = key_file.unwrap_or_default();
        Ok(Self(Arc::new(OfThread(Arc::new(Shared {
            keys: Keys::new(key_file, config.keys),
            guards: Guards::new(config.lives.jwt, Servers::of(&store)),
            readings: Readings::since_now(&store),
            config,
            store,
            clock,
            passwords: Passwords::new()?,
            last_used: LastUsed::default(),
            counts: Counts::default(),
            feed: Feed::default(),
            snapshots: Snapshots::default(),
            sign_in_limit: SignInLimit::default(),
            streams: Streams::default(),
            metrics: Arc::default(),
        })))))
    }

    /// The same handles, to be cloned only by one thread.
    #[must_use]
    pub fn of_thread(&self) -> Self {
        Self(Arc::new(OfThread(self.0.0.clone())))
    }
}
