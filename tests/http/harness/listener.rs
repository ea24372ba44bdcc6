//! A resource server that follows the revocation feed, by hand.

use axum::body::{Body, BodyDataStream};
use axum::http::header;
use futures_util::StreamExt as _;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::api::Api;
use super::client::basic;
use super::described::is_a;

/// The body of an acknowledgement as it should be.
pub fn acknowledgement(incarnation: i64, through: i64) -> Value {
    json!({ "instance": "guard-0123456789", "incarnation": incarnation, "through": through, "keys_version": 0 })
}

/// An open event stream.
pub struct Listener {
    body: BodyDataStream,
    text: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub id: Option<String>,
    pub name: Option<String>,
    pub data: Value,
}

impl Api {
    fn request(&self, method: &str, path: &str) -> axum::http::request::Builder {
        self.world.request(method, path).header(header::AUTHORIZATION, basic(&self.id, &self.secret))
    }

    /// A GET under this API's name, from a position on.
    pub async fn asks(&self, path: &str, position: Option<&str>) -> Answer {
        let mut request = self.request("GET", path);
        if let Some(position) = position {
            request = request.header("last-event-id", position);
        }
        self.world.sends(request.body(Body::empty()).unwrap()).await
    }

    pub async fn snapshot(&self) -> Value {
        let answer = self.asks("/revocations/snapshot", None).await.is(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        answer.json()
    }

    /// Where a snapshot ends.
    pub async fn position(&self) -> String {
        let snapshot = self.snapshot().await;
        format!("{}.{}", snapshot["incarnation"], snapshot["through"])
    }

    /// Opens the stream, and reads nothing of it.
    pub async fn opens_feed(&self, position: &str) -> axum::response::Response {
        let request = self.request("GET", "/revocations/feed").header("last-event-id", position);
        self.world.opens(request.body(Body::empty()).unwrap()).await
    }

    /// Opens the stream, and reads what it begins with.
    pub async fn follows_from(&self, position: &str) -> Listener {
        let response = self.opens_feed(position).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let mut listener = Listener { body: response.into_body().into_data_stream(), text: String::new() };
        let retry = listener.block().await.unwrap();
        let retry: u32 = retry.strip_prefix("retry: ").unwrap().parse().unwrap();
        assert!((500..2_000).contains(&retry));
        let keys = listener.next().await.unwrap();
        assert_eq!((keys.name.as_deref(), keys.id), (Some("keys"), None));
        assert!(keys.data["keys"].is_array() && keys.data["keys_version"].is_u64());
        is_a("Keys", &json!({ "keys": keys.data["keys"] }));
        listener
    }

    pub async fn follows(&self) -> Listener {
        self.follows_from(&self.position().await).await
    }

    /// An acknowledgement whose body arrives `delay` seconds after its head.
    pub async fn acknowledges_slowly(&self, ack: &Value, delay: u64) -> Answer {
        let request =
            self.request("POST", "/revocations/ack").header(header::CONTENT_TYPE, "application/json");
        let (world, ack) = (self.world.clone(), ack.to_string());
        let body = futures_util::stream::once(async move {
            world.advances(delay);
            Ok::<_, std::convert::Infallible>(ack)
        });
        self.world.sends(request.body(Body::from_stream(body)).unwrap()).await
    }

    pub async fn acknowledges(&self, ack: &Value) -> Answer {
        let request =
            self.request("POST", "/revocations/ack").header(header::CONTENT_TYPE, "application/json");
        self.world.sends(request.body(Body::from(ack.to_string())).unwrap()).await
    }
}

impl Listener {
    /// The text up to the next empty line; `None` when the stream has ended.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let bytes = self.body.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The next event; comments are passed over.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            if block.starts_with(':') {
                continue;
            }
            let fields: Map<String, Value> = block
                .lines()
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, text)| (name.to_owned(), text.into()))
                .collect();
            let text = |name: &str| fields.get(name).and_then(Value::as_str);
            let event = Event {
                id: text("id").map(str::to_owned),
                name: text("event").map(str::to_owned),
                data: serde_json::from_str(text("data").unwrap()).unwrap(),
            };
            is_a(if text("event") == Some("keys") { "KeysEvent" } else { "EntryEvent" }, &fields.into());
            return Some(event);
        }
    }

    /// The next event's `kind` and `id`.
    pub async fn hears(&mut self) -> (String, String) {
        let event = self.next().await.expect("an event");
        assert_eq!(event.name.as_deref(), Some("entry"));
        let mut entry = event.data.clone();
        let members = entry.as_object_mut().unwrap();
        assert!(members.remove("prev").is_some() && members.remove("at").is_some());
        is_a("Entry", &entry);
        let text = |name: &str| event.data[name].as_str().unwrap_or_default().to_owned();
        (text("kind"), text("id"))
    }

    /// Whether nothing is there to read.
    pub async fn hears_nothing(&mut self) -> bool {
        let next = tokio::time::timeout(std::time::Duration::from_millis(100), self.next());
        next.await.is_err()
    }

    /// The last event of a stream that ends.
    pub async fn last(&mut self) -> Option<String> {
        let last = self.block().await;
        assert_eq!(self.block().await, None);
        last
    }

    /// The next comment.
    pub async fn heartbeat(&mut self) -> String {
        self.block().await.unwrap()
    }
}
