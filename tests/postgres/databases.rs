//! A database for each test.

use crate::cluster::database::shared_database;
use crate::cluster::{Cluster, Storage, query};

#[test]
fn each_database_is_fresh() {
    let cluster = Cluster::start(Storage::Memory);
    let (one, other) = (cluster.create_database(), cluster.create_database());
    assert_ne!(one, other);
    query(&one, "CREATE TABLE users (id TEXT)").unwrap();
    assert_eq!(query(&other, "SELECT to_regclass('users')").unwrap(), "");
    let settings = "SELECT current_setting('server_encoding'), datcollate FROM pg_database
                    WHERE datname = current_database()";
    assert_eq!(query(&other, settings).unwrap(), "UTF8|C");
}

#[test]
fn a_shared_database_ends_with_its_test_and_leaves_the_others() {
    let (one, other) = (shared_database(), shared_database());
    one.query("CREATE TABLE users (id TEXT)");
    assert_eq!(other.query("SELECT to_regclass('users')"), "");
    let url = one.url.clone();
    // A pool that is still connected does not keep it.
    let connected = std::thread::spawn({
        let url = url.clone();
        move || query(&url, "SELECT pg_sleep(600)")
    });
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'";
    while other.query(sessions) != "1" {}
    drop(one);
    connected.join().unwrap().unwrap_err();
    assert!(query(&url, "SELECT 1").unwrap_err().contains("does not exist"));
    assert_eq!(other.query("SELECT 1"), "1");
}
