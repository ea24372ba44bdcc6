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
        let acts = |change: &Change| {
            let acts = change.iter().filter(|(table, _)| *table != "sessions");
            acts.map(|(table, change)| (table.clone(), *change)).collect::<Change>()
        };
        // What was done to an account stands; then to begin a session is a favour, and the sign-in page is next.
        let is_whole =
            is_whole || (!acts(&self.change).is_empty() && acts(&self.change) == acts(&undisturbed.change));
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
    let (mut strikes, mut flaws) = (0, Vec::new());
    for (route, variant) in of(callers).flat_map(|route| (0..variants(route)).map(move |i| (route, i))) {
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
