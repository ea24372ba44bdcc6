//! `rescind migrate --to`: from one file to a database that several servers share.

use crate::cluster::database::shared_database;
use crate::node::{Site, place_at};

const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
    AND name <> '_sqlx_migrations' ORDER BY name";

/// A site on a file, with a token that lives and one that was revoked.
async fn old_site(folder: &std::path::Path) -> (Site, String, String) {
    let site = Site::new(&format!("sqlite://{}", folder.join("rescind.db").display()));
    let node = site.serve();
    let [kept, revoked] = [node.token().await.unwrap(), node.token().await.unwrap()];
    assert_eq!(node.revoke(&revoked).await, 200);
    let refused = site.run(&["migrate", "--to", "postgres://u@127.0.0.1:1/d"]);
    assert_eq!(refused.exit, 1, "a server runs: {}", refused.err);
    drop(node);
    (site, kept, revoked)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lived_lives_and_what_was_revoked_stays_dead() {
    let folder = tempfile::tempdir().unwrap();
    let (site, kept, revoked) = old_site(folder.path()).await;
    let database = shared_database();
    let moved = site.run(&["migrate", "--to", &database.url, "--json"]);
    assert_eq!(moved.exit, 0, "{}", moved.err);
    let moved: serde_json::Value = serde_json::from_str(&moved.out).unwrap();

    let old = rusqlite::Connection::open(folder.path().join("rescind.db")).unwrap();
    let mut tables = old.prepare(TABLES).unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut rows = 0;
    for table in &tables {
        let count = format!("SELECT count(*) FROM {table}");
        let there: i64 = old.query_row(&count, [], |row| row.get(0)).unwrap();
        assert_eq!(database.query(&count), there.to_string(), "{table}");
        rows += there;
    }
    assert_eq!((moved["tables"].as_u64(), moved["rows"].as_i64()), (Some(tables.len() as u64), Some(rows)));
    assert_eq!(database.query("SELECT sequence FROM head"), moved["ledger"].to_string());

    let nodes = [site.serve_at(&database.url, &[]), site.serve_at(&database.url, &[])];
    for node in &nodes {
        assert_eq!((node.is_active(&kept).await, node.is_active(&revoked).await), (Ok(true), Ok(false)));
    }
    assert_eq!(nodes[0].revoke(&kept).await, 200);
    assert_eq!(nodes[1].is_active(&kept).await, Ok(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_use_is_not_copied_over() {
    let folder = tempfile::tempdir().unwrap();
    let (site, ..) = old_site(folder.path()).await;
    let database = shared_database();
    assert_eq!(site.run(&["migrate", "--to", &database.url]).exit, 0);
    let users = database.query("SELECT count(*) FROM users");
    let again = site.run(&["migrate", "--to", &database.url]);
    assert_eq!(again.exit, 2);
    assert!(again.err.contains("is not empty"), "{}", again.err);
    assert_eq!(database.query("SELECT count(*) FROM users"), users);
    // The other way round there is no way.
    let back = place_at(&database.url).run(&["migrate", "--to", "postgres://u@127.0.0.1/d"]);
    assert_eq!(back.exit, 2, "{}", back.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_can_t_be_stored_copies_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (site, ..) = old_site(folder.path()).await;
    let old = rusqlite::Connection::open(folder.path().join("rescind.db")).unwrap();
    old.execute("UPDATE clients SET publisher = CAST(x'ff' AS TEXT)", []).unwrap();
    drop(old);
    let database = shared_database();
    let failed = site.run(&["migrate", "--to", &database.url]);
    assert_eq!(failed.exit, 2);
    assert!(failed.err.contains("the table clients can't be copied"), "{}", failed.err);
    assert_eq!(database.query("SELECT count(*) FROM users"), "0");
}
