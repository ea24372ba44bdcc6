//! Servers of Rescind on a PostgreSQL database, asked by HTTP.

use std::process::Output;
use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use serde_json::Value;

use crate::program::{Ended, Place, Server};
use crate::visitor::{Visitor, World};

const ISSUER: &str = "http://127.0.0.1:8080";

/// What commands and servers need to use the database at `url`.
pub fn place_at(url: &str) -> Place {
    let mut place = Place::new();
    place.set("RESCIND_DATABASE_URL", url);
    place.set("RESCIND_ISSUER", ISSUER);
    place.set("RESCIND_KEY_FILE", place.folder.path().join("key").to_str().unwrap());
    place
}

/// A database with one client and one resource server.
pub struct Site {
    place: Place,
    world: World,
    pub url: String,
}

impl Site {
    pub fn new(url: &str) -> Self {
        let place = place_at(url);
        let world = World::register(&place);
        Self { place, world, url: url.to_owned() }
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.place.run(arguments)
    }

    /// A command on the database at `url`.
    pub fn run_at(&self, url: &str, arguments: &[&str]) -> Output {
        self.place.program(arguments).env("RESCIND_DATABASE_URL", url).output().unwrap()
    }

    /// A server of this site that reaches the database at `url`.
    pub fn serve_at(&self, url: &str, settings: &[(&str, &str)]) -> Node {
        let mut program = self.place.program(&["serve"]);
        program.env("RESCIND_DATABASE_URL", url).envs(settings.iter().copied());
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(90))
            .redirect(Policy::none())
            .build()
            .unwrap();
        Node { server: Server::start(program), http, world: self.world.clone() }
    }

    pub fn serve(&self) -> Node {
        self.serve_at(&self.url, &[])
    }
}

/// A running server.
pub struct Node {
    server: Server,
    http: reqwest::Client,
    world: World,
}

impl Node {
    /// Somebody with a browser or a token, who asks this server.
    pub fn visitor(&self) -> Visitor<'_> {
        self.world.at(&self.server)
    }

    /// Status and body; 0 if the connection ended without an answer.
    async fn post(&self, path: &str, who: &(String, String), form: &[(&str, &str)]) -> (u16, Value) {
        let request = self.http.post(format!("http://{}{path}", self.server.address));
        let request = request.basic_auth(&who.0, Some(&who.1)).form(form);
        let Ok(answer) = request.send().await else { return (0, Value::Null) };
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// An access token for the client itself.
    pub async fn token(&self) -> Result<String, u16> {
        let form = [("grant_type", "client_credentials")];
        let (status, answer) = self.post("/oauth/token", &self.world.client, &form).await;
        answer["access_token"].as_str().map(str::to_owned).ok_or(status)
    }

    pub async fn is_active(&self, token: &str) -> Result<bool, u16> {
        let (status, answer) =
            self.post("/oauth/introspect", &self.world.resource_server, &[("token", token)]).await;
        answer["active"].as_bool().ok_or(status)
    }

    /// The status of the answer to a revocation.
    pub async fn revoke(&self, token: &str) -> u16 {
        self.post("/oauth/revoke", &self.world.client, &[("token", token)]).await.0
    }

    pub fn signal(&self, name: &str) {
        self.server.signal(name);
    }

    /// The status of the answer to an attempt to sign in, which a proxy passes on from this address.
    pub async fn sign_in_from(&self, address: &str, password: &str) -> u16 {
        let request = self.http.post(format!("http://{}/login", self.server.address));
        let form = [("username", "alice"), ("password", password)];
        request.header("X-Forwarded-For", address).form(&form).send().await.unwrap().status().as_u16()
    }

    pub async fn is_ready(&self) -> bool {
        self.http.get(format!("http://{}/readyz", self.server.address)).send().await.unwrap().status() == 200
    }

    /// Asks until there is an answer; how long it took.
    pub async fn recovers(&self, token: &str) -> (bool, Duration) {
        let from = Instant::now();
        loop {
            match self.is_active(token).await {
                Ok(active) => return (active, from.elapsed()),
                Err(503) => assert!(from.elapsed() < Duration::from_secs(30), "no answer after 30 seconds"),
                Err(status) => panic!("{status}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
