//! Connections to a PostgreSQL database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::poll_fn;
use tokio_postgres::{AsyncMessage, Client, SimpleQueryMessage};

use crate::store::postgres::address::Address;
use crate::store::{Error, Result};

/// How long a connection may take to be there, and a statement to be answered.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Plans are made once: with values they would be made anew for each execution. Compiling a plan takes longer than any
/// statement here. A transaction that this server has left behind, as a machine does that is suspended, ends by itself before
/// others that wait for its locks give up ([`PATIENCE`]). (Poolers refuse these where others stand, with what opens the
/// connection.)
///
/// The last one marks the session, and tells whether it was marked before: then a pooler gives sessions of others away,
/// and takes this one after each transaction. Prepared statements would be others', and nobody would notice that the
/// pooler has gone on to another primary.
const BEGIN: &str = "SET plan_cache_mode = force_generic_plan; SET jit = off; \
    SET idle_in_transaction_session_timeout = '3s'; \
    SELECT coalesce(current_setting('rescind.session', true), ''), set_config('rescind.session', 'used', false)";

/// A connection, and whether the server has said something on it that nobody asked for.
pub struct Connected {
    pub client: Client,
    /// PostgreSQL reports a commit as done, with a warning, when its wait for the standby was cancelled.
    pub noticed: Arc<AtomicBool>,
}

/// Connects, and keeps the connection going in a task of this runtime.
///
/// # Errors
/// When the server can't be reached or refuses, or a pooler shares its connections.
pub async fn connect(address: &Address) -> Result<Connected> {
    let (client, mut connection) = soon(address.config.connect(address.tls.clone())).await?;
    let noticed = Arc::new(AtomicBool::new(false));
    let notices = noticed.clone();
    tokio::spawn(async move {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            match message {
                Ok(AsyncMessage::Notice(_)) => notices.store(true, Ordering::SeqCst),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    });
    for message in soon(client.simple_query(BEGIN)).await? {
        if let SimpleQueryMessage::Row(row) = message
            && row.get(0) != Some("")
        {
            return Err(Error::Unavailable(
                "a pooler in between shares connections: it has to pool whole sessions (in PgBouncer, pool_mode = \
                 session), or connect without it"
                    .to_owned(),
            ));
        }
    }
    Ok(Connected { client, noticed })
}

/// What `answer` becomes within [`PATIENCE`].
///
/// # Errors
/// Those of `answer`, and when it takes longer.
pub async fn soon<T, E>(answer: impl Future<Output = std::result::Result<T, E>>) -> Result<T>
where
    Error: From<E>,
{
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Error::Unavailable("the database does not answer in time".to_owned())),
    }
}
