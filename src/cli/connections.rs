//! Connections to the server: one task each, on one thread from its first request to its last, and none that waits
//! without end for a request.
//!
//! Each processor has a thread with its own scheduler, router and connections. Threads that share these wake each other
//! and pull the same memory to and fro: that cost a sixth of an introspection.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, header};
use futures_util::future::join_all;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tower::Service as _;

pub use crate::cli::timed_stream::Limits;
use crate::cli::timed_stream::{Phase, TimedStream};
use crate::thread;

/// How many connections a listener can hold that nobody has accepted: the greatest backlog that Linux allows unless told
/// otherwise.
const BACKLOG: usize = 4096;
/// After an accept that failed: mostly there are no descriptors, and some may be back by then.
const PAUSE: Duration = Duration::from_millis(200);

/// Accepts connections until `stop`, then answers what has arrived; each thread has a router of its own. When this is
/// dropped, all of it ends.
///
/// # Errors
/// When a thread can't be started, or none is left.
pub async fn serve(
    mut listeners: Vec<TcpListener>,
    router: impl Fn() -> Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let start = |number| Thread::start(number, router(), limits);
    let threads: Vec<Thread> = (0..thread::count().get()).map(start).collect::<std::io::Result<_>>()?;
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&mut listeners) => accepted,
            () = &mut stop => break,
        };
        match accepted.and_then(|(stream, address)| Ok((stream.into_std()?, address))) {
            Ok((stream, address)) => assign(&threads, stream, address, limits)?,
            Err(error) => {
                tracing::warn!(error = %error, "server.accept_failed");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    for listener in listeners {
        for (stream, address) in not_yet_accepted(listener)? {
            assign(&threads, stream, address, limits)?;
        }
    }
    // All are told before the first is waited for.
    let finished: Vec<_> = threads.into_iter().map(Thread::finish).collect();
    join_all(finished).await;
    Ok(())
}

/// The next connection of any listener; each has its turn to be the first that is looked at.
async fn accept(listeners: &mut [TcpListener]) -> std::io::Result<(TcpStream, SocketAddr)> {
    listeners.rotate_left(1);
    std::future::poll_fn(|context| {
        let accepted = listeners.iter().map(|listener| listener.poll_accept(context));
        accepted.into_iter().find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}

/// Connections that the kernel has accepted and nobody else has: closing the listener would reset them, whatever they have
/// sent. One that the kernel accepts between the last look and the close is reset all the same, which Linux gives no way
/// to prevent.
fn not_yet_accepted(
    listener: TcpListener,
) -> std::io::Result<impl Iterator<Item = (StdTcpStream, SocketAddr)>> {
    let listener = listener.into_std()?;
    let accepted = std::iter::from_fn(move || listener.accept().ok());
    Ok(accepted.take(BACKLOG).filter(|(stream, _)| stream.set_nonblocking(true).is_ok()))
}

/// Hands a connection to the thread that has the fewest.
fn assign(
    threads: &[Thread],
    stream: StdTcpStream,
    address: SocketAddr,
    limits: Limits,
) -> std::io::Result<()> {
    if let Err(error) = set_up(&stream, limits.patience) {
        tracing::debug!(error = %error, "server.socket_not_set_up");
    }
    let least =
        threads.iter().filter(|thread| thread.is_running()).min_by_key(|thread| thread.connection_count());
    let thread = least.ok_or_else(|| std::io::Error::other("no thread is left"))?;
    thread.add(stream, address);
    Ok(())
}

fn set_up(stream: &StdTcpStream, patience: Duration) -> std::io::Result<()> {
    // An event of the feed is a small packet after a small packet: it may not wait until the one before was
    // acknowledged, which the other end puts off for 40 ms.
    stream.set_nodelay(true)?;
    // A client that takes nothing of an answer for that long is cut off, instead of keeping it in memory for ever.
    SockRef::from(stream).set_tcp_user_timeout(Some(patience))
}

struct NewConnection {
    stream: StdTcpStream,
    address: SocketAddr,
    open: Arc<()>,
}

/// A thread that answers the connections that it is given. When this is dropped, it ends with all of them.
struct Thread {
    queue: mpsc::UnboundedSender<NewConnection>,
    /// Each of its connections has a clone.
    open: Arc<()>,
    ended: oneshot::Receiver<Infallible>,
    /// It ends when this is dropped.
    alive: oneshot::Sender<Infallible>,
}

impl Thread {
    fn start(number: usize, router: Router, limits: Limits) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (queue, new_connections) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let (alive, dropped) = oneshot::channel();
        std::thread::Builder::new().name(format!("http-{number}")).spawn(move || {
            thread::set_number(number);
            runtime.block_on(async {
                tokio::select! {
                    () = answer_connections(new_connections, router, limits) => {}
                    _ = dropped => {}
                }
            });
            // The last connections end with it.
            drop(runtime);
            drop(end);
        })?;
        Ok(Self { queue, open: Arc::default(), ended, alive })
    }

    fn is_running(&self) -> bool {
        !self.queue.is_closed()
    }

    fn connection_count(&self) -> usize {
        Arc::strong_count(&self.open)
    }

    fn add(&self, stream: StdTcpStream, address: SocketAddr) {
        let open = self.open.clone();
        if self.queue.send(NewConnection { stream, address, open }).is_err() {
            tracing::warn!("server.connection_lost");
        }
    }

    /// Tells it that no more connections come; then waits until requests under way are finished.
    fn finish(self) -> impl Future<Output = ()> {
        let Self { queue, ended, alive, .. } = self;
        drop(queue);
        async move {
            // It says nothing: the other end is dropped.
            let _ = ended.await;
            drop(alive);
        }
    }
}

/// Answers on these connections; once no more come, until all that has arrived is answered.
async fn answer_connections(
    mut new_connections: mpsc::UnboundedReceiver<NewConnection>,
    router: Router,
    limits: Limits,
) {
    let (stop, stopping) = watch::channel(());
    while let Some(NewConnection { stream, address, open }) = new_connections.recv().await {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(error = %error, "server.connection_lost");
                continue;
            }
        };
        let connection = answer_requests(stream, address, router.clone(), limits, stopping.clone());
        tokio::spawn(async move {
            // It went away, or said what is no HTTP: nobody is there to be told.
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "server.connection_failed");
            }
            drop(open);
        });
    }
    drop(stopping);
    stop.send_replace(());
    // Each connection has a receiver.
    stop.closed().await;
}

/// Answers the requests of one connection. Once the server stops, the answer under way says that it is the last one.
async fn answer_requests(
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
    limits: Limits,
    mut stopping: watch::Receiver<()>,
) -> hyper::Result<()> {
    let phase = Phase::default();
    let stream = TimedStream::new(stream, phase.clone(), limits, stopping.clone());
    let is_stopping = stopping.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert::<ConnectInfo<SocketAddr>>(ConnectInfo(address));
        phase.start_answer();
        let (answered, phase, is_stopping) =
            (router.clone().call(request), phase.clone(), is_stopping.clone());
        async move {
            let mut response = answered.await?;
            if is_stopping.has_changed().unwrap_or(true) {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| phase.track(body)))
        }
    });
    // The stream has its own limits for heads.
    let mut http = http1::Builder::new();
    http.header_read_timeout(None);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = &mut connection => return ended,
        _ = stopping.changed() => {}
    }
    // Polled again, it sees that the server stops.
    connection.await
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
