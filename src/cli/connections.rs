//! Connections to the server: one task each, on one thread from its first request to its last, and none that waits
//! without end for a request.
//!
//! Each processor has a thread with its own scheduler, router and connections. Threads that share these wake each other
//! and pull the same memory to and fro: that cost a sixth of an introspection.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use futures_util::future::join_all;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tower::Service as _;

use crate::thread;

/// In which the head of a request has to arrive, the next one's on an open connection too. Without it, whoever
/// connects and says nothing keeps a descriptor for ever, until there is none left for anybody. So long an answer may lie
/// untaken, too.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// After an accept that failed: mostly there are no descriptors, and some may be back by then.
const PAUSE: Duration = Duration::from_millis(200);

/// Accepts connections until `told`, then lets requests under way finish; each thread has a router of its own. When this is
/// dropped, all of it ends.
///
/// # Errors
/// When a thread can't be started, or none is left.
pub async fn serve(
    listener: TcpListener,
    router: impl Fn() -> Router,
    patience: Duration,
    told: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let start = |number| Thread::start(number, router(), patience);
    let threads: Vec<Thread> = (0..thread::count().get()).map(start).collect::<std::io::Result<_>>()?;
    let mut told = std::pin::pin!(told);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut told => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(error = %error, "server.accept_failed");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if let Err(error) = set_up(&stream, patience) {
            tracing::debug!(error = %error, "server.socket_not_set_up");
        }
        let least = threads.iter().filter(|thread| thread.runs()).min_by_key(|thread| thread.connections());
        let Some(thread) = least else { return Err(std::io::Error::other("no thread is left")) };
        thread.give(stream, address);
    }
    drop(listener);
    // All are told before the first is waited for.
    let finished: Vec<_> = threads.into_iter().map(Thread::finish).collect();
    join_all(finished).await;
    Ok(())
}

fn set_up(stream: &TcpStream, patience: Duration) -> std::io::Result<()> {
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
    fn start(number: usize, router: Router, patience: Duration) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (given, taken) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let (held, dropped) = oneshot::channel();
        std::thread::Builder::new().name(format!("http-{number}")).spawn(move || {
            thread::set_number(number);
            runtime.block_on(async {
                tokio::select! {
                    () = answer(taken, router, patience) => {}
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

    fn give(&self, stream: TcpStream, address: SocketAddr) {
        let open = self.open.clone();
        let given = stream.into_std().map(|stream| self.given.send(Given { stream, address, open }).is_ok());
        if !matches!(given, Ok(true)) {
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

/// Answers on these connections; once no more come, until requests under way are finished.
async fn answer(mut taken: mpsc::UnboundedReceiver<Given>, router: Router, patience: Duration) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience);
    let draining = GracefulShutdown::new();
    while let Some(Given { stream, address, open }) = taken.recv().await {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(error = %error, "server.connection_lost");
                continue;
            }
        };
        let router = router.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert::<ConnectInfo<SocketAddr>>(ConnectInfo(address));
            router.clone().call(request)
        });
        let connection = draining.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // It went away, or said what is no HTTP: nobody is there to be told.
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "server.connection_failed");
            }
            drop(open);
        });
    }
    draining.shutdown().await;
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use futures_util::{StreamExt as _, stream};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;

    use super::*;

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
        let server = tokio::spawn(serve(listener, move || router.clone(), patience, async {
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
        (address, tokio::spawn(serve(listener, move || router.clone(), patience, told)), dropped)
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
}
