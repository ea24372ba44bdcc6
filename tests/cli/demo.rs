//! The sample world, restarted on the data that it kept.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::program::Place;

struct Demo {
    child: Child,
    ready: Value,
}

impl Demo {
    /// Starts on `port` and the two after it; the line that says that it is ready.
    fn start(place: &Place, port: u16) -> Option<Self> {
        let listen = format!("127.0.0.1:{port}");
        let data = place.folder.path().join("data");
        let mut program = place.program(&["demo", "--json", "--listen", &listen, "--data"]);
        let mut child = program.arg(data).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        match serde_json::from_str(&line) {
            Ok(ready) => Some(Self { child, ready }),
            Err(_) => {
                child.wait().unwrap();
                None
            }
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first of three ports that are free now; somebody may be quicker, so callers try again.
fn free_port() -> u16 {
    let port = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::iter::repeat_with(port).find(|port| *port < 65_000).unwrap()
}

#[tokio::test]
async fn a_restarted_demo_keeps_its_people_and_tokens() {
    let place = Place::new();
    let (port, first) =
        std::iter::repeat_with(free_port).find_map(|port| Some((port, Demo::start(&place, port)?))).unwrap();
    let names: Vec<_> =
        first.ready["people"].as_array().unwrap().iter().map(|p| p["username"].clone()).collect();
    assert_eq!(names, ["alice", "dana", "max"]);
    let kept = place.folder.path().join("data/demo.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&kept).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let world: Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
    let text = |name: &str| world[name].as_str().unwrap();
    let issuer = first.ready["issuer"].as_str().unwrap().to_owned();
    let http = reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let sign_in = async |person: &Value| {
        let form = [
            ("username", person["username"].as_str().unwrap()),
            ("password", person["password"].as_str().unwrap()),
        ];
        http.post(format!("{issuer}/login")).form(&form).send().await.unwrap()
    };
    let answer = sign_in(&first.ready["people"][0]).await;
    assert_eq!(answer.status(), 303);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let ready = first.ready.clone();
    drop(first);

    // Its port may still be closing.
    let second = std::iter::repeat_with(|| Demo::start(&place, port)).take(20).flatten().next().unwrap();
    assert_eq!(second.ready, ready, "the same people with the same passwords");
    for person in second.ready["people"].as_array().unwrap() {
        assert_eq!(sign_in(person).await.status(), 303);
    }
    let page = http.get(format!("{issuer}/authorizations")).header("cookie", &cookie).send().await.unwrap();
    assert_eq!(page.status(), 200, "still signed in");
    let unknown = http
        .post(format!("{issuer}/oauth/introspect"))
        .basic_auth(text("resource_server_id"), Some(text("resource_server_secret")))
        .form(&[("token", "x")]);
    assert_eq!(unknown.send().await.unwrap().json::<Value>().await.unwrap(), json!({ "active": false }));
}
