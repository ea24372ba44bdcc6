//! Every route, with a fault at the first, second, … thing that it asks of the database, until it gets through.

use rescind::routes::Caller;

use crate::http::harness::World;
use crate::http::harness::engine::database::skips_on_postgres;
use crate::outcome::{Outcome, PROTOCOL, change, routes_of};
use crate::requests::{Request, Stage, variants};
use crate::sqlite::{self, Fault};

/// After so many tries a new stage, or the bounds on password attempts come in between.
const TRIES: i64 = 12;

async fn send_with(fault: Fault, nth: i64, stage: &Stage, request: &Request) -> (Outcome, bool) {
    let before = stage.world.contents();
    fault.arm(nth);
    let answer = stage.sends(request).await;
    let has_struck = fault.disarm();
    (Outcome { answer, change: change(&before, &stage.world.contents()) }, has_struck)
}

/// Faults that struck, over all routes of these callers.
async fn strike(fault: Fault, callers: &[Caller]) -> Option<usize> {
    if skips_on_postgres("this is SQLite's disk; the file `line.rs` breaks the line to PostgreSQL") {
        return None;
    }
    let _alone = sqlite::alone().await;
    let (mut strikes, mut flaws) = (0, Vec::new());
    for (route, variant) in routes_of(callers).flat_map(|route| (0..variants(route)).map(move |i| (route, i)))
    {
        let mut stage = Stage::new().await;
        let mut request = stage.request(route, variant).await;
        let mut outcomes = Vec::new();
        let undisturbed = loop {
            let nth = i64::try_from(outcomes.len()).unwrap() + 1;
            let (outcome, has_struck) = send_with(fault, nth, &stage, &request).await;
            if !has_struck {
                break outcome;
            }
            is_sound(&stage.world);
            // What has been done can't be done again, and password attempts are bounded.
            if !outcome.change.is_empty() || nth % TRIES == 0 {
                stage = Stage::new().await;
                request = stage.request(route, variant).await;
            }
            outcomes.push(outcome);
        };
        strikes += outcomes.len();
        for (nth, outcome) in (1..).zip(outcomes) {
            let what = format!("{} {} ({variant}), {fault:?} {nth}", route.method, route.path);
            flaws.extend(outcome.flaw(&undisturbed).map(|flaw| format!("{what}: {flaw}")));
        }
    }
    println!("{strikes} faults struck");
    assert!(flaws.is_empty(), "{flaws:#?}");
    Some(strikes)
}

#[track_caller]
fn is_sound(world: &World) {
    assert_eq!(world.value::<String>("PRAGMA integrity_check"), "ok");
}

#[tokio::test]
async fn a_failing_statement_gives_no_false_answer_on_public_pages() {
    assert!(strike(Fault::Statement, &[Caller::Public]).await.is_none_or(|strikes| strikes > 20));
}

#[tokio::test]
async fn a_failing_statement_gives_no_false_answer_on_a_person_s_pages() {
    assert!(strike(Fault::Statement, &[Caller::SignedIn]).await.is_none_or(|strikes| strikes > 50));
}

#[tokio::test]
async fn a_failing_statement_gives_no_false_answer_on_developers_and_admins_pages() {
    assert!(
        strike(Fault::Statement, &[Caller::Developer, Caller::Admin])
            .await
            .is_none_or(|strikes| strikes > 30)
    );
}

#[tokio::test]
async fn a_failing_statement_gives_no_false_answer_of_the_protocol() {
    assert!(strike(Fault::Statement, &PROTOCOL).await.is_none_or(|strikes| strikes > 30));
}

#[tokio::test]
async fn a_failing_disk_gives_no_false_answer_on_public_pages() {
    assert!(strike(Fault::Disk, &[Caller::Public]).await.is_none_or(|strikes| strikes > 20));
}

#[tokio::test]
async fn a_failing_disk_gives_no_false_answer_on_a_person_s_pages() {
    assert!(strike(Fault::Disk, &[Caller::SignedIn]).await.is_none_or(|strikes| strikes > 50));
}

#[tokio::test]
async fn a_failing_disk_gives_no_false_answer_on_developers_and_admins_pages() {
    assert!(
        strike(Fault::Disk, &[Caller::Developer, Caller::Admin]).await.is_none_or(|strikes| strikes > 30)
    );
}

#[tokio::test]
async fn a_failing_disk_gives_no_false_answer_of_the_protocol() {
    assert!(strike(Fault::Disk, &PROTOCOL).await.is_none_or(|strikes| strikes > 30));
}
