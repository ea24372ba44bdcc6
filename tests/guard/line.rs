//! A wire between guards and a server, which can break in the ways in which wires break.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    Open,
    /// They wait here, and connections stay as they are: half open, if this lasts.
    Held,
    /// Connections break, and no new one comes about.
    Cut,
}

#[derive(Clone, Copy)]
struct Condition {
    passage: Passage,
    /// Where the server listens, if it runs.
    server: Option<SocketAddr>,
}

/// An address for guards, whatever happens to the server behind it.
pub struct Line {
    pub url: String,
    condition: watch::Sender<Condition>,
    /// When somebody connected.
    arrivals: Arc<Mutex<Vec<Instant>>>,
}

impl Line {
    pub async fn to(server: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let condition = watch::Sender::new(Condition { passage: Passage::Open, server });
        let arrivals = Arc::<Mutex<Vec<Instant>>>::default();
        let (heard, noted) = (condition.clone(), arrivals.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                noted.lock().unwrap().push(Instant::now());
                tokio::spawn(connect(client, heard.subscribe()));
            }
        });
        Self { url, condition, arrivals }
    }

    pub fn is(&self, passage: Passage) {
        self.condition.send_modify(|condition| condition.passage = passage);
    }

    /// The server listens there from now on. Connections to where it was are its own affair.
    pub fn leads_to(&self, server: SocketAddr) {
        self.condition.send_modify(|condition| condition.server = Some(server));
    }

    /// When guards connected since [`Line::forgets_arrivals`].
    pub fn arrivals(&self) -> Vec<Instant> {
        self.arrivals.lock().unwrap().clone()
    }

    pub fn forgets_arrivals(&self) {
        self.arrivals.lock().unwrap().clear();
    }
}

async fn connect(client: TcpStream, mut condition: watch::Receiver<Condition>) {
    // As a firewall that drops packets does it: the handshake comes about here, and then nothing.
    let Ok(now) = condition.wait_for(|now| now.passage != Passage::Held).await.map(|now| *now) else {
        return;
    };
    let Some(server) = now.server.filter(|_| now.passage == Passage::Open) else { return };
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = pump(from_client, to_server, condition.clone()) => {}
        () = pump(from_server, to_client, condition) => {}
    }
}

/// Moves bytes until either side ends or the line is cut.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut condition: watch::Receiver<Condition>) {
    let mut bytes = vec![0; 8 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut bytes) => read,
            _ = condition.wait_for(|now| now.passage == Passage::Cut) => return,
        };
        let Ok(read @ 1..) = read else { return };
        let passed = condition.wait_for(|now| now.passage != Passage::Held).await;
        if passed.map_or(Passage::Cut, |now| now.passage) == Passage::Cut {
            return;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
