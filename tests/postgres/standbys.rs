//! Replication: what a commit waits for, and what a promoted standby has.

use std::sync::mpsc;
use std::time::Duration;

use crate::cluster::replication::Synchronous;
use crate::cluster::{Cluster, Storage, query};

#[test]
fn a_commit_waits_for_the_synchronous_standby() {
    let primary = Cluster::start(Storage::Memory);
    primary.query("CREATE TABLE numbers (n INTEGER)");
    let standby = primary.add_standby(Synchronous::Yes);
    primary.query("INSERT INTO numbers VALUES (1)");
    standby.pause();
    let (committed, commit) = mpsc::channel();
    let url = primary.url("postgres");
    std::thread::spawn(move || committed.send(query(&url, "INSERT INTO numbers VALUES (2)")));
    primary.wait_until("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", "1");
    // Longer than the primary keeps the connection to a standby that does not answer.
    assert!(commit.recv_timeout(Duration::from_secs(3)).is_err());
    assert_eq!(primary.query("SELECT n FROM numbers"), "1");
    standby.resume();
    commit.recv_timeout(Duration::from_secs(30)).unwrap().unwrap();
    primary.wait_for_replay_on(&standby);
    assert_eq!(standby.query("SELECT n FROM numbers ORDER BY n"), "1\n2");
    assert!(query(&standby.url("postgres"), "DELETE FROM numbers").unwrap_err().contains("read-only"));
}

#[test]
fn a_promoted_standby_has_what_the_killed_primary_had_committed() {
    let primary = Cluster::start(Storage::Memory);
    let standby = primary.add_standby(Synchronous::Yes);
    primary.query("CREATE TABLE numbers (n INTEGER)");
    for n in 1..=20 {
        primary.query(&format!("INSERT INTO numbers VALUES ({n})"));
    }
    primary.kill();
    standby.promote();
    assert_eq!(standby.query("SELECT count(*), max(n) FROM numbers"), "20|20");
    // It waits for no standby now, and can have one.
    standby.query("INSERT INTO numbers VALUES (21)");
    let next = standby.add_standby(Synchronous::Yes);
    standby.query("INSERT INTO numbers VALUES (22)");
    standby.wait_for_replay_on(&next);
    assert_eq!(next.query("SELECT max(n) FROM numbers"), "22");
}

#[test]
fn a_commit_waits_for_one_of_two_standbys_and_for_no_asynchronous_one() {
    let primary = Cluster::start(Storage::Memory);
    let asynchronous = primary.add_standby(Synchronous::No);
    asynchronous.pause();
    primary.query("CREATE TABLE numbers (n INTEGER)");
    asynchronous.resume();
    let [one, other] = [(); 2].map(|()| primary.add_standby(Synchronous::Yes));
    one.pause();
    primary.query("INSERT INTO numbers VALUES (1)");
    primary.wait_for_replay_on(&other);
    primary.wait_for_replay_on(&asynchronous);
    assert_eq!(asynchronous.query("SELECT n FROM numbers"), "1");
}
