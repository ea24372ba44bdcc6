//! Signing in and out. A session is minted like a token: in a transaction that checks everything again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::clock::Timestamp;
use crate::model::audit::{Event, Object};
use crate::model::by::By;
use crate::model::password::Password;
use crate::model::secret::Digest;
use crate::model::user::Username;
use crate::service::audit;
use crate::store::sessions::NewSession;
use crate::store::users::Credentials;
use crate::store::{self, Store};

/// How many passwords are hashed at a time (Argon2id). Each takes a core and 19 MiB.
const AT_A_TIME: usize = 2;
/// How long a hash waits for its turn. After that it fails, because too many wait.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Hashes and checks passwords off the async threads, a few at a time. Cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    turn: Arc<Semaphore>,
    /// The hash that is checked for an unknown user, so that unknown names take as long as wrong passwords.
    decoy: Arc<str>,
}

#[derive(Debug, thiserror::Error)]
#[error("passwords can't be hashed: {0}")]
pub struct HashError(String);

impl Passwords {
    /// # Errors
    /// When the system gives no randomness.
    pub fn new() -> Result<Self, HashError> {
        let decoy =
            Password::typed("a decoy".to_owned()).hash().map_err(|error| HashError(error.to_string()))?;
        Ok(Self { turn: Arc::new(Semaphore::new(AT_A_TIME)), decoy: decoy.into() })
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let turn = tokio::time::timeout(LONGEST_WAIT, self.turn.clone().acquire_owned())
            .await
            .map_err(|_| HashError("too many are waiting".to_owned()))?
            .map_err(|error| HashError(error.to_string()))?;
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| HashError(error.to_string()))
    }

    /// # Errors
    /// When the system gives no randomness, or too many passwords wait to be hashed.
    pub async fn hash(&self, password: Password) -> Result<String, HashError> {
        self.off_thread(move || password.hash()).await?.map_err(|error| HashError(error.to_string()))
    }

    /// The account that name and password belong to. `None` for a wrong password, an unknown name and an account that
    /// is not active: all three take the same time.
    ///
    /// # Errors
    /// When the store fails, or too many passwords wait to be checked.
    pub async fn check(
        &self,
        store: &Store,
        username: Option<&Username>,
        password: Password,
    ) -> store::Result<Option<Credentials>> {
        let known = match username {
            Some(name) => store.credentials(name).await?,
            None => None,
        };
        let hash = known.as_ref().map_or_else(|| self.decoy.to_string(), |known| known.password_hash.clone());
        let is_right = self
            .off_thread(move || password.verify(&hash))
            .await
            .map_err(|error| store::Error::Unavailable(error.to_string()))?;
        Ok(known.filter(|_| is_right))
    }
}

/// Begins a session. `false` if the account, its password or a generation has changed since `checked` was read.
///
/// # Errors
/// When the store fails.
pub async fn begin_session(
    store: &Store,
    new: NewSession,
    checked: Credentials,
    by: By,
) -> store::Result<bool> {
    store
        .act(by, move |tx, by| {
            if !tx.insert_session(&new, &checked, by.at)? {
                return Ok(false);
            }
            let object = Object::Session { id: new.id.clone(), user: checked.user.clone() };
            audit::record(tx, Event::SignedIn, object, Some(new.device.clone()), by)?;
            Ok(true)
        })
        .await
}

/// Begins the session that follows a change of the account. It is not recorded, since the change itself is. `false` as
/// for [`begin_session`].
///
/// # Errors
/// When the store fails.
pub async fn continue_session(
    store: &Store,
    new: NewSession,
    checked: Credentials,
    now: Timestamp,
) -> store::Result<bool> {
    store.write(move |tx| tx.insert_session(&new, &checked, now)).await
}

/// Deletes a session that the browser has replaced or given up. It may have ended already.
///
/// # Errors
/// When the store fails.
pub async fn forget_session(store: &Store, digest: Digest) -> store::Result<()> {
    store.write(move |tx| tx.delete_session(&digest).map(|_| ())).await
}
