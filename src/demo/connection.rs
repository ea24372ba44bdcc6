//! One person's connection: calls the API every second, refreshes once when refused, and says what came of it.

use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use oauth2::basic::BasicTokenResponse;
use oauth2::{AccessToken, RefreshToken, TokenResponse as _};
use tokio::sync::{Mutex, Notify};

use super::journal::{Call, Snapshot, State, now};
use super::remote::{Answer, NoTokens, Remote};

const EVERY: Duration = Duration::from_secs(1);
const EVERY_IN_TROUBLE: Duration = Duration::from_secs(2);
const EVERY_WHEN_REFUSED: Duration = Duration::from_secs(5);
/// Calls after a refusal (two minutes of them) before the app stops asking.
const CALLS_WHEN_REFUSED: u32 = 24;

const REFRESH: &str = "Refresh";

struct Tokens {
    access: AccessToken,
    refresh: Option<RefreshToken>,
    /// What the page says once a refusal has cost its one refresh; the next good answer clears it.
    final_refusal: Option<String>,
}

/// What a refresh brought.
enum Refreshed {
    Fresh,
    /// The error code.
    Refused(String),
    /// What went wrong, in words.
    Unanswered(&'static str),
    NoToken,
}

/// The tokens of one person, and what the last calls found.
pub struct Connection {
    remote: Arc<Remote>,
    /// Held during a refresh, so that two never run at once.
    tokens: Mutex<Tokens>,
    snapshot: StdMutex<Snapshot>,
    woken: Notify,
}

impl Connection {
    /// A connection with freshly issued tokens.
    pub fn new(remote: Arc<Remote>, issued: &BasicTokenResponse) -> Arc<Self> {
        Arc::new(Self {
            remote,
            tokens: Mutex::new(Tokens {
                access: issued.access_token().clone(),
                refresh: issued.refresh_token().cloned(),
                final_refusal: None,
            }),
            snapshot: StdMutex::new(Snapshot::checking()),
            woken: Notify::new(),
        })
    }

    /// What the page shows at this moment.
    pub fn snapshot(&self) -> Snapshot {
        self.lock_snapshot().clone()
    }

    /// Calls the API for as long as the task is left alive.
    pub async fn keep_calling(self: Arc<Self>) {
        let mut refused = 0;
        loop {
            let (state, detail) = self.step().await;
            self.lock_snapshot().enter(state, detail);
            let pause = match state {
                State::Trouble => EVERY_IN_TROUBLE,
                State::Refused => EVERY_WHEN_REFUSED,
                _ => EVERY,
            };
            refused = if state == State::Refused { refused + 1 } else { 0 };
            if refused > CALLS_WHEN_REFUSED {
                self.lock_snapshot().calling = false;
                self.woken.notified().await;
                self.lock_snapshot().calling = true;
                refused = 0;
            } else {
                // Whichever comes first.
                let _ = tokio::time::timeout(pause, self.woken.notified()).await;
            }
        }
    }

    /// Refreshes now because somebody asked, and notes the answer.
    pub async fn refresh_by_hand(&self) {
        let mut tokens = self.tokens.lock().await;
        let (_, call) = self.refresh(&mut tokens).await;
        self.lock_snapshot().refresh = Some(call);
        self.woken.notify_one();
    }

    /// Gives the tokens back to the server, and says whether it took them.
    pub async fn revoke(&self) -> bool {
        let tokens = self.tokens.lock().await;
        // The refresh token: the access tokens that came of it end with it (RFC 7009 §2.1).
        match &tokens.refresh {
            Some(token) => self.remote.revoke(token.secret(), "refresh_token").await,
            None => {
                let token = tokens.access.secret();
                self.remote.revoke(token, "access_token").await
            }
        }
    }

    /// One call, with one refresh and a second call if the first was refused.
    async fn step(&self) -> (State, String) {
        let access = self.tokens.lock().await.access.clone();
        let error = match self.call(&access).await {
            Answer::Unauthorized(error) => error,
            other => return self.state_after(other).await,
        };
        let mut tokens = self.tokens.lock().await;
        // Somebody may have refreshed by hand meanwhile; then that was the one refresh.
        if tokens.access.secret() == access.secret() {
            if let Some(verdict) = &tokens.final_refusal {
                return (State::Refused, verdict.clone());
            }
            let (refreshed, _) = self.refresh(&mut tokens).await;
            let ended = format!("Access ended. The API answered 401 {error}");
            let verdict = match &refreshed {
                Refreshed::Unanswered(why) => {
                    let detail = format!("The API answered 401 {error}. The refresh failed: {why}.");
                    return (State::Trouble, detail);
                }
                Refreshed::Fresh => format!("{ended}, even to a fresh access token."),
                Refreshed::Refused(code) => format!("{ended} and the refresh was refused: {code}."),
                Refreshed::NoToken => format!("{ended}, and there is no refresh token to try."),
            };
            tokens.final_refusal = Some(verdict.clone());
            if !matches!(refreshed, Refreshed::Fresh) {
                return (State::Refused, verdict);
            }
        }
        let access = tokens.access.clone();
        drop(tokens);
        let answer = self.call(&access).await;
        self.state_after(answer).await
    }

    /// What an answer means for the connection.
    async fn state_after(&self, answer: Answer) -> (State, String) {
        match answer {
            Answer::Photos(photos) => {
                self.tokens.lock().await.final_refusal = None;
                let detail = format!("The API shows this shop your {} photos.", photos.len());
                self.lock_snapshot().photos = photos;
                (State::Connected, detail)
            }
            Answer::Unauthorized(error) => (
                State::Refused,
                format!("Access ended. The API answered 401 {error}, even to a fresh access token."),
            ),
            Answer::Forbidden(error) => (
                State::Refused,
                format!("The API answered 403 {error}. The permission no longer covers your photos."),
            ),
            Answer::Unusable(why) => (State::Trouble, trouble(&why)),
            Answer::NoAnswer(why) => (State::Trouble, trouble(why)),
        }
    }

    /// Asks the API for the photos, and notes the call.
    async fn call(&self, access: &AccessToken) -> Answer {
        let began = now();
        let (status, answer) = self.remote.photos(access).await;
        let text = match &answer {
            Answer::Photos(photos) => format!("{} photos", photos.len()),
            Answer::Unauthorized(text) | Answer::Forbidden(text) | Answer::Unusable(text) => text.clone(),
            Answer::NoAnswer(why) => (*why).to_owned(),
        };
        let call = Call::ended(began, self.remote.call, status, text);
        self.lock_snapshot().note(call);
        answer
    }

    /// Exchanges the refresh token, and notes the call.
    async fn refresh(&self, tokens: &mut Tokens) -> (Refreshed, Call) {
        let began = now();
        let (status, refreshed) = match &tokens.refresh {
            None => (None, Refreshed::NoToken),
            Some(token) => match self.remote.refresh(token).await {
                (status, Ok(issued)) => {
                    tokens.access = issued.access_token().clone();
                    // A server that does not rotate sends none; the old one stays (RFC 6749 §6).
                    if let Some(successor) = issued.refresh_token() {
                        tokens.refresh = Some(successor.clone());
                    }
                    (status, Refreshed::Fresh)
                }
                (status, Err(NoTokens::Refused(code))) => (status, Refreshed::Refused(code)),
                (status, Err(NoTokens::Unanswered(why))) => (status, Refreshed::Unanswered(why)),
            },
        };
        let text = match &refreshed {
            Refreshed::Fresh => "new access token",
            Refreshed::Refused(code) => code,
            Refreshed::Unanswered(why) => why,
            Refreshed::NoToken => "no refresh token to try",
        };
        let call = Call::ended(began, REFRESH, status, text.to_owned());
        self.lock_snapshot().note(call.clone());
        (refreshed, call)
    }

    fn lock_snapshot(&self) -> MutexGuard<'_, Snapshot> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn trouble(why: &str) -> String {
    format!("The API gave no photos: {why}. That says nothing about the permission; the shop asks again.")
}
