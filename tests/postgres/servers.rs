//! A server by itself: what it keeps when it is stopped, killed or paused.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Storage, query};

#[test]
fn a_cluster_starts_and_answers() {
    let cluster = Cluster::start(Storage::Disk);
    assert_eq!(cluster.query("SELECT 1, 'two'"), "1|two");
    assert_eq!(cluster.query("SHOW fsync"), "on");
    assert_eq!(cluster.query("SHOW listen_addresses"), "127.0.0.1");
    assert!(cluster.query("SHOW server_version_num").parse::<u32>().unwrap() >= 150_000);
}

#[test]
fn a_cluster_ends_with_its_test() {
    let cluster = Cluster::start(Storage::Memory);
    assert_eq!(cluster.query("SHOW fsync"), "off");
    let (url, data) = (cluster.url("postgres"), cluster.query("SHOW data_directory"));
    drop(cluster);
    query(&url, "SELECT 1").unwrap_err();
    assert!(!Path::new(&data).exists());
}

/// The test process itself is killed here: it runs this test once more, and kills that.
#[test]
fn a_cluster_ends_with_its_killed_test() {
    const TO_BE_KILLED: &str = "RESCIND_TEST_TO_BE_KILLED";
    if std::env::var_os(TO_BE_KILLED).is_some() {
        let cluster = Cluster::start(Storage::Memory);
        println!("\ndata {}", cluster.query("SHOW data_directory"));
        println!("url {}", cluster.url("postgres"));
        std::thread::sleep(Duration::from_secs(600));
        return;
    }
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "servers::a_cluster_ends_with_its_killed_test", "--nocapture"]);
    let mut test = test.env(TO_BE_KILLED, "1").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(test.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut after = |name: &str| lines.find_map(|line| Some(line.strip_prefix(name)?.to_owned())).unwrap();
    let (data, url) = (after("data "), after("url "));
    assert_eq!(query(&url, "SELECT 1").unwrap(), "1");
    test.kill().unwrap();
    test.wait().unwrap();
    let from = Instant::now();
    while Path::new(&data).exists() {
        assert!(from.elapsed() < Duration::from_secs(30), "{data} stays");
        std::thread::sleep(Duration::from_millis(20));
    }
    query(&url, "SELECT 1").unwrap_err();
}

#[test]
fn a_killed_server_has_what_was_committed_and_nothing_else() {
    let cluster = Cluster::start(Storage::Memory);
    cluster.query("CREATE TABLE numbers (n INTEGER); INSERT INTO numbers VALUES (1)");
    let url = cluster.url("postgres");
    let open = std::thread::spawn(move || {
        query(&url, "BEGIN; INSERT INTO numbers VALUES (2); SELECT pg_sleep(600)")
    });
    cluster.wait_until("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", "1");
    cluster.kill();
    open.join().unwrap().unwrap_err();
    query(&cluster.url("postgres"), "SELECT 1").unwrap_err();
    cluster.restart();
    assert!(cluster.log().contains("database system was not properly shut down"), "{}", cluster.log());
    assert_eq!(cluster.query("SELECT n FROM numbers"), "1");
}

#[test]
fn a_restarted_server_is_where_it_was() {
    let cluster = Cluster::start(Storage::Memory);
    cluster.query("CREATE TABLE numbers (n INTEGER); INSERT INTO numbers VALUES (1)");
    cluster.restart();
    cluster.stop();
    cluster.restart();
    assert!(cluster.log().contains("database system was shut down"), "{}", cluster.log());
    assert_eq!(cluster.query("SELECT n FROM numbers"), "1");
}

#[test]
fn a_paused_server_answers_when_it_is_resumed() {
    let cluster = Cluster::start(Storage::Memory);
    cluster.pause();
    let (answered, answer) = mpsc::channel();
    let url = cluster.url("postgres");
    std::thread::spawn(move || answered.send(query(&url, "SELECT 1")));
    assert!(answer.recv_timeout(Duration::from_millis(300)).is_err());
    cluster.resume();
    assert_eq!(answer.recv_timeout(Duration::from_secs(30)).unwrap().unwrap(), "1");
    // It also ends while it is paused.
    cluster.pause();
}
