//! `rescind key`, and the key file.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::program::{Ended, Place};
use crate::visitor::World;

fn keys(place: &Place) -> Vec<Value> {
    place.run(&["key", "list", "--json"]).json()["keys"].as_array().unwrap().clone()
}

fn states(place: &Place) -> Vec<String> {
    keys(place).iter().map(|key| key["state"].as_str().unwrap().to_owned()).collect()
}

fn refuses_to_start(place: &Place) -> Ended {
    let ended = place.run(&["serve"]);
    assert_eq!(ended.exit, 2, "{}", ended.err);
    assert!(ended.err.contains("RESCIND_KEY_FILE"), "{}", ended.err);
    ended
}

#[test]
fn the_first_start_makes_a_key_and_a_key_file_that_only_its_owner_reads() {
    let place = Place::new();
    let server = place.serve();
    let mode = std::fs::metadata(place.beside("key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(states(&place), ["signing"]);
    server.stop();
    let before = (std::fs::read(place.beside("key")).unwrap(), keys(&place));
    place.serve().stop();
    assert_eq!((std::fs::read(place.beside("key")).unwrap(), keys(&place)), before);
}

#[test]
fn keys_are_rotated_and_withdrawn_with_and_without_a_server() {
    let place = Place::new();
    World::register(&place);
    let first = place.run(&["key", "rotate", "--json"]).json()["kid"].as_str().unwrap().to_owned();
    assert_eq!(states(&place), ["signing"], "the first signs at once");
    let server = place.serve();
    let second = place.run(&["key", "rotate", "--json"]).json()["kid"].as_str().unwrap().to_owned();
    assert_eq!(states(&place), ["published", "signing"]);
    let withdrawn = place.run(&["key", "withdraw", &first, "--json"]).json();
    assert_eq!(withdrawn["withdrawn"], true);
    assert_eq!(place.run(&["key", "withdraw", &first, "--json"]).json()["withdrawn"], false);
    let listed = keys(&place);
    let state = |kid: &str| listed.iter().find(|key| key["kid"] == kid).unwrap()["state"].clone();
    assert_eq!((state(&first), state(&second)), ("withdrawn".into(), "retired".into()));
    assert_eq!(listed[0]["state"], "signing");
    server.stop();
    assert_eq!(keys(&place), listed);
    for unknown in ["key_00000000000000000000", "x", "../x"] {
        assert_eq!(place.run(&["key", "withdraw", unknown]).exit, 3, "{unknown}");
    }
}

#[test]
fn a_missing_wrong_or_damaged_key_file_is_refused_at_the_start_and_named() {
    let place = Place::new();
    place.serve().stop();
    let original = std::fs::read(place.beside("key")).unwrap();
    std::fs::remove_file(place.beside("key")).unwrap();
    assert!(refuses_to_start(&place).err.contains("is not there"));
    assert!(!place.beside("key").exists(), "a new one would hide that the old one is gone");
    assert_eq!(place.run(&["key", "rotate"]).exit, 2);
    std::fs::write(place.beside("key"), [7; 32]).unwrap();
    assert!(refuses_to_start(&place).err.contains("is not the file"));
    std::fs::write(place.beside("key"), [7; 5]).unwrap();
    assert!(refuses_to_start(&place).err.contains("32 bytes"));
    std::fs::write(place.beside("key"), original).unwrap();
    place.serve().stop();
}

#[test]
fn after_the_key_file_is_lost_its_keys_are_withdrawn_and_the_server_starts() {
    let place = Place::new();
    place.serve().stop();
    std::fs::remove_file(place.beside("key")).unwrap();
    let lost = keys(&place)[0]["kid"].as_str().unwrap().to_owned();
    assert_eq!(place.run(&["key", "withdraw", &lost]).exit, 0);
    place.serve().stop();
    assert_eq!(states(&place), ["signing", "withdrawn"]);
}

#[test]
fn the_key_file_may_lie_elsewhere_and_the_algorithm_may_be_another() {
    let place = Place::new();
    World::register(&place);
    let elsewhere = place.folder.path().join("elsewhere");
    let mut rotate = place.program(&["key", "rotate", "--json"]);
    rotate.env("RESCIND_KEY_FILE", &elsewhere).env("RESCIND_SIGNING_ALG", "ES256");
    assert!(rotate.output().unwrap().status.success());
    assert!(elsewhere.exists() && !place.beside("key").exists());
    assert_eq!(keys(&place)[0]["alg"], "ES256");
    refuses_to_start(&place);
}

#[test]
fn a_backup_holds_no_private_key_in_the_clear_and_signs_nothing_without_the_key_file() {
    let place = Place::new();
    place.serve().stop();
    let copy = Place::new();
    let to = copy.database();
    assert_eq!(place.run(&["backup", to.to_str().unwrap()]).exit, 0);
    // As if it had been copied by other means: then nothing marks it.
    let unmark = rusqlite::Connection::open(&to).unwrap();
    assert_eq!(unmark.execute("UPDATE server SET is_copy = 0", []).unwrap(), 1);
    drop(unmark);
    refuses_to_start(&copy);
    let bytes = std::fs::read(&to).unwrap();
    let key_file = std::fs::read(place.beside("key")).unwrap();
    assert!(!bytes.windows(32).any(|part| part == key_file));
    std::fs::copy(place.beside("key"), copy.beside("key")).unwrap();
    copy.serve().stop();
    assert_eq!(states(&copy), ["signing"]);
}
