//! `scripts/cluster.sh`: starts what it says, repairs what was killed, and leaves nothing behind.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

/// No step of it takes as long.
const LIMIT: Duration = Duration::from_secs(90);

/// The running script, and what it printed.
struct Script {
    child: Child,
    port: u16,
    /// By what stands before them: the processes of the names, the folder of the logs, and who may call.
    printed: HashMap<String, String>,
}

impl Script {
    fn start() -> Self {
        // Below the ports that systems give to clients.
        let port = rand::random_range(20_000..31_990);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/cluster.sh");
        let mut child = Command::new(script)
            .args(["--program", env!("CARGO_BIN_EXE_rescind"), "--port", &port.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (line, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|text| line.send(text)));
        let mut script = Self { child, port, printed: HashMap::new() };
        loop {
            let text = lines.recv_timeout(LIMIT).expect("it says how to go on");
            if text.starts_with("Ctrl-C") {
                // What it says later is not read, and must not hold it up.
                std::thread::spawn(move || lines.iter().count());
                return script;
            }
            if let Some((name, value)) = text.trim().split_once([':', '=']) {
                script.printed.insert(name.to_owned(), value.trim().to_owned());
            }
        }
    }

    /// What it uses for its data: every process that it starts names it.
    fn folder(&self) -> String {
        self.printed["logs"].strip_suffix("/rescind").unwrap().to_owned()
    }

    /// Asks the server with this number, or the proxy, whose number is 0.
    async fn post(&self, number: u16, path: &str, who: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let (id, secret) = self.printed[who].split_once(':').unwrap();
        let request = reqwest::Client::new().post(format!("http://127.0.0.1:{}{path}", self.port + number));
        let answer = request.basic_auth(id, Some(secret)).form(form).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    async fn token(&self, number: u16) -> String {
        let (_, answer) =
            self.post(number, "/oauth/token", "app", &[("grant_type", "client_credentials")]).await;
        answer["access_token"].as_str().unwrap().to_owned()
    }

    async fn is_active(&self, number: u16, token: &str) -> Option<bool> {
        self.post(number, "/oauth/introspect", "api", &[("token", token)]).await.1["active"].as_bool()
    }

    fn kill(&self, name: &str) {
        let process = self.printed[name].strip_prefix("process ").unwrap();
        assert!(Command::new("kill").args(["-KILL", process]).status().unwrap().success());
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = Command::new("kill").arg(self.child.id().to_string()).status();
            let _ = self.child.wait();
        }
    }
}

/// The processes that name a folder in their arguments or their settings.
fn processes_naming(folder: &str) -> Vec<String> {
    let found = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        path.file_name()?.to_str()?.parse::<u32>().ok()?;
        let read = |name: &str| std::fs::read(path.join(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&[read("cmdline"), read("environ")].concat()).replace('\0', " ");
        text.contains(folder).then_some(text)
    });
    found.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_to_try_works_comes_back_and_ends() {
    let mut script = Script::start();
    let (kept, revoked) = (script.token(0).await, script.token(1).await);
    for number in 0..=3 {
        assert_eq!(script.is_active(number, &revoked).await, Some(true), "{number}");
    }
    assert_eq!(script.post(2, "/oauth/revoke", "app", &[("token", &revoked)]).await.0, 200);
    for number in 0..=3 {
        assert_eq!(script.is_active(number, &revoked).await, Some(false), "{number}");
    }

    script.kill("postgres1");
    let killed = Instant::now();
    // Its processes outlive it for a moment.
    while script.is_active(3, &kept).await == Some(true) {
        assert!(killed.elapsed() < LIMIT, "nothing was killed");
    }
    assert_eq!(script.is_active(3, &revoked).await, None);
    for number in 1..=3 {
        while script.is_active(number, &kept).await != Some(true) {
            assert!(killed.elapsed() < LIMIT, "server {number} does not find the promoted standby");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(script.is_active(number, &revoked).await, Some(false), "{number}");
    }

    let folder = script.folder();
    assert!(!processes_naming(&folder).is_empty());
    assert!(Command::new("kill").arg(script.child.id().to_string()).status().unwrap().success());
    assert_eq!(script.child.wait().unwrap().code(), Some(0));
    assert_eq!(processes_naming(&folder), Vec::<String>::new());
    assert!(!std::path::Path::new(&folder).exists());
}
