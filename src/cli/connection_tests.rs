//! Connections, tried from outside: slow ones, idle ones, and those that the end of the server comes upon.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex};

use axum::body::Body;
use axum::routing::get;
use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use super::*;
use crate::cli::timed_stream::PATIENCE;

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
async fn an_idle_client_is_cut_off_and_a_long_answer_is_not() {
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
    stop: impl Future<Output = ()> + Send + 'static,
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
    (address, tokio::spawn(serve(vec![listener], move || router.clone(), limits, stop)), dropped)
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
async fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let (stop, stopped) = oneshot::channel::<()>();
    let until_stop = async {
        let _ = stopped.await;
    };
    let (address, server, mut dropped) = endless(Duration::from_millis(200), until_stop).await;
    let _stream = asks_for_what_is_endless(address).await;
    stop.send(()).unwrap();
    // It waits for the answers under way.
    soon(server).await.unwrap().unwrap();
    assert_eq!(soon(dropped.recv()).await, None);
}

#[tokio::test]
async fn a_slow_answer_does_not_delay_the_shutdown_of_other_connections() {
    let (stop, stopped) = oneshot::channel::<()>();
    let until_stop = async {
        let _ = stopped.await;
    };
    let (address, server, _dropped) = endless(PATIENCE, until_stop).await;
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
    let until_stop = async {
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let server = tokio::spawn(serve(vec![listener], move || router.clone(), limits, until_stop));
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
async fn requests_that_arrived_before_the_shutdown_are_answered() {
    let gate = Arc::<Gate>::default();
    let blocks = gate.clone();
    let router = Router::new().route("/", get(|| std::future::ready("here"))).route(
        "/block",
        get(move || {
            blocks.block_thread();
            std::future::ready(())
        }),
    );
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

/// Its head said nothing of the end: it went out before anybody was told.
#[tokio::test]
async fn a_connection_closes_when_its_answer_ends_during_shutdown() {
    let more = watch::Sender::new(());
    let pieces = more.clone();
    let answer = move || {
        let more = stream::once(std::future::ready(())).chain(stream::unfold(
            pieces.subscribe(),
            async |mut more| {
                more.changed().await.ok()?;
                None
            },
        ));
        let body = more.map(|()| Ok::<_, Infallible>("piece"));
        std::future::ready(Body::from_stream(body))
    };
    let Stoppable { address, stop, server } = stoppable(Router::new().route("/", get(answer)), LONG).await;
    let mut kept = TcpStream::connect(address).await.unwrap();
    kept.write_all(ASKS).await.unwrap();
    let mut text = String::new();
    while !text.contains("piece") {
        soon(kept.readable()).await.unwrap();
        let mut bytes = Vec::with_capacity(4096);
        kept.read_buf(&mut bytes).await.unwrap();
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    stop.send(()).unwrap();
    while TcpStream::connect(address).await.is_ok() {}
    // The connection has heard of it by now, and may not have.
    tokio::time::sleep(Duration::from_millis(50)).await;
    more.send_replace(());
    soon(kept.read_to_string(&mut text)).await.unwrap();
    assert!(text.ends_with("0\r\n\r\n") && !text.contains("connection: close"), "{text}");
    soon(server).await.unwrap().unwrap();
}

#[tokio::test]
async fn connections_not_yet_accepted_at_shutdown_are_answered() {
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
async fn an_idle_connection_stays_open_longer_than_a_slow_request() {
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
