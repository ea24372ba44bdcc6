//! Many requests share a commit, and none of them feels the others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use rescind::model::act::Act;
use rescind::model::id::{FamilyId, GrantId, ReceiptId, UserId};
use rescind::model::secret::Digest;
use rescind::model::user::{Role, Username};
use rescind::service::revoke::close_family;
use rescind::store::revocations::Target;
use rescind::store::{Error, Store, Tx};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::engine::connection::Connection;
use crate::engine::database::is_postgres;
use crate::world::{NOW, World, operator};

fn insert(tx: &Tx<'_>, name: &str) -> Result<(), Error> {
    tx.insert_user(&UserId::generate(NOW), &Username::parse(name).unwrap(), None, Role::User, "no hash", NOW)
}

fn names(connection: &Connection) -> Vec<String> {
    connection.column("SELECT username FROM users ORDER BY username", &[])
}

/// Keeps the writer busy: all that is queued until [`Gate::open`] shares the commit after it.
struct Gate {
    open: mpsc::Sender<()>,
    passed: JoinHandle<Result<(), Error>>,
}

impl Gate {
    async fn shut(store: &Store) -> Self {
        let (open, opened) = mpsc::channel();
        let reached = Arc::new(Notify::new());
        let at_gate = reached.clone();
        let passed = queue(store, move |_| {
            reached.notify_one();
            opened.recv().unwrap();
            Ok(())
        })
        .await;
        at_gate.notified().await;
        Self { open, passed }
    }

    async fn open(self) {
        self.open.send(()).unwrap();
        self.passed.await.unwrap().unwrap();
    }
}

/// Hands `work` over. On a runtime with one thread a yield lets the new task run until it waits.
async fn queue(
    store: &Store,
    work: impl Fn(&Tx<'_>) -> Result<(), Error> + Send + 'static,
) -> JoinHandle<Result<(), Error>> {
    let store = store.clone();
    let task = tokio::spawn(async move { store.write(work).await });
    tokio::task::yield_now().await;
    task
}

#[tokio::test]
async fn an_error_or_a_panic_undoes_only_its_own_request() {
    let world = World::new().await;
    let gate = Gate::shut(&world.store).await;
    let kept = queue(&world.store, |tx| insert(tx, "kept")).await;
    let refused = queue(&world.store, |tx| {
        insert(tx, "refused")?;
        Err(Error::Exists)
    })
    .await;
    let panicked = queue(&world.store, |tx| {
        insert(tx, "panicked")?;
        panic!("on purpose")
    })
    .await;
    let twice = queue(&world.store, |tx| insert(tx, "kept")).await;
    let last = queue(&world.store, |tx| insert(tx, "last")).await;
    gate.open().await;
    assert!(kept.await.unwrap().is_ok());
    assert!(matches!(refused.await.unwrap(), Err(Error::Exists)));
    assert!(matches!(panicked.await.unwrap(), Err(Error::Unavailable(_))));
    assert!(matches!(twice.await.unwrap(), Err(Error::Exists)));
    assert!(last.await.unwrap().is_ok());
    assert_eq!(names(&world.beside()), ["kept", "last"]);
}

#[tokio::test]
async fn a_group_runs_once_unless_a_request_fails_after_a_write() {
    for (writes, runs) in [(false, 1), (true, 2)] {
        let world = World::new().await;
        let gate = Gate::shut(&world.store).await;
        let run = Arc::new(AtomicUsize::new(0));
        let counting = run.clone();
        let beside = queue(&world.store, move |tx| {
            counting.fetch_add(1, Ordering::SeqCst);
            insert(tx, "beside")
        })
        .await;
        let failing = queue(&world.store, move |tx| {
            if writes {
                insert(tx, "failing")?;
            }
            Err(Error::Exists)
        })
        .await;
        gate.open().await;
        assert!(beside.await.unwrap().is_ok());
        assert!(failing.await.unwrap().is_err());
        assert_eq!(names(&world.beside()), ["beside"]);
        assert_eq!(run.load(Ordering::SeqCst), runs);
    }
}

#[tokio::test]
async fn requests_run_in_the_order_of_their_arrival() {
    let world = World::new().await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let gate = Gate::shut(&world.store).await;
    let mut tasks = Vec::new();
    // More than one group, and more than the queue holds: the last ones wait for a place.
    for place in 0..1200 {
        let order = order.clone();
        tasks.push(
            queue(&world.store, move |_| {
                order.lock().unwrap().push(place);
                Ok(())
            })
            .await,
        );
    }
    gate.open().await;
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert!(order.lock().unwrap().iter().copied().eq(0..1200));
}

#[tokio::test]
async fn an_answer_comes_after_the_commit() {
    let world = World::new().await;
    let beside = world.beside();
    let (open, opened) = mpsc::channel();
    let reached = Arc::new(Notify::new());
    let at_second = reached.clone();
    let gate = Gate::shut(&world.store).await;
    let first = queue(&world.store, |tx| insert(tx, "first")).await;
    let second = queue(&world.store, move |tx| {
        reached.notify_one();
        opened.recv().unwrap();
        insert(tx, "second")
    })
    .await;
    gate.open().await;
    at_second.notified().await;
    assert!(!first.is_finished(), "the group has not been committed yet");
    assert_eq!(names(&beside), [""; 0]);
    open.send(()).unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(names(&beside), ["first", "second"]);
    second.await.unwrap().unwrap();
}

/// A commit that fails: the trigger leaves a reference that is looked at when all is committed.
const UNCOMMITTABLE: &str = "CREATE TABLE parents (id INTEGER PRIMARY KEY) STRICT;
    CREATE TABLE orphans (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED) STRICT;
    CREATE TRIGGER uncommittable AFTER INSERT ON users WHEN new.username = 'uncommittable'
    BEGIN INSERT INTO orphans (parent) VALUES (1); END;";
/// The same for PostgreSQL.
const UNCOMMITTABLE_THERE: &str = "CREATE TABLE parents (id BIGINT PRIMARY KEY);
    CREATE TABLE orphans (parent BIGINT REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED);
    CREATE FUNCTION orphan() RETURNS TRIGGER LANGUAGE plpgsql
    AS $$ BEGIN INSERT INTO orphans (parent) VALUES (1); RETURN NULL; END $$;
    CREATE TRIGGER uncommittable AFTER INSERT ON users FOR EACH ROW WHEN (new.username = 'uncommittable')
    EXECUTE FUNCTION orphan();";
/// What SQLite does by itself when the disk is full: the whole transaction is gone at once.
const ROLLED_BACK: &str = "CREATE TRIGGER rolled_back AFTER INSERT ON users WHEN new.username = 'full'
    BEGIN SELECT RAISE(ROLLBACK, 'as if the disk were full'); END;";

#[tokio::test]
async fn a_commit_that_fails_fails_all_that_share_it() {
    let ways: &[_] = if is_postgres() {
        &[(UNCOMMITTABLE_THERE, "uncommittable")]
    } else {
        &[(UNCOMMITTABLE, "uncommittable"), (ROLLED_BACK, "full")]
    };
    for &(trigger, culprit) in ways {
        let world = World::new().await;
        let head = world.store.ledger_head();
        world.beside().batch(trigger);
        let gate = Gate::shut(&world.store).await;
        let before = queue(&world.store, |tx| insert(tx, "before")).await;
        let refused = queue(&world.store, |_| Err(Error::Exists)).await;
        // Even one that looks away from its own failure is not told that it succeeded.
        let blind = queue(&world.store, move |tx| {
            let _ = insert(tx, culprit);
            Ok(())
        })
        .await;
        let behind = queue(&world.store, |tx| insert(tx, "behind")).await;
        gate.open().await;
        // A refusal does not stand: it may rest on what another one of the group did.
        for task in [before, blind, behind, refused] {
            assert!(matches!(task.await.unwrap(), Err(Error::Unavailable(_))), "{culprit}");
        }
        assert_eq!(names(&world.beside()), [""; 0], "{culprit}");
        assert!(!head.has_changed().unwrap());
        queue(&world.store, |tx| insert(tx, "later")).await.await.unwrap().unwrap();
        assert_eq!(names(&world.beside()), ["later"], "{culprit}");
    }
}

#[tokio::test]
async fn all_writes_that_wait_for_a_locked_database_fail_together() {
    let world = World::new().await;
    let other = world.beside();
    other.lock();
    let began = std::time::Instant::now();
    let mut waiting = Vec::new();
    // Many groups: if each waited for itself, the last would wait for a minute and a half.
    for _ in 0..1100 {
        waiting.push(queue(&world.store, |tx| insert(tx, "ana")).await);
    }
    for task in waiting {
        assert!(matches!(task.await.unwrap(), Err(Error::Unavailable(_))));
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(12), "{:?}", began.elapsed());
    other.batch("ROLLBACK");
    queue(&world.store, |tx| insert(tx, "ana")).await.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_queued_write_runs_even_if_its_caller_hangs_up() {
    let world = World::new().await;
    let gate = Gate::shut(&world.store).await;
    let caller = queue(&world.store, |tx| insert(tx, "unheard")).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    gate.open().await;
    world.store.close().await;
    assert_eq!(names(&world.beside()), ["unheard"]);
}

#[tokio::test]
async fn closing_finishes_queued_writes_and_refuses_later_ones() {
    let world = World::new().await;
    let gate = Gate::shut(&world.store).await;
    let mut waiting = Vec::new();
    for place in 0..1100 {
        waiting.push(queue(&world.store, move |tx| insert(tx, &format!("u{place}"))).await);
    }
    let store = world.store.clone();
    let closing = tokio::spawn(async move { store.close().await });
    tokio::task::yield_now().await;
    let late = queue(&world.store, |tx| insert(tx, "late")).await;
    assert!(matches!(late.await.unwrap(), Err(Error::Unavailable(_))));
    gate.open().await;
    closing.await.unwrap();
    for task in waiting {
        task.await.unwrap().unwrap();
    }
    assert_eq!(names(&world.beside()).len(), 1100);
}

#[tokio::test]
async fn a_refresh_sees_earlier_revocations_of_its_commit_unless_they_were_undone() {
    let world = World::new().await;
    let ana = world.user("ana").await;
    let client = world.client(&ana).await;
    let [closed, spared] = [world.device(&client, &ana, NOW).await, world.device(&client, &ana, NOW).await];
    let [closed, spared] = [closed, spared].map(|device| device.refresh_token.unwrap().digest());
    let family =
        |tx: &Tx<'_>, token: &Digest| -> FamilyId { tx.refresh_token_owner(token).unwrap().unwrap().1 };
    let gate = Gate::shut(&world.store).await;
    let before = world.store.metrics().groups.get();
    let revoked = queue(&world.store, move |tx| {
        close_family(tx, &family(tx, &closed), Act::DeviceSignedOut, &operator()).map(drop)
    })
    .await;
    let undone = queue(&world.store, move |tx| {
        close_family(tx, &family(tx, &spared), Act::DeviceSignedOut, &operator())?;
        Err(Error::Exists)
    })
    .await;
    let refreshed = queue(&world.store, move |tx| {
        assert!(tx.current_refresh_token(&closed, &client, NOW)?.is_none());
        let spared = tx.current_refresh_token(&spared, &client, NOW)?.unwrap();
        assert!(tx.supersede_refresh_token(&spared, NOW)?);
        Ok(())
    })
    .await;
    gate.open().await;
    assert!(revoked.await.unwrap().is_ok());
    assert!(undone.await.unwrap().is_err());
    refreshed.await.unwrap().unwrap();
    assert_eq!(world.store.metrics().groups.get(), before + 1, "they did not share a commit");
}

#[tokio::test]
async fn a_consent_sees_an_earlier_revocation_of_its_commit() {
    let world = World::new().await;
    let ana = world.user("ana").await;
    let client = world.client(&ana).await;
    world.device(&client, &ana, NOW).await;
    let grant: String = world.beside().value("SELECT id FROM grants", &[]);
    let grant = GrantId::parse(&grant).unwrap();
    let gate = Gate::shut(&world.store).await;
    let before = world.store.metrics().groups.get();
    let ended = grant.clone();
    let revoked = queue(&world.store, move |tx| {
        let receipt = ReceiptId::generate(NOW);
        assert!(tx.revoke(Target::Grant(&ended), Act::AppRevoked, &receipt, &operator())?);
        Ok(())
    })
    .await;
    let consented = queue(&world.store, move |tx| {
        assert_eq!(tx.last_ended_grant(&client, &ana)?, Some(grant.clone()));
        Ok(())
    })
    .await;
    gate.open().await;
    revoked.await.unwrap().unwrap();
    consented.await.unwrap().unwrap();
    assert_eq!(world.store.metrics().groups.get(), before + 1, "they did not share a commit");
}
