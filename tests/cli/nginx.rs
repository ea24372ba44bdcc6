//! A real nginx before a real server, with the very settings of docs/operating.md.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::header::{HOST, ORIGIN};
use reqwest::redirect::Policy;
use rescind_guard::{Guard, Settings};

use crate::program::{Place, Server};
use crate::visitor::{PASSWORD, World};

/// nginx in the foreground; ends with the test.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The block that the page gives for nginx.
fn documented() -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operating.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("\nnginx:\n\n").unwrap();
    let in_block = |line: &&str| line.is_empty() || line.starts_with("    ");
    let block: Vec<&str> = rest.lines().take_while(in_block).collect();
    assert!(block.len() > 3, "{block:?}");
    block.join("\n")
}

impl Nginx {
    fn start(folder: &Path, port: u16, server: &str) -> Self {
        let block = documented();
        assert!(block.contains("http://127.0.0.1:8080;"), "{block}");
        let block = block.replace("127.0.0.1:8080", server);
        let folder = folder.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"))
            .concat();
        let settings = format!(
            "daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}server {{\nlisten 127.0.0.1:{port};\n{block}\n}}\n}}\n"
        );
        let file = format!("{folder}/nginx.conf");
        std::fs::write(&file, settings).unwrap();
        let found =
            ["/usr/sbin/nginx", "/usr/local/sbin/nginx"].into_iter().find(|path| Path::new(path).exists());
        let child = Command::new(found.unwrap_or("nginx"))
            .args(["-p", &folder.to_string(), "-e", "stderr", "-c", &file])
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx: Debian's nginx-light is enough");
        let nginx = Self(child);
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        nginx
    }
}

/// A server whose issuer is the proxy before it.
struct Behind {
    place: Place,
    world: World,
    issuer: String,
    _server: Server,
    _nginx: Nginx,
}

fn behind_nginx() -> Behind {
    let place = Place::new();
    let world = World::register_for(&place, "jwt");
    // Free a moment ago; nobody else asks for this one.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let issuer = format!("http://127.0.0.1:{port}");
    let mut serve = place.program(&["serve"]);
    serve.env("RESCIND_ISSUER", &issuer).env("RESCIND_TRUSTED_PROXIES", "127.0.0.1");
    let server = Server::start(serve);
    let nginx = Nginx::start(place.folder.path(), port, &server.address);
    Behind { place, world, issuer, _server: server, _nginx: nginx }
}

impl Behind {
    /// Tries to sign in as a browser at `address` does that says nothing but `Origin`.
    async fn signs_in(&self, address: Ipv4Addr, password: &str, origin: &str) -> u16 {
        let http = reqwest::Client::builder().redirect(Policy::none());
        let http = http.local_address(IpAddr::from(address)).build().unwrap();
        let form = [("username", "alice"), ("password", password)];
        let request = http.post(format!("{}/login", self.issuer)).form(&form).header(ORIGIN, origin);
        // Whoever lies about the address gets nothing by it.
        request.header("x-forwarded-for", "192.0.2.7").send().await.unwrap().status().as_u16()
    }
}

#[tokio::test]
async fn forms_arrive_with_the_host_and_the_origin_that_the_browser_sent() {
    let behind = behind_nginx();
    assert_eq!(behind.signs_in(Ipv4Addr::LOCALHOST, PASSWORD, &behind.issuer).await, 303);
    assert_eq!(behind.signs_in(Ipv4Addr::LOCALHOST, PASSWORD, "https://evil.example").await, 403);
    let http = reqwest::Client::new();
    let metadata = format!("{}/.well-known/oauth-authorization-server", behind.issuer);
    let metadata = http.get(metadata).header(HOST, "elsewhere.example").send().await.unwrap();
    let metadata: serde_json::Value = metadata.json().await.unwrap();
    assert_eq!(metadata["issuer"], behind.issuer);
}

#[tokio::test]
async fn attempts_are_counted_by_the_address_that_reached_the_proxy() {
    let behind = behind_nginx();
    let [one, other] = [2, 3].map(|last| Ipv4Addr::new(127, 0, 0, last));
    let mut answers = Vec::new();
    for _ in 0..21 {
        answers.push(behind.signs_in(one, "a wrong password", &behind.issuer).await);
    }
    assert_eq!(answers[0], 401);
    assert_eq!(answers.last(), Some(&429), "{answers:?}");
    assert_eq!(behind.signs_in(other, "a wrong password", &behind.issuer).await, 401);
    assert_eq!(behind.signs_in(other, PASSWORD, &behind.issuer).await, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_comes_through_the_proxy_at_once() {
    let behind = behind_nginx();
    let (id, secret) = &behind.world.resource_server;
    let guard = Guard::start(Settings::new(&behind.issuer, id, secret, "urn:photos")).unwrap();
    guard.ready().await;
    let (id, secret) = &behind.world.client;
    let request = reqwest::Client::new().post(format!("{}/oauth/token", behind.issuer));
    let request = request.basic_auth(id, Some(secret)).form(&[("grant_type", "client_credentials")]);
    let issued: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
    let claims = guard.verify(issued["access_token"].as_str().unwrap()).unwrap();
    let ended = guard.watch(&claims);
    assert_eq!(behind.place.run(&["revoke", "client", id]).exit, 0);
    // A stream that is held back would be found out by the next acknowledgements, and a snapshot read.
    tokio::time::timeout(Duration::from_secs(4), ended).await.expect("the stream brings it");
    let counters = guard.state().counters;
    // The keys with which a stream begins, and the revocation.
    assert_eq!((counters.entries_applied, counters.snapshots, counters.connects), (2, 1, 1));
    guard.shutdown().await;
    // And so does a drill, which takes the same way.
    let drilled = behind.place.program(&["drill", "--rounds", "10", "--json"]).output().unwrap();
    assert_eq!(drilled.status.code(), Some(0), "{}", String::from_utf8_lossy(&drilled.stderr));
}

#[tokio::test]
async fn the_longest_authorization_request_comes_through() {
    let behind = behind_nginx();
    let (client, _) = &behind.world.client;
    let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    for length in [8_000, 32_000, 60_000] {
        let state = "s".repeat(length);
        let url =
            format!("{}/oauth/authorize?response_type=code&client_id={client}&state={state}", behind.issuer);
        let answer = http.get(url).send().await.unwrap();
        // PKCE is missing, so the answer goes to the app, with the state.
        assert_eq!(answer.status(), 303, "{length}");
        let location = answer.headers()["location"].to_str().unwrap();
        assert!(location.contains("error=invalid_request") && location.contains(&state), "{length}");
    }
}
