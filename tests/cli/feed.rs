//! The revocation feed over real connections: the server stops and starts again in mid-stream.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::program::{Place, Server};

/// A resource server's credentials.
struct Api(String);

impl Api {
    fn add(place: &Place) -> Self {
        let add = ["resource-server", "add", "Photos", "--audience", "https://photos.example", "--json"];
        let made = place.run(&[&add[..], &["--scope", "photos=See photos"]].concat()).json();
        let pair = format!("{}:{}", made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
        Self(BASE64_STANDARD.encode(pair))
    }

    fn asks(&self, server: &Server, request: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
        let (first, rest) = request.split_once("\r\n").unwrap_or((request, ""));
        let head =
            format!("{first} HTTP/1.1\r\nhost: {}\r\nauthorization: Basic {}\r\n", server.address, self.0);
        stream.write_all(format!("{head}{rest}\r\n\r\n").as_bytes()).unwrap();
        BufReader::new(stream)
    }

    /// Where a snapshot ends.
    fn position(&self, server: &Server) -> String {
        let answer = self.asks(server, "GET /revocations/snapshot\r\nconnection: close");
        let body = answer.lines().map_while(Result::ok).last().unwrap();
        let snapshot: Value = serde_json::from_str(&body).unwrap();
        format!("{}.{}", snapshot["incarnation"], snapshot["through"])
    }

    fn follows(&self, server: &Server, position: &str) -> BufReader<TcpStream> {
        self.asks(server, &format!("GET /revocations/feed\r\nlast-event-id: {position}"))
    }
}

/// The `id` of the next entry.
fn next(stream: &mut BufReader<TcpStream>) -> String {
    let lines = stream.lines().map_while(Result::ok);
    lines.filter_map(|line| line.strip_prefix("id: ").map(str::to_owned)).next().expect("an entry")
}

#[test]
fn a_stream_goes_on_after_the_server_was_stopped_and_started() {
    let place = Place::new();
    let add = ["user", "add", "dana", "--role", "developer", "--password-stdin", "--json"];
    assert_eq!(place.run_with(&add, "correct horse battery\n").exit, 0);
    let add = [
        "client",
        "add",
        "--owner",
        "dana",
        "--name",
        "App",
        "--redirect-uri",
        "https://app.example/cb",
        "--json",
    ];
    let client = place.run(&add).json()["client_id"].as_str().unwrap().to_owned();
    let revoke = || place.run(&["revoke", "client", &client, "--json"]).json();
    let api = Api::add(&place);

    let server = place.serve();
    let position = api.position(&server);
    let incarnation = position.strip_suffix(".0").unwrap().to_owned();
    let mut stream = api.follows(&server, &position);
    revoke();
    assert_eq!(next(&mut stream), format!("{incarnation}.1"));
    // An open stream does not hold the server up, and ends as it should.
    let (exit, took) = server.stop();
    assert_eq!(exit, Some(0));
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(stream.lines().map(|line| line.expect("no cut")).all(|line| !line.starts_with("id:")));

    // While nobody serves, a command revokes.
    revoke();
    let server = place.serve();
    let mut stream = api.follows(&server, &format!("{incarnation}.1"));
    assert_eq!(next(&mut stream), format!("{incarnation}.2"));
    revoke();
    assert_eq!(next(&mut stream), format!("{incarnation}.3"));
    // Nor does a reader that reads nothing.
    let (exit, took) = server.stop();
    assert_eq!(exit, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
}
