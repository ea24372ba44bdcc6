//! Logs for machines: one JSON object a line, each request by the id that its answer carries.

use serde_json::Value;

use crate::program::{Place, Server};

#[tokio::test]
async fn a_request_is_found_in_the_log_by_the_id_on_its_answer() {
    let place = Place::new();
    let mut serve = place.program(&["serve"]);
    serve.env("RUST_LOG", "rescind=debug");
    let server = Server::start(serve);
    let http = reqwest::Client::new();
    let mut ids = Vec::new();
    for path in ["/healthz", "/static/rescind.css?secret=hidden", "/nowhere/hidden"] {
        let answer = http.get(format!("http://{}{path}", server.address)).send().await.unwrap();
        ids.push(answer.headers()["x-request-id"].to_str().unwrap().to_owned());
    }
    let mut log = server.log();
    // The pipe is read by another thread.
    while !log.contains(&ids[2]) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        log = server.log();
    }
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect();
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
        assert!(line["fields"]["message"].is_string(), "{line}");
    }
    let of = |id: &String| {
        let found: Vec<&Value> = lines.iter().filter(|line| line["fields"]["request.id"] == **id).collect();
        assert_eq!(found.len(), 1, "{id} in {log}");
        (found[0]["fields"]["route"].clone(), found[0]["fields"]["status"].clone())
    };
    let answered: Vec<(Value, Value)> = ids.iter().map(of).collect();
    let expected = [("/healthz", 200), ("/static/{name}", 200), ("none", 404)];
    assert_eq!(answered, expected.map(|(route, status)| (route.into(), status.into())));
    assert!(!log.contains("hidden"), "paths and queries may hold what nobody else should read: {log}");
}
