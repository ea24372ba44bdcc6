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

pub use crate::cli::wire::Limits;
use crate::cli::wire::{Phase, Wire};
use crate::thread;

/// How many connections a listener can hold that nobody has accepted: the greatest backlog that Linux allows unless told
/// otherwise.
const BACKLOG: usize = 4096;
/// After an accept that failed: mostly there are no descriptors, and some may be back by then.
const PAUSE: Duration = Duration::from_millis(200);

/// Accepts connections until `told`, then answers what has arrived; each thread has a router of its own. When this is
/// dropped, all of it ends.
///
/// # Errors
/// When a thread can't be started, or none is left.
pub async fn serve(
    mut listeners: Vec<TcpListener>,
    router: impl Fn() -> Router,
    limits: Limits,
    told: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let start = |number| Thread::start(number, router(), limits);
    let threads: Vec<Thread> = (0..thread::count().get()).map(start).collect::<std::io::Result<_>>()?;
    let mut told = std::pin::pin!(told);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&mut listeners) => accepted,
            () = &mut told => break,
        };
        match accepted.and_then(|(stream, address)| Ok((stream.into_std()?, address))) {
            Ok((stream, address)) => give(&threads, stream, address, limits)?,
            Err(error) => {
                tracing::warn!(error = %error, "server.accept_failed");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    for listener in listeners {
        for (stream, address) in waiting(listener)? {
            give(&threads, stream, address, limits)?;
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
fn waiting(listener: TcpListener) -> std::io::Result<impl Iterator<Item = (StdTcpStream, SocketAddr)>> {
    let listener = listener.into_std()?;
    let accepted = std::iter::from_fn(move || listener.accept().ok());
    Ok(accepted.take(BACKLOG).filter(|(stream, _)| stream.set_nonblocking(true).is_ok()))
}

/// Hands a connection to the thread that has the fewest.
fn give(
    threads: &[Thread],
    stream: StdTcpStream,
    address: SocketAddr,
    limits: Limits,
) -> std::io::Result<()> {
    if let Err(error) = set_up(&stream, limits.patience) {
        tracing::debug!(error = %error, "server.socket_not_set_up");
    }
    let least = threads.iter().filter(|thread| thread.runs()).min_by_key(|thread| thread.connections());
    let thread = least.ok_or_else(|| std::io::Error::other("no thread is left"))?;
    thread.give(stream, address);
    Ok(())
}

fn set_up(stream: &StdTcpStream, patience: Duration) -> std::io::Result<()> {
    // An event of the feed is a small packet after a small packet: it may not wait until the one before was
    // acknowledged, which the other end puts off for 40 ms.
    stream.set_nodelay(true)?;
    // Whoever takes nothing of an answer for so long is cut off, instead of keeping it in memory for ever.
    SockRef::from(stream).set_tcp_user_timeout(Some(patience))
}

struct Given {
    stream: StdTcpStream,
    address: SocketAddr,
    open: Arc<()>,
}

/// A thread that answers the connections that it is given. When this is dropped, it ends with all of them.
struct Thread {
    given: mpsc::UnboundedSender<Given>,
    /// Each of its connections has a clone.
    open: Arc<()>,
    ended: oneshot::Receiver<Infallible>,
    held: oneshot::Sender<Infallible>,
}

impl Thread {
    fn start(number: usize, router: Router, limits: Limits) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (given, taken) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let (held, dropped) = oneshot::channel();
        std::thread::Builder::new().name(format!("http-{number}")).spawn(move || {
            thread::set_number(number);
            runtime.block_on(async {
                tokio::select! {
                    () = answer(taken, router, limits) => {}
                    _ = dropped => {}
                }
            });
            // The last connections end with it.
            drop(runtime);
            drop(end);
        })?;
        Ok(Self { given, open: Arc::default(), ended, held })
    }

    fn runs(&self) -> bool {
        !self.given.is_closed()
    }

    fn connections(&self) -> usize {
        Arc::strong_count(&self.open)
    }

    fn give(&self, stream: StdTcpStream, address: SocketAddr) {
        let open = self.open.clone();
        if self.given.send(Given { stream, address, open }).is_err() {
            tracing::warn!("server.connection_lost");
        }
    }

    /// Tells it that no more connections come; then waits until requests under way are finished.
    fn finish(self) -> impl Future<Output = ()> {
        let Self { given, ended, held, .. } = self;
        drop(given);
        async move {
            // It says nothing: the other end is dropped.
            let _ = ended.await;
            drop(held);
        }
    }
}

/// Answers on these connections; once no more come, until all that has arrived is answered.
async fn answer(mut taken: mpsc::UnboundedReceiver<Given>, router: Router, limits: Limits) {
    let (stop, stopping) = watch::channel(());
    while let Some(Given { stream, address, open }) = taken.recv().await {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(error = %error, "server.connection_lost");
                continue;
            }
        };
        let connection = converse(stream, address, router.clone(), limits, stopping.clone());
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
async fn converse(
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
    limits: Limits,
    mut stopping: watch::Receiver<()>,
) -> hyper::Result<()> {
    let phase = Phase::default();
    let wire = Wire::new(stream, phase.clone(), limits, stopping.clone());
    let is_stopping = stopping.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert::<ConnectInfo<SocketAddr>>(ConnectInfo(address));
        phase.answering();
        let (answered, phase, is_stopping) =
            (router.clone().call(request), phase.clone(), is_stopping.clone());
        async move {
            let mut response = answered.await?;
            if is_stopping.has_changed().unwrap_or(true) {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| phase.until_the_end_of(body)))
        }
    });
    // The wire has its own limits for heads.
    let mut http = http1::Builder::new();
    http.header_read_timeout(None);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(wire), service));
    tokio::select! {
        ended = &mut connection => return ended,
        _ = stopping.changed() => {}
    }
    // Polled again, it sees that the server stops.
    connection.await
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::{Condvar, Mutex};

    use axum::body::Body;
    use axum::routing::get;
    use futures_util::{StreamExt as _, stream};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::cli::wire::PATIENCE;

    /// All that comes until the server closes the connection.
    async fn answer(address: SocketAddr, said: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut text = String::new();
        let read = stream.read_to_string(&mut text);
        let _ = tokio::time::timeout(Duration::from_secs(60), read).await.expect("it is still open");
        text
    }

    #[tokio::test]
    async fn who_does_not_ask_is_cut_off_and_a_long_answer_is_not() {
        let patience = Duration::from_millis(100);
        let limits = Limits { idle: patience, patience };
        let slow = move || async move {
            let pieces = stream::iter(0..4).then(move |piece| async move {
                tokio::time::sleep(patience).await;
                Ok::<_, Infallible>(format!("{piece}"))
            });
            Body::from_stream(pieces)
        };
        let router = Router::new().route("/slow", get(slow));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(vec![listener], move || router.clone(), limits, async {
            let _ = stopped.await;
        }));
        for silent in ["", "GET /slow HTTP/1.1\r\nHost: a\r\n"] {
            assert!(!answer(address, silent).await.contains("200 OK"), "{silent:?}");
        }
        let whole = answer(address, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(whole.starts_with("HTTP/1.1 200 OK") && whole.ends_with("3\r\n0\r\n\r\n"), "{whole}");
        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    /// A server whose one answer never ends, and what is dropped with the last of its routers and answers.
    async fn endless(
        patience: Duration,
        told: impl Future<Output = ()> + Send + 'static,
    ) -> (SocketAddr, JoinHandle<std::io::Result<()>>, mpsc::Receiver<()>) {
        let (held, dropped) = mpsc::channel(1);
        let pieces = move || {
            let held = held.clone();
            async move {
                let pieces = stream::iter(std::iter::repeat_with(move || {
                    let _ = &held;
                    Ok::<_, Infallible>([0; 16 * 1024].to_vec())
                }));
                Body::from_stream(pieces)
            }
        };
        let router = Router::new().route("/endless", get(pieces));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Limits { idle: patience, patience };
        (address, tokio::spawn(serve(vec![listener], move || router.clone(), limits, told)), dropped)
    }

    async fn asks_for_what_is_endless(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        stream.readable().await.unwrap();
        stream
    }

    async fn soon<T>(event: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(60), event).await.expect("it took too long")
    }

    #[tokio::test]
    async fn who_takes_nothing_of_an_answer_is_cut_off() {
        let (stop, stopped) = oneshot::channel::<()>();
        let told = async {
            let _ = stopped.await;
        };
        let (address, server, mut dropped) = endless(Duration::from_millis(200), told).await;
        let _stream = asks_for_what_is_endless(address).await;
        stop.send(()).unwrap();
        // It waits for the answers under way.
        soon(server).await.unwrap().unwrap();
        assert_eq!(soon(dropped.recv()).await, None);
    }

    #[tokio::test]
    async fn a_slow_answer_keeps_no_other_connection_from_being_told_of_the_end() {
        let (stop, stopped) = oneshot::channel::<()>();
        let told = async {
            let _ = stopped.await;
        };
        let (address, server, _dropped) = endless(PATIENCE, told).await;
        // Each on a thread of its own, where there is more than one.
        let _slow = asks_for_what_is_endless(address).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        idle.readable().await.unwrap();
        stop.send(()).unwrap();
        let mut text = String::new();
        let closed = tokio::time::timeout(PATIENCE / 2, idle.read_to_string(&mut text)).await;
        closed.expect("it is still open").unwrap();
        assert!(text.starts_with("HTTP/1.1 404"), "{text}");
        assert!(!server.is_finished());
        server.abort();
    }

    #[tokio::test]
    async fn connections_end_with_the_server_when_it_is_dropped() {
        let (address, server, mut dropped) = endless(PATIENCE, std::future::pending()).await;
        let several: Vec<_> = stream::iter(0..5).then(|_| asks_for_what_is_endless(address)).collect().await;
        server.abort();
        assert_eq!(soon(dropped.recv()).await, None);
        drop(several);
    }

    /// A server, and how to tell it to stop.
    struct Stoppable {
        address: SocketAddr,
        stop: oneshot::Sender<()>,
        server: JoinHandle<std::io::Result<()>>,
    }

    async fn stoppable(router: Router, limits: Limits) -> Stoppable {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let told = async {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let server = tokio::spawn(serve(vec![listener], move || router.clone(), limits, told));
        Stoppable { address, stop, server }
    }

    const LONG: Limits = Limits { idle: Duration::from_secs(600), patience: Duration::from_secs(600) };
    const ASKS: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    /// Threads that wait in a handler until the gate opens.
    #[derive(Default)]
    struct Gate {
        threads: Mutex<HashSet<usize>>,
        is_open: Mutex<bool>,
        opened: Condvar,
    }

    impl Gate {
        fn block_thread(&self) {
            self.threads.lock().unwrap().insert(thread::number());
            let is_open = self.is_open.lock().unwrap();
            drop(self.opened.wait_while(is_open, |is_open| !*is_open).unwrap());
        }

        fn open(&self) {
            *self.is_open.lock().unwrap() = true;
            self.opened.notify_all();
        }
    }

    #[tokio::test]
    async fn what_has_arrived_when_the_server_is_told_to_stop_is_answered() {
        let gate = Arc::<Gate>::default();
        let blocks = gate.clone();
        let router = Router::new()
            .route("/", get(|| std::future::ready("here")))
            .route("/block", get(move || std::future::ready(blocks.block_thread())));
        let Stoppable { address, stop, server } = stoppable(router, LONG).await;
        let count = thread::count().get();
        let connect = async || TcpStream::connect(address).await.unwrap();
        let mut idle = Vec::new();
        for _ in 0..4 * count {
            let mut stream = connect().await;
            stream.write_all(ASKS).await.unwrap();
            soon(stream.readable()).await.unwrap();
            stream.read_buf(&mut Vec::with_capacity(4096)).await.unwrap();
            idle.push(stream);
        }
        let mut blocking = Vec::new();
        while gate.threads.lock().unwrap().len() < count {
            let mut stream = connect().await;
            stream.write_all(b"GET /block HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            blocking.push(stream);
            tokio::task::yield_now().await;
        }
        // No thread looks at its connections now.
        let mut silent = idle.split_off(3 * count);
        let mut halves = idle.split_off(2 * count);
        let mut fresh = connect().await;
        for stream in idle.iter_mut().chain([&mut fresh]) {
            stream.write_all(ASKS).await.unwrap();
        }
        for stream in &mut halves {
            stream.write_all(&ASKS[..10]).await.unwrap();
        }
        stop.send(()).unwrap();
        while TcpStream::connect(address).await.is_ok() {}
        gate.open();
        for stream in &mut silent {
            assert_eq!(soon(stream.read_u8()).await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
        }
        for stream in &mut halves {
            stream.write_all(&ASKS[10..]).await.unwrap();
        }
        for stream in idle.iter_mut().chain(&mut halves).chain([&mut fresh]) {
            let mut text = String::new();
            soon(stream.read_to_string(&mut text)).await.unwrap();
            assert!(text.starts_with("HTTP/1.1 200") && text.contains("connection: close"), "{text}");
        }
        drop((idle, halves, fresh, blocking));
        soon(server).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn connections_that_nobody_had_accepted_when_the_server_is_told_to_stop_are_answered() {
        let router = Router::new().route("/", get(|| std::future::ready("here")));
        let Stoppable { address, stop, server } = stoppable(router, LONG).await;
        // Nothing is awaited, so nothing is accepted meanwhile.
        let mut waiting = Vec::new();
        for _ in 0..32 {
            let mut stream = StdTcpStream::connect(address).unwrap();
            std::io::Write::write_all(&mut stream, ASKS).unwrap();
            stream.set_nonblocking(true).unwrap();
            waiting.push(stream);
        }
        stop.send(()).unwrap();
        for stream in waiting {
            let mut text = String::new();
            let mut stream = TcpStream::from_std(stream).unwrap();
            soon(stream.read_to_string(&mut text)).await.unwrap();
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        }
        soon(server).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_idle_connection_stays_for_longer_than_a_slow_request() {
        let limits = Limits { patience: Duration::from_millis(100), ..LONG };
        let router = Router::new().route("/", get(|| std::future::ready("here")));
        let Stoppable { address, server, .. } = stoppable(router, limits).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        for _ in 0..2 {
            assert_eq!(answer(address, "GET / HTTP/1.1\r\n").await, "", "half a head is cut off");
            idle.write_all(ASKS).await.unwrap();
            let mut text = [0; 12];
            soon(idle.read_exact(&mut text)).await.unwrap();
            assert_eq!(&text, b"HTTP/1.1 200");
            soon(idle.read_buf(&mut Vec::with_capacity(4096))).await.unwrap();
        }
        server.abort();
    }

    #[tokio::test]
    async fn an_answer_arrives_although_the_request_s_body_was_not_read() {
        let Stoppable { address, server, .. } = stoppable(Router::new(), LONG).await;
        for _ in 0..5 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // More than the buffers of both ends hold.
            let body = vec![0; 16 * 1024 * 1024];
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).await.unwrap();
            soon(stream.write_all(&body)).await.unwrap();
            let mut text = String::new();
            soon(stream.read_to_string(&mut text)).await.unwrap();
            assert!(text.starts_with("HTTP/1.1 404"), "{text}");
        }
        server.abort();
    }
}
