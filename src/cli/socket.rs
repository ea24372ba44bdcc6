//! The local socket, 0600 beside the database: commands reach the server that holds the lock.
//!
//! One JSON line each way.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::App;
use crate::cli::command::Command;
use crate::cli::failure::Failure;
use crate::store::sqlite::lock::beside;

const LONGEST_LINE: u64 = 128 * 1024;
/// A list of a thousand resource servers with all their scopes fits in.
const LONGEST_ANSWER: u64 = 4 * 1024 * 1024;

/// Listens beside the database. The caller holds the database's lock, so a socket that
/// lies there is a dead server's.
///
/// # Errors
/// When the socket can't be made there.
pub fn listen(database: &Path) -> anyhow::Result<UnixListener> {
    let path = beside(database, "sock");
    let context = || format!("the local socket {}", path.display());
    // Made where nobody else can come, and moved out once nobody else can open it.
    let private_folder = beside(database, "sock.new");
    let _ = std::fs::remove_dir_all(&private_folder);
    std::fs::DirBuilder::new().mode(0o700).create(&private_folder).with_context(context)?;
    let new_socket = private_folder.join("s");
    let folder = open_path(&private_folder, OFlags::DIRECTORY).with_context(context)?;
    let listener = UnixListener::bind(short_path(&folder).join("s")).with_context(context)?;
    std::fs::set_permissions(&new_socket, std::fs::Permissions::from_mode(0o600)).with_context(context)?;
    std::fs::rename(&new_socket, &path).with_context(context)?;
    std::fs::remove_dir(&private_folder).with_context(context)?;
    Ok(listener)
}

/// A path of any length, opened: an address of a socket holds 107 bytes.
fn open_path(path: &Path, flags: OFlags) -> std::io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC | flags, Mode::empty())?)
}

/// A short path to the same file, for as long as the handle is open.
fn short_path(handle: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()))
}

/// Answers commands until told to stop; then those that have connected.
pub async fn serve(listener: UnixListener, app: App, mut stopping: watch::Receiver<()>) {
    let mut answering = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = answering.join_next() => continue,
            _ = stopping.changed() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                answering.spawn(answer_or_log(stream, app.clone()));
            }
            Err(error) => {
                tracing::warn!(error = %error, "socket.accept_failed");
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        }
    }
    for stream in not_yet_accepted(listener).into_iter().flatten() {
        answering.spawn(answer_or_log(stream, app.clone()));
    }
    while answering.join_next().await.is_some() {}
}

/// Commands that have connected, and that nobody has accepted yet.
fn not_yet_accepted(listener: UnixListener) -> std::io::Result<impl Iterator<Item = UnixStream>> {
    let listener = listener.into_std()?;
    let accepted = std::iter::from_fn(move || listener.accept().ok());
    let is_set = |stream: &std::os::unix::net::UnixStream| stream.set_nonblocking(true).is_ok();
    let streams = accepted.map(|(stream, _)| stream).filter(is_set);
    Ok(streams.filter_map(|stream| UnixStream::from_std(stream).ok()))
}

async fn answer_or_log(stream: UnixStream, app: App) {
    if let Err(error) = answer(stream, &app).await {
        tracing::warn!(error = %error, "socket.failed");
    }
}

async fn answer(mut stream: UnixStream, app: &App) -> anyhow::Result<()> {
    let mut line = String::new();
    let (read, mut write) = stream.split();
    BufReader::new(read.take(LONGEST_LINE)).read_line(&mut line).await?;
    if line.is_empty() {
        // A caller that only checks whether a server is here sends nothing.
        return Ok(());
    }
    let result = match serde_json::from_str::<Command>(&line) {
        Ok(command) => command.execute(app).await,
        Err(_) => Err(Failure::refused(
            "the server does not know this command: are the versions the same?".to_owned(),
        )),
    };
    let mut text = serde_json::to_vec(&result)?;
    text.push(b'\n');
    write.write_all(&text).await?;
    Ok(())
}

/// Reaches the server that holds the database.
///
/// # Errors
/// When none listens.
pub async fn connect(database: &Path) -> std::io::Result<UnixStream> {
    let socket = open_path(&beside(database, "sock"), OFlags::NOFOLLOW)?;
    UnixStream::connect(short_path(&socket)).await
}

/// Has the server at the other end run `command`.
///
/// # Errors
/// What the server answered, or that it went away before it did.
pub async fn ask(mut stream: UnixStream, command: &Command) -> Result<Value, Failure> {
    let exchange = async {
        let mut text = serde_json::to_vec(command)?;
        text.push(b'\n');
        stream.write_all(&text).await?;
        let mut line = String::new();
        BufReader::new(stream.take(LONGEST_ANSWER)).read_line(&mut line).await?;
        Ok::<Result<Value, Failure>, anyhow::Error>(serde_json::from_str(&line)?)
    };
    exchange.await.unwrap_or_else(|error| {
        Err(Failure::refused(format!("the server that holds the database did not answer: {error}")))
    })
}
