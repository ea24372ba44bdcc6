//! Work that waits for a writer: requests' closures, each with the place that waits for its answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::sql::Lookup;
use super::{BUSY, Error, Tx};

/// At most this many requests share one commit.
const GROUP: usize = 64;
/// The size of the queue. Further requests wait for a place in it.
const QUEUE: usize = 1024;

pub(super) trait Job: Send {
    /// What its run looks up first.
    fn first_lookup(&mut self) -> Option<Lookup>;
    /// Returns whether to keep what it did. May run again after that was undone.
    fn run(&mut self, tx: &Tx<'_>) -> Outcome;
    fn answer(self: Box<Self>, failure: Option<&str>);
}

#[derive(PartialEq, Eq)]
pub(super) enum Outcome {
    Keep,
    Undo,
}

struct Request<F, T, E> {
    first_lookup: Option<Lookup>,
    work: F,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job for Request<F, T, E>
where
    F: Fn(&Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn first_lookup(&mut self) -> Option<Lookup> {
        self.first_lookup.take()
    }

    fn run(&mut self, tx: &Tx<'_>) -> Outcome {
        let result = catch_unwind(AssertUnwindSafe(|| (self.work)(tx)))
            .unwrap_or_else(|_| Err(Error::Unavailable("a write panicked".to_owned()).into()));
        let outcome = if result.is_ok() { Outcome::Keep } else { Outcome::Undo };
        self.result = Some(result);
        outcome
    }

    fn answer(mut self: Box<Self>, failure: Option<&str>) {
        let result = match (failure, self.result.take()) {
            (None, Some(result)) => result,
            // A refusal is not returned either: its reason may be what another request of the group did.
            (Some(why), _) => Err(Error::Unavailable(why.to_owned()).into()),
            (None, None) => Err(Error::Unavailable("the write did not run".to_owned()).into()),
        };
        // An error means that the caller no longer waits.
        let _ = self.answer.send(result);
    }
}

type Sender = mpsc::Sender<Box<dyn Job>>;

/// Jobs as their writer takes them.
pub(super) struct Jobs(mpsc::Receiver<Box<dyn Job>>);

impl Jobs {
    /// Waits for jobs, and adds a group of them to `group`. `false` if there will be none any more.
    pub(super) fn take(&mut self, group: &mut Vec<Box<dyn Job>>) -> bool {
        self.0.blocking_recv_many(group, GROUP) > 0
    }

    /// Adds more jobs to `group`, without waiting for any.
    pub(super) fn take_more(&mut self, group: &mut Vec<Box<dyn Job>>) {
        while group.len() < GROUP
            && let Ok(job) = self.0.try_recv()
        {
            group.push(job);
        }
    }

    /// Adds all that wait to `group`.
    pub(super) fn take_all(&mut self, group: &mut Vec<Box<dyn Job>>) {
        while let Ok(job) = self.0.try_recv() {
            group.push(job);
        }
    }
}

/// The queue to a writer's thread. Cheap to clone.
#[derive(Clone)]
pub(super) struct Queue {
    jobs: Arc<RwLock<Option<Sender>>>,
    /// Closed once the writer has ended.
    ended: watch::Receiver<()>,
}

impl Queue {
    /// Starts a thread that does all work that is queued from now on, until the queue is closed.
    pub(super) fn start(work_off: impl FnOnce(Jobs) + Send + 'static) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (running, ended) = watch::channel(());
        std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
            work_off(Jobs(jobs));
            drop(running);
        })?;
        Ok(Self { jobs: Arc::new(RwLock::new(Some(queue))), ended })
    }

    pub(super) async fn write<T, E>(
        &self,
        first_lookup: Option<Lookup>,
        work: impl Fn(&Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let closed = || E::from(Error::Unavailable("the server is stopping".to_owned()));
        let queue = self.jobs.read().ok().and_then(|queue| queue.clone()).ok_or_else(closed)?;
        let (answer, answered) = oneshot::channel();
        let place = tokio::time::timeout(BUSY, queue.reserve_owned())
            .await
            .map_err(|_| E::from(Error::Unavailable("too many writes are waiting".to_owned())))?
            .map_err(|_| closed())?;
        place.send(Box::new(Request { first_lookup, work, result: None, answer }));
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Writes in the queue.
    pub(super) fn waiting(&self) -> usize {
        let queue = self.jobs.read().ok().and_then(|queue| queue.clone());
        queue.map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    /// Waits until all queued work is done and the thread has ended, for ten seconds at most.
    pub(super) async fn close(&self) {
        if let Ok(mut queue) = self.jobs.write() {
            queue.take();
        }
        let mut ended = self.ended.clone();
        // The error is what is waited for: nobody is left to send.
        let _ = tokio::time::timeout(Duration::from_secs(10), ended.changed()).await;
    }
}
