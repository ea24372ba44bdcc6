//! Connections to the server: one task each, none that waits without end for a request.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tower::Service as _;

/// In which the head of a request has to arrive, the next one's on an open connection too. Without it, whoever
/// connects and says nothing keeps a descriptor for ever, until there is none left for anybody. So long an answer may lie
/// untaken, too.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// After an accept that failed: mostly there are no descriptors, and some may be back by then.
const PAUSE: Duration = Duration::from_millis(200);

/// Accepts connections until `told`, then lets requests under way finish.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    patience: Duration,
    told: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience);
    let draining = GracefulShutdown::new();
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
        });
    }
    drop(listener);
    draining.shutdown().await;
}

fn set_up(stream: &TcpStream, patience: Duration) -> std::io::Result<()> {
    // An event of the feed is a small packet after a small packet: it may not wait until the one before was
    // acknowledged, which the other end puts off for 40 ms.
    stream.set_nodelay(true)?;
    // Whoever takes nothing of an answer for so long is cut off, instead of keeping it in memory for ever.
    SockRef::from(stream).set_tcp_user_timeout(Some(patience))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use futures_util::{StreamExt as _, stream};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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
                Ok::<_, std::convert::Infallible>(format!("{piece}"))
            });
            Body::from_stream(pieces)
        };
        let router = Router::new().route("/slow", get(slow));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, router, patience, async {
            let _ = stopped.await;
        }));
        for silent in ["", "GET /slow HTTP/1.1\r\nHost: a\r\n"] {
            assert!(!answer(address, silent).await.contains("200 OK"), "{silent:?}");
        }
        let whole = answer(address, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(whole.starts_with("HTTP/1.1 200 OK") && whole.ends_with("3\r\n0\r\n\r\n"), "{whole}");
        stop.send(()).unwrap();
        server.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn who_takes_nothing_of_an_answer_is_cut_off() {
        let (held, mut dropped) = tokio::sync::mpsc::channel::<()>(1);
        let endless = move || {
            let held = held.clone();
            async move {
                let pieces = stream::repeat([0; 16 * 1024].to_vec()).map(move |piece| {
                    let _ = &held;
                    Ok::<_, std::convert::Infallible>(piece)
                });
                Body::from_stream(pieces)
            }
        };
        let router = Router::new().route("/endless", get(endless));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server =
            tokio::spawn(serve(listener, router, Duration::from_millis(200), std::future::pending()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        stream.readable().await.unwrap();
        server.abort();
        // The router went with the server; what is left of the answer goes with its connection.
        let gone = tokio::time::timeout(Duration::from_secs(60), dropped.recv()).await;
        assert_eq!(gone.expect("it is still kept"), None);
    }
}
