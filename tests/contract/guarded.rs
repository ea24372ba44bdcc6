//! A resource server whose guard is connected to the server of a [`World`], over TCP, with clocks that the test moves.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use rescind::app::App;
use rescind::clock::{Clock, Timestamp};
use rescind::config::Config;
use rescind::routes::router;
use rescind_guard::{Guard, OpaqueTokens, Settings, Timing};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::world::{AUDIENCE, ISSUER, NOW, World};

/// What comes later would never come.
const HANG: Duration = Duration::from_secs(60);
const TIMING: Timing = Timing {
    silence: Duration::from_secs(15),
    acknowledge: Duration::from_millis(20),
    behind: Duration::from_secs(1),
    answer: Duration::from_secs(20),
    retry: Duration::from_millis(10),
    longest_retry: Duration::from_millis(20),
};

/// What stands behind the address at the moment; requests wait while there is nothing.
type Behind = watch::Sender<Option<Router>>;

pub struct Guarded {
    guard: Guard,
    clock: rescind_guard::Clock,
    /// By how many seconds the guard's wall clock was set on.
    moved: i64,
    at: Timestamp,
    behind: Behind,
    listening: JoinHandle<()>,
    serving: Option<Serving>,
}

struct Serving {
    app: App,
    feed: JoinHandle<()>,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.listening.abort();
        if let Some(serving) = &self.serving {
            serving.feed.abort();
        }
    }
}

async fn pass(State(behind): State<watch::Receiver<Option<Router>>>, request: Request) -> Response {
    let mut behind = behind;
    let router = behind.wait_for(Option::is_some).await.map(|router| router.clone());
    let router = router.ok().flatten().expect("the test has ended");
    router.oneshot(request).await.unwrap()
}

impl Guarded {
    /// A guard of the resource server with these credentials.
    pub async fn new(world: &World, (id, secret): (String, String)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let behind = Behind::default();
        let service = Router::new().fallback(pass).with_state(behind.subscribe());
        let service = service.into_make_service_with_connect_info::<SocketAddr>();
        let listening = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        let clock = rescind_guard::Clock::movable();
        let settings = Settings::new(ISSUER, id, secret, AUDIENCE).server(url).timing(TIMING);
        let settings =
            settings.leeway(Duration::ZERO).opaque_tokens(OpaqueTokens::Refuse).clock(clock.clone());
        let guard = Guard::start(settings).unwrap();
        let mut guarded = Self { guard, clock, moved: 0, at: NOW, behind, listening, serving: None };
        guarded.serves(world);
        guarded
    }

    /// The server starts on the database of `world`.
    pub fn serves(&mut self, world: &World) {
        let config = Config::read(&|name| match name {
            "RESCIND_ISSUER" => Some(ISSUER.to_owned()),
            "RESCIND_DATABASE_URL" => Some(world.database.url()),
            "RESCIND_KEY_FILE" => Some(world.database.key_file().display().to_string()),
            _ => None,
        });
        let app = App::new(config.unwrap(), world.store.clone(), Clock::fixed(self.at)).unwrap();
        let feed = app.feed.clone().run(app.store.clone(), app.guards.clone(), app.clock.clone());
        self.behind.send_replace(Some(router(app.clone())));
        self.serving = Some(Serving { app, feed: tokio::spawn(feed) });
    }

    /// The server stops; the guard goes on.
    pub fn stops(&mut self) {
        self.behind.send_replace(None);
        let Serving { app, feed } = self.serving.take().unwrap();
        app.feed.stop();
        feed.abort();
    }

    /// Waits until everything that was revoked by `now` is in force at the guard.
    pub async fn follows(&mut self, now: Timestamp) {
        let passed = now.since(self.at);
        self.at = now;
        let app = &self.serving.as_ref().unwrap().app;
        app.clock.advance(passed);
        self.clock.sleep(passed);
        self.moved += i64::try_from(passed.as_secs()).unwrap();
        app.feed.reached(&app.store).await.unwrap();
        let head = app.feed.head_of(AUDIENCE).unsigned_abs();
        let following = async {
            self.guard.applied(head).await;
            self.guard.ready().await;
        };
        if tokio::time::timeout(HANG, following).await.is_err() {
            panic!("the guard does not come to {head}: {:?}", self.guard.state());
        }
        // Its own clock runs on while steps take their time.
        let real = Clock::System.now().seconds() + self.moved;
        self.clock.set_wall(now.seconds() - real);
        self.moved += now.seconds() - real;
    }

    /// What the guard says of a token at the moment of [`Guarded::follows`]; a second later it may say that it expired.
    pub fn accepts(&self, token: &str) -> bool {
        self.guard.verify(token).is_ok()
    }
}
