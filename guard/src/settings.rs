//! The settings of a guard.

use std::time::Duration;

use http::Uri;
use http::uri::Scheme;

use crate::clock::Clock;

const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// What happens to tokens while the guard does not know the newest revocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenStale {
    /// They are refused.
    Refuse,
    /// The server is asked about each token, by introspection (RFC 7662). Nothing is cached.
    Introspect,
}

/// What happens to opaque tokens (`rsc_at_…`), which only the server can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpaqueTokens {
    Refuse,
    /// The server is asked. Its answer is cached until the feed says otherwise, for at most an hour.
    Introspect,
}

/// The settings of a guard. `Debug` leaves the secret out.
#[derive(Clone)]
pub struct Settings {
    pub(crate) issuer: String,
    pub(crate) server: String,
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) audience: String,
    pub(crate) max_staleness: Duration,
    pub(crate) leeway: Duration,
    pub(crate) when_stale: WhenStale,
    pub(crate) opaque: OpaqueTokens,
    pub(crate) cached_answers: usize,
    pub(crate) plain_http: bool,
    pub(crate) clock: Clock,
    pub(crate) timing: Timing,
}

/// Times of the connection. Only tests have a reason to change them.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A stream that sends nothing for this long is dead.
    pub silence: Duration,
    /// The time between acknowledgements while nothing happens.
    pub acknowledge: Duration,
    /// If answers say for this long that the guard is behind, it reads a snapshot.
    pub behind: Duration,
    /// How long to wait for a snapshot, an introspection, and the head of the stream's answer.
    pub answer: Duration,
    /// The wait before the first new attempt. It grows with failures.
    pub retry: Duration,
    /// The longest wait before a new attempt, unless the server asks for more.
    pub longest_retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(15),
            acknowledge: Duration::from_secs(1),
            behind: Duration::from_secs(5),
            answer: Duration::from_secs(10),
            retry: Duration::from_millis(500),
            longest_retry: Duration::from_secs(10),
        }
    }
}

/// Why a guard did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("{0} is not an absolute http or https URL without query or fragment")]
    Url(&'static str),
    #[error(
        "the server's URL is plain http to another machine: use https, or allow it with allow_plain_http()"
    )]
    PlainHttp,
    #[error("the resource server's {0} is empty or holds characters other than letters, digits, '-' and '_'")]
    Credentials(&'static str),
    #[error("the audience is empty")]
    Audience,
    #[error("max_staleness is less than a second")]
    MaxStaleness,
    #[error("leeway is more than {} seconds", MAX_LEEWAY.as_secs())]
    Leeway,
    #[error("no certificates of authorities can be read on this system: {0}")]
    Roots(String),
    #[error("the system gives no randomness")]
    NoRandomness,
    #[error("the guard was started outside a tokio runtime")]
    NoRuntime,
}

impl Settings {
    /// Settings for the resource server `id` (with its `secret`) of the server `issuer`. The guard accepts only tokens
    /// for `audience`, and does not work with a registration that has another audience.
    pub fn new(
        issuer: impl Into<String>,
        id: impl Into<String>,
        secret: impl Into<String>,
        audience: impl Into<String>,
    ) -> Self {
        let issuer = issuer.into();
        Self {
            server: issuer.clone(),
            issuer,
            id: id.into(),
            secret: secret.into(),
            audience: audience.into(),
            max_staleness: Duration::MAX,
            leeway: Duration::from_secs(5),
            when_stale: WhenStale::Refuse,
            opaque: OpaqueTokens::Introspect,
            cached_answers: 10_000,
            plain_http: false,
            clock: Clock::system(),
            timing: Timing::default(),
        }
    }

    /// The server's URL, if it is not its issuer.
    #[must_use]
    pub fn server(mut self, url: impl Into<String>) -> Self {
        self.server = url.into();
        self
    }

    /// A `max_staleness` below the registration's. A higher one has no effect.
    #[must_use]
    pub const fn max_staleness(mut self, most: Duration) -> Self {
        self.max_staleness = most;
        self
    }

    /// How far the clocks of server and resource server may differ: 5 seconds if not set, at most 300.
    #[must_use]
    pub const fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// [`WhenStale::Refuse`] if not set.
    #[must_use]
    pub const fn when_stale(mut self, what: WhenStale) -> Self {
        self.when_stale = what;
        self
    }

    /// [`OpaqueTokens::Introspect`] if not set.
    #[must_use]
    pub const fn opaque_tokens(mut self, what: OpaqueTokens) -> Self {
        self.opaque = what;
        self
    }

    /// How many answers about opaque tokens are cached: 10,000 if not set. With 0 the server is asked each time.
    #[must_use]
    pub const fn cached_answers(mut self, most: usize) -> Self {
        self.cached_answers = most;
        self
    }

    /// Allows plain http to a server on another machine. The secret and the tokens are not encrypted then.
    #[must_use]
    pub const fn allow_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// Clocks that a test can move.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    pub(crate) fn check(&self) -> Result<Uri, SettingsError> {
        base(&self.issuer).ok_or(SettingsError::Url("the issuer"))?;
        let server = base(&self.server).ok_or(SettingsError::Url("the server's URL"))?;
        let host = server.host().unwrap_or_default();
        let is_local = ["localhost", "[::1]"].contains(&host)
            || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback());
        if server.scheme() == Some(&Scheme::HTTP) && !is_local && !self.plain_http {
            return Err(SettingsError::PlainHttp);
        }
        let is_word = |text: &str| {
            let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            !text.is_empty() && text.bytes().all(is_fit)
        };
        if !is_word(&self.id) {
            return Err(SettingsError::Credentials("id"));
        }
        if !is_word(&self.secret) {
            return Err(SettingsError::Credentials("secret"));
        }
        if self.audience.is_empty() {
            return Err(SettingsError::Audience);
        }
        if self.max_staleness < Duration::from_secs(1) {
            return Err(SettingsError::MaxStaleness);
        }
        if self.leeway > MAX_LEEWAY {
            return Err(SettingsError::Leeway);
        }
        Ok(server)
    }
}

fn base(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let is_http = uri.scheme() == Some(&Scheme::HTTP) || uri.scheme() == Some(&Scheme::HTTPS);
    let is_plain = uri.query().is_none() && !url.contains(['#', '@']);
    (is_http && is_plain && uri.host().is_some_and(|host| !host.is_empty())).then_some(uri)
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Settings")
            .field("issuer", &self.issuer)
            .field("server", &self.server)
            .field("id", &self.id)
            .field("audience", &self.audience)
            .field("max_staleness", &self.max_staleness)
            .field("leeway", &self.leeway)
            .field("when_stale", &self.when_stale)
            .field("opaque", &self.opaque)
            .finish_non_exhaustive()
    }
}
