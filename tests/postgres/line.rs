//! The line between program and database.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::cluster::programs::program;
use crate::cluster::relay::{Break, Relay};
use crate::cluster::replication::Synchronous;
use crate::cluster::{Cluster, Storage, query};

/// A server with an empty table, and a line to it.
fn server_and_line() -> (Cluster, Relay, String) {
    let cluster = Cluster::start(Storage::Memory);
    cluster.query("CREATE TABLE numbers (n INTEGER)");
    let relay = Relay::to(&cluster);
    let url = relay.url(&cluster.url("postgres"));
    (cluster, relay, url)
}

#[test]
fn a_cut_line_errs_until_it_is_restored() {
    let (cluster, relay, url) = server_and_line();
    assert_eq!(query(&url, "SELECT 1").unwrap(), "1");
    let (sleeping, at) = (url.clone(), Instant::now());
    let cut_off = std::thread::spawn(move || query(&sleeping, "SELECT pg_sleep(600)"));
    cluster.wait_until("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", "1");
    relay.cut();
    cut_off.join().unwrap().unwrap_err();
    assert!(at.elapsed() < Duration::from_secs(300));
    query(&url, "SELECT 1").unwrap_err();
    relay.restore();
    assert_eq!(query(&url, "SELECT 1").unwrap(), "1");
}

#[test]
fn a_held_line_answers_when_it_is_restored() {
    let (_cluster, relay, url) = server_and_line();
    relay.hold();
    let (answered, answer) = mpsc::channel();
    std::thread::spawn(move || answered.send(query(&url, "SELECT 1")));
    assert!(answer.recv_timeout(Duration::from_millis(300)).is_err());
    relay.restore();
    assert_eq!(answer.recv_timeout(Duration::from_secs(30)).unwrap().unwrap(), "1");
}

#[test]
fn a_slow_line_delays_each_round_trip() {
    let (_cluster, relay, url) = server_and_line();
    relay.slow(Duration::from_millis(100));
    let from = Instant::now();
    // The start of the connection, and one query.
    assert_eq!(query(&url, "SELECT 1").unwrap(), "1");
    assert!(from.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_line_breaks_before_a_statement_or_loses_its_answer() {
    let (cluster, relay, url) = server_and_line();
    let insert = |n: u32| query(&url, &format!("INSERT INTO numbers VALUES ({n})"));
    insert(0).unwrap();
    relay.forget_statements();
    assert!(relay.statements().is_empty());
    relay.break_at(Break::BeforeStatement(2));
    insert(1).unwrap();
    insert(2).unwrap_err();
    assert!(!relay.awaits_break());
    insert(3).unwrap();
    assert_eq!(relay.statements()[1..], ["INSERT INTO numbers VALUES (2)", "INSERT INTO numbers VALUES (3)"]);
    relay.break_at(Break::AfterStatement(1));
    insert(4).unwrap_err();
    insert(5).unwrap();
    relay.cut_at(Break::AfterStatement(1));
    insert(6).unwrap_err();
    insert(7).unwrap_err();
    relay.restore();
    insert(8).unwrap();
    assert_eq!(cluster.query("SELECT string_agg(n::text, ' ' ORDER BY n) FROM numbers"), "0 1 3 4 5 6 8");
}

#[test]
fn a_line_breaks_within_a_message() {
    let (cluster, relay, url) = server_and_line();
    let mut refused = 0;
    for byte in (1..).step_by(7) {
        relay.break_at(Break::BeforeByte(byte));
        let result = query(&url, "INSERT INTO numbers VALUES (1)");
        let arrived = cluster.query("SELECT count(*) FROM numbers") == "1";
        assert!(arrived || result.is_err(), "{byte}");
        if arrived {
            break;
        }
        refused += 1;
    }
    assert!(refused > 10, "{refused}");
}

#[test]
fn a_line_leads_to_the_promoted_standby() {
    let (primary, relay, url) = server_and_line();
    let standby = primary.add_standby(Synchronous::Yes);
    query(&url, "INSERT INTO numbers VALUES (1)").unwrap();
    primary.kill();
    query(&url, "SELECT n FROM numbers").unwrap_err();
    standby.promote();
    relay.leads_to(&standby);
    assert_eq!(query(&url, "SELECT n FROM numbers").unwrap(), "1");
}

/// Programs prepare a statement once by name, and then only execute it.
#[test]
fn prepared_statements_are_counted_when_they_are_executed() {
    let (cluster, relay, url) = server_and_line();
    let insert = "INSERT INTO numbers VALUES (7);";
    let run_three_times = || {
        let mut pgbench = program("pgbench");
        pgbench.args(["-M", "prepared", "--no-vacuum", "-t", "3", "-f", "-"]).arg(&url);
        let mut child =
            pgbench.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(insert.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = run_three_times();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let inserts = relay.statements().iter().filter(|sql| **sql == insert).count();
    assert_eq!(inserts, 3, "{:?}", relay.statements());
    let second = relay.statements().len() - 1;
    relay.break_at(Break::AfterStatement(second));
    assert!(!run_three_times().status.success());
    assert!(!relay.awaits_break());
    assert_eq!(cluster.query("SELECT count(*) FROM numbers"), "5");
}
