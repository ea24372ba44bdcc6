//! The thread that commits the work of many requests of this server at once.
//!
//! Other servers have lanes of their own. What keeps them apart is in the statements: conditional updates, rows that
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
/// Two groups may wait for each other, which PostgreSQL notices only after a second. A single request has its locks in an
/// order in which this can't happen (`store::locks`).
const BEGIN_GROUP: &str = "BEGIN; SET LOCAL lock_timeout = 100; SELECT pg_current_xact_id()";
const WAIT_AS_LONG_AS_NEEDED: &str = "SET LOCAL lock_timeout = 0";
const TAKE_NUMBERS: &str =
    "UPDATE head SET sequence = sequence + ?1, config = config + ?2 WHERE id = 1 RETURNING sequence, config";

/// How often a request runs that lost against another server's transaction.
const ATTEMPTS: usize = 5;

const LONGEST_PAUSE: Duration = Duration::from_millis(1);

/// A group that failed after this long has waited for a database that does not answer, or for somebody's lock.
const LONG: Duration = Duration::from_secs(1);

pub(in crate::store) fn start(
    address: Address,
    published: Published,
    tail: Tail,
    metrics: Arc<StoreMetrics>,
) -> Result<Queue> {
    let lane = Lane { address, published, tail, session: None, has_asked_to_commit: Cell::new(false) };
    Ok(Queue::start(move |jobs| lane.work_off(jobs, &metrics))?)
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
    fn work_off(mut self, mut jobs: Jobs, metrics: &StoreMetrics) {
        let mut group = Vec::new();
        // Of the last group.
        let (mut requests, mut took) = (0, Duration::ZERO);
        while jobs.take(&mut group) {
            if group.len() < requests / 2 {
                // Its callers have their answers, and are about to send their next requests. Without a pause, the first
                // of these would be a group of its own, for which all others wait.
                std::thread::sleep(LONGEST_PAUSE.min(took / 4));
                jobs.take_more(&mut group);
            }
            metrics.groups.add(1);
            requests = group.len();
            let began = Instant::now();
            let done = self.commit(&mut group);
            if matches!(done, Err(Failure::Conflict(_))) && group.len() > 1 {
                let mut rest = std::mem::take(&mut group).into_iter();
                while let Some(job) = rest.next() {
                    let mut alone = vec![job];
                    let began = Instant::now();
                    let done = self.commit(&mut alone);
                    if done.is_err() && began.elapsed() >= LONG {
                        alone.extend(rest.by_ref());
                        jobs.take_all(&mut alone);
                    }
                    self.answer(done, alone);
                }
            } else {
                if done.is_err() && began.elapsed() >= LONG {
                    // Queued requests have waited for the same database, so they fail too. If each group waited again,
                    // the last request would wait for minutes.
                    jobs.take_all(&mut group);
                }
                self.answer(done, group.drain(..));
            }
            took = began.elapsed();
        }
    }

    fn answer(
        &self,
        done: std::result::Result<Effects, Failure>,
        jobs: impl IntoIterator<Item = Box<dyn Job>, IntoIter: ExactSizeIterator>,
    ) {
        let jobs = jobs.into_iter();
        let failure = match done {
            Ok(effects) => {
                self.published.publish(effects);
                None
            }
            Err(Failure::Conflict(error) | Failure::Other(error)) => {
                let why = error.to_string();
                tracing::error!(error = %why, requests = jobs.len(), "store.commit_failed");
                Some(why)
            }
        };
        for job in jobs {
            job.answer(failure.as_deref());
        }
    }

    /// Requests that lost as a group against another server's transaction are not run again here: the group locks rows
    /// in the order of the requests, and the other one may do it the other way round each time.
    fn commit(&mut self, group: &mut [Box<dyn Job>]) -> std::result::Result<Effects, Failure> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let session = match self.session.take() {
                Some(session) if session.trouble() != Trouble::Lost => session,
                _ => Session::open(&self.address)?,
            };
            let done = self.attempt(&session, group);
            let trouble = session.trouble();
            if done.is_err() && trouble != Trouble::Lost {
                session.control("ROLLBACK")?;
            }
            if trouble != Trouble::Lost {
                self.session = Some(session);
            }
            match done {
                Ok(effects) => return Ok(effects),
                // A connection that broke before the commit has changed nothing, and a new one may be there at once.
                Err(_) if trouble == Trouble::Lost && attempts == 1 && !self.has_asked_to_commit.get() => {}
                Err(error) if trouble != Trouble::Conflict => return Err(Failure::Other(error)),
                Err(error) if group.len() > 1 || attempts == ATTEMPTS => {
                    return Err(Failure::Conflict(error));
                }
                Err(_) => {}
            }
        }
    }

    fn begin<'c>(
        &'c self,
        session: &'c Session,
        begin: impl FnOnce(&Session) -> Result<()>,
    ) -> Result<Tx<'c>> {
        let began_after = *self.published.ledger_head.borrow();
        // What other servers revoked before these requests arrived counts for them.
        let is_current = self.tail.ask()?;
        begin(session)?;
        is_current()?;
        Ok(Tx::new(Connection::Postgres(session), &self.published, began_after))
    }

    fn attempt(&self, session: &Session, group: &mut [Box<dyn Job>]) -> Result<Effects> {
        self.has_asked_to_commit.set(false);
        let mut tx = self.begin(session, |session| {
            if group.len() == 1 {
                return session.control(BEGIN);
            }
            let lookups = group.iter_mut().filter_map(|job| job.first_lookup()).collect();
            session.begin_group(BEGIN_GROUP, lookups)
        })?;
        if !group.iter_mut().all(|job| leaves_nothing_to_undo(session, &tx, job.as_mut())) {
            if session.trouble() >= Trouble::Conflict {
                return Err(Error::Unavailable("the transaction was undone".to_owned()));
            }
            session.control("ROLLBACK")?;
            tx = self.begin(session, |session| session.control(BEGIN_GROUP))?;
            for job in group.iter_mut() {
                run_apart(session, &tx, job.as_mut())?;
            }
        }
        if group.len() > 1 && has_numbers(&tx) {
            // Whoever has the row `head` has all its other locks, and is done as soon as its commit is durable.
            session.control(WAIT_AS_LONG_AS_NEEDED)?;
        }
        number_ledger_rows(&tx)?;
        session.run_deferred()?;
        fail::point("writer.before_commit");
        self.has_asked_to_commit.set(true);
        session.commit()?;
        fail::point("writer.after_commit");
        Ok(tx.into_effects())
    }
}

/// Why nothing was committed.
enum Failure {
    /// Another server's transaction was in the way, and another attempt may succeed.
    Conflict(Error),
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// Whether the row `head` is to be moved, or at least waited for.
fn has_numbers(tx: &Tx<'_>) -> bool {
    let effects = tx.effects.borrow();
    // An act that found nothing to end waits for all commits before its own: it must not tell of one that is not
    // durable yet.
    !effects.unnumbered.is_empty() || effects.moves_version || effects.has_acted
}

/// Numbers the rows of a transaction that has nothing else to write. The row `head` stays locked until the commit, so
/// nobody sees a number while one below it may still come.
fn number_ledger_rows(tx: &Tx<'_>) -> Result<()> {
    if !has_numbers(tx) {
        return Ok(());
    }
    let (rows, moves_version) = {
        let effects = tx.effects.borrow();
        (effects.unnumbered.clone(), effects.moves_version)
    };
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
