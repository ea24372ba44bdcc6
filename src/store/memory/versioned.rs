//! A cached value that is made from rows, until the version of these rows moves.

use std::sync::{Arc, Mutex, PoisonError};

/// The value, and the version that it was made from.
pub struct Versioned<T>(Mutex<Option<(u64, Arc<T>)>>);

impl<T> Default for Versioned<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Versioned<T> {
    /// The value for `version`, which the caller has read before this call.
    ///
    /// # Errors
    /// What `make` returns.
    pub async fn get<E>(&self, version: u64, make: impl AsyncFnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = kept().as_ref().filter(|(at, _)| *at == version).map(|(_, made)| made.clone()) {
            return Ok(made);
        }
        // Made outside the lock. The version was read earlier, so the rows are of this version or of a newer one. Boxed,
        // because every request would have to move the room for it.
        let made = Arc::new(Box::pin(make()).await?);
        *kept() = Some((version, made.clone()));
        Ok(made)
    }
}
