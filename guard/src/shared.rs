//! What the guard and its two tasks share, and the check of a token against what is in memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::Notify;

use crate::answer_cache::AnswerCache;
use crate::claims::Claims;
use crate::dead::{HashedTokenIds, IdHasher};
use crate::http_client::Http;
use crate::last_used::LastUsed;
use crate::opaque;
use crate::refusal::Refusal;
use crate::report::{self, Counts, count};
use crate::settings::{Settings, SettingsError};
use crate::state::State;
use crate::token::{Expected, Unverified, read_claims};

pub struct Shared {
    pub settings: Settings,
    /// The guard's random name, a new one at each start.
    pub instance: String,
    pub http: Http,
    pub state: State,
    pub last_used: LastUsed,
    pub cache: AnswerCache,
    pub counts: Counts,
    /// Something was applied, and has to be acknowledged.
    pub changed: Notify,
    /// Something is missing or wrong: a snapshot is needed.
    pub resync: Notify,
    pub is_connected: AtomicBool,
    trouble: Mutex<Option<String>>,
}

impl Shared {
    /// The state of a guard that knows nothing yet.
    ///
    /// # Errors
    /// The settings can't work, or the system gives no randomness.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let http = Http::new(&settings)?;
        let no_random = |_| SettingsError::NoRandomness;
        let mut instance = [0; 18];
        aws_lc_rs::rand::fill(&mut instance).map_err(no_random)?;
        let id_hasher = IdHasher::new().map_err(no_random)?;
        Ok(Self {
            state: State::new(settings.clock.clone(), id_hasher, settings.max_staleness),
            cache: AnswerCache::new(settings.cached_answers),
            settings,
            instance: URL_SAFE_NO_PAD.encode(instance),
            http,
            last_used: LastUsed::default(),
            counts: Counts::default(),
            changed: Notify::new(),
            resync: Notify::new(),
            is_connected: AtomicBool::new(false),
            trouble: Mutex::default(),
        })
    }

    /// Accepts or refuses a JWT, with only what is in memory.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check_in_memory(&self, token: &str) -> Result<Claims, Refusal> {
        if token.starts_with(opaque::PREFIX) {
            let is_well_formed = opaque::is_well_formed(token);
            return Err(if is_well_formed { Refusal::Opaque } else { Refusal::Checksum });
        }
        let parsed = Unverified::parse(token)?;
        match self.state.keys().verify(&parsed) {
            // The server may have published this key in the meantime.
            Err(Refusal::UnknownKey) if !self.state.is_fresh() => return Err(Refusal::Stale),
            verified => verified?,
        }
        let clock = self.state.clock();
        let wall = clock.wall();
        let expected = Expected {
            issuer: &self.settings.issuer,
            audience: &self.settings.audience,
            now: u64::try_from(wall).unwrap_or(0),
            leeway: self.settings.leeway.as_secs(),
        };
        let mut claims = read_claims(&parsed.payload()?, expected)?;
        claims.kid = Some(parsed.kid);
        let ids = self.state.id_hasher().hash_ids_of(&claims);
        self.check_revocations(&ids)?;
        self.note_use(&claims, &ids);
        Ok(claims)
    }

    /// Checks that nothing that a token depends on is dead.
    ///
    /// # Errors
    /// `Stale` or `Revoked`.
    pub fn check_revocations(&self, ids: &HashedTokenIds) -> Result<(), Refusal> {
        if !self.state.is_fresh() {
            return Err(Refusal::Stale);
        }
        // Last, so that an entry that was applied a moment ago counts.
        self.state.covering(ids).map_or(Ok(()), |revoked| Err(Refusal::Revoked(revoked)))
    }

    /// Counts the result that a caller gets, and returns it.
    ///
    /// # Errors
    /// Those of `checked`.
    pub fn counted(&self, checked: Result<Claims, Refusal>) -> Result<Claims, Refusal> {
        match &checked {
            Ok(_) => count(&self.counts.accepted),
            Err(refusal) => self.counts.refuse(*refusal),
        }
        checked
    }

    pub fn note_use(&self, claims: &Claims, ids: &HashedTokenIds) {
        if let Some(family) = ids.family() {
            let clock = self.state.clock();
            self.last_used.note(claims, family, clock.boot(), clock.wall());
        }
    }

    /// Notes that something went wrong. Logged once, not each time.
    pub fn note_trouble(&self, what: String) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.as_ref() != Some(&what) {
            tracing::warn!(what, "the revocation feed is in trouble");
            *trouble = Some(what);
        }
    }

    pub fn clear_trouble(&self) {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        if trouble.is_some() {
            tracing::info!("the revocation feed works again");
        }
    }

    pub fn report(&self) -> report::State {
        let progress = self.state.progress();
        let is_known = progress.fresh_until != crate::clock::Boot::NEVER;
        let has_position = progress.position.is_some();
        report::State {
            is_fresh: self.state.is_fresh(),
            age: is_known.then(|| self.state.clock().boot().since(progress.confirmed)),
            max_staleness: has_position.then_some(progress.max_staleness),
            incarnation: progress.position.map(|position| position.incarnation),
            through: progress.position.map_or(0, |position| position.sequence),
            keys_version: progress.keys_version,
            keys: self.state.keys().len(),
            entries: self.state.entries(),
            is_connected: !progress.is_closed && self.is_connected.load(Ordering::Relaxed),
            trouble: self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            counters: self.counts.read(),
        }
    }
}
