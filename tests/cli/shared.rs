//! Commands beside a running server, and who holds the database.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::program::{Place, Server};
use crate::visitor::{PASSWORD, World};

#[tokio::test]
async fn a_revocation_by_command_is_felt_by_the_very_next_introspection() {
    felt_by_the_very_next_introspection("opaque").await;
}

#[tokio::test]
async fn a_revocation_by_command_is_felt_by_the_very_next_introspection_of_a_jwt() {
    felt_by_the_very_next_introspection("jwt").await;
}

async fn felt_by_the_very_next_introspection(format: &str) {
    let place = Place::new();
    let world = World::register_for(&place, format);
    let server = place.serve();
    let visitor = world.at(&server);
    let mut cookie = visitor.sign_in().await;
    for what in ["token", "refresh token", "grant", "client", "user"] {
        let tokens = visitor.authorize(&cookie).await;
        let other = visitor.authorize(&cookie).await;
        let before = visitor.introspect(&tokens.access).await;
        assert_eq!(before["active"], true, "{what}");
        assert_eq!(tokens.access.contains('.'), format == "jwt");
        let ended = match what {
            "token" => place.run_with(&["revoke", "token", "-", "--json"], &tokens.access),
            "refresh token" => place.run_with(&["revoke", "token", "-", "--json"], &tokens.refresh),
            "grant" => place.run(&["revoke", "grant", before["grant_id"].as_str().unwrap(), "--json"]),
            "client" => place.run(&["revoke", "client", &world.client.0, "--json"]),
            _ => place.run(&["revoke", "user", "alice", "--json"]),
        };
        assert!(!visitor.is_active(&tokens.access).await, "{what}");
        assert!(ended.json()["receipt"].is_string(), "{what}");
        let spares_others = what.ends_with("token");
        assert_eq!(visitor.is_active(&other.access).await, spares_others, "{what}");
        let refreshed = visitor.refresh(&tokens.refresh).await.status();
        assert_eq!(refreshed, if what == "token" { 200 } else { 400 }, "{what}");
        if what == "user" {
            let answer = visitor.page(&cookie, "/authorizations").await;
            assert_eq!(answer.status(), 303, "the session is over too");
            cookie = visitor.sign_in().await;
            visitor.authorize(&cookie).await;
        }
    }
}

#[tokio::test]
async fn a_code_that_was_out_when_its_client_was_revoked_gives_nothing() {
    let place = Place::new();
    let world = World::register(&place);
    let server = place.serve();
    let visitor = world.at(&server);
    let cookie = visitor.sign_in().await;
    for revoke in [["client", world.client.0.as_str()], ["user", "alice"]] {
        let cookie = if revoke[0] == "user" { visitor.sign_in().await } else { cookie.clone() };
        let code = visitor.code(&cookie).await;
        assert_eq!(place.run(&["revoke", revoke[0], revoke[1]]).exit, 0);
        assert_eq!(visitor.redeem(&code).await.status(), 400);
    }
}

#[test]
fn one_server_holds_a_database_under_all_its_paths() {
    let place = Place::new();
    let server = place.serve();
    let second = place.run(&["serve"]);
    assert_eq!(second.exit, 1);
    assert!(second.err.contains("holds the database"), "{}", second.err);
    let link = place.folder.path().join("link.db");
    std::os::unix::fs::symlink(place.database(), &link).unwrap();
    let url = format!("sqlite://{}", link.display());
    let by_link = place.program(&["serve"]).env("RESCIND_DATABASE_URL", &url).output().unwrap();
    assert_eq!(by_link.status.code(), Some(1));
    let command =
        place.program(&["revoke", "user", "nobody"]).env("RESCIND_DATABASE_URL", &url).output().unwrap();
    assert_eq!(command.status.code(), Some(3), "through the server's socket");
    assert_eq!(server.stop().0, Some(0));
    let mut by_link = place.program(&["serve"]);
    by_link.env("RESCIND_DATABASE_URL", &url);
    let server = Server::start(by_link);
    World::register(&place);
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn a_socket_that_a_supervisor_passes_is_served() {
    let place = Place::new();
    let passed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = passed.local_addr().unwrap().to_string();
    // Who connects before the server runs waits, and is answered.
    let mut early = TcpStream::connect(&address).unwrap();
    early.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut program = std::process::Command::new("sh");
    let serve = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" serve 3<&0 </dev/null";
    program.args(["-c", serve, env!("CARGO_BIN_EXE_rescind")]);
    program.envs(place.program(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
    // Nothing else can be listened on.
    program.env("RESCIND_LISTEN", &address).stdin(std::os::fd::OwnedFd::from(passed));
    program.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let server = Server::start(program);
    assert_eq!(server.address, address);
    assert!(answer(&mut early).starts_with("HTTP/1.1 200"));
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn only_its_owner_can_use_the_socket() {
    let place = Place::new();
    let _server = place.serve();
    let mode = std::fs::metadata(place.beside("sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn an_answered_revocation_survives_kill_9_and_the_lock_goes_with_the_process() {
    let place = Place::new();
    let world = World::register(&place);
    let server = place.serve();
    let visitor = world.at(&server);
    let cookie = visitor.sign_in().await;
    let (kept, revoked) = (visitor.authorize(&cookie).await, visitor.authorize(&cookie).await);
    assert_eq!(visitor.revoke_token(&revoked.refresh).await.status(), 200);
    server.kill();
    assert!(place.beside("sock").exists(), "what a dead server leaves is no obstacle");
    let server = place.serve();
    let visitor = world.at(&server);
    assert!(!visitor.is_active(&revoked.access).await);
    assert_eq!(visitor.refresh(&revoked.refresh).await.status(), 400);
    assert!(visitor.is_active(&kept.access).await);
    assert_eq!(visitor.page(&cookie, "/authorizations").await.status(), 200, "still signed in");

    let grant = visitor.introspect(&kept.access).await["grant_id"].as_str().unwrap().to_owned();
    let answer = visitor.submit(&cookie, &format!("/authorizations/{grant}/revoke"), &[]).await;
    assert_eq!(answer.status(), 303);
    server.kill();
    // With nobody serving, the command works on the file itself.
    assert_eq!(place.run_with(&["revoke", "token", "-"], &revoked.access).exit, 3);
    let server = place.serve();
    assert!(!world.at(&server).is_active(&kept.access).await);
}

#[test]
fn sigterm_lets_a_request_finish_and_ends_with_0() {
    let place = Place::new();
    let server = place.serve();
    let mut under_way = TcpStream::connect(&server.address).unwrap();
    under_way.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(answer(&mut under_way).starts_with("HTTP/1.1 200"), "the server has this connection");
    let head = "POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\
        Content-Type: application/x-www-form-urlencoded\r\n\r\n";
    under_way.write_all(head.as_bytes()).unwrap();
    // Half a request, whose end never comes, may not hold the server up for ever.
    let mut half = TcpStream::connect(&server.address).unwrap();
    half.write_all(head.as_bytes()).unwrap();
    let address = server.address.clone();
    let stopping = std::thread::spawn(move || server.stop());
    while TcpStream::connect(&address).is_ok() {
        std::thread::yield_now();
    }
    under_way.write_all(b"grant_type=x").unwrap();
    assert!(answer(&mut under_way).contains("invalid_client"), "it is answered nevertheless");
    let (exit, took) = stopping.join().unwrap();
    assert_eq!(exit, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// What has been answered so far, at least one packet.
fn answer(stream: &mut TcpStream) -> String {
    let mut buffer = [0; 4096];
    let read = stream.read(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

#[tokio::test]
async fn logs_hold_no_secret_even_at_their_most_talkative() {
    let place = Place::new();
    let world = World::register(&place);
    let server = place.serve_talkative();
    let visitor = world.at(&server);
    let cookie = visitor.sign_in().await;
    assert_eq!(visitor.sign_in_answer("a wrong password").await.status(), 401);
    let code = visitor.code(&cookie).await;
    let tokens = visitor.authorize(&cookie).await;
    visitor.redeem(&code).await;
    visitor.refresh(&tokens.refresh).await;
    visitor.introspect(&tokens.access).await;
    place.run_with(&["revoke", "token", "-"], &tokens.access);
    place.run_with(&["user", "set-password", "alice", "--password-stdin"], "another good password");
    let log = server.log();
    assert!(log.contains("server.started"));
    let cookie = cookie.split_once('=').unwrap().1;
    let (client, resource_server) = (&world.client.1, &world.resource_server.1);
    let secrets = [&code, &tokens.access, &tokens.refresh, client, resource_server];
    let secrets = secrets.into_iter().map(String::as_str);
    for secret in secrets.chain([cookie, PASSWORD, "a wrong password", "another good password", "rsc_"]) {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} is in {line:?}");
    }
}
