//! The read index: asks the database whether what is kept in memory is current, and catches up.
//!
//! One statement answers for all requests that wait. It begins after they arrived, so it sees every commit that was
//! answered before them, and what it finds is applied before they go on. Nothing here depends on clocks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio_postgres::{Client, Statement};

use crate::clock::Timestamp;
use crate::model::act::SubjectKind;
use crate::store::memory::dead::Change;
use crate::store::memory::effects::Published;
use crate::store::pages::Reader as _;
use crate::store::postgres::connect::{Address, connect_soon};
use crate::store::postgres::session::Session;
use crate::store::postgres::text::translated;
use crate::store::sql::{Row, params};
use crate::store::{Error, Result, feed};

/// How long a request waits for this answer. It is short, so that a server that is cut off from its database says so.
const PATIENCE: Duration = Duration::from_secs(1);
/// A server that nobody asks looks this often, so that its guards hear of what other servers revoked.
const EVERY: Duration = Duration::from_millis(20);
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

/// The one task that asks.
struct Asking {
    address: Address,
    published: Published,
    /// All ledger rows up to this one have been applied.
    through: i64,
    connection: Option<(Client, Statement)>,
}

impl Tail {
    /// Reads what is dead, and keeps it current from now on.
    pub(in crate::store) async fn start(address: Address) -> Result<(Published, Self)> {
        let from = address.clone();
        let load = move || {
            let session = Session::open(&from)?;
            session.one_state(|connection| {
                let head = |row: &Row<'_>| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?));
                let (sequence, config) = connection.only(HEAD, params![], head)?;
                Ok((Published::load(connection)?, sequence, config))
            })
        };
        let loaded = tokio::task::spawn_blocking(load).await;
        let (published, through, config) =
            loaded.map_err(|error| Error::Unavailable(error.to_string()))??;
        published.set_version(config.unsigned_abs());
        let (requests, waiting) = mpsc::unbounded_channel();
        let stop = Arc::new(Notify::new());
        let asking = Asking { address, published: published.clone(), through, connection: None };
        tokio::spawn(asking.run(waiting, stop.clone()));
        Ok((published, Self { requests, stop }))
    }

    /// Waits until what is kept in memory is no older than this call.
    pub async fn current(&self) -> Result<()> {
        let stopped = || Error::Unavailable("the server is stopping".to_owned());
        let (done, is_done) = oneshot::channel();
        self.requests.send(done).map_err(|_| stopped())?;
        is_done.await.map_err(|_| stopped())?.map_err(Error::Unavailable)
    }

    /// The same for a thread that serves no requests.
    pub fn current_now(&self) -> Result<()> {
        let stopped = || Error::Unavailable("the server is stopping".to_owned());
        let (done, is_done) = oneshot::channel();
        self.requests.send(done).map_err(|_| stopped())?;
        is_done.blocking_recv().map_err(|_| stopped())?.map_err(Error::Unavailable)
    }

    pub fn close(&self) {
        self.stop.notify_one();
    }
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
            let asked = match tokio::time::timeout(PATIENCE, self.ask()).await {
                Ok(asked) => asked.map_err(|error| error.to_string()),
                Err(_) => Err("the database does not answer in time".to_owned()),
            };
            if asked.is_err() {
                self.connection = None;
            }
            for request in requests.drain(..) {
                // An error means that the request no longer waits.
                let _ = request.send(asked.clone());
            }
        }
    }

    async fn ask(&mut self) -> Result<()> {
        let (client, statement) = match &mut self.connection {
            Some((client, statement)) if !client.is_closed() => (client, statement),
            lost => {
                let client = connect_soon(&self.address).await?.client;
                let statement = client.prepare(&translated(AFTER)).await?;
                let (client, statement) = lost.insert((client, statement));
                (client, statement)
            }
        };
        loop {
            let rows = client.query(&*statement, &[&self.through, &MOST]).await?;
            for row in &rows {
                apply(&self.published, &mut self.through, &Row::Postgres(row))?;
            }
            if i64::try_from(rows.len()).unwrap_or(i64::MAX) < MOST {
                return Ok(());
            }
        }
    }
}

fn apply(published: &Published, through: &mut i64, row: &Row<'_>) -> Result<()> {
    if let Some(sequence) = row.get::<Option<i64>>(2)? {
        let (at, kind, id) = (row.get::<Timestamp>(3)?, row.get::<SubjectKind>(4)?, row.get(5)?);
        let subject = feed::subject(kind, id, row.get(6)?);
        published.dead.apply(vec![Change::Heard(published.dead.hash_subject(&subject), kind, at)]);
        *through = sequence;
        published.ledger_head.send_replace(sequence);
    }
    published.set_version(row.get::<i64>(0)?.unsigned_abs());
    let keys_version = row.get(1)?;
    published.keys_version.send_if_modified(|held| std::mem::replace(held, keys_version) != keys_version);
    Ok(())
}
