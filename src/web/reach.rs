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
use crate::text::{t, t_with};
use crate::web::page::Page;

/// The longest that a JWT may live, and some minutes for clocks.
const JWT_WINDOW: Duration = Duration::from_secs(3600 + 300);

/// Whether JWTs may have been in use, which resource servers accept without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jwts {
    Possible,
    None,
}

impl Jwts {
    /// Of these clients at that time; `None` stands for all clients. What a client became later doesn't count, so
    /// that a receipt never changes.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of<'c>(
        store: &Store,
        clients: impl IntoIterator<Item = Option<&'c ClientId>>,
        at: Timestamp,
    ) -> store::Result<Self> {
        let since = at.minus(JWT_WINDOW);
        for client in clients.into_iter().collect::<BTreeSet<_>>() {
            let has = match client {
                Some(client) => store.had_jwts(client, at, since).await?,
                None => store.any_had_jwts(at, since).await?,
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
pub struct ServerReach {
    pub name: String,
    pub audience: String,
    pub confirmation: Confirmation,
    state: ReachState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReachState {
    /// All guards that ran then have confirmed.
    Confirmed,
    NobodyRan,
    /// Some guards have not confirmed, and their lease still runs.
    Waiting,
    /// Some guards have not confirmed, and their lease is over.
    Silent,
    Unguarded,
    /// Without a guard, and every JWT from that time has expired.
    Expired,
    /// It looks up every token, so it refuses what ended at once.
    LookedUp,
}

impl ServerReach {
    fn new(name: String, audience: String, confirmation: Confirmation, jwts: Jwts, now: Timestamp) -> Self {
        let state = match (confirmation.guarded, confirmation.is_open(now)) {
            (Guarded::None, _) if jwts == Jwts::None => ReachState::LookedUp,
            (Guarded::None, true) => ReachState::Unguarded,
            (Guarded::None, false) => ReachState::Expired,
            (Guarded::Running, _) if confirmation.instances == 0 => ReachState::NobodyRan,
            (Guarded::Running, _) if confirmation.silent() == 0 => ReachState::Confirmed,
            (Guarded::Running, true) => ReachState::Waiting,
            (Guarded::Running, false) => ReachState::Silent,
        };
        Self { name, audience, confirmation, state }
    }

    /// Whether nothing that ended is accepted there.
    pub const fn is_refused(&self) -> bool {
        !matches!(self.state, ReachState::Waiting | ReachState::Unguarded)
    }

    /// Whether it is refused only because the leases of guards that never confirmed it are over.
    fn is_silent(&self) -> bool {
        self.state == ReachState::Silent
    }

    /// Its badge: a class and a word. What nobody has confirmed is not green.
    pub fn badge(&self) -> (&'static str, String) {
        match self.state {
            ReachState::Waiting | ReachState::Unguarded => ("silent", t("told-open")),
            ReachState::Silent => ("silent", t("told-refused-unconfirmed")),
            ReachState::Confirmed | ReachState::NobodyRan | ReachState::Expired | ReachState::LookedUp => {
                ("confirmed", t("told-refused"))
            }
        }
    }

    /// The state's name in signed receipts.
    pub const fn as_str(&self) -> &'static str {
        match self.state {
            ReachState::Confirmed => "confirmed",
            ReachState::NobodyRan => "no_instance",
            ReachState::Waiting => "waiting",
            ReachState::Silent => "silent",
            ReachState::Unguarded | ReachState::Expired => "unguarded",
            ReachState::LookedUp => "looked_up",
        }
    }

    pub fn sentence(&self, page: &Page) -> String {
        let Confirmation { instances, confirmed, last, open_until, .. } = self.confirmation;
        let (count, confirmed) = (i64::from(instances), i64::from(confirmed));
        let until = open_until.map(|until| page.moment(&until).clock).unwrap_or_default();
        match self.state {
            ReachState::Confirmed => match last {
                Some(last) => {
                    let ms = u64::try_from(last.as_millis()).unwrap_or(u64::MAX);
                    t_with("told-confirmed-after", &[("count", &count), ("ms", &ms)])
                }
                None => t_with("told-confirmed", &[("count", &count)]),
            },
            ReachState::NobodyRan => t("told-nobody"),
            ReachState::Waiting => {
                t_with("told-waiting", &[("confirmed", &confirmed), ("count", &count), ("until", &until)])
            }
            ReachState::Silent => {
                t_with("told-silent", &[("confirmed", &confirmed), ("count", &count), ("until", &until)])
            }
            ReachState::Unguarded => t_with("told-unguarded", &[("until", &until)]),
            ReachState::Expired => t_with("told-expired", &[("until", &until)]),
            ReachState::LookedUp => t("told-looked-up"),
        }
    }
}

/// All resource servers that a receipt concerns, by name.
#[derive(Clone, Debug)]
pub struct Reach {
    pub servers: Vec<ServerReach>,
}

/// For one resource server, the worse of what two rows say.
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
        let Some(first) = rows.first() else { return Ok(Self { servers: Vec::new() }) };
        // The page follows the act at once. Before the feed has read the rows, it knows no guard to wait for.
        app.feed.reached(&app.store).await?;
        let sequences: BTreeSet<i64> = rows.iter().map(|row| row.sequence).collect();
        let jwts = Jwts::of(&app.store, rows.iter().map(|row| row.client_id.as_ref()), first.at).await?;
        app.guards.knows_all(*sequences.iter().next_back().unwrap_or(&0)).await?;
        // In this order, a row that is settled in between is found twice, and not missed.
        let unsettled = app.guards.unsettled(&sequences.iter().copied().collect::<Vec<_>>());
        let settled = app.store.settled_of(&first.receipt_id).await?;
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
        let servers = app.store.resource_servers_ever().await?;
        let reached = servers.iter().filter_map(|server| {
            let confirmation = *by_server.get(&server.id)?;
            Some(ServerReach::new(
                server.name.to_string(),
                server.audience.to_string(),
                confirmation,
                jwts,
                now,
            ))
        });
        Ok(Self { servers: reached.collect() })
    }

    /// How many refuse what ended; `None` where nothing is known of any.
    pub fn summary(&self) -> Option<String> {
        let total = self.servers.len();
        let closed = self.servers.iter().filter(|server| server.is_refused()).count();
        let key = match closed {
            _ if closed == total => "told-all",
            0 => "told-none",
            _ => "told-some",
        };
        let silent = self.servers.iter().filter(|server| server.is_silent()).count();
        (total > 0).then(|| {
            let sentence = t_with(key, &[("closed", &closed), ("total", &total)]);
            match silent {
                0 => sentence,
                _ => format!("{sentence} {}", t_with("told-unconfirmed", &[("count", &silent)])),
            }
        })
    }

    /// Whether it is refused everywhere, and every guard that should confirm it has done so.
    pub fn is_confirmed(&self) -> bool {
        self.servers.iter().all(|server| server.is_refused() && !server.is_silent())
    }

    /// Whether guards are still answering.
    pub fn is_live(&self) -> bool {
        self.servers.iter().any(|server| server.state == ReachState::Waiting)
    }
}

/// What a page says, before an act, about how long it may take everywhere: one sentence.
///
/// # Errors
/// When the store fails.
pub async fn worst_case<'c>(
    app: &App,
    clients: impl IntoIterator<Item = Option<&'c ClientId>>,
    audiences: &Audiences,
    now: Timestamp,
) -> store::Result<String> {
    let servers = app.store.resource_servers().await?;
    let concerned = || servers.iter().filter(|server| audiences.concern(&server.audience));
    let longest_lease = concerned()
        .filter(|server| server.is_guarded())
        .map(|server| server.guarding.max_staleness.seconds())
        .max();
    let unguarded = concerned().filter(|server| !server.is_guarded()).count();
    let jwts = Jwts::of(&app.store, clients, now).await?;
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
pub async fn worst_case_everywhere(
    app: &App,
    client: Option<&ClientId>,
    now: Timestamp,
) -> store::Result<String> {
    worst_case(app, [client], &Audiences::Everyone, now).await
}
