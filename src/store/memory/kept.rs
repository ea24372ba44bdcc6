//! Something made of rows, kept until their version moves.

use std::sync::{Arc, Mutex, PoisonError};

/// What was made, and the version that it was made of.
pub struct Kept<T>(Mutex<Option<(u64, Arc<T>)>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Kept<T> {
    /// What is made of `version`, which was read before this.
    ///
    /// # Errors
    /// What `make` returns.
    pub fn get<E>(&self, version: u64, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, made)) = &*kept()
            && *at == version
        {
            return Ok(made.clone());
        }
        // Made outside the lock; the version was read before, so what is kept is never older than it says.
        let made = Arc::new(make()?);
        *kept() = Some((version, made.clone()));
        Ok(made)
    }
}
