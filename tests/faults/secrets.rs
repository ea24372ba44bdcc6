//! Every route, with logs at their most talkative: no secret that went over the wire stands in them, in metrics or in
//! the database, and no name or address of a person in logs or metrics.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rescind::routes::TABLE;
use tracing_subscriber::EnvFilter;

use crate::http::harness::engine::database::skips_on_postgres;
use crate::requests::{EMAIL, Stage, variants};
use crate::sqlite;

/// Of people, what nobody may find in logs or metrics.
const PERSONAL: [&str; 3] = [EMAIL, "alice", "carol"];

/// What was logged while [`LISTENING`]: there is one log for all tests of a process.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static LISTENING: AtomicBool = AtomicBool::new(false);

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if LISTENING.load(Ordering::SeqCst) {
            LOG.lock().unwrap().extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Secrets by their shape: tokens, codes and client secrets anywhere, cookies, fields of forms, and what Basic carries.
fn secrets(heard: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let value = |text: &str, ends: &[char]| text.split(|c| ends.contains(&c)).next().unwrap().to_owned();
    for text in heard {
        for rest in text.match_indices("rsc_").map(|(at, _)| &text[at..]) {
            found.insert(rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect());
        }
        // JWTs: what is signed, and its signature, which alone makes it one.
        for rest in text.match_indices("eyJ").map(|(at, _)| &text[at..]) {
            let is_base64 = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
            let jwt: String = rest.chars().take_while(is_base64).collect();
            found.extend(jwt.rsplit('.').next().filter(|part| part.len() > 40).map(str::to_owned));
        }
        for (mark, ends) in [
            ("rescind=", &[';', '"'][..]),
            ("password=", &['&', '\n']),
            ("current_password=", &['&']),
            ("new_password=", &['&']),
            ("code_verifier=", &['&']),
            ("Basic ", &['"']),
            ("Bearer ", &['"']),
        ] {
            let found_here: Vec<String> =
                text.split(mark).skip(1).map(|rest| value(rest, ends)).filter(|v| v.len() > 11).collect();
            for secret in found_here {
                if let Some(decoded) = BASE64_STANDARD.decode(&secret).ok().filter(|_| mark == "Basic ") {
                    let pair = String::from_utf8(decoded).unwrap();
                    found.insert(pair.split_once(':').unwrap().1.to_owned());
                }
                // As it was typed, and as it stood in the form.
                found.insert(secret.replace('+', " "));
                found.insert(secret);
            }
        }
    }
    found
}

#[tokio::test]
async fn no_secret_stands_in_logs_metrics_or_the_database() {
    if skips_on_postgres("the bytes of a file are searched") {
        return;
    }
    let _alone = sqlite::alone().await;
    let logs = tracing_subscriber::fmt().json().with_env_filter(EnvFilter::new("trace")).with_writer(|| Log);
    logs.try_init().unwrap();
    LISTENING.store(true, Ordering::SeqCst);
    let (mut all, mut people, mut requests) = (BTreeSet::new(), BTreeSet::<&str>::new(), 0);
    let looked_at = Stage::heard().await;
    for (route, variant) in TABLE.iter().flat_map(|route| (0..variants(route)).map(move |i| (route, i))) {
        // Looking changes nothing, but for what some requests need beforehand.
        let is_look =
            route.method == "get" && !["/oauth/authorize", "/receipts/{receipt_id}"].contains(&route.path);
        let own = if is_look { None } else { Some(Stage::heard().await) };
        let stage = own.as_ref().unwrap_or(&looked_at);
        if route.path == "/oauth/token" && variant < 3 {
            stage.world.forces("UPDATE clients SET token_format = 'jwt'");
        }
        let request = stage.request(route, variant).await;
        let answer = stage.sends(&request).await;
        assert!(answer.status.as_u16() < 400 || variant > 2, "{route:?} {} {}", answer.status, answer.body);
        let metrics = stage.world.metrics().await;
        let (heard, stored) = (stage.world.heard(), stage.world.bytes());
        let stored = String::from_utf8_lossy(&stored);
        requests += if is_look { 0 } else { heard.len() / 2 };
        let used = secrets(&heard);
        for secret in &used {
            assert!(!stored.contains(secret.as_str()), "{route:?}: {secret} is in the database");
            assert!(!metrics.contains(secret.as_str()), "{route:?}: {secret} is in the metrics");
        }
        for personal in PERSONAL {
            assert!(!metrics.contains(personal), "{route:?}: {personal} is in the metrics");
        }
        all.extend(used);
        let was_sent = |personal: &&str| heard.iter().any(|text| text.replace("%40", "@").contains(personal));
        people.extend(PERSONAL.into_iter().filter(was_sent));
    }
    requests += looked_at.world.heard().len() / 2;
    LISTENING.store(false, Ordering::SeqCst);
    let log = std::mem::take(&mut *LOG.lock().unwrap());
    let log = String::from_utf8(log).unwrap();
    // What was looked for, and where, was there to be found.
    for prefix in ["rsc_at_", "rsc_rt_", "rsc_ac_", "rsc_cs_", "rsc_rs_", "correct horse", "a-token-for"] {
        assert!(all.iter().any(|secret| secret.starts_with(prefix)), "no {prefix} was used");
    }
    assert!(
        log.contains("request.answered") && all.iter().any(|secret| secret.len() == 86),
        "no JWT was used"
    );
    assert_eq!(people.len(), PERSONAL.len(), "{people:?}");
    assert!(all.len() > 300, "{}", all.len());
    assert_eq!(log.matches("request.answered").count(), requests, "every request is in the log");
    assert!(log.contains("INSERT INTO") || log.contains("SELECT"), "statements are in the log");
    for line in log.lines() {
        let unspoken = all.iter().map(String::as_str).chain(PERSONAL).chain(["rsc_"]);
        let secret = unspoken.into_iter().find(|secret| line.contains(secret));
        assert_eq!(secret, None, "is in {line}");
    }
}
