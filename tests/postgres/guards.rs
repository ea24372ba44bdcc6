//! Several servers on one database, and guards at each of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rescind_guard::{Guard, Refusal, Settings, Timing};
use serde_json::json;

use crate::cluster::relay::Relay;
use crate::cluster::{Cluster, Storage, query};
use crate::node::place_at;
use crate::program::{Place, Server};
use crate::visitor::{Tokens, World};
use crate::wire::Line;

const ISSUER: &str = "http://localhost:18080";
const AUDIENCE: &str = "urn:photos";
/// An instance of a guard.
const ONE: &str = "instance-number-one";
/// Longer than anything here should take.
const HANG: Duration = Duration::from_secs(60);

/// One database, and what servers on it need.
struct Nodes {
    cluster: Cluster,
    database: String,
    place: Place,
    world: World,
}

impl Nodes {
    fn new() -> Self {
        let cluster = Cluster::start(Storage::Memory);
        let database = cluster.create_database();
        let mut place = place_at(&database);
        place.set("RESCIND_ISSUER", ISSUER);
        let world = World::register_for(&place, "jwt");
        Self { cluster, database, place, world }
    }

    fn serve(&self) -> Server {
        self.place.serve()
    }

    /// A server that reaches the database by way of `relay`.
    fn serve_by(&self, relay: &Relay) -> Server {
        let mut program = self.place.program(&["serve"]);
        program.env("RESCIND_DATABASE_URL", relay.url(&self.database));
        Server::start(program)
    }

    fn query(&self, sql: &str) -> String {
        query(&self.database, sql).unwrap()
    }

    fn settings(&self, url: &str) -> Settings {
        let (id, secret) = &self.world.resource_server;
        let timing = Timing {
            acknowledge: Duration::from_millis(200),
            retry: Duration::from_millis(20),
            longest_retry: Duration::from_millis(200),
            ..Timing::default()
        };
        Settings::new(ISSUER, id, secret, AUDIENCE).server(url).timing(timing)
    }

    async fn guard(&self, server: &Server) -> Guard {
        started(self.settings(&format!("http://{}", server.address))).await
    }

    /// One more device of Alice's, with a JWT.
    async fn device(&self, server: &Server) -> Tokens {
        let visitor = self.world.at(server);
        let cookie = visitor.sign_in().await;
        let tokens = visitor.authorize(&cookie).await;
        assert!(tokens.access.contains('.'), "a JWT");
        tokens
    }

    /// Ends a device, and gives the path of the receipt.
    async fn ends(&self, server: &Server, device: &Tokens) -> String {
        let answer = self.world.at(server).revoke_token(&device.refresh).await;
        assert_eq!(answer.status(), 200);
        let receipt = self.query("SELECT receipt_id FROM ledger ORDER BY sequence DESC LIMIT 1");
        format!("/receipts/{receipt}")
    }

    /// What a receipt says at a server of where the access is refused.
    async fn told(&self, server: &Server, cookie: &str, receipt: &str) -> String {
        let page = self.world.at(server).page(cookie, receipt).await;
        assert_eq!(page.status(), 200);
        let page = page.text().await.unwrap();
        let told = page.split("<section id=\"told\"").nth(1).unwrap_or_else(|| panic!("{page}"));
        told.split("</section>").next().unwrap().to_owned()
    }

    /// What a guard says that has applied everything up to `through`.
    async fn acknowledges(&self, server: &Server, instance: &str, through: i64) -> StatusCode {
        let (id, secret) = &self.world.resource_server;
        let incarnation: u64 = self.query("SELECT incarnation FROM server").parse().unwrap();
        let body = json!({ "instance": instance, "incarnation": incarnation, "through": through, "keys_version": 1 });
        let request = reqwest::Client::new().post(format!("http://{}/revocations/ack", server.address));
        request.basic_auth(id, Some(secret)).json(&body).send().await.unwrap().status()
    }

    fn newest(&self) -> i64 {
        self.query("SELECT coalesce(max(sequence), 0) FROM ledger").parse().unwrap()
    }

    fn confirmations(&self) -> String {
        self.query("SELECT string_agg(confirmed || ' of ' || instances, ', ' ORDER BY ledger_sequence) FROM confirmations")
    }

    async fn introspects(&self, server: &Server, token: &str) -> StatusCode {
        let (id, secret) = &self.world.resource_server;
        let request = reqwest::Client::new().post(format!("http://{}/oauth/introspect", server.address));
        let request = request.basic_auth(id, Some(secret)).form(&[("token", token)]);
        request.send().await.unwrap().status()
    }
}

async fn started(settings: Settings) -> Guard {
    let guard = Guard::start(settings).unwrap();
    tokio::time::timeout(HANG, guard.ready()).await.expect("a guard gets ready");
    guard
}

#[track_caller]
fn until(mut is_so: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let from = Instant::now();
        while !is_so() {
            assert!(from.elapsed() < HANG, "it never came, at {place}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn is_revoked(guard: &Guard, token: &str) -> bool {
    matches!(guard.verify(token), Err(Refusal::Revoked(_)))
}

fn accepts(guard: &Guard, token: &str) -> bool {
    guard.verify(token).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn guards_at_all_servers_refuse_what_one_revoked_and_every_receipt_says_so() {
    let nodes = Nodes::new();
    let servers = [nodes.serve(), nodes.serve(), nodes.serve()];
    let mut guards = Vec::new();
    for server in &servers {
        guards.push(nodes.guard(server).await);
    }
    let cookie = nodes.world.at(&servers[0]).sign_in().await;
    let mut times = Vec::new();
    for round in 0..20 {
        let server = &servers[round % 3];
        let device = nodes.device(server).await;
        for guard in &guards {
            until(|| accepts(guard, &device.access)).await;
        }
        let from = Instant::now();
        let receipt = nodes.ends(server, &device).await;
        let answered = from.elapsed();
        // Every server knows at once which guards have to confirm, and says nothing that it takes back.
        let mut last = Vec::new();
        for server in &servers {
            let told = nodes.told(server, &cookie, &receipt).await;
            assert!(told.contains("of 3 guards") || told.contains("All 3 guards"), "round {round}: {told}");
            last.push(told);
        }
        for guard in &guards {
            until(|| is_revoked(guard, &device.access)).await;
        }
        times.push((answered, from.elapsed()));
        let settling = Instant::now();
        while !last.iter().all(|told| told.contains("All 3 guards") && *told == last[0]) {
            assert!(settling.elapsed() < HANG, "{last:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
            for (server, last) in servers.iter().zip(&mut last) {
                *last = nodes.told(server, &cookie, &receipt).await;
            }
        }
        println!("round {round}: all receipts agree after {:?}: {}", settling.elapsed(), sentence(&last[0]));
    }
    let unsettled = || {
        nodes.query(
            "SELECT count(*) FROM ledger AS l WHERE l.audiences IS NOT NULL AND l.audiences <> '' AND NOT EXISTS \
             (SELECT 1 FROM confirmations AS x WHERE x.ledger_sequence = l.sequence AND x.instances = 3 \
             AND x.confirmed = 3 AND x.last_ms IS NOT NULL)",
        )
    };
    until(|| unsettled() == "0").await;
    let (answered, refused): (Vec<_>, Vec<_>) = times.into_iter().unzip();
    println!("answered after {answered:?}");
    println!("seen to be refused by all guards after {refused:?}");
}

fn sentence(told: &str) -> &str {
    told.split("<p class=\"meta\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or(told)
}

/// The guards confirm while rows come in at every server, in whatever order servers hear of either.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_revocations_at_all_servers_is_confirmed_by_all_guards() {
    const REVOCATIONS: usize = 600;
    let nodes = Nodes::new();
    let servers = [nodes.serve(), nodes.serve(), nodes.serve()];
    let mut guards = Vec::new();
    for server in [0, 0, 1, 1, 2] {
        guards.push(nodes.guard(&servers[server]).await);
    }
    let visitors: Vec<_> = servers.iter().map(|server| nodes.world.at(server)).collect();
    let issued =
        futures_util::future::join_all((0..REVOCATIONS).map(|number| visitors[number % 3].client_token()));
    let mut tokens = Vec::new();
    for answer in issued.await {
        let issued: serde_json::Value = answer.json().await.unwrap();
        tokens.push(issued["access_token"].as_str().unwrap().to_owned());
    }
    let from = Instant::now();
    let revoked =
        tokens.iter().enumerate().map(|(number, token)| visitors[(number + 1) % 3].revoke_token(token));
    assert!(futures_util::future::join_all(revoked).await.iter().all(|answer| answer.status() == 200));
    println!("{REVOCATIONS} revoked in {:?}", from.elapsed());
    for guard in &guards {
        until(|| tokens.iter().all(|token| is_revoked(guard, token))).await;
    }
    println!("all refused by all guards after {:?}", from.elapsed());
    until(|| nodes.query("SELECT count(*) FROM confirmations") == REVOCATIONS.to_string()).await;
    println!("all settled after {:?}", from.elapsed());
    let counts = "SELECT DISTINCT instances || ' ' || confirmed || ' ' || (last_ms IS NOT NULL) || ' ' \
        || (open_until IS NULL) FROM confirmations";
    assert_eq!(nodes.query(counts), "5 5 true true");
    let times = "SELECT min(last_ms), percentile_disc(0.5) WITHIN GROUP (ORDER BY last_ms), max(last_ms) \
        FROM confirmations";
    println!("least, median and greatest time to confirmation in ms: {}", nodes.query(times));
    for server in servers {
        let log = server.log();
        assert!(!log.contains("_failed") && !log.contains("ERROR"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_its_database_answers_503_and_its_guard_goes_stale() {
    let nodes = Nodes::new();
    let relay = Relay::to(&nodes.cluster);
    let (one, two) = (nodes.serve(), nodes.serve_by(&relay));
    let at_one = nodes.guard(&one).await;
    let url = format!("http://{}", two.address);
    let at_two = started(nodes.settings(&url).max_staleness(Duration::from_secs(3))).await;
    let [device, other] = [nodes.device(&one).await, nodes.device(&one).await];
    until(|| accepts(&at_two, &device.access)).await;
    relay.cut();
    let from = Instant::now();
    let receipt = nodes.ends(&one, &device).await;
    until(|| is_revoked(&at_one, &device.access)).await;
    assert_eq!(nodes.introspects(&two, &device.access).await, 503);
    assert_eq!(nodes.acknowledges(&two, ONE, 0).await, 503);
    until(|| at_two.verify(&other.access) == Err(Refusal::Stale)).await;
    println!("stale after {:?}", from.elapsed());
    assert_eq!(at_two.verify(&device.access), Err(Refusal::Stale));
    assert_eq!(nodes.acknowledges(&two, ONE, 0).await, 503);
    assert!(accepts(&at_one, &other.access));
    let cookie = nodes.world.at(&one).sign_in().await;
    let told = nodes.told(&one, &cookie, &receipt).await;
    assert!(told.contains("1 of 2 guards"), "{told}");
    relay.restore();
    let from = Instant::now();
    until(|| accepts(&at_two, &other.access)).await;
    println!("fresh again after {:?}", from.elapsed());
    assert!(is_revoked(&at_two, &device.access));
    assert_eq!(nodes.introspects(&two, &device.access).await, 200);
    until(|| {
        nodes.query("SELECT string_agg(confirmed || ' of ' || instances, ' ') FROM confirmations") == "2 of 2"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_goes_on_at_another_server_without_a_snapshot() {
    let nodes = Nodes::new();
    let (one, two) = (nodes.serve(), nodes.serve());
    let address = |server: &Server| -> SocketAddr { server.address.parse().unwrap() };
    let wire = Line::to(Some(address(&one))).await;
    let guard = started(nodes.settings(&wire.url)).await;
    let devices = [nodes.device(&one).await, nodes.device(&two).await, nodes.device(&two).await];
    until(|| accepts(&guard, &devices[0].access)).await;
    nodes.ends(&one, &devices[0]).await;
    until(|| is_revoked(&guard, &devices[0].access)).await;
    wire.leads_to(address(&two));
    one.kill();
    // Nobody who could tell the guard is there when this ends.
    let receipt = nodes.ends(&two, &devices[1]).await;
    let from = Instant::now();
    until(|| is_revoked(&guard, &devices[1].access)).await;
    println!("learned at the other server after {:?}", from.elapsed());
    assert!(accepts(&guard, &devices[2].access));
    let counters = guard.state().counters;
    assert_eq!((counters.snapshots, counters.gaps), (1, 0), "{counters:?}");
    // It is one guard for all servers, wherever it has its lease from.
    until(|| nodes.query("SELECT count(*) FROM guard_instances") == "1").await;
    let cookie = nodes.world.at(&two).sign_in().await;
    let told = nodes.told(&two, &cookie, &receipt).await;
    assert!(told.contains("Its guard"), "{told}");
    until(|| {
        nodes.query("SELECT string_agg(confirmed || ' of ' || instances, ' ') FROM confirmations")
            == "1 of 1 1 of 1"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_may_acknowledge_at_any_server() {
    let nodes = Nodes::new();
    let servers = [nodes.serve(), nodes.serve(), nodes.serve()];
    let cookie = nodes.world.at(&servers[0]).sign_in().await;
    let mut expected = Vec::new();
    for round in 0..9 {
        // Its lease, the revocation and its confirmation are at three servers, in all orders.
        let [lease, act, confirmation] =
            [round, round + 1 + round / 3 % 2, round + 2 - round / 3 % 2].map(|place| &servers[place % 3]);
        let device = nodes.device(act).await;
        assert_eq!(nodes.acknowledges(lease, ONE, nodes.newest()).await, 200);
        let receipt = nodes.ends(act, &device).await;
        let sequence = nodes.newest();
        for server in &servers {
            let told = nodes.told(server, &cookie, &receipt).await;
            assert!(told.contains("Its guard has not confirmed this yet"), "round {round}: {told}");
            // Nobody takes it for a guard that begins.
            assert_eq!(nodes.acknowledges(server, ONE, sequence - 1).await, 200);
        }
        assert_eq!(nodes.acknowledges(confirmation, ONE, sequence).await, 200);
        let told = nodes.told(confirmation, &cookie, &receipt).await;
        assert!(told.contains("Its guard confirmed this after"), "round {round}: {told}");
        expected.push("1 of 1");
        until(|| nodes.confirmations() == expected.join(", ")).await;
    }
    assert_eq!(nodes.query("SELECT count(*) FROM guard_instances"), "1");
}

/// The guard had its lease from a server that is gone, together with what the guard may have told it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_settles_a_revocation_before_the_last_lease_is_over() {
    let nodes = Nodes::new();
    let (one, two) = (nodes.serve(), nodes.serve());
    nodes.guard(&one).await.shutdown().await;
    let device = nodes.device(&one).await;
    let cookie = nodes.world.at(&two).sign_in().await;
    let now = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";
    let until_when: u64 = nodes
        .query(&format!(
            "INSERT INTO guard_instances (resource_server_id, instance, through, leased_until) \
             SELECT id, '{ONE}', 0, {now} + 8000 FROM resource_servers RETURNING leased_until"
        ))
        .lines()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let receipt = nodes.ends(&one, &device).await;
    // It was not there when the revocation came.
    let three = nodes.serve();
    for server in [&three, &two, &one] {
        let told = nodes.told(server, &cookie, &receipt).await;
        assert!(told.contains("Its guard has not confirmed this yet"), "{told}");
    }
    until(|| nodes.confirmations() == "0 of 1").await;
    let settled: u64 = nodes.query(&format!("SELECT {now}")).parse().unwrap();
    assert!(settled >= until_when, "{settled} {until_when}");
    println!("settled {} ms after the lease", settled - until_when);
    for server in [&three, &two, &one] {
        let told = nodes.told(server, &cookie, &receipt).await;
        assert!(told.contains("Its guard never confirmed this"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_stopped_for_a_while_gives_right_answers_at_once() {
    let nodes = Nodes::new();
    let (one, two) = (nodes.serve(), nodes.serve());
    let guard = nodes.guard(&two).await;
    for round in 0..3 {
        let device = nodes.device(&one).await;
        until(|| accepts(&guard, &device.access)).await;
        let visitor = nodes.world.at(&two);
        assert!(visitor.is_active(&device.access).await);
        // Questions are under way when it stops, and more come while it is stopped.
        let earlier = async {
            for _ in 0..200 {
                visitor.is_active(&device.access).await;
            }
        };
        let stopped = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            two.signal("-STOP");
            nodes.ends(&one, &device).await;
            let later = async {
                let mut active = 0;
                for answer in
                    futures_util::future::join_all((0..20).map(|_| visitor.is_active(&device.access))).await
                {
                    active += usize::from(answer);
                }
                active
            };
            let resumed = async {
                tokio::time::sleep(Duration::from_secs(2)).await;
                two.signal("-CONT");
            };
            tokio::join!(later, resumed).0
        };
        let ((), active) = tokio::join!(earlier, stopped);
        assert_eq!(active, 0, "round {round}: active answers to questions after the revocation");
        until(|| is_revoked(&guard, &device.access)).await;
    }
}
