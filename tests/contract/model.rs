//! Random sequences of everything that people, apps and time do, against a model of plain sets.
//!
//! After every step every credential that was ever issued has to live exactly where the sets say so: at the server, and
//! JWTs at a guard that is connected to it.
//! A failure prints its seed and the shortest sequence that was found to fail. A longer run:
//!
//! ```text
//! RESCIND_MODEL_STEPS=200000 cargo test --test contract sets -- --nocapture
//! ```
//!
//! `RESCIND_MODEL_SEED` repeats one.

mod play;
mod sets;
mod steps;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use play::Play;
use steps::{Kind, Step};

use crate::chance::{Chance, setting};

/// Steps on one database: long enough for old credentials to meet new acts.
const LENGTH: usize = 120;
const STEPS: u64 = 3_000;
const SHRINKING: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Tally {
    steps: usize,
    issued: usize,
    live: usize,
    own: usize,
    jwts: usize,
    /// What the guard was asked, and how often it accepted.
    asked: usize,
    accepted: usize,
    kinds: BTreeMap<String, usize>,
}

struct Failure {
    step: usize,
    what: String,
}

async fn play(steps: &[Step], tally: &mut Tally) -> Result<(), Failure> {
    let mut play = Play::new().await;
    for (at, step) in steps.iter().enumerate() {
        let done = match play.step(*step).await {
            Ok(()) => play.compare().await,
            wrong => wrong,
        };
        done.map_err(|what| Failure { step: at, what })?;
        tally.steps += 1;
        *tally.kinds.entry(format!("{:?}", step.kind)).or_default() += 1;
    }
    let (live, issued) = play.counts();
    tally.live += live;
    tally.issued += issued;
    tally.own += play.of_clients_own();
    tally.jwts += play.jwts();
    tally.asked += play.verdicts.0;
    tally.accepted += play.verdicts.1;
    Ok(())
}

fn sequence(seed: u64) -> Vec<Step> {
    let mut chance = Chance::new(seed);
    (0..LENGTH).map(|_| Step::draw(&mut chance)).collect()
}

/// Leaves out whatever the failure does not need: first what came after it, then runs, then single steps.
async fn shrink(mut steps: Vec<Step>, mut failure: Failure) -> (Vec<Step>, Failure) {
    let began = Instant::now();
    steps.truncate(failure.step + 1);
    let mut run = steps.len() / 2;
    while run > 0 && began.elapsed() < SHRINKING {
        let mut from = 0;
        while from < steps.len() && began.elapsed() < SHRINKING {
            let mut fewer = steps.clone();
            fewer.drain(from..(from + run).min(fewer.len()));
            match play(&fewer, &mut Tally::default()).await {
                Err(found) => {
                    fewer.truncate(found.step + 1);
                    (steps, failure) = (fewer, found);
                }
                Ok(()) => from += run,
            }
        }
        run /= 2;
    }
    (steps, failure)
}

#[tokio::test]
async fn every_credential_lives_exactly_as_long_as_the_sets_say() {
    let total = setting("RESCIND_MODEL_STEPS").unwrap_or(STEPS);
    let mut seeds = Chance::new(Chance::seed());
    let mut tally = Tally::default();
    while tally.steps < usize::try_from(total).unwrap() {
        let asked = setting("RESCIND_MODEL_SEED");
        let seed = asked.unwrap_or_else(|| seeds.number());
        let steps = sequence(seed);
        if let Err(failure) = play(&steps, &mut tally).await {
            let (steps, Failure { what, .. }) = shrink(steps, failure).await;
            let steps: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
            panic!("RESCIND_MODEL_SEED={seed}\n{what}, after\n{}", steps.join("\n"));
        }
        if asked.is_some() {
            return;
        }
    }
    let Tally { steps, issued, live, own, jwts, asked, accepted, kinds } = tally;
    println!(
        "model: {steps} steps, {issued} credentials issued, {own} of them clients' own and \
         {jwts} JWTs, {live} alive at the end"
    );
    println!("model: a guard was asked {asked} times about JWTs, and accepted {accepted} times");
    println!("model: {kinds:?}");
    assert!(total < STEPS || kinds.len() == Step::kinds(), "kinds that were never drawn");
    assert!(kinds[&format!("{:?}", Kind::Redeem)] > 0 && live > 0 && live < issued && jwts > 0);
    assert!(0 < accepted && accepted < asked, "the guard was asked too little");
}
