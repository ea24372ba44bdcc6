//! The browsers that the sample app knows: at most a hundred, the oldest makes room.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oauth2::{CsrfToken, PkceCodeVerifier};
use tokio::task::JoinHandle;

use super::connection::Connection;

/// Browsers kept. Each connected one costs a task and a call a second.
const MAX_VISITORS: usize = 100;

/// An authorization request that has not come back yet.
pub struct PendingRequest {
    pub state: CsrfToken,
    pub verifier: PkceCodeVerifier,
}

/// A connection with the task that calls the API for it; the task ends when this is dropped.
pub struct RunningConnection {
    connection: Arc<Connection>,
    task: JoinHandle<()>,
}

impl RunningConnection {
    /// Starts calling the API.
    pub fn start(connection: Arc<Connection>) -> Self {
        let task = tokio::spawn(Arc::clone(&connection).keep_calling());
        Self { connection, task }
    }

    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for RunningConnection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Visitor {
    key: String,
    pending: Option<PendingRequest>,
    running: Option<RunningConnection>,
}

/// Who is here, by the random key in the browser's cookie. Oldest first.
#[derive(Default)]
pub struct Visitors(Mutex<Vec<Visitor>>);

impl Visitors {
    /// Remembers a request that leaves for the authorization server, and gives the key for the cookie.
    pub fn remember_request(&self, key: Option<&str>, pending: PendingRequest) -> String {
        let mut visitors = self.lock();
        if let Some(visitor) = visitors.iter_mut().find(|v| key == Some(&v.key)) {
            visitor.pending = Some(pending);
            return visitor.key.clone();
        }
        add(&mut visitors, Some(pending), None)
    }

    /// The request that `state` answers: once, and only in the browser that made it.
    pub fn take_request(&self, key: &str, state: &str) -> Option<PendingRequest> {
        let mut visitors = self.lock();
        let visitor = visitors.iter_mut().find(|v| v.key == key)?;
        visitor.pending.take_if(|p| p.state.secret() == state)
    }

    /// Seats a connection under a new key; what the old key held ends.
    pub fn connect(&self, old_key: &str, running: RunningConnection) -> String {
        let mut visitors = self.lock();
        visitors.retain(|v| v.key != old_key);
        add(&mut visitors, None, Some(running))
    }

    /// The connection of this browser.
    pub fn find(&self, key: &str) -> Option<Arc<Connection>> {
        let visitors = self.lock();
        let running = visitors.iter().find(|v| v.key == key)?.running.as_ref()?;
        Some(Arc::clone(running.connection()))
    }

    /// Forgets this browser, and hands over what it had running.
    pub fn remove(&self, key: &str) -> Option<RunningConnection> {
        let mut visitors = self.lock();
        let place = visitors.iter().position(|v| v.key == key)?;
        visitors.remove(place).running
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Visitor>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(
    visitors: &mut Vec<Visitor>,
    pending: Option<PendingRequest>,
    running: Option<RunningConnection>,
) -> String {
    if visitors.len() >= MAX_VISITORS {
        // A browser that only began to connect goes first.
        let idle = visitors.iter().position(|v| v.running.is_none());
        visitors.remove(idle.unwrap_or(0));
    }
    let key = format!("{:032x}", rand::random::<u128>());
    visitors.push(Visitor { key: key.clone(), pending, running });
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(state: &str) -> PendingRequest {
        PendingRequest {
            state: CsrfToken::new(state.to_owned()),
            verifier: PkceCodeVerifier::new("v".repeat(43)),
        }
    }

    #[test]
    fn a_request_is_answered_once_and_only_in_its_own_browser() {
        let visitors = Visitors::default();
        let mine = visitors.remember_request(None, pending("one"));
        let other = visitors.remember_request(None, pending("two"));
        assert!(visitors.take_request(&other, "one").is_none());
        assert!(visitors.take_request(&mine, "two").is_none());
        assert!(visitors.take_request(&mine, "one").is_some());
        assert!(visitors.take_request(&mine, "one").is_none());
    }

    #[test]
    fn the_oldest_makes_room() {
        let visitors = Visitors::default();
        let first = visitors.remember_request(None, pending("first"));
        for _ in 0..MAX_VISITORS {
            visitors.remember_request(None, pending("more"));
        }
        assert_eq!(visitors.lock().len(), MAX_VISITORS);
        assert!(visitors.take_request(&first, "first").is_none());
    }
}
