//! Guesses of passwords, which all servers of a database count together.

use std::time::{Duration, Instant};

use crate::cluster::database::{Database, shared_database};
use crate::node::{Node, Site};
use crate::visitor::PASSWORD;

const BEHIND_A_PROXY: [(&str, &str); 1] = [("RESCIND_TRUSTED_PROXIES", "127.0.0.1")];

fn site() -> (Site, [Node; 2], Database) {
    let database = shared_database();
    let site = Site::new(&database.url);
    let nodes = [site.serve_at(&site.url, &BEHIND_A_PROXY), site.serve_at(&site.url, &BEHIND_A_PROXY)];
    (site, nodes, database)
}

/// How many guesses are checked before one is refused, by turns at both servers.
async fn allowed(nodes: &[Node; 2], from: impl Fn(usize) -> String) -> usize {
    for guess in 0..100 {
        match nodes[guess % 2].sign_in_from(&from(guess), "wrong").await {
            401 => {}
            429 => return guess,
            status => panic!("{guess}: {status}"),
        }
    }
    panic!("nothing limits guesses")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_allow_no_more_guesses_than_one() {
    let (_site, nodes, database) = site();
    assert_eq!(allowed(&nodes, |_| "192.0.2.1".to_owned()).await, 20);
    for node in &nodes {
        assert_eq!(node.sign_in_from("192.0.2.1", PASSWORD).await, 429);
        // Nobody is kept out elsewhere.
        assert_eq!(node.sign_in_from("192.0.2.2", PASSWORD).await, 303);
    }
    // What is counted is not to be read there.
    assert_eq!(database.query("SELECT count(*) FROM sign_in_budgets WHERE key ~ '192|alice'"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_where_somebody_signed_in_counts_at_every_server() {
    let (site, nodes, database) = site();
    assert_eq!(nodes[0].sign_in_from("192.0.2.1", PASSWORD).await, 303);
    // The budget of a name from all addresses together.
    assert_eq!(allowed(&nodes, |guess| format!("198.51.100.{guess}")).await, 50);
    assert_eq!(nodes[1].sign_in_from("203.0.113.1", PASSWORD).await, 429);
    assert_eq!(nodes[1].sign_in_from("192.0.2.1", PASSWORD).await, 303);
    // What is full again is deleted with all else that has expired.
    database.query("UPDATE sign_in_budgets SET whole_at = 0");
    drop(nodes);
    let node = site.serve();
    let from = Instant::now();
    while database.query("SELECT count(*) FROM sign_in_budgets") != "0" {
        assert!(from.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(node);
}
