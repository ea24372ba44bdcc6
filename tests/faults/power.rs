//! Power loss: whatever was answered is in what was synced.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngExt as _;
use rescind::clock::Timestamp;
use rescind::model::secret::AccessToken;
use rescind::service::purge;
use rescind::store::Store;
use rusqlite::Connection;

use crate::disk::{self, Moment};
use crate::http::harness::browser::Browser;
use crate::http::harness::engine::database::skips_on_postgres;
use crate::http::harness::{Scene, scene};
use crate::sqlite;

const PEOPLE: usize = 4;
const LOSSES: usize = 30;

/// Access tokens: given, whose revocation has begun, and whose revocation was answered.
#[derive(Clone, Debug, Default)]
struct Told {
    given: BTreeSet<String>,
    begun: BTreeSet<String>,
    revoked: BTreeSet<String>,
}

type Record = Arc<Mutex<Told>>;

/// A person authorizes the app and takes it back, in every way that there is for one.
async fn lives(
    person: Browser,
    app: Arc<crate::http::harness::client::Client>,
    told: Record,
    is_over: Arc<AtomicBool>,
) {
    for round in 0.. {
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        let mut held = Vec::new();
        for _ in 0..2 {
            let tokens = person.connects(&app).await;
            told.lock().unwrap().given.insert(tokens.access.clone());
            held.push(tokens);
        }
        // An app that is revoked goes with all that this person ever gave it.
        let ended: BTreeSet<String> = match round % 3 {
            2 => told.lock().unwrap().given.clone(),
            _ => BTreeSet::from([held[0].access.clone()]),
        };
        told.lock().unwrap().begun.extend(ended.iter().cloned());
        match round % 3 {
            0 => app.revokes(&held[0].access).await.is(200),
            1 => app.revokes(&held[0].refresh).await.is(200),
            _ => person.revokes(&app).await.is(303),
        };
        told.lock().unwrap().revoked.extend(ended);
    }
}

async fn is_alive(store: &Store, token: &str, now: Timestamp) -> bool {
    store.live_access_token(&AccessToken::parse(token).unwrap().digest(), now).await.unwrap().is_some()
}

/// What one loss of power left: the file is sound, and tells what was told before and nothing that was not begun.
async fn is_kept(before: &Told, moment: &Moment, begun: &BTreeSet<String>, now: Timestamp) {
    for chance in [0.0, 0.5, 1.0] {
        let folder = tempfile::tempdir().unwrap();
        moment.leaves(chance, folder.path());
        let path = folder.path().join("rescind.db");
        let store = Store::open(&path).await.unwrap();
        let connection = Connection::open(&path).unwrap();
        let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
        for token in &before.revoked {
            assert!(!is_alive(&store, token, now).await, "an answered revocation is lost");
        }
        for token in before.given.difference(begun) {
            assert!(is_alive(&store, token, now).await, "an answered token is lost");
        }
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answered_changes_survive_a_power_loss() {
    let _alone = sqlite::alone().await;
    disk::records();
    let Scene { world, app, alice, .. } = scene().await;
    let app = Arc::new(app);
    let now = world.app.clock.now();
    let mut people = vec![alice];
    for i in 1..PEOPLE {
        people.push(world.signed_in(&format!("person{i}")).await);
    }
    let records: Vec<Record> = people.iter().map(|_| Record::default()).collect();
    let is_over = Arc::new(AtomicBool::new(false));
    let lives: Vec<_> = people
        .into_iter()
        .zip(&records)
        .map(|(person, told)| tokio::spawn(lives(person, app.clone(), told.clone(), is_over.clone())))
        .collect();
    let (store, clock) = (world.app.store.clone(), world.app.clock.clone());
    let purging = tokio::spawn(async move {
        loop {
            purge::catch_up(&store, &clock, Duration::from_secs(10)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let database = Connection::open(world.database.path()).unwrap();

    let told = || {
        let mut all = Told::default();
        for record in &records {
            let Told { given, begun, revoked } = record.lock().unwrap().clone();
            all.given.extend(given);
            all.begun.extend(begun);
            all.revoked.extend(revoked);
        }
        all
    };
    let mut moments = Vec::new();
    while moments.len() < LOSSES {
        let pause = rand::rng().random_range(0..3_000);
        tokio::time::sleep(Duration::from_micros(pause)).await;
        if moments.len() % 7 == 3 {
            // The log goes into the file, and starts anew.
            database.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
        }
        // In this order: told before the loss, and begun only after it.
        let before = told();
        let moment = Moment::now();
        moments.push((before, moment, told().begun));
    }
    is_over.store(true, Ordering::SeqCst);
    for life in lives {
        life.await.unwrap();
    }
    purging.abort();
    disk::forgets();

    let risky = moments.iter().filter(|(_, moment, _)| moment.at_stake() > 0).count();
    assert!(risky * 5 >= LOSSES, "only {risky} of {LOSSES} found something unsynced");
    for (before, moment, begun) in &moments {
        is_kept(before, moment, begun, now).await;
    }
}

/// The model bites: without the sync that `synchronous = FULL` asks for, what was committed is gone.
#[tokio::test]
async fn a_commit_that_is_not_synced_is_lost_in_the_model() {
    if skips_on_postgres("what PostgreSQL's own disk does is not modelled") {
        return;
    }
    let _alone = sqlite::alone().await;
    for (synchronous, is_kept) in [("NORMAL", false), ("FULL", true)] {
        disk::records();
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join("rescind.db")).unwrap();
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};
                 CREATE TABLE t (x); PRAGMA wal_checkpoint; INSERT INTO t VALUES (1);"
            ))
            .unwrap();
        let left = tempfile::tempdir().unwrap();
        Moment::now().leaves(0.0, left.path());
        disk::forgets();
        let after = Connection::open(left.path().join("rescind.db")).unwrap();
        let rows: i64 = after.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap_or_default();
        assert_eq!(rows == 1, is_kept, "synchronous = {synchronous}");
    }
}
