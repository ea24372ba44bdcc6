//! A history of mints, uses and revocations by many workers at once: nothing that started after a
//! revocation had been answered is accepted under what it covered. On PostgreSQL the workers are spread over three servers.
//!
//! Five seconds; the long one:
//!
//! ```text
//! RESCIND_HISTORY_SECONDS=60 cargo test --test contract history -- --nocapture
//! ```

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rescind::model::by::{Actor, By};
use rescind::model::client::TokenFormat;
use rescind::model::id::{ClientId, FamilyId, GrantId, UserId};
use rescind::model::secret::{AuthorizationCode, RefreshToken};
use rescind::model::user::Role;
use rescind::service::authorize::{self, Basis};
use rescind::service::revoke::{self, Asking, Authority, Token};
use rescind::service::{issue, purge};
use tokio::task::JoinSet;

use crate::chance::{Chance, setting};
use crate::engine::database::is_postgres;
use crate::world::{Held, NOW, World, scope};

const WORKERS: usize = 16;
const SECONDS: u64 = 5;
const SERVERS: usize = 3;
/// In which the control has to be found wrong.
const CONTROL: Duration = Duration::from_secs(60);
const USERS: usize = 6;
const CLIENTS: usize = 3;
/// Devices at a time: few, so that workers meet on them.
const PLACES: usize = 24;

/// Something that can be revoked, with the newest moment at which a revocation of it started that has been answered.
#[derive(Default)]
struct Revocable(AtomicU64);

/// What one consent gave. `born` is the moment at which its minting was answered.
struct Device {
    user: usize,
    client: usize,
    family: FamilyId,
    grant: GrantId,
    born: u64,
    closed: Revocable,
    code: AuthorizationCode,
    access: Mutex<Vec<Arc<Held>>>,
    refresh: Mutex<Vec<Arc<RefreshToken>>>,
}

/// A client's own token; revocable by itself.
struct Own {
    client: usize,
    born: u64,
    token: Held,
}

#[derive(Default)]
struct Counts {
    minted: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    revoked: AtomicU64,
    covered: AtomicU64,
}

struct History {
    servers: Vec<World>,
    /// Answers from memory, in the place of the workers' servers.
    control: Option<World>,
    users: Vec<(UserId, String)>,
    clients: Vec<ClientId>,
    clock: AtomicU64,
    devices: Vec<Mutex<Option<Arc<Device>>>>,
    own: Vec<Mutex<Option<Arc<Own>>>>,
    grants: Mutex<HashMap<GrantId, Revocable>>,
    of_user: Vec<Revocable>,
    of_client: Vec<Revocable>,
    counts: Counts,
    /// What was accepted though its revocation had been answered before.
    wrong: Mutex<Vec<String>>,
}

impl Revocable {
    fn newest(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn answered(&self, started: u64) {
        self.0.fetch_max(started, Ordering::SeqCst);
    }
}

impl History {
    async fn new(servers: usize) -> Self {
        let world = World::new().await;
        world.api(&["a"]).await;
        let mut users = Vec::new();
        for place in 0..USERS {
            let name = format!("user-{place}");
            users.push((world.user(&name, Role::Developer).await, name));
        }
        let mut clients = Vec::new();
        for place in 0..CLIENTS {
            let format = TokenFormat::ALL[place % 2];
            clients.push(world.client(&users[0].0, &format!("app-{place}.example"), format).await.0);
        }
        let mut all = vec![world];
        while all.len() < servers {
            all.push(all[0].another_server().await);
        }
        Self {
            servers: all,
            control: None,
            users,
            clients,
            clock: AtomicU64::new(1),
            devices: (0..PLACES).map(|_| Mutex::default()).collect(),
            own: (0..CLIENTS).map(|_| Mutex::default()).collect(),
            grants: Mutex::default(),
            of_user: (0..USERS).map(|_| Revocable::default()).collect(),
            of_client: (0..CLIENTS).map(|_| Revocable::default()).collect(),
            counts: Counts::default(),
            wrong: Mutex::default(),
        }
    }

    fn moment(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Whether a revocation that covers the device, and started after it was born, has been answered by now.
    fn is_revoked(&self, device: &Device) -> bool {
        let marks = [&device.closed, &self.of_user[device.user], &self.of_client[device.client]];
        let of_grant = self.grants.lock().unwrap().get(&device.grant).map_or(0, Revocable::newest);
        marks.iter().any(|mark| mark.newest() > device.born) || of_grant > device.born
    }

    /// Holds an answer against what was known when its request started.
    fn judge(&self, what: &str, was_revoked: bool, accepted: bool) {
        if was_revoked && accepted {
            self.wrong.lock().unwrap().push(what.to_owned());
        }
        let count = if accepted { &self.counts.accepted } else { &self.counts.refused };
        count.fetch_add(1, Ordering::Relaxed);
        self.counts.covered.fetch_add(u64::from(was_revoked), Ordering::Relaxed);
    }

    fn is_right(&self) -> bool {
        self.wrong.lock().unwrap().is_empty()
    }

    async fn accepts(&self, server: &World, token: &Held) -> bool {
        match &self.control {
            None => server.accepts(token, NOW).await,
            // It does not ask whether that is current.
            Some(control) => {
                let found = control.find(&control.store.held(), token, NOW).await;
                found.is_some_and(|facts| !control.store.is_dead_here(&facts))
            }
        }
    }

    fn device(&self, chance: &mut Chance) -> Option<Arc<Device>> {
        self.devices[chance.below(PLACES)].lock().unwrap().clone()
    }

    async fn connect(&self, server: &World, chance: &mut Chance) {
        let (user, client) = (chance.below(USERS), chance.below(CLIENTS));
        let ((user_id, name), client_id) = (&self.users[user], &self.clients[client]);
        let Some(seen) = authorize::look(&server.store, client_id, user_id).await.unwrap() else {
            return;
        };
        let Some(checked) = server.credentials(name).await else { return };
        let Some(session) = server.begin_session(checked, NOW).await else { return };
        let basis = Basis::Approved(seen);
        let given = server.authorize(client_id, user_id, &session, scope("a"), basis, NOW).await;
        let Ok(code) = given else { return };
        let born = self.moment();
        // Whatever was revoked meanwhile may have been purged too.
        let Some((family, grant)) = server.family_of(&server.beside(), &code) else { return };
        let device = Device {
            user,
            client,
            family,
            grant,
            born,
            closed: Revocable::default(),
            code,
            access: Mutex::default(),
            refresh: Mutex::default(),
        };
        self.counts.minted.fetch_add(1, Ordering::Relaxed);
        *self.devices[chance.below(PLACES)].lock().unwrap() = Some(Arc::new(device));
    }

    fn keep(&self, device: &Device, issued: issue::Issued) {
        self.counts.minted.fetch_add(1, Ordering::Relaxed);
        device.access.lock().unwrap().push(Arc::new(Held::new(&issued.access_token)));
        device.refresh.lock().unwrap().extend(issued.refresh_token.map(Arc::new));
    }

    async fn redeem(&self, server: &World, device: &Device) {
        let was_revoked = self.is_revoked(device);
        let issued = server.redeem(&self.clients[device.client], &device.code, NOW).await;
        self.judge("a code", was_revoked, issued.is_ok());
        issued.into_iter().for_each(|issued| self.keep(device, issued));
    }

    async fn refresh(&self, server: &World, device: &Device) {
        let Some(token) = device.refresh.lock().unwrap().last().cloned() else { return };
        let was_revoked = self.is_revoked(device);
        let issued = server.refresh(&self.clients[device.client], &token, NOW).await;
        self.judge("a refresh token", was_revoked, issued.is_ok());
        issued.into_iter().for_each(|issued| self.keep(device, issued));
    }

    async fn introspect(&self, server: &World, device: &Device, chance: &mut Chance) {
        let tokens = device.access.lock().unwrap().clone();
        if !tokens.is_empty() {
            let token = &tokens[chance.below(tokens.len())];
            let was_revoked = self.is_revoked(device);
            self.judge("an access token", was_revoked, self.accepts(server, token).await);
        }
    }

    async fn client_credentials(&self, server: &World, client: usize) {
        let terms = server.terms(&self.clients[client], NOW).await;
        let issued = issue::for_client(&server.store, scope("a"), terms).await.unwrap();
        let own = Own { client, born: self.moment(), token: Held::new(&issued.access_token) };
        *self.own[client].lock().unwrap() = Some(Arc::new(own));
        self.counts.minted.fetch_add(1, Ordering::Relaxed);
    }

    async fn introspect_own(&self, server: &World, client: usize) {
        let own = self.own[client].lock().unwrap().clone();
        if let Some(own) = own {
            let was_revoked = self.of_client[own.client].newest() > own.born;
            self.judge("a client's own token", was_revoked, self.accepts(server, &own.token).await);
        }
    }

    async fn revoke(&self, server: &World, device: &Device, chance: &mut Chance) {
        let store = &server.store;
        let (user, client) = (self.users[device.user].0.clone(), self.clients[device.client].clone());
        let by = By { actor: Actor::User(user.clone()), ..By::operator(NOW) };
        let started = self.moment();
        match chance.below(12) {
            0..=2 => {
                // A device that is gone has been closed before.
                let _ = revoke::device(store, user, device.grant.clone(), device.family.clone(), by).await;
                device.closed.answered(started);
            }
            3..=4 => {
                let Some(token) = device.refresh.lock().unwrap().last().cloned() else { return };
                let by = By::client_by_protocol(&client, NOW);
                let shown = Token::Refresh(crate::world::copy_refresh(&token));
                revoke::token(store, shown, Some(client), by).await.unwrap();
                device.closed.answered(started);
            }
            5..=7 => {
                revoke::grants(store, user, vec![device.grant.clone()], Asking::Allowed, by).await.unwrap();
                // Every device under the same grant is covered.
                self.grants.lock().unwrap().entry(device.grant.clone()).or_default().answered(started);
            }
            8 => {
                revoke::client_tokens(store, client, Authority::Provider, None, By::operator(NOW))
                    .await
                    .unwrap();
                self.of_client[device.client].answered(started);
            }
            9 => {
                revoke::user(store, user, None, By::operator(NOW)).await.unwrap();
                self.of_user[device.user].answered(started);
            }
            _ => {
                let Some(token) = device.access.lock().unwrap().pop() else { return };
                let by = By::client_by_protocol(&client, NOW);
                let shown = server.shown(&token).await;
                revoke::token(store, shown, Some(client), by).await.unwrap();
                self.judge("an access token", true, self.accepts(server, &token).await);
            }
        }
        self.counts.revoked.fetch_add(1, Ordering::Relaxed);
    }

    async fn work(self: Arc<Self>, server: World, mut chance: Chance, until: Instant) {
        while Instant::now() < until && self.is_right() {
            let kind = chance.below(20);
            match (kind, self.device(&mut chance)) {
                (0..=1, _) | (_, None) => self.connect(&server, &mut chance).await,
                (2..=3, Some(device)) => self.redeem(&server, &device).await,
                (4..=7, Some(device)) => self.refresh(&server, &device).await,
                (8, _) => self.client_credentials(&server, chance.below(CLIENTS)).await,
                (9, _) => self.introspect_own(&server, chance.below(CLIENTS)).await,
                (10, Some(device)) => self.revoke(&server, &device, &mut chance).await,
                (_, Some(device)) => {
                    self.introspect(&server, &device, &mut chance).await;
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Lets the workers work for so long, or until something is wrong.
    async fn runs(self: &Arc<Self>, time: Duration) {
        let until = Instant::now() + time;
        let mut purging = JoinSet::new();
        for server in &self.servers {
            let clock = rescind::clock::Clock::fixed(NOW);
            purging.spawn(purge::run(server.store.clone(), clock, Duration::from_secs(10)));
        }
        let mut workers = JoinSet::new();
        let mut chance = Chance::new(Chance::seed());
        for worker in 0..WORKERS {
            let server = self.servers[worker % self.servers.len()].clone();
            workers.spawn(self.clone().work(server, Chance::new(chance.number()), until));
        }
        while let Some(worked) = workers.join_next().await {
            worked.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_check_that_starts_after_an_answered_revocation_accepts_the_token() {
    let seconds = setting("RESCIND_HISTORY_SECONDS").unwrap_or(SECONDS);
    let servers = if is_postgres() { SERVERS } else { 1 };
    let history = Arc::new(History::new(servers).await);
    history.runs(Duration::from_secs(seconds)).await;
    let Counts { minted, accepted, refused, revoked, covered } = &history.counts;
    let [minted, accepted, refused, revoked, covered] =
        [minted, accepted, refused, revoked, covered].map(|count| count.load(Ordering::SeqCst));
    println!(
        "history: {seconds} s, {minted} minted, {revoked} revocations, {accepted} uses accepted, {refused} refused, \
         {covered} of them after an answered revocation"
    );
    let wrong = history.wrong.lock().unwrap();
    assert!(wrong.is_empty(), "accepted though a revocation had been answered before: {wrong:?}");
    assert!(minted > 0 && accepted > 0 && revoked > 0 && covered > 0, "too little happened");
}

/// The judgement can fail: the same workers find out a server that answers from memory without asking.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_does_not_ask_is_found_to_accept_what_was_revoked() {
    if !is_postgres() {
        eprintln!("skipped on SQLite: nobody else writes, so memory is current");
        return;
    }
    let mut history = History::new(SERVERS).await;
    history.control = Some(history.servers[0].another_server().await);
    let history = Arc::new(history);
    history.runs(CONTROL).await;
    assert!(!history.is_right(), "nobody found anything wrong");
}
