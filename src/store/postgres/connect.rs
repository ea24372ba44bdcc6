//! Connections to a PostgreSQL database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::poll_fn;
use tokio_postgres::{AsyncMessage, Client};

use crate::store::postgres::address::Address;
use crate::store::{Error, Result};

/// How long a connection may take to be there, and a statement to be answered.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A connection, and whether the server has said something on it that nobody asked for.
pub struct Connected {
    pub client: Client,
    /// PostgreSQL reports a commit as done, with a warning, when its wait for the standby was cancelled.
    pub noticed: Arc<AtomicBool>,
}

/// Connects, and keeps the connection going in a task of this runtime.
///
/// # Errors
/// When the server can't be reached or refuses.
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
