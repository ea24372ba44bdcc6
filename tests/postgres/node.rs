//! Servers of Rescind on a PostgreSQL database: real processes, asked by HTTP.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A database with one client and one resource server, and what commands and servers need to use it.
pub struct Site {
    folder: tempfile::TempDir,
    pub url: String,
    pub client: (String, String),
    pub api: (String, String),
}

/// How a command ended.
pub struct Ended {
    pub exit: i32,
    pub out: String,
    pub err: String,
}

const ISSUER: &str = "http://127.0.0.1:8080";

fn program(folder: &std::path::Path, url: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_rescind"));
    program
        .env_clear()
        .env("RESCIND_DATABASE_URL", url)
        .env("RESCIND_KEY_FILE", folder.join("key"))
        .env("RESCIND_ISSUER", ISSUER)
        .env("RESCIND_LISTEN", "127.0.0.1:0")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    program
}

/// Runs a command on a database.
pub fn run(folder: &std::path::Path, url: &str, arguments: &[&str], input: &str) -> Ended {
    run_with(folder, url, &[], arguments, input)
}

/// The same with more settings.
pub fn run_with(
    folder: &std::path::Path,
    url: &str,
    settings: &[(&str, &str)],
    arguments: &[&str],
    input: &str,
) -> Ended {
    let mut child = program(folder, url).envs(settings.iter().copied()).args(arguments).spawn().unwrap();
    // An error means that the command did not want to read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ended {
        exit: output.status.code().expect("not killed by a signal"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Site {
    pub fn new(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let json = |arguments: &[&str], input: &str| -> Value {
            let ended = run(folder.path(), url, arguments, input);
            assert_eq!(ended.exit, 0, "{arguments:?}: {}", ended.err);
            serde_json::from_str(&ended.out).unwrap()
        };
        let text = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
        let user = ["user", "add", "dev", "--role", "developer", "--password-stdin", "--json"];
        json(&user, "correct horse battery staple\n");
        let api = [
            "resource-server",
            "add",
            "Photos",
            "--audience",
            "urn:photos",
            "--scope",
            "read=Read",
            "--json",
        ];
        let api = json(&api, "");
        let grants = ["--grant-type", "client_credentials", "--json"];
        let client =
            ["client", "add", "--owner", "dev", "--name", "Fotowerk", "--redirect-uri", "https://a.example/"];
        let client = json(&[&client[..], &grants[..]].concat(), "");
        Self {
            client: (text(&client, "client_id"), text(&client, "client_secret")),
            api: (text(&api, "id"), text(&api, "secret")),
            folder,
            url: url.to_owned(),
        }
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        run(self.folder.path(), &self.url, arguments, "")
    }

    /// A server of this site that reaches the database at `url`.
    pub fn serve_at(&self, url: &str, settings: &[(&str, &str)]) -> Node {
        let mut child =
            program(self.folder.path(), url).arg("serve").envs(settings.iter().copied()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let started = log.by_ref().map_while(Result::ok).find(|line| line.contains("server.started"));
        let started = started.expect("the server starts");
        let address = started.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
        let address = format!("http://{address}");
        // The log is read on, so that the server can write it.
        std::thread::spawn(move || log.for_each(drop));
        let (client, api) = (self.client.clone(), self.api.clone());
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        Node { child, address, http, client, api }
    }

    pub fn serve(&self) -> Node {
        self.serve_at(&self.url, &[])
    }
}

/// A running server.
pub struct Node {
    child: Child,
    pub address: String,
    http: reqwest::Client,
    client: (String, String),
    api: (String, String),
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Node {
    async fn post(&self, path: &str, who: &(String, String), form: &[(&str, &str)]) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.address));
        let answer = request.basic_auth(&who.0, Some(&who.1)).form(form).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// An access token for the client itself.
    pub async fn token(&self) -> Result<String, u16> {
        let form = [("grant_type", "client_credentials")];
        let (status, answer) = self.post("/oauth/token", &self.client, &form).await;
        answer["access_token"].as_str().map(str::to_owned).ok_or(status)
    }

    pub async fn is_active(&self, token: &str) -> Result<bool, u16> {
        let (status, answer) = self.post("/oauth/introspect", &self.api, &[("token", token)]).await;
        answer["active"].as_bool().ok_or(status)
    }

    /// The status of the answer to a revocation.
    pub async fn revoke(&self, token: &str) -> u16 {
        self.post("/oauth/revoke", &self.client, &[("token", token)]).await.0
    }

    pub async fn is_ready(&self) -> bool {
        self.http.get(format!("{}/readyz", self.address)).send().await.unwrap().status() == 200
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
