//! A backup takes the database's place, and nothing that was taken away after it comes back.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::redirect::Policy;
use rescind_guard::{Guard, Settings};
use serde_json::{Value, json};

use crate::program::{Place, Server};
use crate::visitor::{PASSWORD, REDIRECT, World};

/// A person's browser.
struct Person {
    http: reqwest::Client,
    base: String,
    cookie: String,
}

impl Person {
    /// `None` where name and password open nothing.
    async fn sign_in(server: &Server, name: &str, password: &str) -> Option<Self> {
        let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        let base = format!("http://{}", server.address);
        let form = [("username", name), ("password", password)];
        let answer = http.post(format!("{base}/login")).form(&form).send().await.unwrap();
        if answer.status() != 303 {
            assert_eq!(answer.status(), 401);
            return None;
        }
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
        Some(Self { http, base, cookie })
    }

    async fn posts(&self, path: &str, form: &[(&str, &str)]) {
        let request = self.http.post(format!("{}{path}", self.base)).header(COOKIE, &self.cookie);
        let answer = request.form(form).send().await.unwrap();
        assert_eq!(answer.status(), 303, "{path}: {}", answer.text().await.unwrap());
    }

    async fn sees(&self, path: &str) -> (u16, String) {
        let request = self.http.get(format!("{}{path}", self.base)).header(COOKIE, &self.cookie);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

fn add_user(place: &Place, name: &str, role: &str) -> String {
    let arguments = ["user", "add", name, "--role", role, "--password-stdin", "--json"];
    place.run_with(&arguments, PASSWORD).json()["id"].as_str().unwrap().to_owned()
}

/// One more app of alice's. The one to be banned has a host of its own: a ban closes the host to all apps.
fn app(place: &Place, world: &World, name: &str, format: &str) -> World {
    let redirect = if name == "Banned" { "https://banned.example/cb" } else { REDIRECT };
    let mut arguments = vec!["client", "add", "--owner", "alice", "--name", name, "--redirect-uri", redirect];
    for grant_type in ["authorization_code", "refresh_token", "client_credentials"] {
        arguments.extend(["--grant-type", grant_type]);
    }
    let made = place.run(&[&arguments[..], &["--token-format", format, "--json"]].concat()).json();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    World {
        client: (text("client_id"), text("client_secret")),
        resource_server: world.resource_server.clone(),
    }
}

/// The server of this place, always at the same address.
fn serve_at(place: &Place, port: u16) -> Server {
    let mut program = place.program(&["serve"]);
    program.env("RESCIND_LISTEN", format!("127.0.0.1:{port}"));
    program.env("RESCIND_ISSUER", format!("http://127.0.0.1:{port}"));
    Server::start(program)
}

fn path(place: &Place, name: &str) -> (PathBuf, String) {
    let path = place.folder.path().join(name);
    let text = path.display().to_string();
    (path, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_revoked_after_a_backup_stay_revoked_after_its_restoration() {
    let place = Place::new();
    let world = World::register(&place);
    for (name, role) in [("max", "admin"), ("ida", "admin"), ("carol", "user")] {
        add_user(&place, name, role);
    }
    let bob = add_user(&place, "bob", "user");
    let ida = place.run(&["user", "set-role", "ida", "admin", "--json"]).json()["id"].clone();
    let [jwt, banned, suspended, deleted, back] = [
        ("Jwt", "jwt"),
        ("Banned", "opaque"),
        ("Suspended", "opaque"),
        ("Deleted", "opaque"),
        ("Back", "opaque"),
    ]
    .map(|(name, format)| app(&place, &world, name, format));
    place.run(&["user", "set-role", "alice", "developer"]);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = serve_at(&place, port);
    let (id, secret) = &world.resource_server;
    let guard = Guard::start(Settings::new(format!("http://127.0.0.1:{port}"), id, secret, "urn:photos"));
    let guard = guard.unwrap();
    guard.ready().await;

    let cookie = world.at(&server).sign_in().await;
    let alice = Person::sign_in(&server, "alice", PASSWORD).await.unwrap();
    let carol = Person::sign_in(&server, "carol", PASSWORD).await.unwrap();
    let max = Person::sign_in(&server, "max", PASSWORD).await.unwrap();
    let opaque = world.at(&server).authorize(&cookie).await;
    let signed = jwt.at(&server).authorize(&cookie).await;
    let code = jwt.at(&server).code(&cookie).await;
    guard.verify(&signed.access).unwrap();

    let (_, backup) = path(&place, "backup.db");
    place.run(&["backup", &backup, "--json"]).json();
    let again = place.run(&["backup", &backup]);
    assert_eq!(again.exit, 1);
    assert!(again.err.contains("backup.db exists already; nothing was written"), "{}", again.err);

    let reason = [("reason", "It lied.")];
    max.posts(&format!("/admin/apps/{}/ban", banned.client.0), &reason).await;
    max.posts(&format!("/admin/apps/{}/suspend", suspended.client.0), &reason).await;
    max.posts(&format!("/admin/apps/{}/suspend", back.client.0), &reason).await;
    max.posts(&format!("/admin/apps/{}/reinstate", back.client.0), &[("reason", "It was looked at.")]).await;
    alice.posts(&format!("/apps/{}/delete", deleted.client.0), &[("name", "Deleted")]).await;
    max.posts(&format!("/admin/users/{bob}/disable"), &[("reason", "It was looked at.")]).await;
    max.posts(
        &format!("/admin/users/{}/role", ida.as_str().unwrap()),
        &[("role", "user"), ("reason", "It was looked at.")],
    )
    .await;
    let passwords = [("current_password", PASSWORD), ("new_password", "another good password")];
    carol.posts("/account/taken-over", &passwords).await;
    let grant = world.at(&server).introspect(&opaque.access).await["grant_id"].as_str().unwrap().to_owned();
    let ended = place.run(&["revoke", "grant", &grant, "--json"]).json();
    let (_, ledger) = path(&place, "ledger.jsonl");
    assert_eq!(
        place.run(&["ledger", "export", &ledger, "--json"]).json()["rows"],
        10,
        "and alice's role before"
    );

    assert_eq!(place.run(&["restore", &backup, "--replace"]).exit, 1, "while a server runs");
    server.stop();
    let refused = place.run(&["restore", &backup, "--ledger", &ledger]);
    assert_eq!((refused.exit, refused.err.contains("--replace")), (1, true), "{}", refused.err);
    let restored = place.run(&["restore", &backup, "--ledger", &ledger, "--replace", "--json"]).json();
    assert_eq!((&restored["replayed"], &restored["suspended"]), (&json!(9), &json!(0)));
    assert_eq!(restored["passwords_to_set"], json!(["carol"]));
    assert!(PathBuf::from(restored["kept"].as_str().unwrap()).exists());

    let server = serve_at(&place, port);
    // Tokens, codes and sign-ins of before, revoked or not.
    for (world, tokens) in [(&world, &opaque), (&jwt, &signed)] {
        assert!(!world.at(&server).is_active(&tokens.access).await);
        assert_eq!(world.at(&server).refresh(&tokens.refresh).await.status(), 400);
    }
    assert_eq!(jwt.at(&server).redeem(&code).await.status(), 400);
    assert_eq!(world.at(&server).page(&cookie, "/authorizations").await.status(), 303);
    // What may act.
    for (app, status) in [(&banned, 401), (&suspended, 401), (&deleted, 401), (&back, 200), (&world, 200)] {
        assert_eq!(app.at(&server).client_token().await.status(), status, "{}", app.client.0);
    }
    assert!(Person::sign_in(&server, "bob", PASSWORD).await.is_none(), "bob is disabled");
    for password in [PASSWORD, "another good password"] {
        assert!(Person::sign_in(&server, "carol", password).await.is_none(), "carol's password is to be set");
    }
    let ida = Person::sign_in(&server, "ida", PASSWORD).await.unwrap();
    assert_eq!(ida.sees("/admin/apps").await.0, 403, "ida is no admin any more");
    // A consent of before counts no more: the user is asked again, and then it works.
    let cookie = world.at(&server).sign_in().await;
    let asked = jwt.at(&server).page(&cookie, &jwt.at(&server).authorize_path()).await;
    assert_eq!(asked.status(), 200);
    let fresh = jwt.at(&server).authorize(&cookie).await;
    // A guard that never stopped goes on for its staleness at the most. Once it takes the new token, which it
    // can't check before it has heard of the new key, it refuses the old one.
    let from = Instant::now();
    while guard.verify(&fresh.access).is_err() {
        assert!(from.elapsed() < Duration::from_secs(20), "{:?}", guard.verify(&fresh.access));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(guard.verify(&signed.access).is_err());
    // Receipts of the time after the backup are there, and the restoration has one.
    let max = Person::sign_in(&server, "max", PASSWORD).await.unwrap();
    for (receipt, text) in
        [(&ended["receipt"], "access was revoked"), (&restored["receipt"], "restored from a backup")]
    {
        let (status, page) = max.sees(&format!("/receipts/{}", receipt.as_str().unwrap())).await;
        assert!(status == 200 && page.contains(text), "{status} {page}");
    }
    guard.shutdown().await;
}

#[tokio::test]
async fn a_restoration_without_a_ledger_suspends_every_app() {
    let place = Place::new();
    let world = World::register(&place);
    add_user(&place, "max", "admin");
    let (_, backup) = path(&place, "backup.db");
    place.run(&["backup", &backup, "--json"]).json();
    let copy = Place::new();
    let restored = copy.run(&["restore", &backup, "--json"]).json();
    assert_eq!((&restored["suspended"], &restored["kept"]), (&json!(1), &Value::Null));
    let server = copy.serve();
    assert_eq!(world.at(&server).client_token().await.status(), 401);
    let max = Person::sign_in(&server, "max", PASSWORD).await.unwrap();
    let app = format!("/admin/apps/{}", world.client.0);
    assert!(max.sees(&app).await.1.contains("restored from a backup"));
    max.posts(&format!("{app}/reinstate"), &[("reason", "It was looked at.")]).await;
    assert_eq!(world.at(&server).client_token().await.status(), 200);
}

#[test]
fn a_backup_is_not_served_before_its_restoration() {
    let place = Place::new();
    World::register(&place);
    let copy = Place::new();
    let in_place = copy.database().display().to_string();
    place.run(&["backup", &in_place, "--json"]).json();
    assert_eq!(place.run(&["backup", &in_place]).exit, 1, "a backup overwrites nothing");
    let (_, other) = path(&place, "other.db");
    for arguments in [
        &["serve"][..],
        &["revoke", "user", "alice"],
        &["purge", "status"],
        &["backup", &other],
        &["ledger", "export", &other],
        &["key", "list"],
    ] {
        let ended = copy.run(arguments);
        assert_eq!(ended.exit, 1, "{arguments:?}");
        assert!(ended.err.contains("rescind restore"), "{arguments:?}: {}", ended.err);
    }
    // Where it lies it can be restored.
    copy.run(&["restore", &in_place, "--json"]).json();
    assert_eq!(copy.run(&["purge", "status"]).exit, 0);
    copy.serve().stop();
}

#[test]
fn a_restoration_that_can_t_be_whole_changes_nothing() {
    let place = Place::new();
    World::register(&place);
    let (_, backup) = path(&place, "backup.db");
    let (ledger, ledger_text) = path(&place, "ledger.jsonl");
    place.run(&["backup", &backup, "--json"]).json();
    place.run(&["revoke", "user", "alice", "--json"]).json();
    place.run(&["ledger", "export", &ledger_text, "--json"]).json();
    let before = std::fs::read(place.database()).unwrap();
    let whole = std::fs::read_to_string(&ledger).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let (bad, bad_text) = path(&place, "bad.jsonl");
    for (text, says) in [
        (String::new(), "has not written this"),
        (lines[..2].join("\n"), "cut short"),
        ([lines[0], lines[2]].join("\n"), "cut short"),
        (whole.replace("user_revoked", "user_promoted"), "unknown to this version"),
        (whole.replace("\"rescind_ledger\":2", "\"rescind_ledger\":3"), "newer version"),
        (whole.replace("\"rescind_ledger\":2", "\"rescind_ledger\":1"), "older version"),
        (whole.replace("incarnation", "time"), "missing field `incarnation`"),
        (lines[1..].join("\n"), "has not written this"),
        ([lines[0], "{\"rows\":0}"].join("\n"), "reaches row 1"),
        ([lines[0], lines[1], lines[1], "{\"rows\":2}"].join("\n"), "out of order"),
        (lines[..1].join("\n"), "cut short"),
    ] {
        std::fs::write(&bad, text).unwrap();
        let ended = place.run(&["restore", &backup, "--ledger", &bad_text, "--replace"]);
        assert_eq!(ended.exit, 1, "{says}");
        assert!(ended.err.contains(says), "{says} is not in {}", ended.err);
    }
    std::fs::write(&bad, whole.replace("usr_", "cli_")).unwrap();
    let ended = Place::new().run(&["restore", &backup, "--ledger", &bad_text]);
    assert!(ended.exit == 1 && ended.err.contains("the user's id"), "{}", ended.err);
    for text in ["no database at all, whatever its name says", ""] {
        std::fs::write(&bad, text).unwrap();
        let ended = place.run(&["restore", &bad_text, "--replace"]);
        assert!(ended.exit == 1 && ended.err.contains("no database of Rescind"), "{text:?}: {}", ended.err);
    }
    rusqlite::Connection::open(&bad).unwrap().execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    assert_eq!(place.run(&["restore", &bad_text, "--replace"]).exit, 1);
    assert_eq!(place.run(&["restore", "/nowhere.db", "--replace"]).exit, 3);
    assert_eq!(std::fs::read(place.database()).unwrap(), before);
    let left = std::fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with(".rescind")).collect();
    assert!(left.is_empty(), "{left:?}");
    place.run(&["restore", &backup, "--ledger", &ledger_text, "--replace", "--json"]).json();
}

#[test]
fn a_ledger_of_another_database_or_that_ends_too_early_is_refused() {
    let place = Place::new();
    let other = Place::new();
    let names = ["ann", "ben", "cem", "dee"];
    for place in [&place, &other] {
        World::register(place);
        for name in names {
            add_user(place, name, "user");
        }
    }
    let revoke = |place: &Place, name: &str| place.run(&["revoke", "user", name, "--json"]).json();
    let export = |from: &Place, name: &str| {
        let (_, text) = path(&place, name);
        from.run(&["ledger", "export", &text, "--json"]).json();
        text
    };
    let none = export(&place, "none.jsonl");
    revoke(&place, "ann");
    let before = export(&place, "before.jsonl");
    revoke(&place, "ben");
    let (_, backup) = path(&place, "backup.db");
    place.run(&["backup", &backup, "--json"]).json();
    revoke(&place, "cem");
    let after = export(&place, "after.jsonl");
    revoke(&place, "dee");
    let newest = export(&place, "newest.jsonl");
    for name in names {
        revoke(&other, name);
    }
    let foreign = export(&other, "foreign.jsonl");
    let text = |file: &str| std::fs::read_to_string(file).unwrap();
    let first = |file: &str| text(file).lines().next().unwrap().to_owned();
    let (forged, forged_text) = path(&place, "forged.jsonl");
    std::fs::write(&forged, text(&foreign).replace(&first(&foreign), &first(&newest))).unwrap();

    let files = || {
        let mut files: Vec<_> =
            std::fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        files.retain(|name| !["rescind.db-wal", "rescind.db-shm"].contains(&&*name.to_string_lossy()));
        files.sort();
        files
    };
    let (held, there) = (std::fs::read(place.database()).unwrap(), files());
    for (ledger, says) in [
        (&none, "lacks 4"),
        (&before, "lacks 3"),
        (&after, "lacks 1 of the ledger of the database that would be replaced, of which the first is row 4"),
        (&foreign, "lacks 4"),
        (&forged_text, "lacks 4"),
    ] {
        let ended = place.run(&["restore", &backup, "--ledger", ledger, "--replace"]);
        assert_eq!(ended.exit, 1, "{ledger}");
        assert!(ended.err.contains(says), "{says} is not in {}", ended.err);
    }
    assert_eq!(std::fs::read(place.database()).unwrap(), held);
    assert_eq!(files(), there);
    // Where no database is, the backup alone says what is enough.
    let empty = Place::new();
    for (ledger, says) in [
        (&none, "ends at row 0, and the backup has row 1"),
        (&before, "ends at row 1, and the backup has row 2"),
        (&foreign, "of another database than the backup"),
        (&forged_text, "row 1 is not the backup's"),
    ] {
        let ended = empty.run(&["restore", &backup, "--ledger", ledger]);
        assert_eq!(ended.exit, 1, "{ledger}");
        assert!(ended.err.contains(says), "{says} is not in {}", ended.err);
        assert!(!empty.database().exists() && !empty.beside("key").exists());
    }
    let restored = empty.run(&["restore", &backup, "--ledger", &after, "--json"]).json();
    assert_eq!((&restored["replayed"], &restored["compared"]), (&json!(1), &Value::Null));
    let replacing = ["restore", &backup, "--ledger", &newest, "--replace", "--json"];
    for _ in 0..2 {
        // A second time too: that the first one happened is nothing that a ledger must know.
        let restored = place.run(&replacing).json();
        assert_eq!((&restored["replayed"], &restored["compared"]), (&json!(2), &json!(true)));
    }
    // What can't be read can't be compared, and is no reason to stay without a server.
    std::fs::write(place.database(), "no database any more").unwrap();
    let restored = place.run(&["restore", &backup, "--ledger", &after, "--replace", "--json"]).json();
    assert_eq!((&restored["replayed"], &restored["compared"]), (&json!(1), &json!(false)));
}
