//! Databases that can't be used: one clear sentence, exit code 2, and nothing is changed.

use crate::cluster::database::shared_database;
use crate::cluster::{Cluster, Storage, query};
use crate::node::{Site, place_at};
use crate::program::Place;

const TABLES: &str =
    "SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public'";

fn refused(url: &str) -> String {
    refused_at(&place_at(url))
}

fn refused_at(place: &Place) -> String {
    let ended = place.run(&["serve"]);
    assert_eq!((ended.exit, ended.out.as_str()), (2, ""), "{}", ended.err);
    let lines: Vec<_> = ended.err.lines().filter(|line| line.starts_with("rescind: ")).collect();
    assert_eq!(lines.len(), 1, "{}", ended.err);
    lines[0].to_owned()
}

#[test]
fn an_address_that_leads_nowhere_is_said_to() {
    for (url, why) in [
        ("postgres://u@127.0.0.1", "has to name a host and a database"),
        ("postgres://u@127.0.0.1:1/d", "refused"),
        ("postgres://u@nowhere.invalid/d?sslmode=disable", "can't be used"),
        ("postgres://u@127.0.0.1/d?sslmode=maybe", "sslmode=verify-full"),
    ] {
        let said = refused(url);
        assert!(said.contains(why), "{url}: {said}");
    }
}

#[test]
fn a_password_is_not_shown_when_the_address_is_wrong() {
    for url in
        ["postgres://u:geheim@127.0.0.1:1/d", "postgres://u:geheim@127.0.0.1", "postgres://u:geheim@[/d"]
    {
        assert!(!refused(url).contains("geheim"), "{url}");
    }
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let database = shared_database();
    database.query("CREATE TABLE orders (id INTEGER)");
    assert!(refused(&database.url).contains("tables of another program"));
    assert_eq!(database.query(TABLES), "orders");
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let database = shared_database();
    assert_eq!(place_at(&database.url).run(&["user", "list", "--json"]).exit, 0);
    database.query("INSERT INTO migrations VALUES (9999, 'x')");
    assert!(refused(&database.url).contains("newer version"));
}

/// Here every session begins as one that another connection has used, as a pooler gives them away.
#[test]
fn a_pooler_that_shares_connections_is_refused() {
    let database = shared_database();
    database.query(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET rescind.session = used', current_database()); END $$",
    );
    let said = refused(&database.url);
    assert!(said.contains("pooler") && said.contains("pool_mode = session"), "{said}");
    assert_eq!(database.query(TABLES), "");
}

/// There is no such server here: this one gives another version.
#[test]
fn a_server_that_is_too_old_is_refused() {
    let database = shared_database();
    database.query(
        "CREATE SCHEMA old; CREATE FUNCTION old.current_setting(name TEXT) RETURNS TEXT LANGUAGE sql \
         RETURN CASE name WHEN 'server_version_num' THEN '140012' ELSE pg_catalog.current_setting(name) END; \
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = old, pg_catalog, public', \
         current_database()); END $$",
    );
    assert!(refused(&database.url).contains("PostgreSQL 15 or newer is needed"));
    assert_eq!(database.query("SELECT count(*) FROM pg_tables WHERE schemaname IN ('old', 'public')"), "0");
}

#[test]
fn a_database_of_another_issuer_is_left_alone() {
    let database = shared_database();
    let site = Site::new(&database.url);
    drop(site.serve());
    let mut other = place_at(&site.url);
    other.set("RESCIND_ISSUER", "https://other.example");
    let said = refused_at(&other);
    assert!(said.contains("belongs to the issuer http://127.0.0.1:8080"), "{said}");
    drop(site.serve());
}

#[test]
fn a_user_without_rights_is_told_so() {
    let cluster = Cluster::start(Storage::Memory);
    cluster.query("CREATE ROLE reader LOGIN");
    let url = cluster.create_database().replace("postgres@", "reader@");
    let said = refused(&url);
    assert!(said.contains("permission denied"), "{said}");
    assert_eq!(query(&url.replace("reader@", "postgres@"), TABLES), Ok(String::new()));
}

#[test]
fn servers_that_start_at_the_same_time_migrate_once() {
    let database = shared_database();
    let place = place_at(&database.url);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let ended = place.run(&["user", "list", "--json"]);
                assert_eq!(ended.exit, 0, "{}", ended.err);
            });
        }
    });
    assert_eq!(database.query("SELECT count(*) = count(DISTINCT version) FROM migrations"), "t");
}
