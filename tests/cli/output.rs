//! What is printed and logged where nobody reads it, in files, and for other programs.

use std::fs::File;
use std::process::{Command, Stdio};

use reqwest::header::ORIGIN;

use crate::program::Place;
use crate::visitor::World;

const TEXTS: [&[&str]; 5] =
    [&["settings"], &["--help"], &["--version"], &["purge", "status"], &["purge", "status", "--json"]];

/// A pipe whose reader has gone away.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full_disk() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

#[test]
fn no_command_panics_where_its_output_can_t_be_written() {
    let place = Place::new();
    World::register(&place);
    for arguments in TEXTS {
        let ended = place.program(arguments).stdout(closed_pipe()).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(
            (ended.status.code(), said.as_str()),
            (Some(0), ""),
            "{arguments:?}: a reader that has enough"
        );
        let ended = place.program(arguments).stdout(full_disk()).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!said.contains("panicked"), "{said}");
        if !arguments[0].starts_with("--") {
            assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {said}");
            assert!(said.contains("standard output"), "{said}");
        }
    }
    // A failure keeps its exit code where it can't be told either.
    for broken in [closed_pipe, full_disk] {
        let mut program = place.program(&["revoke", "user", "nobody"]);
        assert_eq!(program.stdout(broken()).stderr(broken()).status().unwrap().code(), Some(3));
    }
}

#[test]
fn a_server_goes_on_where_its_log_can_t_be_written() {
    for broken in [closed_pipe, full_disk] {
        let place = Place::new();
        World::register(&place);
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut serve = place.program(&["serve"]);
        serve.env("RESCIND_LISTEN", &address).env("RUST_LOG", "debug").stderr(broken());
        let mut child = serve.spawn().unwrap();
        let is_answered = || {
            let Ok(mut stream) = std::net::TcpStream::connect(&address) else { return false };
            let ask = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            std::io::Write::write_all(&mut stream, ask).unwrap();
            let mut text = String::new();
            std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
            text.starts_with("HTTP/1.1 200")
        };
        while !is_answered() {
            assert!(child.try_wait().unwrap().is_none(), "it ended");
            std::thread::yield_now();
        }
        assert!(is_answered());
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

/// The log that a server writes into a file, in this format, while somebody tries to sign in.
async fn log_of_refusals(format: &str) -> String {
    let place = Place::new();
    World::register(&place);
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let path = place.folder.path().join("log");
    let mut serve = place.program(&["serve"]);
    serve
        .env("RESCIND_LISTEN", &address)
        .env("RESCIND_ISSUER", format!("http://{address}"))
        .env("RESCIND_TRUSTED_PROXIES", "127.0.0.1")
        .env("RESCIND_LOG", format)
        .stderr(File::create(&path).unwrap());
    let mut child = serve.spawn().unwrap();
    let http = reqwest::Client::new();
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) {
        let request = http
            .post(format!("http://{address}/login"))
            .header(ORIGIN, format!("http://{address}"))
            .header("x-forwarded-for", "2001:db8::7")
            .form(&[("username", "alice"), ("password", "a wrong password")]);
        match request.send().await {
            Ok(answer) => statuses.push(answer.status().as_u16()),
            Err(_) => assert!(child.try_wait().unwrap().is_none(), "it ended"),
        }
    }
    assert_eq!(statuses[0], 401);
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn the_documented_filter_finds_the_address_of_each_refused_sign_in() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operating.md")).unwrap();
    let (_, filter) = page.split_once("failregex = ").unwrap();
    let patterns: Vec<regex::Regex> = filter
        .lines()
        .take_while(|line| !line.trim().is_empty())
        .map(|line| line.trim().replace("<HOST>", "(?P<host>[0-9A-Fa-f.:]+)"))
        .map(|pattern| regex::Regex::new(&pattern).unwrap())
        .collect();
    assert_eq!(patterns.len(), 2, "one for each format");
    for format in ["text", "json"] {
        let log = log_of_refusals(format).await;
        assert!(!log.contains('\u{1b}'), "no colours in a file: {log}");
        for refusal in ["sign_in.refused", "sign_in.limited"] {
            let line = log.lines().find(|line| line.contains(refusal)).expect(refusal);
            let found: Vec<_> = patterns.iter().filter_map(|pattern| pattern.captures(line)).collect();
            assert_eq!(found.len(), 1, "{line}");
            assert_eq!(&found[0]["host"], "2001:db8::7", "{line}");
            assert!(!line.contains("alice"), "{line}");
        }
        let others = log.lines().filter(|line| !line.contains("sign_in."));
        assert!(!others.collect::<String>().contains("2001:db8"), "{log}");
    }
}
