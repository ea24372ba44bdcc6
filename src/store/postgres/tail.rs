//! The read index: asks the database whether what is kept in memory is current, and catches up.
//!
//! One small statement answers for all requests of a thread that wait. It begins after they arrived, so it sees every
//! commit that was answered before them. If there is anything new, a second statement reads it, and it is applied before
//! they go on. Nothing here depends on clocks.
//!
//! Each thread that serves requests has an asker of its own, because to wake another thread costs more than the
//! statement. One more asks for everybody else, and now and then even if nobody waits.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Statement};

use crate::clock::Timestamp;
use crate::metrics::StoreMetrics;
use crate::model::act::SubjectKind;
use crate::store::memory::access_tokens::AccessTokenCache;
use crate::store::memory::dead::Change;
use crate::store::memory::effects::Published;
use crate::store::pages::Reader as _;
use crate::store::postgres::address::Address;
use crate::store::postgres::connect::{connect, soon};
use crate::store::postgres::primary::{Fence, History, history};
use crate::store::postgres::session::Session;
use crate::store::postgres::text::translated;
use crate::store::sql::{Connection, Row, params};
use crate::store::{Error, Result, feed};
use crate::thread::{self, PerThread};

/// How long a request waits for this answer. It is short, so that a server that is cut off from its database says so.
const PATIENCE: Duration = Duration::from_secs(1);
/// A server that nobody asks looks this often, so that its guards hear of what other servers revoked.
const EVERY: Duration = Duration::from_millis(20);
/// How often what is dead is read again as a whole, so that what other servers purged is forgotten.
const READ_AGAIN_EVERY: Duration = Duration::from_secs(600);
/// Tells whether there is anything new. The row is updated last by every act, so whoever sees it sees the act.
const NEWEST: &str = "SELECT sequence, config FROM head WHERE id = 1";
/// Rows of one answer. If there are more, the statement is run again.
const MOST: i64 = 1_000;
const AFTER: &str = "SELECT h.config, s.keys_version, l.sequence, l.at, l.subject_kind, l.subject_id, l.generation \
    FROM head AS h JOIN server AS s ON s.id = 1 LEFT JOIN ledger AS l ON l.sequence > ?1 WHERE h.id = 1 \
    ORDER BY l.sequence LIMIT ?2";

type Asked = std::result::Result<(), String>;
type Requests = mpsc::UnboundedSender<oneshot::Sender<Asked>>;

/// Cheap to clone.
#[derive(Clone)]
pub struct Tail {
    memory: Arc<Memory>,
    /// By threads that serve requests, which start theirs when they first need one.
    askers: Arc<PerThread<Mutex<Option<Requests>>>>,
    /// For everybody else.
    asker: Requests,
    stop: Arc<Notify>,
}

/// What all askers keep current together.
struct Memory {
    address: Address,
    published: Published,
    access_tokens: Arc<AccessTokenCache>,
    metrics: Arc<StoreMetrics>,
    /// All ledger rows up to this one have been applied.
    through: AtomicI64,
    /// The history that they belong to, and its part since a standby became the primary.
    incarnation: i64,
    timeline: AtomicI64,
    /// Held while what is dead is read again.
    reading: tokio::sync::Mutex<()>,
}

/// A connection that has been found to lead to the primary.
struct Primary {
    client: Client,
    newest: Statement,
    after: Statement,
    timeline: i64,
    fence: Fence,
}

/// A task that asks for the requests that wait.
struct Asker {
    memory: Arc<Memory>,
    primary: Option<Primary>,
    /// To connect may take longer than a request waits. Then a later one finds it done.
    connecting: Option<JoinHandle<Result<Primary>>>,
}

fn head(connection: Connection<'_>) -> Result<(i64, i64)> {
    connection.only(NEWEST, params![], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Runs a read of one state of the database on a thread and a connection of its own.
async fn apart<T: Send + 'static>(
    address: &Address,
    read: impl FnOnce(Connection<'_>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let address = address.clone();
    let read = move || Session::open(&address)?.one_state(read);
    tokio::task::spawn_blocking(read).await.map_err(|error| Error::Unavailable(error.to_string()))?
}

fn stopping() -> Error {
    Error::Unavailable("the server is stopping".to_owned())
}

impl Tail {
    /// Reads what is dead, and keeps it current from now on.
    ///
    /// # Errors
    /// When the database can't be read.
    pub(in crate::store) async fn start(
        address: Address,
        access_tokens: Arc<AccessTokenCache>,
        metrics: Arc<StoreMetrics>,
    ) -> Result<(Published, Self)> {
        let history = history(&connect(&address).await?.client, &address).await?;
        let read = |connection: Connection<'_>| Ok((head(connection)?, Published::load(connection)?));
        let ((through, config), published) = apart(&address, read).await?;
        published.raise_version(config.unsigned_abs());
        let memory = Arc::new(Memory {
            address,
            published: published.clone(),
            access_tokens,
            metrics,
            through: through.into(),
            timeline: history.timeline.into(),
            incarnation: history.incarnation,
            reading: tokio::sync::Mutex::default(),
        });
        let (asker, waiting) = mpsc::unbounded_channel();
        let stop = Arc::new(Notify::new());
        tokio::spawn(Asker::new(memory.clone()).ask_steadily(waiting, stop.clone()));
        Ok((published, Self { memory, askers: Arc::default(), asker, stop }))
    }

    /// The asker of this thread. A thread whose runtime has ended starts another one.
    fn of_thread(&self) -> Requests {
        if !thread::answers_requests() {
            return self.asker.clone();
        }
        let mut own = self.askers.own().lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asker) = own.as_ref().filter(|asker| !asker.is_closed()) {
            return asker.clone();
        }
        let (asker, waiting) = mpsc::unbounded_channel();
        tokio::spawn(Asker::new(self.memory.clone()).ask(waiting));
        own.insert(asker).clone()
    }

    /// Waits until what is kept in memory is no older than this call.
    ///
    /// # Errors
    /// When the database does not answer, or may not be believed.
    pub async fn current(&self) -> Result<()> {
        let (done, is_done) = oneshot::channel();
        self.of_thread().send(done).map_err(|_| stopping())?;
        is_done.await.map_err(|_| stopping())?.map_err(Error::Unavailable)
    }

    /// The same for a thread that serves no requests. What this returns waits, so the thread may do something else
    /// meanwhile.
    ///
    /// # Errors
    /// As [`Tail::current`].
    pub fn ask(&self) -> Result<impl FnOnce() -> Result<()>> {
        let (done, is_done) = oneshot::channel();
        self.asker.send(done).map_err(|_| stopping())?;
        Ok(|| is_done.blocking_recv().map_err(|_| stopping())?.map_err(Error::Unavailable))
    }

    pub fn close(&self) {
        self.stop.notify_one();
        for own in self.askers.iter() {
            own.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

impl Asker {
    const fn new(memory: Arc<Memory>) -> Self {
        Self { memory, primary: None, connecting: None }
    }

    async fn ask(mut self, mut waiting: mpsc::UnboundedReceiver<oneshot::Sender<Asked>>) {
        let mut requests = Vec::new();
        while waiting.recv_many(&mut requests, usize::MAX).await > 0 {
            self.answer(&mut requests).await;
        }
    }

    async fn ask_steadily(
        mut self,
        mut waiting: mpsc::UnboundedReceiver<oneshot::Sender<Asked>>,
        stop: Arc<Notify>,
    ) {
        let mut requests = Vec::new();
        let mut read_again = Instant::now();
        loop {
            let arrived = tokio::time::timeout(EVERY, waiting.recv_many(&mut requests, usize::MAX));
            tokio::select! {
                () = stop.notified() => return,
                arrived = arrived => if arrived == Ok(0) { return },
            }
            self.answer(&mut requests).await;
            if read_again.elapsed() >= READ_AGAIN_EVERY {
                read_again = Instant::now();
                tokio::spawn(self.memory.clone().forget_purged());
            }
        }
    }

    /// Asks once, and tells all of these requests.
    async fn answer(&mut self, requests: &mut Vec<oneshot::Sender<Asked>>) {
        let began = Instant::now();
        let asked = match tokio::time::timeout(PATIENCE, self.catch_up()).await {
            Ok(asked) => asked.map_err(|error| error.to_string()),
            Err(_) => Err("the database does not answer in time".to_owned()),
        };
        let metrics = &self.memory.metrics;
        metrics.read_index.note(began.elapsed());
        metrics.read_index_requests.add(requests.len() as u64);
        if asked.is_err() {
            metrics.read_index_failures.add(1);
            self.primary = None;
        }
        for request in requests.drain(..) {
            // An error means that the request no longer waits.
            let _ = request.send(asked.clone());
        }
    }

    async fn catch_up(&mut self) -> Result<()> {
        let memory = &self.memory;
        let primary = match self.primary.take_if(|primary| !primary.client.is_closed()) {
            Some(primary) => primary,
            None => {
                let connect = || tokio::spawn(soon(memory.clone().connect()));
                let connected = self.connecting.get_or_insert_with(connect).await;
                self.connecting = None;
                connected.map_err(|error| Error::Unavailable(error.to_string()))??
            }
        };
        let primary = self.primary.insert(primary);
        let newest = primary.client.query_one(&primary.newest, &[]);
        let believed = primary.fence.look(&primary.client, memory.address.standby);
        let (newest, believed) = tokio::join!(newest, believed);
        let newest = newest?;
        let (sequence, version): (i64, i64) = (newest.try_get(0)?, newest.try_get(1)?);
        loop {
            if primary.timeline != memory.timeline.load(Ordering::SeqCst) {
                return Err(Error::Unavailable("the database server was replaced by another one".to_owned()));
            }
            let through = memory.through.load(Ordering::SeqCst);
            if sequence <= through && version.unsigned_abs() <= memory.published.version() {
                return believed;
            }
            let rows = primary.client.query(&primary.after, &[&through, &MOST]).await?;
            memory.apply(&rows)?;
            if i64::try_from(rows.len()).is_ok_and(|rows| rows < MOST) {
                // There may be no row with that number: a new primary leaves a gap.
                memory.through.fetch_max(sequence, Ordering::SeqCst);
            }
        }
    }
}

impl Memory {
    async fn connect(self: Arc<Self>) -> Result<Primary> {
        let client = connect(&self.address).await?.client;
        let History { timeline, incarnation } = history(&client, &self.address).await?;
        if incarnation != self.incarnation {
            return Err(Error::Unavailable("the database was restored: start this server again".to_owned()));
        }
        if timeline != self.timeline.load(Ordering::SeqCst) {
            self.begin_anew(timeline).await?;
        }
        let newest = client.prepare(NEWEST).await?;
        let after = client.prepare(&translated(AFTER)).await?;
        Ok(Primary { client, newest, after, timeline, fence: Fence::default() })
    }

    /// A standby has become the primary. What it holds counts, and nothing else.
    async fn begin_anew(&self, timeline: i64) -> Result<()> {
        let _reading = self.reading.lock().await;
        if timeline <= self.timeline.load(Ordering::SeqCst) {
            // Another asker was first. If this one's server is the older one, its answers are refused.
            return Ok(());
        }
        let dead = self.published.dead.clone();
        let read = move |connection: Connection<'_>| {
            let (sequence, _) = head(connection)?;
            dead.read_again(connection)?;
            Ok(sequence)
        };
        let through = apart(&self.address, read).await?;
        self.access_tokens.clear();
        self.published.keep_successor_key(None);
        self.through.store(through, Ordering::SeqCst);
        self.timeline.store(timeline, Ordering::SeqCst);
        tracing::warn!(timeline, "tail.primary_changed");
        Ok(())
    }

    /// Reads again what is dead, so that what other servers purged is forgotten.
    async fn forget_purged(self: Arc<Self>) {
        let _reading = self.reading.lock().await;
        let dead = self.published.dead.clone();
        if let Err(error) = apart(&self.address, move |connection| dead.read_again(connection)).await {
            tracing::warn!(error = %error, "tail.not_read_again");
        }
    }

    /// Several askers may apply the same rows: that changes nothing.
    fn apply(&self, rows: &[tokio_postgres::Row]) -> Result<()> {
        let published = &self.published;
        let (mut dead, mut last) = (Vec::new(), None);
        for row in rows.iter().map(Row::Postgres) {
            if let Some(sequence) = row.get::<Option<i64>>(2)? {
                let (at, kind, id) = (row.get::<Timestamp>(3)?, row.get::<SubjectKind>(4)?, row.get(5)?);
                let subject = feed::subject(kind, id, row.get(6)?);
                dead.push(Change::Heard(published.dead.hash_subject(&subject), kind, at));
                last = Some(sequence);
            }
        }
        published.dead.apply(dead);
        if let Some(last) = last {
            published.raise_ledger_head(last);
            self.through.fetch_max(last, Ordering::SeqCst);
        }
        // The same in all rows.
        if let Some(row) = rows.first().map(Row::Postgres) {
            published.raise_version(row.get::<i64>(0)?.unsigned_abs());
            published.raise_keys_version(row.get(1)?);
        }
        Ok(())
    }
}
