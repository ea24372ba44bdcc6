//! The read index: asks the database whether what is kept in memory is current, and catches up.
//!
//! One statement answers for all requests that wait. It begins after they arrived, so it sees every commit that was
//! answered before them, and what it finds is applied before they go on. Nothing here depends on clocks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio_postgres::{Client, Statement};

use crate::clock::Timestamp;
use crate::metrics::StoreMetrics;
use crate::model::act::SubjectKind;
use crate::store::memory::access_tokens::AccessTokenCache;
use crate::store::memory::dead::Change;
use crate::store::memory::effects::Published;
use crate::store::pages::Reader as _;
use crate::store::postgres::address::Address;
use crate::store::postgres::connect::connect;
use crate::store::postgres::primary::{Fence, timeline};
use crate::store::postgres::session::Session;
use crate::store::postgres::text::translated;
use crate::store::sql::{Connection, Row, params};
use crate::store::{Error, Result, feed};

/// How long a request waits for this answer. It is short, so that a server that is cut off from its database says so.
const PATIENCE: Duration = Duration::from_secs(1);
/// A server that nobody asks looks this often, so that its guards hear of what other servers revoked.
const EVERY: Duration = Duration::from_millis(20);
/// How often what is dead is read again as a whole, so that what other servers purged is forgotten.
const READ_AGAIN_EVERY: Duration = Duration::from_secs(600);
/// Rows of one answer. If there are more, the statement is run again.
const MOST: i64 = 1_000;
const AFTER: &str = "SELECT h.config, s.keys_version, l.sequence, l.at, l.subject_kind, l.subject_id, l.generation \
    FROM head AS h JOIN server AS s ON s.id = 1 LEFT JOIN ledger AS l ON l.sequence > ?1 WHERE h.id = 1 \
    ORDER BY l.sequence LIMIT ?2";
const HEAD: &str = "SELECT sequence, config FROM head WHERE id = 1";

type Waiting = oneshot::Sender<std::result::Result<(), String>>;

/// Cheap to clone.
#[derive(Clone)]
pub struct Tail {
    requests: mpsc::UnboundedSender<Waiting>,
    stop: Arc<Notify>,
}

/// A connection that has been found to lead to the primary.
struct Primary {
    client: Client,
    after: Statement,
    fence: Fence,
}

/// The one task that asks.
struct Asking {
    address: Address,
    published: Published,
    access_tokens: Arc<AccessTokenCache>,
    metrics: Arc<StoreMetrics>,
    /// All ledger rows up to this one have been applied.
    through: i64,
    /// The history that they belong to.
    timeline: i64,
    primary: Option<Primary>,
    read_again: Instant,
}

fn head(connection: Connection<'_>) -> Result<(i64, i64)> {
    connection.only(HEAD, params![], |row| Ok((row.get(0)?, row.get(1)?)))
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
        let timeline = timeline(&connect(&address).await?.client).await?;
        let read = |connection: Connection<'_>| Ok((head(connection)?, Published::load(connection)?));
        let ((through, config), published) = apart(&address, read).await?;
        published.raise_version(config.unsigned_abs());
        let (requests, waiting) = mpsc::unbounded_channel();
        let stop = Arc::new(Notify::new());
        let asking = Asking {
            address,
            published: published.clone(),
            access_tokens,
            metrics,
            through,
            timeline,
            primary: None,
            read_again: Instant::now(),
        };
        tokio::spawn(asking.run(waiting, stop.clone()));
        Ok((published, Self { requests, stop }))
    }

    fn ask(&self) -> Result<oneshot::Receiver<std::result::Result<(), String>>> {
        let (done, is_done) = oneshot::channel();
        self.requests.send(done).map_err(|_| stopping())?;
        Ok(is_done)
    }

    /// Waits until what is kept in memory is no older than this call.
    ///
    /// # Errors
    /// When the database does not answer, or may not be believed.
    pub async fn current(&self) -> Result<()> {
        self.ask()?.await.map_err(|_| stopping())?.map_err(Error::Unavailable)
    }

    /// The same for a thread that serves no requests.
    ///
    /// # Errors
    /// As [`Tail::current`].
    pub fn current_now(&self) -> Result<()> {
        self.ask()?.blocking_recv().map_err(|_| stopping())?.map_err(Error::Unavailable)
    }

    pub fn close(&self) {
        self.stop.notify_one();
    }
}

fn stopping() -> Error {
    Error::Unavailable("the server is stopping".to_owned())
}

impl Asking {
    async fn run(mut self, mut waiting: mpsc::UnboundedReceiver<Waiting>, stop: Arc<Notify>) {
        let mut requests = Vec::new();
        loop {
            let arrived = tokio::time::timeout(EVERY, waiting.recv_many(&mut requests, usize::MAX));
            tokio::select! {
                () = stop.notified() => return,
                arrived = arrived => if arrived == Ok(0) { return },
            }
            let began = Instant::now();
            let asked = match tokio::time::timeout(PATIENCE, self.catch_up()).await {
                Ok(asked) => asked.map_err(|error| error.to_string()),
                Err(_) => Err("the database does not answer in time".to_owned()),
            };
            self.metrics.read_index.note(began.elapsed());
            self.metrics.read_index_requests.add(requests.len() as u64);
            if asked.is_err() {
                self.metrics.read_index_failures.add(1);
                self.primary = None;
            }
            for request in requests.drain(..) {
                // An error means that the request no longer waits.
                let _ = request.send(asked.clone());
            }
            if self.read_again.elapsed() >= READ_AGAIN_EVERY {
                self.read_again = Instant::now();
                let (address, dead) = (self.address.clone(), self.published.dead.clone());
                tokio::spawn(async move {
                    if let Err(error) = apart(&address, move |connection| dead.read_again(connection)).await {
                        tracing::warn!(error = %error, "tail.not_read_again");
                    }
                });
            }
        }
    }

    async fn catch_up(&mut self) -> Result<()> {
        let Self { published, through, .. } = self;
        let primary = match self.primary.take_if(|primary| !primary.client.is_closed()) {
            Some(primary) => self.primary.insert(primary),
            None => return self.reconnect().await,
        };
        loop {
            let (after, standby) = (&primary.after, self.address.standby);
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [through, &MOST];
            let rows = primary.client.query(after, &values);
            let (rows, fence) = tokio::join!(rows, primary.fence.look(&primary.client, standby));
            let rows = rows?;
            for row in &rows {
                apply(published, through, &Row::Postgres(row))?;
            }
            if i64::try_from(rows.len()).unwrap_or(i64::MAX) < MOST {
                return fence;
            }
        }
    }

    async fn reconnect(&mut self) -> Result<()> {
        let client = connect(&self.address).await?.client;
        let timeline = timeline(&client).await?;
        if timeline != self.timeline {
            // A standby has become the primary. What it holds counts, and nothing else.
            let dead = self.published.dead.clone();
            let read = move |connection: Connection<'_>| {
                let (sequence, _) = head(connection)?;
                dead.read_again(connection)?;
                Ok(sequence)
            };
            self.through = apart(&self.address, read).await?;
            self.access_tokens.clear();
            self.timeline = timeline;
            tracing::warn!(timeline, "tail.primary_changed");
        }
        let after = client.prepare(&translated(AFTER)).await?;
        self.primary = Some(Primary { client, after, fence: Fence::default() });
        Box::pin(self.catch_up()).await
    }
}

fn apply(published: &Published, through: &mut i64, row: &Row<'_>) -> Result<()> {
    if let Some(sequence) = row.get::<Option<i64>>(2)? {
        let (at, kind, id) = (row.get::<Timestamp>(3)?, row.get::<SubjectKind>(4)?, row.get(5)?);
        let subject = feed::subject(kind, id, row.get(6)?);
        published.dead.apply(vec![Change::Heard(published.dead.hash_subject(&subject), kind, at)]);
        *through = sequence;
        published.raise_ledger_head(sequence);
    }
    published.raise_version(row.get::<i64>(0)?.unsigned_abs());
    published.raise_keys_version(row.get(1)?);
    Ok(())
}
