//! The guard itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::claims::Claims;
use crate::layer::GuardLayer;
use crate::refusal::{Refusal, Revoked};
use crate::settings::{OpaqueTokens, Settings, SettingsError, WhenStale};
use crate::shared::Shared;
use crate::{ack, feed, introspect, report};

/// Checks access tokens. Cheap to clone. The connection ends when the last clone is dropped.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    feed: JoinHandle<()>,
    ack: Mutex<Option<JoinHandle<()>>>,
}

/// Why an answer that a token opened must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Revoked(Revoked),
    Expired,
    /// The guard does not know the newest revocations, so it can't tell.
    Stale,
}

impl Guard {
    /// Starts the connection and returns at once. Until the first answers arrive, all tokens are refused
    /// ([`Refusal::Stale`]). If the server is down, the guard tries again as long as it lives.
    ///
    /// # Errors
    /// The settings can't work, the system gives no randomness, or there is no tokio runtime.
    pub fn start(settings: Settings) -> Result<Self, SettingsError> {
        let shared = Arc::new(Shared::new(settings)?);
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| SettingsError::NoRuntime)?;
        let feed = runtime.spawn(feed::run(Arc::clone(&shared)));
        let ack = runtime.spawn(ack::run(Arc::clone(&shared)));
        Ok(Self(Arc::new(Inner { shared, feed, ack: Mutex::new(Some(ack)) })))
    }

    /// Accepts or refuses a JWT access token, with only what is in memory: no I/O, and no lock is held across the
    /// check.
    ///
    /// # Errors
    /// Why it is refused. [`Refusal::Opaque`] for an opaque token: [`Guard::check`] can ask the server about it.
    pub fn verify(&self, token: &str) -> Result<Claims, Refusal> {
        self.0.shared.counted(self.0.shared.check_in_memory(token))
    }

    /// Accepts or refuses any access token. Like [`Guard::verify`], but asks the server if what is in memory is not
    /// enough and the settings allow it.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn check(&self, token: &str) -> Result<Claims, Refusal> {
        let shared = &self.0.shared;
        let checked = match shared.check_in_memory(token) {
            Err(Refusal::Opaque) if shared.settings.opaque == OpaqueTokens::Introspect => {
                introspect::check_opaque(shared, token).await
            }
            Err(Refusal::Stale) if shared.settings.when_stale == WhenStale::Introspect => {
                introspect::check_while_stale(shared, token).await
            }
            checked => checked,
        };
        shared.counted(checked)
    }

    /// Whether a token that was accepted is still good. Checks what [`Guard::verify`] checks beyond form and signature,
    /// in a fraction of its time. For connections with many requests under one token, before each request.
    ///
    /// # Errors
    /// `Expired`, `UnknownKey`, `Stale` or `Revoked`.
    pub fn recheck(&self, claims: &Claims) -> Result<(), Refusal> {
        let shared = &self.0.shared;
        let leeway = i64::try_from(shared.settings.leeway.as_secs()).unwrap_or(i64::MAX);
        if shared.state.clock().wall_lately() >= claims.exp.saturating_add(leeway) {
            return Err(Refusal::Expired);
        }
        if claims.kid.as_ref().is_some_and(|kid| !shared.state.keys().has(kid)) {
            return Err(if shared.state.is_fresh() { Refusal::UnknownKey } else { Refusal::Stale });
        }
        shared.check_revocations(&shared.state.id_hasher().hash_ids_of(claims))
    }

    /// A tower layer that lets only requests with a good token through.
    pub fn layer(&self) -> GuardLayer {
        GuardLayer::new(self.clone(), &self.0.shared.settings.audience)
    }

    /// Waits until a token that was accepted dies. For long answers, such as event streams and web sockets.
    ///
    /// ```no_run
    /// # async fn stream() {}
    /// # async fn example(guard: rescind_guard::Guard, claims: rescind_guard::Claims) {
    /// tokio::select! {
    ///     () = stream() => {}
    ///     ended = guard.watch(&claims) => tracing::info!(?ended, "stream closed"),
    /// }
    /// # }
    /// ```
    pub fn watch(&self, claims: &Claims) -> impl Future<Output = Ended> + Send + 'static + use<> {
        let shared = Arc::clone(&self.0.shared);
        let ids = shared.state.id_hasher().hash_ids_of(claims);
        let (exp, kid) = (claims.exp, claims.kid.clone());
        async move {
            let mut progress = shared.state.subscribe();
            loop {
                progress.mark_unchanged();
                if let Some(revoked) = shared.state.covering(&ids) {
                    return Ended::Revoked(revoked);
                }
                if kid.as_ref().is_some_and(|kid| !shared.state.keys().has(kid)) {
                    return Ended::Revoked(Revoked::Key);
                }
                let left = exp - shared.state.clock().wall();
                if left <= 0 {
                    return Ended::Expired;
                }
                if !shared.state.is_fresh() {
                    return Ended::Stale;
                }
                // Checks at least once a second, because each clock may jump.
                let until = progress.borrow().fresh_until.since(shared.state.clock().boot());
                let pause = until.min(Duration::from_secs(1)).max(Duration::from_millis(1));
                tokio::select! {
                    changed = progress.changed() => if changed.is_err() { return Ended::Stale },
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }

    /// Waits until tokens can be checked. That may be never: combine it with a timeout.
    pub async fn ready(&self) {
        let mut progress = self.0.shared.state.subscribe();
        // Can't fail, because `self` holds the sender.
        let _ = progress.wait_for(|_| self.0.shared.state.is_fresh()).await;
    }

    /// Waits until everything up to `through` is in force here. That may be never: combine it with a timeout.
    pub async fn applied(&self, through: u64) {
        let mut progress = self.0.shared.state.subscribe();
        let is_there = |sequence: u64| sequence >= through;
        let _ = progress
            .wait_for(|progress| progress.position.is_some_and(|position| is_there(position.sequence)))
            .await;
    }

    pub fn state(&self) -> report::State {
        self.0.shared.report()
    }

    /// Refuses everything from now on, and tells the server that no receipt has to wait for this guard.
    pub async fn shutdown(&self) {
        let shared = &self.0.shared;
        shared.state.close();
        self.0.feed.abort();
        shared.changed.notify_one();
        let ack = self.0.ack.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ack) = ack {
            // It ends by itself within seconds, after its last message to the server.
            let _ = ack.await;
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.feed.abort();
        if let Some(ack) = self.ack.lock().unwrap_or_else(PoisonError::into_inner).take() {
            ack.abort();
        }
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Guard")
            .field("settings", &self.0.shared.settings)
            .field("progress", &self.0.shared.state.progress())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::{Stamp, UserStamp};
    use crate::clock::Clock;
    use crate::state::{Applied, SyncStatus};
    use crate::wire::{Acknowledged, Entry, EntryEvent, Keys, Position, Snapshot, Subject, VERSION};

    fn claims(exp: i64) -> Claims {
        let word = str::to_owned;
        let user = UserStamp {
            user_generation: 1,
            grant_id: word("grt_1"),
            family_id: word("fam_1"),
            grant_generation: Some(1),
        };
        Claims {
            sub: word("usr_1"),
            client_id: word("cli_1"),
            scope: word("read"),
            jti: Some(word("tok_1")),
            iat: exp - 600,
            exp,
            stamp: Stamp { server_generation: 1, client_generation: 1, user: Some(user) },
            kid: None,
        }
    }

    #[tokio::test]
    async fn a_recheck_accepts_claims_until_they_are_revoked() {
        let clock = Clock::movable();
        // No server listens there. What the guard knows is set below.
        let settings = Settings::new("http://127.0.0.1:9", "rs_1", "secret", "https://api.example");
        let guard = Guard::start(settings.clock(clock.clone())).unwrap();
        let state = &guard.0.shared.state;
        let claims = claims(clock.wall() + 600);
        assert_eq!(guard.recheck(&claims), Err(Refusal::Stale));
        let snapshot = Snapshot {
            version: VERSION,
            issuer: "http://127.0.0.1:9".to_owned(),
            audience: "https://api.example".to_owned(),
            incarnation: 1,
            through: 4,
            max_staleness: 10,
            server_generation: 1,
            keys: Keys { keys_version: 1, keys: Vec::new() },
            entries: Vec::new(),
        };
        state.replace(snapshot).unwrap();
        let confirm = |through| {
            let answer = Acknowledged { incarnation: 1, through, keys_version: 1, max_staleness: 10 };
            assert_eq!(state.confirm(clock.boot(), &state.progress(), &answer), SyncStatus::Fresh);
        };
        confirm(4);
        assert_eq!(guard.recheck(&claims), Ok(()));
        clock.sleep(Duration::from_secs(11));
        assert_eq!(guard.recheck(&claims), Err(Refusal::Stale));
        confirm(4);
        let subject = Subject::Family { id: "fam_1".to_owned() };
        let event = EntryEvent { prev: 4, at: 0, entry: Entry { subject, keep: 7_500 } };
        let at = Position { incarnation: 1, sequence: 5 };
        assert_eq!(state.apply(at, &event, &std::sync::atomic::AtomicU64::new(0)), Applied::New);
        assert_eq!(guard.recheck(&claims), Err(Refusal::Revoked(Revoked::Family)));
        let mut other = claims.clone();
        other.stamp.user.as_mut().unwrap().family_id = "fam_2".to_owned();
        assert_eq!(guard.recheck(&other), Ok(()));
        // The token's life and the leeway of five seconds.
        clock.set_wall(590);
        assert_eq!(guard.recheck(&other), Ok(()));
        clock.set_wall(10);
        assert_eq!(guard.recheck(&other), Err(Refusal::Expired));
    }
}
