//! A database that lacks what was done last: nobody believes it until everything was ended.

use std::time::{Duration, Instant};

use crate::cluster::relay::Relay;
use crate::cluster::replication::Synchronous;
use crate::cluster::{Cluster, Storage};
use crate::failover::both;
use crate::node::Site;

const RESTORE: [&str; 3] = ["restore", "--in-place", "--json"];

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_lacks_a_revocation_is_refused_until_everything_was_ended() {
    let primary = Cluster::start(Storage::Memory);
    let standby = primary.add_standby(Synchronous::No);
    let site = Site::new(&primary.url("postgres"));
    let both = both(&primary, &standby);
    let node = site.serve_at(&both, &[]);
    let relay = Relay::to(&primary);
    let cut_off = site.serve_at(&relay.url(&site.url), &[]);
    let [kept, revoked] = [node.token().await.unwrap(), node.token().await.unwrap()];
    for node in [&node, &cut_off] {
        assert_eq!((node.is_active(&kept).await, node.is_active(&revoked).await), (Ok(true), Ok(true)));
    }
    relay.cut();
    tokio::task::block_in_place(|| primary.wait_for_replay_on(&standby));
    standby.stop();
    assert_eq!(node.revoke(&revoked).await, 200);
    primary.kill();
    standby.restart();
    standby.promote();
    assert_eq!(standby.query("SELECT count(*) FROM ledger"), "0", "the revocation is lost");

    // Servers that run, those that start, and commands.
    let from = Instant::now();
    while from.elapsed() < Duration::from_secs(3) {
        assert_eq!(node.is_active(&revoked).await, Err(503));
    }
    assert_eq!((node.token().await, node.revoke(&kept).await), (Err(503), 503));
    assert!(!node.is_ready().await);
    for arguments in [&["serve"][..], &["user", "list"]] {
        let refused = site.run_at(&both, arguments);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("rescind restore --in-place"), "{said}");
    }

    drop(node);
    let state = "SELECT generation, incarnation FROM server";
    let before = standby.query(state);
    let restored = site.run_at(&both, &RESTORE);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let restored: serde_json::Value = serde_json::from_slice(&restored.stdout).unwrap();
    assert_eq!((restored["suspended"].as_i64(), restored["receipt"].is_string()), (Some(1), true));
    assert_ne!(standby.query(state), before);
    let leapt = "SELECT sequence > 1048576 AND sequence = (SELECT max(sequence) FROM ledger) FROM head";
    assert_eq!(standby.query(leapt), "t", "no number is given out again");
    let node = site.serve_at(&both, &[]);
    for token in [&kept, &revoked] {
        assert_eq!(node.is_active(token).await, Ok(false));
    }
    assert!(node.token().await.is_err_and(|status| status != 503), "the app is suspended");

    // What a server has in memory that was not there is of another history.
    relay.leads_to(&standby);
    relay.restore();
    let from = Instant::now();
    while from.elapsed() < Duration::from_secs(3) {
        assert_eq!(cut_off.is_active(&kept).await, Err(503));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_use_is_not_restored_in_place() {
    let cluster = Cluster::start(Storage::Memory);
    let site = Site::new(&cluster.url("postgres"));
    let node = site.serve();
    let token = node.token().await.unwrap();
    let refused = site.run_at(&site.url, &RESTORE);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("stop all of them"), "{said}");
    assert_eq!(node.is_active(&token).await, Ok(true));
    let file = site.run_at(&site.url, &["restore", "/nowhere"]);
    let said = String::from_utf8(file.stderr).unwrap();
    assert!(file.status.code() == Some(2) && said.contains("restore --in-place"), "{said}");
}
