//! A database that can't be written: every change is refused with 503, and none is half done.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::program::{Place, Server};
use crate::visitor::{PASSWORD, Tokens, Visitor, World, assert_unavailable};

/// What was minted while all was well.
struct Before {
    cookie: String,
    tokens: Tokens,
    code: String,
    grant: String,
    family: String,
}

impl Before {
    async fn mint(visitor: &Visitor<'_>) -> Self {
        let cookie = visitor.sign_in().await;
        let tokens = visitor.authorize(&cookie).await;
        let facts = visitor.introspect(&tokens.access).await;
        let text = |name: &str| facts[name].as_str().unwrap().to_owned();
        let (grant, family) = (text("grant_id"), text("family_id"));
        let code = visitor.code(&cookie).await;
        Self { cookie, tokens, code, grant, family }
    }

    /// Everything that changes something, at once.
    async fn all_are_refused(&self, visitor: &Visitor<'_>) {
        let Self { cookie, tokens, code, grant, family } = self;
        let one = format!("/authorizations/{grant}/revoke");
        let device = format!("/authorizations/{grant}/devices/{family}/revoke");
        let all = [("all", "1")];
        let several = [("grant_id", grant.as_str())];
        let protocol = async {
            tokio::join!(
                visitor.client_token(),
                visitor.redeem(code),
                visitor.refresh(&tokens.refresh),
                visitor.revoke_token(&tokens.access),
                visitor.revoke_token(&tokens.refresh),
            )
        };
        let pages = async {
            tokio::join!(
                visitor.sign_in_answer(PASSWORD),
                visitor.submit(cookie, "/logout", &[]),
                visitor.approve(cookie),
                visitor.submit(cookie, &one, &[]),
                visitor.submit(cookie, &device, &[]),
                visitor.submit(cookie, "/authorizations/revoke", &all),
                visitor.submit(cookie, "/authorizations/revoke", &several),
            )
        };
        let (protocol, pages) = tokio::join!(protocol, pages);
        assert_unavailable("/token for a client", protocol.0).await;
        assert_unavailable("/token for a code", protocol.1).await;
        assert_unavailable("/token for a refresh token", protocol.2).await;
        assert_unavailable("/revoke_token access", protocol.3).await;
        assert_unavailable("/revoke_token refresh", protocol.4).await;
        assert_unavailable("sign-in", pages.0).await;
        assert_unavailable("sign-out", pages.1).await;
        assert_unavailable("consent", pages.2).await;
        assert_unavailable("revoke one", pages.3).await;
        assert_unavailable("revoke a device", pages.4).await;
        assert_unavailable("revoke all", pages.5).await;
        assert_unavailable("revoke several", pages.6).await;
    }

    /// What was refused changed nothing, and all of it works now.
    async fn all_work(&self, visitor: &Visitor<'_>) {
        let Self { cookie, tokens, code, grant, .. } = self;
        assert!(visitor.is_active(&tokens.access).await);
        assert_eq!(visitor.page(cookie, "/authorizations").await.status(), 200, "still signed in");
        assert_eq!(visitor.client_token().await.status(), 200);
        // The code too, if it has not expired meanwhile; a replay it is not.
        assert_eq!(visitor.redeem(code).await.status(), 200);
        assert!(visitor.is_active(&tokens.access).await);
        assert_eq!(visitor.refresh(&tokens.refresh).await.status(), 200);
        assert_eq!(visitor.revoke_token(&tokens.access).await.status(), 200);
        assert_eq!(
            visitor.submit(cookie, &format!("/authorizations/{grant}/revoke"), &[]).await.status(),
            303
        );
        assert!(!visitor.is_active(&tokens.access).await);
    }
}

async fn ready(server: &Server) -> u16 {
    reqwest::get(format!("http://{}/readyz", server.address)).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_full_disk_refuses_every_change_and_recovers() {
    let place = Place::new();
    let world = World::register(&place);
    let server = place.serve_limited();
    let visitor = world.at(&server);
    let before = Before::mint(&visitor).await;
    server.limit_files("1024");
    before.all_are_refused(&visitor).await;
    assert!(visitor.is_active(&before.tokens.access).await, "what is only read goes on");
    let revoked = place.run(&["revoke", "grant", &before.grant, "--json"]);
    assert_eq!((revoked.exit, revoked.out.as_str()), (1, ""), "by the socket too");
    server.limit_files("unlimited");
    before.all_work(&visitor).await;
    assert_eq!(server.stop().0, Some(0));
}

#[tokio::test]
async fn a_lock_of_another_program_refuses_every_change_and_recovers() {
    let place = Place::new();
    let world = World::register(&place);
    let server = place.serve();
    let visitor = world.at(&server);
    let before = Before::mint(&visitor).await;
    let other = rusqlite::Connection::open(place.database()).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    before.all_are_refused(&visitor).await;
    assert!(visitor.is_active(&before.tokens.access).await, "what is only read goes on");
    other.execute_batch("ROLLBACK").unwrap();
    before.all_work(&visitor).await;
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let (exit, took) = server.stop();
    assert_eq!(exit, Some(0), "it ends although the lock is held");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn a_lock_held_for_ten_seconds_refuses_in_time_and_is_forgotten_afterwards() {
    let place = Place::new();
    let world = World::register(&place);
    let server = place.serve();
    let visitor = world.at(&server);
    let before = Before::mint(&visitor).await;
    let other = rusqlite::Connection::open(place.database()).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let from = Instant::now();
    let mut refused = 0;
    while from.elapsed() < Duration::from_secs(10) {
        let asked = Instant::now();
        assert_unavailable("/token for a client", visitor.client_token().await).await;
        // A server may be at its own work when the request comes, and waits for the lock with that first.
        assert!(asked.elapsed() < Duration::from_secs(11), "{:?}", asked.elapsed());
        assert!(visitor.is_active(&before.tokens.access).await, "what is only read goes on");
        refused += 1;
    }
    assert!(refused >= 1);
    other.execute_batch("ROLLBACK").unwrap();
    before.all_work(&visitor).await;
    assert_eq!(server.stop().0, Some(0));
}

#[tokio::test]
async fn a_database_that_was_replaced_or_removed_takes_no_more_changes() {
    let place = Place::new();
    let world = World::register(&place);
    let server = place.serve();
    let visitor = world.at(&server);
    let before = Before::mint(&visitor).await;
    for name in ["rescind.db", "rescind.db-wal"] {
        let file = place.folder.path().join(name);
        let aside = place.folder.path().join("aside");
        std::fs::rename(&file, &aside).unwrap();
        before.all_are_refused(&visitor).await;
        std::fs::copy(&aside, &file).unwrap();
        before.all_are_refused(&visitor).await;
        // Its own file again: nothing of what was refused is in it, and all of it works.
        std::fs::rename(&aside, &file).unwrap();
        assert_eq!(visitor.client_token().await.status(), 200);
    }
    before.all_work(&visitor).await;
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn files_that_can_only_be_read_are_refused_at_the_start() {
    let place = Place::new();
    World::register(&place);
    let folder = place.folder.path();
    // Root may write everything, so then it is somebody else, who can't look where the binary is.
    let program = folder.join("rescind");
    std::fs::copy(env!("CARGO_BIN_EXE_rescind"), &program).unwrap();
    let allow = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(&place.database(), 0o444);
    allow(&place.beside("lock"), 0o444);
    allow(folder, 0o555);
    let mut serve = Command::new(program);
    serve.arg("serve").envs(place.program(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
    if std::fs::metadata(folder).unwrap().uid() == 0 {
        serve.uid(65534);
    }
    let ended = serve.output().unwrap();
    allow(folder, 0o755);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("denied"), "{said}");
}

#[tokio::test]
async fn sigterm_under_load_ends_in_time_and_every_success_is_kept() {
    let place = Place::new();
    let world = Arc::new(World::register(&place));
    let server = place.serve();
    let address = server.address.clone();
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let (world, address) = (world.clone(), address.clone());
            tokio::spawn(async move { world.takes_tokens_from(&address).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (exit, took) = tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
    assert_eq!(exit, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    let mut tokens = Vec::new();
    for caller in callers {
        tokens.extend(caller.await.unwrap());
    }
    assert!(tokens.len() >= 16, "only {} tokens", tokens.len());
    let server = place.serve();
    let visitor = world.at(&server);
    for token in &tokens {
        assert!(visitor.is_active(token).await, "one of {} is lost", tokens.len());
    }
}

#[tokio::test]
async fn a_truncated_database_gives_no_success() {
    let place = Place::new();
    let world = World::register(&place);
    let server = place.serve();
    let visitor = world.at(&server);
    let before = Before::mint(&visitor).await;
    // Everything is in the file and nothing in the log beside it.
    let other = rusqlite::Connection::open(place.database()).unwrap();
    other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(other);
    let file = std::fs::OpenOptions::new().write(true).open(place.database()).unwrap();
    file.set_len(4096).unwrap();
    before.all_are_refused(&visitor).await;
    assert_eq!(ready(&server).await, 503);
    drop(server);
    assert_eq!(place.run(&["serve"]).exit, 1, "it does not start on what is left");
}
