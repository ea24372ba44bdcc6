//! The real binary ends and starts again in mid-stream, and so do guards: what was revoked meanwhile is refused.

use std::time::Duration;

use rescind_guard::{Guard, Refusal, Revoked, Settings};
use serde_json::Value;

use crate::cli::program::{Place, Server};
use crate::line::Line;
use crate::stage::{QUICK, Stage, accepts, confirmed, is_stale, refuses, until, within};

pub const ISSUER: &str = "http://127.0.0.1:8080";
const AUDIENCE: &str = "urn:photos";

/// A database, a client with JWTs of its own, a resource server, and an address that stays while servers come and go.
pub struct Home {
    pub place: Place,
    client: (String, String),
    api: (String, String),
    pub line: Line,
}

impl Home {
    pub async fn new(max_staleness: &str) -> Self {
        let place = Place::new();
        let text = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
        let user = ["user", "add", "dana", "--role", "developer", "--password-stdin", "--json"];
        place.run_with(&user, "correct horse battery\n").json();
        let api =
            ["resource-server", "add", "Photos", "--audience", AUDIENCE, "--scope", "read=See", "--json"];
        let api = place.run(&api).json();
        let client = ["client", "add", "--owner", "dana", "--name", "Robot", "--token-format", "jwt"];
        let rest =
            ["--redirect-uri", "https://app.example/cb", "--grant-type", "client_credentials", "--json"];
        let client = place.run(&[&client[..], &rest].concat()).json();
        let staleness = format!("UPDATE resource_servers SET max_staleness = {max_staleness}");
        let database = rusqlite::Connection::open(place.database()).unwrap();
        assert_eq!(database.execute(&staleness, []).unwrap(), 1);
        Self {
            place,
            client: (text(&client, "client_id"), text(&client, "client_secret")),
            api: (text(&api, "id"), text(&api, "secret")),
            line: Line::to(None).await,
        }
    }

    /// Starts the server; guards reach it from now on.
    pub async fn serves(&self) -> Server {
        let mut program = self.place.program(&["serve"]);
        program.env("RESCIND_ISSUER", ISSUER);
        let server = tokio::task::spawn_blocking(move || Server::start(program)).await.unwrap();
        self.line.leads_to(server.address.parse().unwrap());
        server
    }

    pub fn settings(&self) -> Settings {
        let url = self.line.url.clone();
        Settings::new(ISSUER, &self.api.0, &self.api.1, AUDIENCE).server(url).timing(QUICK)
    }

    pub async fn token(&self, server: &Server) -> String {
        let request = reqwest::Client::new().post(format!("http://{}/oauth/token", server.address));
        let request = request.basic_auth(&self.client.0, Some(&self.client.1));
        let answer = request.form(&[("grant_type", "client_credentials")]).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned()
    }

    /// By a command, which goes through the server's socket where one runs.
    pub fn revokes(&self, token: &str) {
        self.place.run_with(&["revoke", "token", "-", "--json"], token).json();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_resumes_its_stream_after_a_server_restart() {
    let home = Home::new("300").await;
    let server = home.serves().await;
    let guard = Guard::start(home.settings()).unwrap();
    within(guard.ready()).await;
    let mut tokens = Vec::new();
    for _ in 0..4 {
        tokens.push(home.token(&server).await);
    }
    let [before, stopped, killed, live] = tokens.try_into().unwrap();
    home.revokes(&before);
    until(|| guard.verify(&before).is_err()).await;
    accepts(&guard, &stopped);

    // It stops as it should, and a command revokes while nobody serves.
    server.stop();
    until(|| !guard.state().is_connected).await;
    home.revokes(&stopped);
    let server = home.serves().await;
    until(|| guard.verify(&stopped).is_err()).await;
    refuses(&guard, &stopped, Revoked::Token);
    accepts(&guard, &killed);

    // It is killed right after it answered a revocation.
    home.revokes(&killed);
    server.kill();
    let server = home.serves().await;
    until(|| guard.verify(&killed).is_err()).await;
    for dead in [&before, &stopped, &killed] {
        refuses(&guard, dead, Revoked::Token);
    }
    confirmed(&guard).await;
    accepts(&guard, &live);
    accepts(&guard, &home.token(&server).await);
    let state = guard.state();
    assert_eq!((state.counters.snapshots, state.counters.gaps, state.entries), (1, 0, 3), "{state:?}");
    assert_eq!(state.counters.refused.iter().map(|(why, _)| *why).collect::<Vec<_>>(), ["revoked"]);
    within(guard.shutdown()).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_starts_again_in_mid_stream_refuses_what_was_revoked_meanwhile() {
    let stage = Stage::new().await;
    let [before, meanwhile, live] = stage.tokens().await;
    let guard = stage.guard(&stage.url()).await;
    stage.app.revokes(&before).await.is(200);
    stage.reaches(&guard).await;
    // Once without a word, once as it should.
    drop(guard);
    stage.app.revokes(&meanwhile).await.is(200);
    for _ in 0..2 {
        let guard = Guard::start(stage.settings(&stage.url())).unwrap();
        is_stale(&guard, &live);
        within(guard.ready()).await;
        refuses(&guard, &before, Revoked::Token);
        refuses(&guard, &meanwhile, Revoked::Token);
        accepts(&guard, &live);
        within(guard.shutdown()).await;
        is_stale(&guard, &live);
    }
}

/// A restored backup is another history: nothing that a guard held counts any more, and no token of before.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_incarnation_replaces_everything_in_a_guard() {
    let home = Home::new("300").await;
    let server = home.serves().await;
    let guard = Guard::start(home.settings()).unwrap();
    within(guard.ready()).await;
    let backup = home.place.folder.path().join("backup.db").display().to_string();
    home.place.run(&["backup", &backup, "--json"]).json();
    let (mut dead, old) = (Vec::new(), home.token(&server).await);
    for _ in 0..5 {
        let token = home.token(&server).await;
        home.revokes(&token);
        dead.push(token);
    }
    until(|| guard.state().entries == 5).await;
    accepts(&guard, &old);
    let held = guard.state();

    server.stop();
    let ledger = home.place.folder.path().join("ledger.jsonl").display().to_string();
    home.place.run(&["ledger", "export", &ledger, "--json"]).json();
    home.place.run(&["restore", &backup, "--ledger", &ledger, "--replace", "--json"]).json();
    let server = home.serves().await;
    until(|| guard.state().incarnation != held.incarnation).await;
    let state = guard.state();
    assert!(state.incarnation > held.incarnation, "{state:?}");
    for token in dead.iter().chain([&old]) {
        assert!(guard.verify(token).is_err());
    }
    let new = home.token(&server).await;
    confirmed(&guard).await;
    accepts(&guard, &new);
    for token in dead.iter().chain([&old]) {
        // Its key is gone too.
        assert_eq!(guard.verify(token), Err(Refusal::UnknownKey));
    }
    // What the new history says is heard.
    home.revokes(&new);
    until(|| guard.verify(&new) == Err(Refusal::Revoked(Revoked::Token))).await;
    server.stop();
}

/// With the times that programs have, against a server that goes away for a moment: nobody is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_makes_no_guard_stale() {
    let home = Home::new("60").await;
    let server = home.serves().await;
    let guard = Guard::start(home.settings().timing(rescind_guard::Timing::default())).unwrap();
    within(guard.ready()).await;
    let live = home.token(&server).await;
    server.stop();
    let server = home.serves().await;
    let before = guard.state().counters.connects;
    until(|| {
        accepts(&guard, &live);
        guard.state().counters.connects > before
    })
    .await;
    let dead = home.token(&server).await;
    accepts(&guard, &dead);
    home.revokes(&dead);
    until(|| guard.verify(&dead).is_err()).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    accepts(&guard, &live);
    server.stop();
}
