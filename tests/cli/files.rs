//! The files of a database: one server for all of their names, and nobody else who reads them.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::program::{Ended, Place, Server};
use crate::visitor::World;

fn url(database: &Path) -> String {
    format!("sqlite://{}", database.display())
}

/// Revokes the client's tokens, with the database under this name.
fn revoke_at(place: &Place, world: &World, database: &Path) -> Ended {
    let mut program = place.program(&["revoke", "client", &world.client.0]);
    let output = program.env("RESCIND_DATABASE_URL", url(database)).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { exit: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

#[tokio::test]
async fn a_database_that_is_made_through_a_link_is_one_with_its_target() {
    let place = Place::new();
    let link = place.folder.path().join("link.db");
    symlink(place.database(), &link).unwrap();
    let mut serve = place.program(&["serve"]);
    serve.env("RESCIND_DATABASE_URL", url(&link));
    let server = Server::start(serve);
    for name in ["rescind.db", "rescind.db.key", "rescind.db.lock", "rescind.db.sock"] {
        let mode = std::fs::metadata(place.folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let world = World::register(&place);
    let visitor = world.at(&server);
    for database in [link, place.database(), "rescind.db".into(), "link.db".into()] {
        let tokens = visitor.authorize(&visitor.sign_in().await).await;
        assert_eq!(revoke_at(&place, &world, &database).exit, 0, "{}", database.display());
        assert!(!visitor.is_active(&tokens.access).await, "{}", database.display());
    }
    assert_eq!(place.run(&["serve"]).exit, 1);
}

#[tokio::test]
async fn a_removed_lock_file_does_not_let_commands_write_beside_the_server() {
    let place = Place::new();
    let world = World::register(&place);
    let server = place.serve();
    let visitor = world.at(&server);
    let tokens = visitor.authorize(&visitor.sign_in().await).await;
    std::fs::remove_file(place.beside("lock")).unwrap();
    assert_eq!(reqwest::get(format!("http://{}/readyz", server.address)).await.unwrap().status(), 503);
    assert_eq!(revoke_at(&place, &world, &place.database()).exit, 0, "through the server");
    assert!(!visitor.is_active(&tokens.access).await);
    assert_eq!(place.run(&["serve"]).exit, 1);
    // Neither the server can be asked, nor is its lock file there.
    let tokens = visitor.authorize(&visitor.sign_in().await).await;
    let _ = std::fs::remove_file(place.beside("lock"));
    std::fs::remove_file(place.beside("sock")).unwrap();
    let ended = revoke_at(&place, &world, &place.database());
    assert_eq!(ended.exit, 1);
    assert!(ended.err.contains("holds the database"), "{}", ended.err);
    assert!(visitor.is_active(&tokens.access).await, "no success was told");
    // Another name of the same file is no other database either.
    let other = place.folder.path().join("other.db");
    std::fs::hard_link(place.database(), &other).unwrap();
    assert_eq!(revoke_at(&place, &world, &other).exit, 1);
}

#[tokio::test]
async fn a_database_has_a_path_of_any_length() {
    let place = Place::new();
    let folder = place.folder.path().join("a".repeat(150));
    std::fs::create_dir(&folder).unwrap();
    let database = folder.join(format!("{}.db", "b".repeat(150)));
    let mut serve = place.program(&["serve"]);
    serve.env("RESCIND_DATABASE_URL", url(&database));
    let server = Server::start(serve);
    let mut add = place.program(&["user", "add", "ada", "--password-stdin"]);
    let mut child =
        add.env("RESCIND_DATABASE_URL", url(&database)).stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"a good password here\n").unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn files_that_others_can_read_are_named_at_the_start() {
    let place = Place::new();
    World::register(&place);
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let start = || {
        let secret = place.folder.path().join("metrics-token");
        if !secret.exists() {
            std::fs::write(&secret, "sixteen-letters!").unwrap();
            open(&secret, 0o600);
        }
        let mut serve = place.program(&["serve"]);
        serve.env("RESCIND_METRICS_TOKEN_FILE", &secret);
        let server = Server::start(serve);
        let log = server.log();
        assert_eq!(server.stop().0, Some(0));
        log
    };
    assert!(!start().contains("file.others_can_read"));
    open(&place.beside("key"), 0o640);
    open(&place.database(), 0o604);
    open(&place.folder.path().join("metrics-token"), 0o644);
    let backup = place.folder.path().join("rescind.db.backup");
    assert_eq!(place.run(&["backup", backup.to_str().unwrap()]).exit, 0);
    open(&backup, 0o644);
    let log = start();
    for name in ["rescind.db\"", "rescind.db.key", "metrics-token", "rescind.db.backup"] {
        let is_named = |line: &str| line.contains("file.others_can_read") && line.contains(name);
        assert!(log.lines().any(is_named), "{name} in {log}");
    }
    let restored = place.run(&["restore", backup.to_str().unwrap(), "--replace"]);
    assert!(restored.err.contains("others can read") && restored.exit == 0, "{}", restored.err);
}
