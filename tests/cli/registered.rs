//! Commands on what is registered: apps, people and resource servers, with and without a server.

use serde_json::{Value, json};

use crate::program::Place;
use crate::visitor::{PASSWORD, World};

fn reasons(place: &Place) -> Vec<String> {
    let database = rusqlite::Connection::open(place.database()).unwrap();
    let mut notes = database
        .prepare("SELECT reason FROM receipt_notes WHERE reason IS NOT NULL ORDER BY reason")
        .unwrap();
    notes.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn registered_users_apps_and_resource_servers_are_listed_and_shown() {
    let place = Place::new();
    let World { client, resource_server } = World::register(&place);
    let users = place.run(&["user", "list", "--json"]).json();
    assert_eq!((&users["users"][0]["username"], &users["has_more"]), (&json!("alice"), &json!(false)));
    assert_eq!(place.run(&["user", "list", "--search", "nobody", "--json"]).json()["users"], json!([]));
    assert_eq!(place.run(&["user", "show", "alice", "--json"]).json()["own_apps"], json!(1));
    let clients = place.run(&["client", "list", "--json"]).json();
    assert_eq!(clients["clients"][0]["client_id"], json!(client.0));
    assert_eq!(place.run(&["client", "list", "--page", "2", "--json"]).json()["clients"], json!([]));
    let shown = place.run(&["client", "show", &client.0, "--json"]).json();
    assert_eq!(shown["secrets"], json!([{ "expires_at": Value::Null }]));
    let servers = place.run(&["resource-server", "list", "--json"]).json();
    assert_eq!(servers["resource_servers"][0]["id"], json!(resource_server.0));
    assert_eq!(servers["resource_servers"][0]["scopes"], json!([{ "name": "read", "description": "See" }]));
    assert!(place.run(&["client", "list"]).out.contains(&client.0));
}

#[test]
fn lists_come_in_pages() {
    let place = Place::new();
    World::register(&place);
    let database = rusqlite::Connection::open(place.database()).unwrap();
    let many = "WITH RECURSIVE n (i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 79) \
        INSERT INTO users (id, username, role, status, status_at, generation, password_hash, password_version, created_at) \
        SELECT 'usr_000000000000000000' || i, 'many' || i, 'user', 'active', 0, 1, '', 1, 0 FROM n";
    database.execute(many, []).unwrap();
    drop(database);
    let page = |number: &str| place.run(&["user", "list", "--page", number, "--json"]).json();
    let (first, second) = (page("1"), page("2"));
    assert_eq!((first["users"].as_array().unwrap().len(), &first["has_more"]), (50, &json!(true)));
    assert_eq!((second["users"].as_array().unwrap().len(), &second["has_more"]), (21, &json!(false)));
}

#[test]
fn commands_exit_with_3_if_not_found_and_with_1_if_refused() {
    let place = Place::new();
    let World { client, resource_server } = World::register(&place);
    let (client, server) = (client.0.as_str(), resource_server.0.as_str());
    let (no_client, no_server) = ("cli_00000000000000000000", "rse_00000000000000000000");
    for (arguments, exit) in [
        (&["client", "show", no_client][..], 3),
        (&["client", "show", "x"], 3),
        (&["client", "rotate-secret", no_client], 3),
        (&["client", "rotate-secret", client, "--overlap-hours", "169"], 2),
        (&["client", "delete", no_client], 3),
        (&["client", "set-owner", no_client, "alice"], 3),
        (&["client", "set-owner", client, "nobody"], 3),
        // Alice is no developer.
        (&["client", "set-owner", client, "alice"], 1),
        (&["client", "list", "--page", "0"], 2),
        (&["client", "delete", client, "--reason", " "], 2),
        (&["user", "show", "nobody"], 3),
        (&["resource-server", "edit", no_server, "--name", "N"], 3),
        (&["resource-server", "edit", server, "--name", "\u{202e}"], 2),
        (&["resource-server", "edit", server, "--scope", "fly"], 2),
        (&["resource-server", "edit", server, "--delete-scope", "fly"], 1),
        (&["resource-server", "rotate-secret", no_server], 3),
        (&["resource-server", "delete", "x"], 3),
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.exit, exit, "{arguments:?}: {}", ended.err);
        assert_eq!(ended.out, "", "{arguments:?}");
    }
    assert_eq!(reasons(&place), [""; 0]);
}

#[test]
fn resource_servers_are_edited_rotated_and_deleted() {
    let place = Place::new();
    let World { resource_server: (id, secret), .. } = World::register(&place);
    let edit = ["resource-server", "edit", &id, "--name", "Pictures", "--scope", "share=Share", "--json"];
    assert_eq!(place.run(&edit).json(), json!({ "id": id }));
    place.run(&["resource-server", "edit", &id, "--delete-scope", "read", "--json"]).json();
    let servers = || place.run(&["resource-server", "list", "--json"]).json()["resource_servers"].clone();
    assert_eq!(
        (&servers()[0]["name"], &servers()[0]["audience"]),
        (&json!("Pictures"), &json!("urn:photos"))
    );
    assert_eq!(servers()[0]["scopes"], json!([{ "name": "share", "description": "Share" }]));
    // A name that was deleted is never given out again.
    assert_eq!(place.run(&["resource-server", "edit", &id, "--scope", "read=Again"]).exit, 1);
    let rotated = place.run(&["resource-server", "rotate-secret", &id, "--json"]).json();
    assert!(rotated["secret"] != json!(secret) && servers()[0]["earlier_secrets_until"].is_string());
    place.run(&["resource-server", "rotate-secret", &id, "--overlap-hours", "0", "--json"]).json();
    assert_eq!(servers()[0]["earlier_secrets_until"], Value::Null);
    place.run(&["resource-server", "delete", &id, "--reason", "Shut down.", "--json"]).json();
    assert_eq!(servers(), json!([]));
    assert_eq!(reasons(&place), ["Shut down."]);
    assert_eq!(place.run(&["resource-server", "add", "Again", "--audience", "urn:photos"]).exit, 1);
}

#[test]
fn apps_change_hands_and_end_through_the_server() {
    let place = Place::new();
    let World { client: (id, secret), .. } = World::register(&place);
    place.run_with(&["user", "add", "dana", "--role", "developer", "--password-stdin"], PASSWORD);
    let _server = place.serve();
    let owner = place.run(&["client", "set-owner", &id, "dana", "--reason", "She left.", "--json"]).json();
    assert!(owner["owner"].as_str().unwrap().starts_with("usr_"));
    assert_eq!(place.run(&["client", "show", &id, "--json"]).json()["owner"], json!("dana"));
    let rotated = place.run(&["client", "rotate-secret", &id, "--json"]).json();
    assert_ne!(rotated["client_secret"], json!(secret));
    let ended = place.run(&["client", "delete", &id, "--reason", "It lied.", "--json"]).json();
    assert!(ended["receipt"].as_str().unwrap().starts_with("rcp_"));
    assert_eq!(place.run(&["client", "show", &id, "--json"]).json()["status"], json!("deleted"));
    assert_eq!(place.run(&["client", "delete", &id]).exit, 3);
    assert_eq!(reasons(&place), ["It lied.", "She left."]);
}

#[test]
fn a_reason_is_recorded_with_each_decision_about_others() {
    let place = Place::new();
    let World { client: (id, _), .. } = World::register(&place);
    place.run(&["user", "set-role", "alice", "admin", "--reason", "1", "--json"]).json();
    let password = ["user", "set-password", "alice", "--password-stdin", "--reason", "2", "--json"];
    place.run_with(&password, PASSWORD).json();
    place.run(&["revoke", "client", &id, "--reason", "3", "--json"]).json();
    place.run(&["revoke", "user", "alice", "--reason", "4", "--json"]).json();
    let keys = place.run(&["key", "rotate", "--json"]).json();
    place.run(&["key", "withdraw", keys["kid"].as_str().unwrap(), "--reason", "5", "--json"]).json();
    // The key that takes the withdrawn one's place is published for the same reason.
    assert_eq!(reasons(&place), ["1", "2", "3", "4", "5", "5"]);
}
