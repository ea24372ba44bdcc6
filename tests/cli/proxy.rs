//! A real proxy with a configuration of `docs/resource-servers.md`, and the application behind it.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request;
use serde_json::{Value, json};

/// The fenced block of the page, of the language `kind`, after `heading`.
pub fn documented(heading: &str, kind: &str) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/resource-servers.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once(&format!("\n### {heading}\n")).expect("the section");
    let (_, block) = section.split_once(&format!("```{kind}\n")).expect("the block");
    block.split_once("```").expect("its end").0.to_owned()
}

/// An application that answers with the request's method, path and headers.
pub struct Application {
    pub address: String,
    /// How often it was asked.
    asked: Arc<Mutex<u32>>,
}

impl Application {
    pub async fn start() -> Self {
        let asked = Arc::<Mutex<u32>>::default();
        let count = asked.clone();
        let answer = async move |request: Request| {
            *count.lock().unwrap() += 1;
            let text = |value: &axum::http::HeaderValue| value.to_str().unwrap().to_owned();
            let headers: Vec<_> =
                request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
            let (method, path) = (request.method().to_string(), request.uri().to_string());
            axum::Json(json!({ "method": method, "path": path, "headers": headers }))
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
        Self { address, asked }
    }

    pub fn asked(&self) -> u32 {
        *self.asked.lock().unwrap()
    }
}

/// What the application was told under `name`, whatever stands for `-` in it.
pub fn told<'v>(seen: &'v Value, name: &str) -> Vec<&'v str> {
    let headers = seen["headers"].as_array().unwrap().iter();
    let is_named = |header: &&Value| header[0].as_str().unwrap().replace('_', "-") == name;
    headers.filter(is_named).map(|header| header[1].as_str().unwrap()).collect()
}

/// Where the parts of a configuration are.
pub struct Parts<'a> {
    pub folder: &'a Path,
    pub sidecar: &'a str,
    pub application: &'a str,
}

pub struct Proxy {
    child: Child,
    pub url: String,
}

impl Proxy {
    /// nginx, whose files lie in `files` of the folder.
    pub fn nginx(parts: &Parts<'_>) -> Self {
        let folder = parts.folder.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {folder}/{what};\n"))
            .concat();
        let block = documented("nginx", "nginx").replace("/srv/photos", &format!("{folder}/files"));
        let configuration = format!(
            "daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;\n\
             events {{}}\nhttp {{\naccess_log off;\n{temporary}{block}}}\n"
        );
        let file = parts.folder.join("nginx.conf");
        Self::start(parts, &configuration, &file, || {
            // Where Debian has it, which is in the path of root alone.
            let system = Path::new("/usr/sbin/nginx");
            let mut program = Command::new(if system.exists() { system } else { Path::new("nginx") });
            program.args(["-e", "stderr", "-p"]).arg(parts.folder).arg("-c").arg(&file);
            program
        })
    }

    pub fn caddy(parts: &Parts<'_>) -> Self {
        let configuration = format!("{{\n\tadmin off\n}}\n{}", documented("Caddy", "caddy"));
        let file = parts.folder.join("Caddyfile");
        Self::start(parts, &configuration, &file, || {
            let mut program = Command::new("caddy");
            program.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
            program.env("HOME", parts.folder).env("XDG_DATA_HOME", parts.folder);
            program
        })
    }

    /// Starts it on a free port, and again on another one if somebody was quicker.
    fn start(parts: &Parts<'_>, configuration: &str, file: &Path, program: impl Fn() -> Command) -> Self {
        for address in ["127.0.0.1:8000", "127.0.0.1:8090", "127.0.0.1:3000"] {
            assert!(configuration.contains(address), "{address} is not in the page's block");
        }
        let configuration = configuration
            .replace("127.0.0.1:8090", parts.sidecar)
            .replace("127.0.0.1:3000", parts.application);
        let mut said = String::new();
        for _ in 0..5 {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
            std::fs::write(file, configuration.replace("127.0.0.1:8000", &free)).unwrap();
            let log = std::fs::File::create(parts.folder.join("proxy.log")).unwrap();
            let mut program = program();
            program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            let mut child = program.spawn().unwrap_or_else(|error| panic!("{program:?}: {error}"));
            while child.try_wait().unwrap().is_none() {
                if TcpStream::connect(&free).is_ok() {
                    return Self { child, url: format!("http://{free}") };
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            said = std::fs::read_to_string(parts.folder.join("proxy.log")).unwrap();
        }
        panic!("it does not start: {said}");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
