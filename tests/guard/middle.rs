//! Somebody in the middle: a proxy that keeps, repeats, loses and reorders what the server says.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub const SNAPSHOT: &str = "/revocations/snapshot";
pub const FEED: &str = "/revocations/feed";
pub const ACK: &str = "/revocations/ack";
pub const INTROSPECTION: &str = "/oauth/introspect";

/// What becomes of an entry's event: what is sent instead.
type Rule = Box<dyn FnMut(String) -> Vec<String> + Send>;

pub struct Middle {
    pub url: String,
    rules: Arc<Rules>,
}

struct Rules {
    server: String,
    http: reqwest::Client,
    entries: Mutex<Rule>,
    /// Paths whose answers wait.
    held: watch::Sender<BTreeSet<&'static str>>,
    /// No stream comes about.
    refuses_streams: AtomicBool,
    /// Answers that are given without asking the server.
    kept: Mutex<Option<String>>,
    /// Requests that came, by path, oldest first.
    came: watch::Sender<Vec<String>>,
    /// Those whose answers the server has given.
    answered: watch::Sender<Vec<String>>,
    /// Those who wait for an answer that is held.
    waiting: watch::Sender<usize>,
}

impl Middle {
    pub async fn to(server: SocketAddr) -> Self {
        let rules = Arc::new(Rules {
            server: format!("http://{server}"),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            entries: Mutex::new(Box::new(|event| vec![event])),
            held: watch::Sender::default(),
            refuses_streams: AtomicBool::new(false),
            kept: Mutex::default(),
            came: watch::Sender::default(),
            answered: watch::Sender::default(),
            waiting: watch::Sender::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(pass).with_state(rules.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, rules }
    }

    /// Each entry of the stream becomes what `rule` makes of it.
    pub fn rewrites(&self, rule: impl FnMut(String) -> Vec<String> + Send + 'static) {
        *self.rules.entries.lock().unwrap() = Box::new(rule);
    }

    /// Answers of this path, and what a stream says, wait until [`Middle::releases`].
    pub fn holds(&self, path: &'static str) {
        self.rules.held.send_modify(|held| _ = held.insert(path));
    }

    pub fn releases(&self, path: &'static str) {
        self.rules.held.send_modify(|held| _ = held.remove(path));
    }

    pub fn refuses_streams(&self, refuses: bool) {
        self.rules.refuses_streams.store(refuses, Ordering::SeqCst);
    }

    /// This is the answer to every request for a snapshot; `None`: the server's again.
    pub fn repeats_snapshot(&self, text: Option<String>) {
        *self.rules.kept.lock().unwrap() = text;
    }

    /// How many requests for this path came so far.
    pub fn asked(&self, path: &str) -> usize {
        count(&self.rules.came.borrow(), path)
    }

    /// Waits until more than `before` requests for this path came.
    pub async fn is_asked_again(&self, path: &str, before: usize) {
        let mut came = self.rules.came.subscribe();
        came.wait_for(|came| count(came, path) > before).await.unwrap();
    }

    /// Waits until so many wait for held answers at the same time.
    pub async fn keeps_waiting(&self, number: usize) {
        let mut waiting = self.rules.waiting.subscribe();
        waiting.wait_for(|waiting| *waiting >= number).await.unwrap();
    }

    /// Waits until the server has answered this many requests for this path, whether or not the answers went on.
    pub async fn has_answers(&self, path: &str, number: usize) {
        let mut answered = self.rules.answered.subscribe();
        answered.wait_for(|answered| count(answered, path) >= number).await.unwrap();
    }
}

fn count(came: &[String], path: &str) -> usize {
    came.iter().filter(|one| *one == path).count()
}

async fn pass(State(rules): State<Arc<Rules>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    rules.came.send_modify(|came| came.push(path.clone()));
    let kept = rules.kept.lock().unwrap().clone().filter(|_| path == SNAPSHOT);
    if let Some(text) = kept {
        return Response::builder().header("content-type", "application/json").body(text.into()).unwrap();
    }
    if path == FEED && rules.refuses_streams.load(Ordering::SeqCst) {
        return Response::builder().status(StatusCode::BAD_GATEWAY).body(Body::empty()).unwrap();
    }
    let url = format!("{}{}", rules.server, head.uri);
    let mut asked = rules.http.request(head.method, url).body(to_bytes(body, 1 << 20).await.unwrap());
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != "host" && *name != "content-length")
    {
        asked = asked.header(name, value);
    }
    let Ok(answer) = asked.send().await else {
        return Response::builder().status(StatusCode::BAD_GATEWAY).body(Body::empty()).unwrap();
    };
    let mut response = Response::builder().status(answer.status());
    if let Some(kind) = answer.headers().get("content-type") {
        response = response.header("content-type", kind);
    }
    let is_stream = path == FEED && answer.status() == StatusCode::OK;
    if is_stream {
        let reading = Reading { answer, rules, text: String::new() };
        return response.body(Body::from_stream(stream::unfold(reading, Reading::next))).unwrap();
    }
    let body = answer.bytes().await.unwrap();
    rules.answered.send_modify(|answered| answered.push(path.clone()));
    free(&rules, &path).await;
    response.body(body.into()).unwrap()
}

/// Waits until answers of this path may go on.
async fn free(rules: &Rules, path: &str) {
    let mut held = rules.held.subscribe();
    let _waiting = Waiting::new(rules);
    held.wait_for(|held| !held.contains(path)).await.unwrap();
}

/// Somebody who waits, until the answer goes on or they go away.
struct Waiting<'r>(&'r Rules);

impl<'r> Waiting<'r> {
    fn new(rules: &'r Rules) -> Self {
        rules.waiting.send_modify(|waiting| *waiting += 1);
        Self(rules)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

/// A stream that is passed on, event by event.
struct Reading {
    answer: reqwest::Response,
    rules: Arc<Rules>,
    text: String,
}

impl Reading {
    async fn next(mut self) -> Option<(Result<Bytes, std::io::Error>, Self)> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (format!("{block}\n\n"), rest.to_owned());
                self.text = rest;
                free(&self.rules, FEED).await;
                let blocks = if block.contains("event: entry") {
                    (self.rules.entries.lock().unwrap())(block)
                } else {
                    vec![block]
                };
                let text = blocks.concat();
                if text.is_empty() {
                    continue;
                }
                return Some((Ok(text.into()), self));
            }
            let bytes = self.answer.chunk().await.ok()??;
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}
