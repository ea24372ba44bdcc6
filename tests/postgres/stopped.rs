//! Servers that stop for a while, as a machine does that is suspended, and databases that answer slowly or have no room.
//!
//! A server stops for `RESCIND_STOP_SECONDS` (5). The long run:
//! `RESCIND_STOP_SECONDS=30 cargo nextest run --test postgres stopped`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::cluster::database::shared_database;
use crate::cluster::relay::{Break, Relay};
use crate::cluster::{Cluster, Storage};
use crate::node::{Node, Site};

fn stop_time() -> Duration {
    Duration::from_secs(std::env::var("RESCIND_STOP_SECONDS").map_or(5, |seconds| seconds.parse().unwrap()))
}

/// What one server answers about one token, by many who ask all the time.
struct Crowd {
    asking: JoinSet<()>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    is_revoked: AtomicBool,
    is_over: AtomicBool,
    active: AtomicUsize,
    /// `active` as the answer to a question that was asked after the revocation had been answered.
    too_late: AtomicUsize,
}

impl Crowd {
    fn new(node: &Arc<Node>, token: &str) -> Self {
        let seen = Arc::<Seen>::default();
        let mut asking = JoinSet::new();
        for _ in 0..8 {
            let (node, token, seen) = (node.clone(), token.to_owned(), seen.clone());
            asking.spawn(async move {
                while !seen.is_over.load(Ordering::SeqCst) {
                    let was_revoked = seen.is_revoked.load(Ordering::SeqCst);
                    if node.is_active(&token).await == Ok(true) {
                        let count = if was_revoked { &seen.too_late } else { &seen.active };
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        Self { asking, seen }
    }

    async fn has_asked(&self, times: usize) {
        let from = Instant::now();
        while self.seen.active.load(Ordering::SeqCst) < times {
            assert!(from.elapsed() < Duration::from_secs(60), "nobody answers");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn ends(self) -> usize {
        self.seen.is_over.store(true, Ordering::SeqCst);
        self.asking.join_all().await;
        self.seen.too_late.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_among_introspections_gives_no_old_answer() {
    let database = shared_database();
    let site = Site::new(&database.url);
    let (one, two) = (site.serve(), Arc::new(site.serve()));
    let [token, other] = [one.token().await.unwrap(), one.token().await.unwrap()];
    assert_eq!(two.is_active(&other).await, Ok(true));
    let crowd = Crowd::new(&two, &token);
    crowd.has_asked(100).await;
    // A revocation of its own is on its way when it stops.
    let revoking = tokio::spawn({
        let (two, other) = (two.clone(), other.clone());
        async move { two.revoke(&other).await }
    });
    tokio::task::yield_now().await;
    two.signal("-STOP");
    assert_eq!(one.revoke(&token).await, 200);
    crowd.seen.is_revoked.store(true, Ordering::SeqCst);
    let questions: Vec<_> = (0..20)
        .map(|_| {
            let (two, token) = (two.clone(), token.clone());
            tokio::spawn(async move { two.is_active(&token).await })
        })
        .collect();
    tokio::time::sleep(stop_time()).await;
    assert!(questions.iter().all(|question| !question.is_finished()), "it has stopped");
    two.signal("-CONT");
    for question in questions {
        assert_ne!(question.await.unwrap(), Ok(true), "asked after the revocation");
    }
    assert!(!two.recovers(&token).await.0);
    assert_eq!(crowd.ends().await, 0, "answers to questions after the revocation");
    let own = revoking.await.unwrap();
    assert!([0, 200, 503].contains(&own), "{own}");
    if own == 200 {
        assert_eq!(one.is_active(&other).await, Ok(false), "it was answered");
    }
}

/// What a transaction has locked when its server stops is not locked for longer than others wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_in_the_middle_of_a_revocation_holds_nobody_up() {
    let cluster = Cluster::start(Storage::Memory);
    let site = Site::new(&cluster.url("postgres"));
    let relay = Relay::to(&cluster);
    let (one, two) = (site.serve(), Arc::new(site.serve_at(&relay.url(&site.url), &[])));
    let [stuck, other] = [two.token().await.unwrap(), two.token().await.unwrap()];
    assert_eq!(one.is_active(&stuck).await, Ok(true));
    // It has its number, and locked that for others.
    relay.counts_only(Some("COMMIT"));
    relay.hold_at(Break::BeforeStatement(1));
    let revoking = tokio::spawn({
        let (two, stuck) = (two.clone(), stuck.clone());
        async move { two.revoke(&stuck).await }
    });
    let from = Instant::now();
    while relay.awaits_break() {
        assert!(from.elapsed() < Duration::from_secs(30), "it does not commit");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    two.signal("-STOP");
    let from = Instant::now();
    assert_eq!(one.revoke(&other).await, 200, "after {:?}", from.elapsed());
    assert_eq!(one.is_active(&other).await, Ok(false));
    assert_eq!(one.is_active(&stuck).await, Ok(true), "it was not committed");
    tokio::time::sleep(stop_time().saturating_sub(from.elapsed())).await;
    two.signal("-CONT");
    relay.restore();
    let answer = revoking.await.unwrap();
    assert!([0, 200, 503].contains(&answer), "{answer}");
    assert!(answer != 200 || one.is_active(&stuck).await == Ok(false), "it was answered");
    assert!(!two.recovers(&other).await.0);
    assert_eq!(two.revoke(&stuck).await, 200);
    assert_eq!(one.is_active(&stuck).await, Ok(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_database_is_waited_for_and_one_that_is_too_slow_is_not() {
    let cluster = Cluster::start(Storage::Memory);
    let site = Site::new(&cluster.url("postgres"));
    let relay = Relay::to(&cluster);
    let (near, far) = (site.serve(), site.serve_at(&relay.url(&site.url), &[]));
    let [token, other] = [far.token().await.unwrap(), far.token().await.unwrap()];
    assert_eq!(far.is_active(&token).await, Ok(true));
    relay.slow(Duration::from_millis(50));
    assert_eq!(far.is_active(&token).await, Ok(true));
    assert_eq!(far.revoke(&other).await, 200);
    assert_eq!(near.is_active(&other).await, Ok(false));
    // Longer than the answer is waited for.
    relay.slow(Duration::from_millis(1500));
    assert_eq!(far.is_active(&token).await, Err(503));
    assert!(!far.is_ready().await);
    assert_eq!(near.revoke(&token).await, 200);
    assert_eq!(far.is_active(&token).await, Err(503));
    relay.slow(Duration::ZERO);
    assert!(!far.recovers(&token).await.0);
    let from = Instant::now();
    while far.token().await.is_err() {
        assert!(from.elapsed() < Duration::from_secs(10), "it gives no tokens");
    }
}

/// The tables can't grow, then the write-ahead log can't either: what was answered holds, and nothing else is called done.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_gives_no_false_answer_and_loses_nothing() {
    const TABLES: &str = "16777216";
    let cluster = Cluster::start(Storage::Memory);
    let site = Site::new(&cluster.url("postgres"));
    let node = site.serve();
    let mut tokens = Vec::new();
    for _ in 0..4 {
        tokens.push(node.token().await.unwrap());
    }
    let [kept, first, second, third] = tokens.try_into().unwrap();
    assert_eq!(node.revoke(&first).await, 200);
    // As large as files may be from now on, with few rows on a page.
    cluster.query("ALTER TABLE tokens SET (fillfactor = 10)");
    let columns = cluster.query(
        "SELECT string_agg(column_name, ', ') FROM information_schema.columns \
         WHERE table_name = 'tokens' AND column_name NOT IN ('place', 'digest')",
    );
    cluster.query(&format!(
        "INSERT INTO tokens (place, digest, {columns}) \
         SELECT 2097152 * i::bigint, decode(md5(i::text), 'hex'), {columns} \
         FROM (SELECT * FROM tokens LIMIT 1) AS t, generate_series(1, 20000) AS i"
    ));
    assert_eq!(cluster.query(&format!("SELECT pg_relation_size('tokens') > {TABLES}")), "t");
    cluster.limit_files(TABLES);
    let mut made = Vec::new();
    let refused = loop {
        assert!(made.len() < 500, "there is room");
        match node.token().await {
            Ok(token) => made.push(token),
            Err(status) => break status,
        }
    };
    assert_eq!(refused, 503);
    assert_eq!(node.is_active(&kept).await, Ok(true));
    assert_eq!(node.is_active(&first).await, Ok(false));
    // It takes no room in that table.
    assert_eq!(node.revoke(&second).await, 200);
    assert_eq!(node.is_active(&second).await, Ok(false));

    // A database server that can't write its log ends.
    cluster.limit_files("8192");
    assert_ne!(node.revoke(&third).await, 200);
    assert!(cluster.log().contains("PANIC"), "{}", cluster.log());
    cluster.restart();
    assert!(node.recovers(&kept).await.0);
    for token in [&first, &second] {
        assert_eq!(node.is_active(token).await, Ok(false), "its revocation was answered");
    }
    for token in &made {
        assert_eq!(node.is_active(token).await, Ok(true), "it was given");
    }
    assert_eq!(node.revoke(&third).await, 200);
    assert_eq!(node.is_active(&third).await, Ok(false));
    node.token().await.unwrap();
}
