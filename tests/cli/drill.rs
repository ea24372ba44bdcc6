//! `rescind drill`: against a running server, alone, and where revocations do not arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use rusqlite::Connection;
use serde_json::Value;

use crate::program::{Ended, Place, Server};
use crate::visitor::World;

fn drill(place: &Place, server: &str, rounds: &str) -> Ended {
    place.run(&["drill", "--rounds", rounds, "--json", "--server", server])
}

fn count(place: &Place, sql: &str) -> i64 {
    let database = Connection::open(place.database()).unwrap();
    database.query_row(&format!("SELECT count(*) FROM {sql}"), [], |row| row.get(0)).unwrap()
}

/// Four members, and times that grow.
fn assert_times(answer: &Value, rounds: u64) {
    let mut members: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["max_ms", "p50_ms", "p99_ms", "rounds"]);
    assert_eq!(answer["rounds"], rounds);
    let ms = |name: &str| answer[name].as_f64().unwrap();
    let (p50, p99, max) = (ms("p50_ms"), ms("p99_ms"), ms("max_ms"));
    assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{answer}");
}

#[test]
fn a_drill_leaves_one_app_and_one_resource_server_however_often_it_is_run() {
    let place = Place::new();
    World::register(&place);
    let server = place.serve();
    let address = format!("http://{}", server.address);
    let tables = ["users", "clients", "resource_servers", "scopes", "client_secrets"];
    let before = tables.map(|table| count(&place, table));
    for _ in 0..2 {
        assert_times(&drill(&place, &address, "40").json(), 40);
        assert_eq!(tables.map(|table| count(&place, table)), before.map(|rows| rows + 1));
    }
    assert_eq!(count(&place, "ledger WHERE act = 'canary_revoked' AND audiences = 'urn:rescind:canary'"), 80);
    assert_eq!(count(&place, "ledger"), 80);
    for table in ["confirmations", "revoked_tokens", "tokens", "families", "grants"] {
        assert_eq!(count(&place, table), 0, "{table}");
    }
    assert_eq!(count(&place, "drill WHERE outcome = 'passed' AND rounds = 40 AND max_us >= p99_us"), 1);
    assert!(!server.log().contains("socket.failed"), "{}", server.log());
    server.stop();
    let suspend = "UPDATE clients SET status = 'suspended' WHERE name = 'Rescind drill'";
    Connection::open(place.database()).unwrap().execute(suspend, []).unwrap();
    let server = place.serve();
    let ended = drill(&place, &format!("http://{}", server.address), "1");
    assert_eq!((ended.exit, ended.out.as_str()), (1, ""));
    assert!(ended.err.contains("reinstate it at /admin/apps/cli_"), "{}", ended.err);
}

#[test]
fn a_standalone_drill_needs_no_settings_and_leaves_no_files() {
    let place = Place::new();
    let mut alone = place.program(&["drill", "--standalone", "--rounds", "20", "--json"]);
    let output = alone.env("TMPDIR", place.folder.path()).env("RESCIND_ISSUER", "nonsense").output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_times(&serde_json::from_str(out.trim()).unwrap(), 20);
    assert_eq!(std::fs::read_dir(place.folder.path()).unwrap().count(), 0);
}

#[test]
fn a_drill_that_cannot_run_says_why_and_keeps_the_last_result() {
    let place = Place::new();
    for arguments in
        [&["--rounds", "0"][..], &["--rounds", "10001"], &["--standalone", "--server", "http://[::1]:1"]]
    {
        let ended = place.run(&[&["drill"][..], arguments].concat());
        assert_eq!((ended.exit, ended.out.as_str()), (2, ""), "{arguments:?}");
    }
    let ended = place.run(&["drill"]);
    assert_eq!(ended.exit, 1);
    assert!(ended.err.contains("no server runs") && ended.err.contains("--standalone"), "{}", ended.err);
    let server = place.serve();
    assert_eq!(drill(&place, "not an address", "1").exit, 2);
    let ended = drill(&place, "http://127.0.0.1:1", "1");
    assert_eq!((ended.exit, ended.out.as_str()), (1, ""));
    assert!(ended.err.contains("http://127.0.0.1:1/oauth/token"), "{}", ended.err);
    assert_eq!(count(&place, "drill WHERE at IS NOT NULL"), 0);
    drop(server);
}

/// Stands before a server and lets everything through but what says that something was revoked.
async fn deafening(server: &Server) -> String {
    let (http, base) = (reqwest::Client::new(), format!("http://{}", server.address));
    let snapshots = Arc::new(AtomicUsize::new(0));
    let pass = move |request: Request| {
        let (http, base, snapshots) = (http.clone(), base.clone(), snapshots.clone());
        async move {
            let (head, body) = request.into_parts();
            let is_held = match head.uri.path() {
                "/revocations/feed" => true,
                // The first is what a guard begins with.
                "/revocations/snapshot" => snapshots.fetch_add(1, Ordering::Relaxed) > 0,
                _ => false,
            };
            if is_held {
                return std::future::pending::<Response>().await;
            }
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let mut passed = http.request(head.method, format!("{base}{}", head.uri.path())).body(body);
            for name in [header::AUTHORIZATION, header::CONTENT_TYPE] {
                if let Some(value) = head.headers.get(&name) {
                    passed = passed.header(name, value);
                }
            }
            let answer = passed.send().await.unwrap();
            let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
            (status, answer.bytes().await.unwrap()).into_response()
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(pass)).await });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_fails_where_revocations_do_not_arrive() {
    let place = Place::new();
    let server = place.serve();
    let address = deafening(&server).await;
    let ended = drill(&place, &address, "5");
    assert_eq!((ended.exit, ended.out.as_str()), (1, ""));
    assert!(ended.err.contains("had not learned of it; good rounds before: 0"), "{}", ended.err);
    assert_eq!(count(&place, "drill WHERE outcome = 'failed' AND rounds = 0 AND p99_us IS NULL"), 1);
}
