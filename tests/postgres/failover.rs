//! What happens when the database fails: nothing that was answered is lost, and nobody who can't be believed is.

use std::time::{Duration, Instant};

use crate::cluster::relay::Relay;
use crate::cluster::replication::Synchronous;
use crate::cluster::{Cluster, Storage, query};
use crate::node::Site;

/// Both servers of a cluster, as one address.
pub fn both(primary: &Cluster, standby: &Cluster) -> String {
    let url = primary.url("postgres");
    let port = format!(":{}/", primary.port());
    url.replace(&port, &format!(":{},127.0.0.1:{}/", primary.port(), standby.port()))
}

fn pair() -> (Cluster, Cluster) {
    let primary = Cluster::start(Storage::Memory);
    let standby = primary.add_standby(Synchronous::Yes);
    (primary, standby)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_is_followed_and_nothing_answered_is_lost() {
    let (primary, standby) = pair();
    let site = Site::new(&primary.url("postgres"));
    let both = both(&primary, &standby);
    let settings = [("RESCIND_DATABASE_STANDBY", "synchronous")];
    let nodes = [site.serve_at(&both, &settings), site.serve_at(&both, &settings)];
    let mut revoked = Vec::new();
    let kept = nodes[0].token().await.unwrap();
    for round in 0..10 {
        let token = nodes[round % 2].token().await.unwrap();
        assert_eq!(nodes[1].is_active(&token).await, Ok(true));
        assert_eq!(nodes[0].revoke(&token).await, 200);
        revoked.push(token);
    }
    let sequence = |cluster: &Cluster| cluster.query("SELECT sequence FROM head").parse::<i64>().unwrap();
    let before = sequence(&primary);
    primary.kill();
    assert_eq!(nodes[0].is_active(&kept).await, Err(503));
    assert!(!nodes[0].is_ready().await);
    standby.promote();
    for node in &nodes {
        let (is_active, took) = node.recovers(&kept).await;
        println!("answers again after {took:?}");
        assert!(is_active);
        for token in &revoked {
            assert_eq!(node.is_active(token).await, Ok(false));
        }
    }
    assert!(sequence(&standby) >= before + (1 << 20), "no number is given out again");
    // It goes on as before, on both.
    let token = nodes[1].token().await.unwrap();
    assert_eq!(nodes[0].is_active(&token).await, Ok(true));
    assert_eq!(nodes[0].revoke(&token).await, 200);
    assert_eq!(nodes[1].is_active(&token).await, Ok(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_without_its_standby_is_not_believed_if_the_setting_says_so() {
    let (primary, standby) = pair();
    let site = Site::new(&primary.url("postgres"));
    let careful = site.serve_at(&site.url, &[("RESCIND_DATABASE_STANDBY", "required")]);
    let trusting = site.serve();
    let token = careful.token().await.unwrap();
    assert_eq!(careful.is_active(&token).await, Ok(true));
    standby.pause();
    let from = Instant::now();
    while careful.is_active(&token).await == Ok(true) {
        assert!(from.elapsed() < Duration::from_secs(20), "the primary is alone and believed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("not believed after {:?}", from.elapsed());
    assert_eq!(careful.is_active(&token).await, Err(503));
    assert!(!careful.is_ready().await, "a load balancer has to know");
    assert_eq!(trusting.is_active(&token).await, Ok(true));
    standby.resume();
    assert!(careful.recovers(&token).await.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_wait_was_cancelled_is_not_called_done() {
    let (primary, standby) = pair();
    let site = Site::new(&primary.url("postgres"));
    let node = site.serve();
    let token = node.token().await.unwrap();
    standby.pause();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let cancel = async {
        tokio::task::block_in_place(|| {
            primary.wait_until(waits, "1");
            primary.query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
        });
    };
    let (status, ()) = tokio::join!(node.revoke(&token), cancel);
    assert_eq!(status, 503);
    standby.resume();
    // The client repeats it, and gets an answer that holds.
    assert_eq!(node.revoke(&token).await, 200);
    assert_eq!(node.is_active(&token).await, Ok(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_cut_off_says_so_and_goes_on_once_the_line_is_back() {
    let cluster = Cluster::start(Storage::Memory);
    let site = Site::new(&cluster.url("postgres"));
    let relay = Relay::to(&cluster);
    let (near, far) = (site.serve(), site.serve_at(&relay.url(&site.url), &[]));
    let [token, other] = [far.token().await.unwrap(), far.token().await.unwrap()];
    assert_eq!(far.is_active(&token).await, Ok(true));
    for cut in [Relay::cut, Relay::hold] {
        cut(&relay);
        assert_eq!(far.is_active(&token).await, Err(503));
        assert_eq!(far.token().await, Err(503));
        assert_eq!(far.revoke(&other).await, 503);
        assert!(!far.is_ready().await);
        // What happens meanwhile counts for its next answer.
        assert_eq!(near.is_active(&token).await, Ok(true));
        relay.restore();
        assert!(far.recovers(&token).await.0);
    }
    relay.cut();
    assert_eq!(near.revoke(&token).await, 200);
    relay.restore();
    assert!(!far.recovers(&token).await.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_database_is_survived() {
    let cluster = Cluster::start(Storage::Memory);
    let site = Site::new(&cluster.url("postgres"));
    let node = site.serve();
    let [kept, revoked] = [node.token().await.unwrap(), node.token().await.unwrap()];
    assert_eq!(node.revoke(&revoked).await, 200);
    cluster.stop();
    assert_eq!(node.is_active(&kept).await, Err(503));
    cluster.restart();
    assert!(node.recovers(&kept).await.0);
    assert_eq!(node.is_active(&revoked).await, Ok(false));
    assert_eq!(node.revoke(&kept).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_database_ends_are_opened_again() {
    let cluster = Cluster::start(Storage::Memory);
    let site = Site::new(&cluster.url("postgres"));
    let node = site.serve();
    let token = node.token().await.unwrap();
    for _ in 0..5 {
        let ended = "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity \
            WHERE application_name = 'rescind'";
        assert_eq!(query(&site.url, ended), Ok("t".to_owned()));
        assert!(node.recovers(&token).await.0);
        let from = Instant::now();
        while node.token().await.is_err() {
            assert!(from.elapsed() < Duration::from_secs(10));
        }
    }
}
