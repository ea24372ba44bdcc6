//! How many streams of the revocation feed each resource server has open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::id::ResourceServerId;

/// At most this many streams of one resource server are open. Each of its guards has one, and a second one for a moment
/// when it connects again before the server has noticed that the first one broke. Every revocation wakes all of them,
/// so a stolen secret must not open any number.
pub const MOST: usize = 2_000;

/// Cheap to clone.
#[derive(Clone, Default)]
pub struct Streams(Arc<Mutex<HashMap<ResourceServerId, usize>>>);

/// An open stream. It is counted until this is dropped.
pub struct OpenStream {
    server: ResourceServerId,
    streams: Streams,
}

impl Streams {
    fn counts(&self) -> MutexGuard<'_, HashMap<ResourceServerId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more stream. `None` if the resource server has [`MOST`] already.
    pub fn open(&self, server: &ResourceServerId) -> Option<OpenStream> {
        let mut counts = self.counts();
        let count = counts.entry(server.clone()).or_default();
        if *count >= MOST {
            return None;
        }
        *count += 1;
        Some(OpenStream { server: server.clone(), streams: self.clone() })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if let Some(count) = self.streams.counts().get_mut(&self.server) {
            *count -= 1;
        }
    }
}
