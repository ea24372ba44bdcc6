//! How far an act has reached: which resource servers refuse what it ended, and how long that may take.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::app::App;
use crate::clock::Timestamp;
use crate::model::confirmation::{Confirmation, Guarded};
use crate::model::id::ClientId;
use crate::model::resource_server::Audiences;
use crate::store::receipts::LedgerRow;
use crate::store::{self, Store};
use crate::web::page::Page;
use crate::web::text::{t, t_with};

/// The longest that a JWT may live, and some minutes for clocks.
const LONGEST_JWT: Duration = Duration::from_secs(3600 + 300);

/// Whether tokens that nobody looks up may have been about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jwts {
    Possible,
    None,
}

impl Jwts {
    /// Of these clients, at that time; of any at all where none is named. What a client became later doesn't count, so
    /// that a receipt never changes.
    ///
    /// # Errors
    /// When the store fails.
    pub fn of<'c>(
        store: &Store,
        clients: impl IntoIterator<Item = Option<&'c ClientId>>,
        at: Timestamp,
    ) -> store::Result<Self> {
        let since = at.minus(LONGEST_JWT);
        for client in clients.into_iter().collect::<BTreeSet<_>>() {
            let has = match client {
                Some(client) => store.had_jwts(client, at, since)?,
                None => store.any_had_jwts(at, since)?,
            };
            if has {
                return Ok(Self::Possible);
            }
        }
        Ok(Self::None)
    }
}

/// One resource server, over all rows of a receipt.
#[derive(Clone, Debug)]
pub struct Told {
    pub name: String,
    pub audience: String,
    pub confirmation: Confirmation,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All that ran then have confirmed.
    Confirmed,
    NobodyRan,
    /// Some have not, and their lease runs.
    Waiting,
    /// Some have not, and their lease is over.
    Silent,
    Unguarded,
    /// Unguarded, and every JWT of then has expired.
    Expired,
    /// It can only look up what ended.
    LookedUp,
}

impl Told {
    fn new(name: String, audience: String, confirmation: Confirmation, jwts: Jwts, now: Timestamp) -> Self {
        let state = match (confirmation.guarded, confirmation.is_open(now)) {
            (Guarded::None, _) if jwts == Jwts::None => State::LookedUp,
            (Guarded::None, true) => State::Unguarded,
            (Guarded::None, false) => State::Expired,
            (Guarded::Running, _) if confirmation.instances == 0 => State::NobodyRan,
            (Guarded::Running, _) if confirmation.silent() == 0 => State::Confirmed,
            (Guarded::Running, true) => State::Waiting,
            (Guarded::Running, false) => State::Silent,
        };
        Self { name, audience, confirmation, state }
    }

    /// Whether nothing that ended is accepted there.
    pub const fn is_refused(&self) -> bool {
        !matches!(self.state, State::Waiting | State::Unguarded)
    }

    /// Whether it is refused only since the leases of those that never confirmed it are over.
    fn is_silent(&self) -> bool {
        self.state == State::Silent
    }

    /// Its badge: a class and a word. What nobody has confirmed is not green.
    pub fn badge(&self) -> (&'static str, String) {
        match self.state {
            State::Waiting | State::Unguarded => ("silent", t("told-open")),
            State::Silent => ("silent", t("told-refused-unconfirmed")),
            State::Confirmed | State::NobodyRan | State::Expired | State::LookedUp => {
                ("confirmed", t("told-refused"))
            }
        }
    }

    /// The state's name in signed receipts.
    pub const fn as_str(&self) -> &'static str {
        match self.state {
            State::Confirmed => "confirmed",
            State::NobodyRan => "no_instance",
            State::Waiting => "waiting",
            State::Silent => "silent",
            State::Unguarded | State::Expired => "unguarded",
            State::LookedUp => "looked_up",
        }
    }

    pub fn sentence(&self, page: &Page) -> String {
        let Confirmation { instances, confirmed, last, open_until, .. } = self.confirmation;
        let (count, confirmed) = (i64::from(instances), i64::from(confirmed));
        let until = open_until.map(|until| page.moment(&until).clock).unwrap_or_default();
        match self.state {
            State::Confirmed => match last {
                Some(last) => {
                    let ms = u64::try_from(last.as_millis()).unwrap_or(u64::MAX);
                    t_with("told-confirmed-after", &[("count", &count), ("ms", &ms)])
                }
                None => t_with("told-confirmed", &[("count", &count)]),
            },
            State::NobodyRan => t("told-nobody"),
            State::Waiting => {
                t_with("told-waiting", &[("confirmed", &confirmed), ("count", &count), ("until", &until)])
            }
            State::Silent => {
                t_with("told-silent", &[("confirmed", &confirmed), ("count", &count), ("until", &until)])
            }
            State::Unguarded => t_with("told-unguarded", &[("until", &until)]),
            State::Expired => t_with("told-expired", &[("until", &until)]),
            State::LookedUp => t("told-looked-up"),
        }
    }
}

/// All resource servers that a receipt concerns, by name.
#[derive(Clone, Debug)]
pub struct Reach {
    pub told: Vec<Told>,
}

/// What holds of one resource server for all rows: the worst of them.
fn worst(one: Confirmation, other: Confirmation) -> Confirmation {
    let instances = one.instances.max(other.instances);
    Confirmation {
        guarded: if one.guarded == Guarded::None { one.guarded } else { other.guarded },
        instances,
        confirmed: instances - one.silent().max(other.silent()),
        last: one.last.max(other.last),
        open_until: one.open_until.max(other.open_until),
    }
}

impl Reach {
    /// # Errors
    /// When the store fails.
    pub async fn of(app: &App, rows: &[LedgerRow], now: Timestamp) -> store::Result<Self> {
        let Some(first) = rows.first() else { return Ok(Self { told: Vec::new() }) };
        // The page follows the act at once; until the feed has read the rows, nobody is waited for.
        app.feed.reached(&app.store).await?;
        let sequences: BTreeSet<i64> = rows.iter().map(|row| row.sequence).collect();
        let jwts = Jwts::of(&app.store, rows.iter().map(|row| row.client_id.as_ref()), first.at)?;
        // In this order: what is settled meanwhile is found twice rather than not at all.
        let unsettled = app.guards.unsettled(&sequences.iter().copied().collect::<Vec<_>>());
        let settled = app.store.settled_of(&first.receipt_id)?;
        let mut known = BTreeMap::new();
        for found in unsettled.into_iter().chain(settled).filter(|found| sequences.contains(&found.sequence))
        {
            known.insert((found.server, found.sequence), found.confirmation);
        }
        let mut by_server: BTreeMap<_, Confirmation> = BTreeMap::new();
        for ((server, _), confirmation) in known {
            by_server
                .entry(server)
                .and_modify(|held| *held = worst(*held, confirmation))
                .or_insert(confirmation);
        }
        let servers = app.store.resource_servers_ever()?;
        let told = servers.iter().filter_map(|server| {
            let confirmation = *by_server.get(&server.id)?;
            Some(Told::new(server.name.to_string(), server.audience.to_string(), confirmation, jwts, now))
        });
        Ok(Self { told: told.collect() })
    }

    /// How many refuse what ended; `None` where nothing is known of any.
    pub fn summary(&self) -> Option<String> {
        let total = self.told.len();
        let closed = self.told.iter().filter(|told| told.is_refused()).count();
        let key = match closed {
            _ if closed == total => "told-all",
            0 => "told-none",
            _ => "told-some",
        };
        let silent = self.told.iter().filter(|told| told.is_silent()).count();
        (total > 0).then(|| {
            let sentence = t_with(key, &[("closed", &closed), ("total", &total)]);
            match silent {
                0 => sentence,
                _ => format!("{sentence} {}", t_with("told-unconfirmed", &[("count", &silent)])),
            }
        })
    }

    /// Whether it is refused everywhere, and nobody is missing that should have confirmed it.
    pub fn is_confirmed(&self) -> bool {
        self.told.iter().all(|told| told.is_refused() && !told.is_silent())
    }

    /// Whether guards are still answering.
    pub fn is_live(&self) -> bool {
        self.told.iter().any(|told| told.state == State::Waiting)
    }
}

/// What a page says, before an act, about how long it may take everywhere: one sentence.
///
/// # Errors
/// When the store fails.
pub fn worst_case<'c>(
    app: &App,
    clients: impl IntoIterator<Item = Option<&'c ClientId>>,
    audiences: &Audiences,
    now: Timestamp,
) -> store::Result<String> {
    let servers = app.store.resource_servers()?;
    let concerned = || servers.iter().filter(|server| audiences.concern(&server.audience));
    let longest_lease = concerned()
        .filter(|server| server.is_guarded())
        .map(|server| server.guarding.max_staleness.seconds())
        .max();
    let unguarded = concerned().filter(|server| !server.is_guarded()).count();
    let jwts = Jwts::of(&app.store, clients, now)?;
    let minutes = app.guards.longest_life().as_secs().div_ceil(60);
    Ok(match (jwts, longest_lease) {
        (Jwts::Possible, _) if unguarded > 0 => {
            t_with("worst-unguarded", &[("count", &unguarded), ("minutes", &minutes)])
        }
        (_, Some(seconds)) => t_with("worst-guarded", &[("seconds", &seconds)]),
        (_, None) => t("worst-none"),
    })
}

/// The same for what concerns every resource server: all of a client's tokens, or, without one, a
/// whole account's.
///
/// # Errors
/// When the store fails.
pub fn worst_case_everywhere(app: &App, client: Option<&ClientId>, now: Timestamp) -> store::Result<String> {
    worst_case(app, [client], &Audiences::Everyone, now)
}
