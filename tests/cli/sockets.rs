//! Sockets that are passed, signals that end nothing, and the end of a server that is asked something.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::program::{Place, Server};
use crate::visitor::World;

/// `rescind` with these arguments, to which a supervisor passes two sockets.
fn with_sockets(settled: &Command, arguments: &str, first: OwnedFd, second: OwnedFd) -> Command {
    let mut program = Command::new("sh");
    let pass = "LISTEN_FDS=2 LISTEN_PID=$$ exec \"$0\" \"$1\" 3<&0 4<&1 </dev/null >/dev/null";
    program.args(["-c", pass, env!("CARGO_BIN_EXE_rescind"), arguments]);
    program.envs(settled.get_envs().filter_map(|(name, value)| Some((name, value?))));
    program.stdin(first).stdout(second).stderr(Stdio::piped());
    program
}

fn listener() -> (OwnedFd, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener.into(), address)
}

fn is_healthy(address: &str) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.starts_with("HTTP/1.1 200")
}

#[test]
fn every_tcp_socket_that_a_supervisor_passes_is_served() {
    let place = Place::new();
    let world = World::register(&place);
    let (first, second) = (listener(), listener());
    let serve = Server::start(with_sockets(&place.program(&[]), "serve", first.0, second.0));
    assert!(is_healthy(&first.1) && is_healthy(&second.1));
    let mut settled = place.program(&[]);
    settled
        .env("RESCIND_GUARD_SERVER", format!("http://{}", serve.address))
        .env("RESCIND_GUARD_ID", &world.resource_server.0)
        .env("RESCIND_GUARD_SECRET", &world.resource_server.1)
        .env("RESCIND_GUARD_AUDIENCE", "urn:photos");
    let (first, second) = (listener(), listener());
    let _guard = Server::start_saying(with_sockets(&settled, "guard", first.0, second.0), "guard.started");
    assert!(is_healthy(&first.1) && is_healthy(&second.1));
}

#[test]
fn a_passed_socket_that_can_t_be_served_is_refused_at_the_start() {
    let place = Place::new();
    let unix = UnixListener::bind(place.folder.path().join("http.sock")).unwrap();
    let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    for second in [OwnedFd::from(unix), OwnedFd::from(silent)] {
        let ended = with_sockets(&place.program(&[]), "serve", listener().0, second).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains("passed socket 2") && said.contains("TCP"), "{said}");
    }
}

#[test]
fn sighup_ends_no_server() {
    let place = Place::new();
    let server = place.serve();
    for _ in 0..3 {
        server.signal("-HUP");
        assert!(is_healthy(&server.address));
    }
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn a_signal_right_after_the_start_ends_the_server_cleanly() {
    let place = Place::new();
    let api = World::register(&place).resource_server;
    for signal in ["-TERM", "-INT"] {
        for program in [place.program(&["serve"]), place.guard_program(&api, "127.0.0.1:1", &[])] {
            let what = format!("{program:?} {signal}");
            let server = Server::start_saying(program, "server.listens");
            server.signal("-HUP");
            server.signal(signal);
            assert_eq!(server.stop().0, Some(0), "{what}");
        }
    }
}

#[test]
fn a_command_that_has_connected_when_the_server_is_told_to_stop_is_answered() {
    let place = Place::new();
    let server = place.serve();
    let mut command = UnixStream::connect(place.beside("sock")).unwrap();
    command.write_all(b"{\"purge\":").unwrap();
    // What the kernel holds for a server that has not accepted it.
    let mut waiting: Vec<UnixStream> =
        (0..8).map(|_| UnixStream::connect(place.beside("sock")).unwrap()).collect();
    let address = server.address.clone();
    let stopping = std::thread::spawn(move || server.stop());
    while TcpStream::connect(&address).is_ok() {
        std::thread::yield_now();
    }
    command.write_all(b"{\"command\":\"status\"}}\n").unwrap();
    for stream in &mut waiting {
        stream.write_all(b"{\"purge\":{\"command\":\"status\"}}\n").unwrap();
    }
    for stream in waiting.into_iter().chain([command]) {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).expect("an answer");
        assert_eq!(answer["Ok"]["unfinished"], 0, "{answer}");
    }
    assert_eq!(stopping.join().unwrap().0, Some(0));
}
