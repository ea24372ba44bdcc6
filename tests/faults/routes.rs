//! Every route, with a fault at the first, second, … thing that it asks of the database, until it gets through.

use std::collections::{BTreeMap, BTreeSet};

use rescind::routes::{Caller, Route, TABLE};

use crate::http::harness::World;
use crate::http::harness::answer::Answer;
use crate::requests::{Request, Stage, variants};
use crate::sqlite::{self, Fault};

/// After so many tries a new stage, or the bounds on password attempts come in between.
const TRIES: i64 = 12;

/// How many rows came and went, by table; a changed row did both.
type Change = BTreeMap<String, (usize, usize)>;

fn change(before: &BTreeMap<String, Vec<String>>, after: &BTreeMap<String, Vec<String>>) -> Change {
    let count = |table: &String| {
        let [before, after] = [before, after].map(|all| all[table].iter().collect::<BTreeSet<_>>());
        (after.difference(&before).count(), before.difference(&after).count())
    };
    let changes = before.keys().map(|table| (table.clone(), count(table)));
    changes.filter(|(_, change)| *change != (0, 0)).collect()
}

/// An answer and what went with it.
struct Outcome {
    answer: Answer,
    change: Change,
}

async fn send(stage: &Stage, request: &Request) -> Outcome {
    let before = stage.world.contents();
    let answer = stage.sends(request).await;
    Outcome { answer, change: change(&before, &stage.world.contents()) }
}

async fn send_with(fault: Fault, nth: i64, stage: &Stage, request: &Request) -> (Outcome, bool) {
    let before = stage.world.contents();
    fault.arm(nth);
    let answer = stage.sends(request).await;
    let has_struck = fault.disarm();
    (Outcome { answer, change: change(&before, &stage.world.contents()) }, has_struck)
}

impl Outcome {
    /// Where a redirect leads, without what differs from one time to the next.
    fn leads_to(&self) -> Option<&str> {
        Some(self.answer.header("location")?.split(['?', '_']).next().unwrap())
    }

    /// What is wrong with this, where `undisturbed` is how the request goes without a fault.
    fn flaw(&self, undisturbed: &Self) -> Option<String> {
        let status = self.answer.status.as_u16();
        let is_same =
            (self.answer.status, self.leads_to()) == (undisturbed.answer.status, undisturbed.leads_to());
        let is_whole = self.change == undisturbed.change;
        let is_untouched = self.change.is_empty();
        if is_same {
            return (!is_whole).then(|| format!("{status} although only this was done: {:?}", self.change));
        }
        match status {
            503 if self.answer.header("retry-after").is_none() => Some("503 without Retry-After".to_owned()),
            503 if is_untouched || is_whole => None,
            400..500 if is_untouched => None,
            _ => Some(format!("{status} → {:?}, and this was done: {:?}", self.leads_to(), self.change)),
        }
    }
}

fn of(callers: &[Caller]) -> impl Iterator<Item = &'static Route> {
    TABLE.iter().filter(|route| callers.contains(&route.caller))
}

/// Faults that struck, over all routes of these callers.
async fn strike(fault: Fault, callers: &[Caller]) -> usize {
    let _alone = sqlite::alone().await;
    let (mut strikes, mut flaws, mut committed) = (0, Vec::new(), Vec::new());
    for (route, variant) in of(callers).flat_map(|route| (0..variants(route)).map(move |i| (route, i))) {
        let mut stage = Stage::new().await;
        let mut request = stage.request(route, variant).await;
        let undisturbed = send(&stage, &request).await;
        let mut is_fresh = false;
        for nth in 1.. {
            if !is_fresh || nth % TRIES == 0 {
                stage = Stage::new().await;
                request = stage.request(route, variant).await;
            }
            let (outcome, has_struck) = send_with(fault, nth, &stage, &request).await;
            let what = format!("{} {} ({variant}), {fault:?} {nth}", route.method, route.path);
            flaws.extend(outcome.flaw(&undisturbed).map(|flaw| format!("{what}: {flaw}")));
            if !has_struck {
                break;
            }
            strikes += 1;
            is_fresh = outcome.change.is_empty();
            if outcome.answer.status == 503 && !outcome.change.is_empty() {
                committed.push(what);
            }
            is_sound(&stage.world);
        }
    }
    println!("{strikes} faults; 503 after the commit: {committed:#?}");
    assert!(flaws.is_empty(), "{flaws:#?}");
    strikes
}

#[track_caller]
fn is_sound(world: &World) {
    assert_eq!(world.value::<String>("PRAGMA integrity_check"), "ok");
}

const PROTOCOL: [Caller; 3] = [Caller::Client, Caller::ResourceServer, Caller::Anybody];

#[tokio::test]
async fn a_failing_statement_gives_no_false_answer_on_public_pages() {
    assert!(strike(Fault::Statement, &[Caller::Public]).await > 20);
}

#[tokio::test]
async fn a_failing_statement_gives_no_false_answer_on_a_person_s_pages() {
    assert!(strike(Fault::Statement, &[Caller::SignedIn]).await > 50);
}

#[tokio::test]
async fn a_failing_statement_gives_no_false_answer_on_developers_and_admins_pages() {
    assert!(strike(Fault::Statement, &[Caller::Developer, Caller::Admin]).await > 30);
}

#[tokio::test]
async fn a_failing_statement_gives_no_false_answer_of_the_protocol() {
    assert!(strike(Fault::Statement, &PROTOCOL).await > 30);
}

#[tokio::test]
async fn a_failing_disk_gives_no_false_answer_on_public_pages() {
    assert!(strike(Fault::Disk, &[Caller::Public]).await > 20);
}

#[tokio::test]
async fn a_failing_disk_gives_no_false_answer_on_a_person_s_pages() {
    assert!(strike(Fault::Disk, &[Caller::SignedIn]).await > 50);
}

#[tokio::test]
async fn a_failing_disk_gives_no_false_answer_on_developers_and_admins_pages() {
    assert!(strike(Fault::Disk, &[Caller::Developer, Caller::Admin]).await > 30);
}

#[tokio::test]
async fn a_failing_disk_gives_no_false_answer_of_the_protocol() {
    assert!(strike(Fault::Disk, &PROTOCOL).await > 30);
}
