//! A server on a socket in this process, an app with JWTs, somebody who uses it, and guards.

use std::net::SocketAddr;
use std::time::Duration;

use rescind::model::by::By;
use rescind::model::client::{ClientKind, GrantType, GrantTypes, TokenFormat};
use rescind::model::resource_server::{Guard as Expectation, Guarding, MaxStaleness};
use rescind::service::register::{self, NewResourceServer};
use rescind_guard::{Clock, Guard, Refusal, Revoked, Settings, Timing};

use crate::http::harness::api::Api;
use crate::http::harness::browser::Browser;
use crate::http::harness::client::{Client, Tokens};
use crate::http::harness::fields::Fields;
use crate::http::harness::{ISSUER, World};

pub const AUDIENCE: &str = "https://photos.example";
/// Longer than any test should take: what comes later would never come.
const HANG: Duration = Duration::from_secs(90);

/// Quick where waiting proves nothing, patient where a slow machine would break what is not broken.
pub const QUICK: Timing = Timing {
    silence: Duration::from_secs(15),
    acknowledge: Duration::from_millis(30),
    behind: Duration::from_millis(500),
    answer: Duration::from_secs(20),
    retry: Duration::from_millis(10),
    longest_retry: Duration::from_millis(100),
};

pub struct Stage {
    pub world: World,
    pub address: SocketAddr,
    pub api: Api,
    pub app: Client,
    pub alice: Browser,
}

/// What has to happen, or something hangs.
#[track_caller]
pub fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(HANG, future).await {
            Ok(done) => done,
            Err(_) => panic!("it never came, at {place}"),
        }
    }
}

/// Waits until `is_so`.
#[track_caller]
pub fn until(mut is_so: impl FnMut() -> bool) -> impl Future<Output = ()> {
    within(async move {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
}

impl Stage {
    /// Guards may go on for five minutes without an answer: on a clock that the test moves, so no slow machine
    /// makes anybody stale.
    pub async fn new() -> Self {
        let world = World::new().await;
        let address = listen(&world).await;
        let api = register_api(&world, 300).await;
        let change = |new: &mut register::NewClient| {
            new.token_format = TokenFormat::Jwt;
            new.grant_types = GrantTypes::new(GrantType::ALL.to_vec());
        };
        let app = world.client(ClientKind::Confidential, change).await;
        let alice = world.signed_in("alice").await;
        Self { world, address, api, app, alice }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What a guard is told that reaches the server at `url`.
    pub fn settings(&self, url: &str) -> Settings {
        let settings = Settings::new(ISSUER, &self.api.id, &self.api.secret, AUDIENCE);
        settings.server(url).timing(QUICK)
    }

    /// A guard that can check tokens.
    pub async fn guard(&self, url: &str) -> Guard {
        let guard = Guard::start(self.settings(url)).unwrap();
        within(guard.ready()).await;
        guard
    }

    /// The same, and its clocks.
    pub async fn guard_and_clock(&self, url: &str) -> (Guard, Clock) {
        let clock = Clock::movable();
        let guard = Guard::start(self.settings(url).clock(clock.clone())).unwrap();
        within(guard.ready()).await;
        (guard, clock)
    }

    /// Access tokens of the app's own, each revocable by itself.
    pub async fn tokens<const N: usize>(&self) -> [String; N] {
        let mut tokens = Vec::new();
        for _ in 0..N {
            tokens.push(self.token("read").await);
        }
        tokens.try_into().unwrap()
    }

    pub async fn token(&self, scope: &str) -> String {
        let form = Fields::new(&[("grant_type", "client_credentials"), ("scope", scope)]);
        let token = Tokens::read(&self.app.asks_tokens(&form).await).access;
        assert!(token.contains('.'), "a JWT");
        token
    }

    /// One more device of Alice's.
    pub async fn alice_s_token(&self) -> String {
        self.alice.connects(&self.app).await.access
    }

    /// The newest sequence of this API's stream.
    pub async fn head(&self) -> u64 {
        self.world.app.feed.reached(&self.world.app.store).await.unwrap();
        self.world.app.feed.head_of(AUDIENCE).unsigned_abs()
    }

    /// Waits until `guard` has all that was revoked by now.
    pub async fn reaches(&self, guard: &Guard) {
        let head = self.head().await;
        within(guard.applied(head)).await;
    }

    /// The same, and it knows that it has it.
    pub async fn reaches_and_knows(&self, guard: &Guard) {
        self.reaches(guard).await;
        confirmed(guard).await;
    }
}

/// Waits until the server has told the guard once more that nothing is missing.
pub async fn confirmed(guard: &Guard) {
    let before = guard.state().counters.acknowledged;
    // The first may have been on its way by now.
    until(|| guard.state().counters.acknowledged >= before + 2 && guard.state().is_fresh).await;
}

pub async fn listen(world: &World) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = rescind::routes::router(world.app.clone());
    let service = service.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

async fn register_api(world: &World, max_staleness: i64) -> Api {
    let new = NewResourceServer {
        name: "Photos".to_owned(),
        audience: AUDIENCE.to_owned(),
        scopes: ["read", "write"].map(|name| (name.to_owned(), format!("May {name}"))).into(),
        guarding: Guarding {
            guard: Expectation::Expected,
            max_staleness: MaxStaleness::new(max_staleness).unwrap(),
        },
    };
    let (id, secret) =
        register::resource_server(&world.app.store, new, By::operator(world.app.clock.now())).await.unwrap();
    Api { world: world.clone(), id: id.to_string(), secret: secret.expose().to_owned() }
}

#[track_caller]
pub fn accepts(guard: &Guard, token: &str) {
    if let Err(refusal) = guard.verify(token) {
        panic!("{refusal}: {:?}", guard.state());
    }
}

#[track_caller]
pub fn refuses(guard: &Guard, token: &str, what: Revoked) {
    assert_eq!(guard.verify(token), Err(Refusal::Revoked(what)), "{:?}", guard.state());
}

#[track_caller]
pub fn is_stale(guard: &Guard, token: &str) {
    assert_eq!(guard.verify(token), Err(Refusal::Stale), "{:?}", guard.state());
    assert!(!guard.state().is_fresh);
}
