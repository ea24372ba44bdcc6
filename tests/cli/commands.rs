//! Commands without a server: exit codes, what they print, and what they refuse.

use serde_json::Value;

use crate::program::Place;
use crate::visitor::{PASSWORD, World};

#[test]
fn exit_codes_say_done_refused_misused_and_not_found() {
    let place = Place::new();
    let world = World::register(&place);
    let client = world.client.0.as_str();
    for (arguments, exit) in [
        (&["revoke", "client", client][..], 0),
        (&["revoke", "user", "alice"], 0),
        (&["user", "add", "alice", "--password-stdin"], 1),
        (&["resource-server", "add", "Again", "--audience", "urn:photos"], 1),
        (&["revoke", "everything"], 2),
        (&["revoke", "token", "rsc_at_on_the_command_line"], 2),
        (&["user", "add", "bob"], 2),
        (&["revoke", "client", "cli_00000000000000000000"], 3),
        (&["revoke", "client", "x"], 3),
        (&["revoke", "user", "nobody"], 3),
        (&["revoke", "grant", "grt_00000000000000000000"], 3),
        (&["revoke", "token", "-"], 3),
        (&["user", "set-password", "nobody", "--password-stdin"], 3),
        (&["client", "add", "--owner", "nobody", "--name", "N", "--redirect-uri", "https://a.example"], 3),
    ] {
        let ended = place.run_with(arguments, PASSWORD);
        assert_eq!(ended.exit, exit, "{arguments:?}: {}", ended.err);
        assert_eq!(ended.out.is_empty(), exit != 0, "{arguments:?}: {}", ended.out);
    }
}

#[test]
fn a_database_that_is_not_there_is_named_and_not_made() {
    let place = Place::new();
    let to = place.folder.path().join("written").display().to_string();
    let without = |says: &str| {
        for arguments in [
            &["backup", &to][..],
            &["ledger", "export", &to],
            &["purge", "status"],
            &["key", "list"],
            &["key", "rotate"],
            &["key", "withdraw", "x"],
            &["revoke", "client", "cli_00000000000000000000"],
            &["revoke", "user", "alice"],
            &["revoke", "grant", "grt_00000000000000000000"],
            &["revoke", "token", "-"],
            &["user", "set-role", "alice", "admin"],
            &["user", "set-password", "alice", "--password-stdin"],
        ] {
            let ended = place.run_with(arguments, PASSWORD);
            assert_eq!((ended.exit, ended.out.as_str()), (3, ""), "{says}, {arguments:?}: {}", ended.err);
            let path = place.database().display().to_string();
            assert!(ended.err.contains(&path), "{says}, {arguments:?}: {}", ended.err);
        }
    };
    let left = || std::fs::read_dir(place.folder.path()).unwrap().count();
    without("missing");
    assert_eq!(left(), 0, "nothing is made");
    std::fs::write(place.database(), "").unwrap();
    without("empty");
    assert_eq!((left(), std::fs::read(place.database()).unwrap().len()), (1, 0), "nothing is made of it");
    std::fs::remove_file(place.database()).unwrap();
    // What a first start does may make one.
    assert_eq!(place.run_with(&["user", "add", "alice", "--password-stdin"], PASSWORD).exit, 0);
    assert_eq!(place.run(&["backup", &to]).exit, 0);
}

#[test]
fn json_is_one_object_and_nothing_else() {
    let place = Place::new();
    let world = World::register(&place);
    let receipt = place.run(&["revoke", "client", &world.client.0, "--json"]).json()["receipt"].clone();
    assert!(receipt.as_str().unwrap().starts_with("rcp_"));
    let changed = place.run_with(&["user", "set-password", "alice", "--password-stdin", "--json"], PASSWORD);
    assert!(changed.json()["id"].as_str().unwrap().starts_with("usr_"));
    let public =
        ["client", "add", "--owner", "alice", "--name", "P", "--public", "--redirect-uri", "http://[::1]/"];
    let made = place.run(&[&public[..], &["--json"]].concat()).json();
    assert_eq!(made["client_secret"], Value::Null, "a public client has none");
}

#[test]
fn bad_input_names_the_field_and_changes_nothing() {
    let place = Place::new();
    World::register(&place);
    let user = ["user", "add"];
    let client = ["client", "add", "--owner", "alice"];
    let server = ["resource-server", "add"];
    let uri = ["--redirect-uri", "https://a.example/cb"];
    let stdin = ["--password-stdin"];
    for (arguments, input, field) in [
        ([&user[..], &["a b"], &stdin].concat(), PASSWORD, "NAME"),
        ([&user[..], &["bob", "--email", "x"], &stdin].concat(), PASSWORD, "--email"),
        ([&user[..], &["bob", "--role", "king"], &stdin].concat(), PASSWORD, "--role"),
        ([&user[..], &["bob"], &stdin].concat(), "short", "password"),
        ([&user[..], &["bob"], &stdin].concat(), "", "password"),
        ([&client[..], &["--name", "\u{202e}"], &uri].concat(), "", "--name"),
        ([&client[..], &["--name", ""], &uri].concat(), "", "--name"),
        ([&client[..], &["--name", "N"]].concat(), "", "--redirect-uri"),
        (
            [&client[..], &["--name", "N", "--redirect-uri", "http://a.example"]].concat(),
            "",
            "--redirect-uri",
        ),
        ([&client[..], &["--name", "N", "--grant-type", "implicit"], &uri].concat(), "", "--grant-type"),
        ([&client[..], &["--name", "N", "--token-format", "paper"], &uri].concat(), "", "--token-format"),
        ([&client[..], &["--name", "N", "--scope", "fly"], &uri].concat(), "", "--scope"),
        ([&client[..], &["--name", "N", "--publisher", "\n"], &uri].concat(), "", "--publisher"),
        ([&server[..], &["", "--audience", "urn:a"]].concat(), "", "NAME"),
        ([&server[..], &["A", "--audience", "here"]].concat(), "", "--audience"),
        ([&server[..], &["A", "--audience", "urn:a", "--scope", "fly"]].concat(), "", "--scope"),
        ([&server[..], &["A", "--audience", "urn:a", "--scope", "a b=Fly"]].concat(), "", "--scope"),
    ] {
        let ended = place.run_with(&arguments, input);
        assert_eq!(ended.exit, 2, "{arguments:?}: {}", ended.err);
        assert!(ended.err.to_lowercase().contains(&field.to_lowercase()), "{field} is not in {}", ended.err);
        assert_eq!(ended.out, "");
    }
    let database = rusqlite::Connection::open(place.database()).unwrap();
    let count = "SELECT (SELECT count(*) FROM users) || (SELECT count(*) FROM clients) || \
        (SELECT count(*) FROM resource_servers) || (SELECT count(*) FROM scopes)";
    assert_eq!(database.query_row(count, [], |row| row.get::<_, String>(0)).unwrap(), "1111");
}

#[test]
fn commands_at_the_same_time_wait_for_each_other() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for place_in_line in 0..4 {
            let place = &place;
            scope.spawn(move || {
                let name = format!("user{place_in_line}");
                let ended = place.run_with(&["user", "add", &name, "--password-stdin"], PASSWORD);
                assert_eq!(ended.exit, 0, "{}", ended.err);
            });
        }
    });
}
