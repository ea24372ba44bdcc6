//! Threads that each commit the work of many requests at once.
//!
//! Other servers have lanes too. What keeps all of them apart is in the statements: conditional updates, rows that
//! are locked before they are read, and the row `head`, which every act updates last: so the ledger's sequence is the
//! order of commits.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fail;
use crate::metrics::StoreMetrics;
use crate::store::jobs::{Job, Jobs, Outcome, Queue};
use crate::store::memory::effects::{Effects, Published};
use crate::store::postgres::address::Address;
use crate::store::postgres::session::{Session, Trouble};
use crate::store::postgres::tail::Tail;
use crate::store::sql::{Connection, Row, params};
use crate::store::{Error, Result, Tx};

/// A transaction has its number before it reads anything, so that a purge can wait for it (`store::purges`).
const BEGIN: &str = "BEGIN; SELECT pg_current_xact_id()";
const TAKE_NUMBERS: &str =
    "UPDATE head SET sequence = sequence + ?1, config = config + ?2 WHERE id = 1 RETURNING sequence, config";

/// Threads of one server that commit. While one waits for the database, another one's statements run.
const LANES: usize = 3;
/// How often a group runs again that lost against another server's transaction.
const ATTEMPTS: usize = 5;

/// A group that failed after this long has waited for a database that does not answer, or for somebody's lock.
const LONG: Duration = Duration::from_secs(1);

pub(in crate::store) fn start(
    address: Address,
    published: Published,
    tail: Tail,
    metrics: Arc<StoreMetrics>,
) -> Result<Queue> {
    let lane = |_| {
        let (address, published, tail) = (address.clone(), published.clone(), tail.clone());
        let lane = Lane { address, published, tail, session: None, has_asked_to_commit: Cell::new(false) };
        let metrics = metrics.clone();
        move |jobs: Jobs| lane.work_off(&jobs, &metrics)
    };
    Ok(Queue::start((0..LANES).map(lane))?)
}

struct Lane {
    address: Address,
    published: Published,
    tail: Tail,
    session: Option<Session>,
    /// Whether the commit was asked for: if there is no answer then, nobody knows what became of it.
    has_asked_to_commit: Cell<bool>,
}

impl Lane {
    fn work_off(mut self, jobs: &Jobs, metrics: &StoreMetrics) {
        let mut group = Vec::new();
        while jobs.take(&mut group) {
            metrics.groups.add(1);
            let began = Instant::now();
            let failure = match self.commit(&mut group) {
                Ok(effects) => {
                    self.published.publish(effects);
                    None
                }
                Err(error) => {
                    if began.elapsed() >= LONG {
                        // Queued requests have waited for the same database, so they fail too. If each group waited
                        // again, the last request would wait for minutes.
                        jobs.take_all(&mut group);
                    }
                    let why = error.to_string();
                    tracing::error!(error = %why, requests = group.len(), "store.commit_failed");
                    Some(why)
                }
            };
            for job in group.drain(..) {
                job.answer(failure.as_deref());
            }
        }
    }

    fn commit(&mut self, group: &mut [Box<dyn Job>]) -> Result<Effects> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let session = match self.session.take() {
                Some(session) if session.trouble() != Trouble::Lost => session,
                _ => Session::open(&self.address)?,
            };
            let done = self.attempt(&session, group);
            let trouble = session.trouble();
            // A connection that broke before the commit has changed nothing, and a new one may be there at once.
            let again = match trouble {
                Trouble::Conflict => attempts < ATTEMPTS,
                Trouble::Lost => attempts == 1 && !self.has_asked_to_commit.get(),
                Trouble::None | Trouble::Failed => false,
            };
            if done.is_err() && trouble != Trouble::Lost {
                session.control("ROLLBACK")?;
            }
            if trouble != Trouble::Lost {
                self.session = Some(session);
            }
            if done.is_ok() || !again {
                return done;
            }
        }
    }

    fn begin<'c>(&'c self, session: &'c Session) -> Result<Tx<'c>> {
        let began_after = *self.published.ledger_head.borrow();
        session.control(BEGIN)?;
        // What other servers revoked before these requests arrived counts for them.
        self.tail.current_now()?;
        Ok(Tx::new(Connection::Postgres(session), &self.published.dead, began_after))
    }

    fn attempt(&self, session: &Session, group: &mut [Box<dyn Job>]) -> Result<Effects> {
        self.has_asked_to_commit.set(false);
        let mut tx = self.begin(session)?;
        if !group.iter_mut().all(|job| leaves_nothing_to_undo(session, &tx, job.as_mut())) {
            if session.trouble() >= Trouble::Conflict {
                return Err(Error::Unavailable("the transaction was undone".to_owned()));
            }
            session.control("ROLLBACK")?;
            tx = self.begin(session)?;
            for job in group {
                run_apart(session, &tx, job.as_mut())?;
            }
        }
        number_ledger_rows(&tx)?;
        fail::point("writer.before_commit");
        self.has_asked_to_commit.set(true);
        session.commit()?;
        fail::point("writer.after_commit");
        Ok(tx.into_effects())
    }
}

/// Numbers the rows of a transaction that has nothing else to write. The row `head` stays locked until the commit, so
/// nobody sees a number while one below it may still come.
fn number_ledger_rows(tx: &Tx<'_>) -> Result<()> {
    let (rows, moves_version, has_acted) = {
        let effects = tx.effects.borrow();
        let moves = effects.moves_version || effects.keys_version.is_some();
        (effects.unnumbered.clone(), moves, effects.has_acted)
    };
    // An act that found nothing to end waits for all commits before its own: it must not tell of one that is not
    // durable yet.
    if rows.is_empty() && !moves_version && !has_acted {
        return Ok(());
    }
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let numbers = |row: &Row<'_>| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?));
    let (last, version) = tx.only(TAKE_NUMBERS, params![count, moves_version], numbers)?;
    tx.effects.borrow_mut().version = Some(version.unsigned_abs());
    for (sequence, row) in (last - count + 1..).zip(&rows) {
        tx.insert_numbered(row, Some(sequence))?;
    }
    Ok(())
}

/// Whether a job succeeded, or failed before it had written anything.
fn leaves_nothing_to_undo(session: &Session, tx: &Tx<'_>, job: &mut dyn Job) -> bool {
    let before = session.changes();
    let outcome = job.run(tx);
    session.trouble() == Trouble::None && (outcome == Outcome::Keep || session.changes() == before)
}

fn run_apart(session: &Session, tx: &Tx<'_>, job: &mut dyn Job) -> Result<()> {
    let before = tx.effects.borrow().clone();
    session.control("SAVEPOINT request")?;
    let outcome = job.run(tx);
    if session.trouble() >= Trouble::Conflict {
        return Err(Error::Unavailable("the transaction was undone".to_owned()));
    }
    if outcome == Outcome::Keep && session.trouble() == Trouble::Failed {
        // It would be told that it succeeded.
        return Err(Error::Unavailable("a request went on after a statement had failed".to_owned()));
    }
    if outcome == Outcome::Undo {
        tx.effects.replace(before);
        session.control("ROLLBACK TO request")?;
    }
    session.control("RELEASE request")
}
