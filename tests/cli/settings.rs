//! Settings come from the environment, and all that is wrong with them is said at once.

use std::os::unix::ffi::OsStrExt;

use crate::program::Place;

#[test]
fn faults_of_settings_are_reported_together_and_nothing_is_made() {
    let place = Place::new();
    for arguments in [&["serve"][..], &["revoke", "user", "alice", "--json"]] {
        let output = place
            .program(arguments)
            .env("RESCIND_ISSUER", "http://id.example")
            .env("RESCIND_LISTEN", "here")
            .env("RESCIND_REFRESH_GRACE", "1m")
            .env("RESCIND_LOG", std::ffi::OsStr::from_bytes(b"te\xffxt"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        let faults = String::from_utf8(output.stderr).unwrap();
        for name in ["RESCIND_ISSUER", "RESCIND_LISTEN", "RESCIND_REFRESH_GRACE", "RESCIND_LOG"] {
            assert!(faults.contains(name), "{name} is not in {faults}");
        }
        assert!(!place.database().exists());
    }
}

#[test]
fn a_database_that_can_t_be_opened_is_a_failure() {
    let place = Place::new();
    for path in ["/nowhere/at/all/rescind.db".to_owned(), place.folder.path().display().to_string()] {
        let mut serve = place.program(&["serve"]);
        let output = serve.env("RESCIND_DATABASE_URL", format!("sqlite://{path}")).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{path}");
    }
    std::fs::write(place.database(), b"this has never been a database, whatever its name says").unwrap();
    assert_eq!(place.run(&["serve"]).exit, 1);
    assert_eq!(place.run(&["revoke", "user", "alice"]).exit, 1);
}
