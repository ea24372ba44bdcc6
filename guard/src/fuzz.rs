//! Random input, compared with an oracle that reads it in another way.
//!
//! Each input depends only on the seed and its number. A test run tries some thousands. For ten million of each kind:
//!
//! ```text
//! RESCIND_FUZZ_INPUTS=10000000 cargo test --release -p rescind-guard fuzz -- --nocapture
//! ```
//!
//! A failure prints what repeats it: `RESCIND_FUZZ_SEED` and `RESCIND_FUZZ_FIRST`. (Signatures of ES256 are random, so
//! a change within one is repeated on a different signature.)

mod chance;
mod changes;
mod json;
mod mint;
mod mirror;
mod oracle;
mod server;
mod streams;
mod tokens;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use chance::Chance;
use mint::Mint;
use streams::Streams;
use tokens::Tokens;

const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "https://api.example";
/// Unix seconds.
const NOW: u64 = 1_790_000_000;
/// Seconds.
const LEEWAY: u64 = 5;
/// How many inputs are tried by default: enough to reach everything, in a few seconds of a debug build.
const TOKENS: u64 = 10_000;
const STREAMS: u64 = 3_000;

/// How many inputs had which result.
#[derive(Default)]
struct Tally(BTreeMap<String, u64>);

impl Tally {
    fn count(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    /// Fails unless each of `kinds` came up: a fuzzer says nothing about code that it never reaches.
    fn has_seen(&self, kinds: &[&str]) {
        for kind in kinds {
            assert!(self.0.contains_key(*kind), "{kind} never came up in {:?}", self.0);
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

/// Tries input after input on all cores. Each core has its own world.
fn run<W>(
    what: &str,
    inputs: u64,
    world: impl Fn() -> W + Sync,
    try_one: impl Fn(&mut W, u64, &mut Chance, &mut Tally) + Sync,
) -> Tally {
    let seed = setting("RESCIND_FUZZ_SEED").unwrap_or_else(|| {
        use std::hash::{BuildHasher as _, RandomState};
        RandomState::new().hash_one("seed")
    });
    let first = setting("RESCIND_FUZZ_FIRST").unwrap_or(0);
    let end = first + setting("RESCIND_FUZZ_INPUTS").unwrap_or(inputs);
    let began = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let work = |core: usize| {
        let (mut world, mut tally) = (world(), Tally::default());
        for number in (first + core as u64..end).step_by(cores) {
            let mut chance = Chance::of(seed, number);
            let tried = AssertUnwindSafe(|| try_one(&mut world, number, &mut chance, &mut tally));
            if catch_unwind(tried).is_err() {
                panic!(
                    "RESCIND_FUZZ_SEED={seed} RESCIND_FUZZ_FIRST={number} RESCIND_FUZZ_INPUTS=1 repeats it"
                );
            }
        }
        tally
    };
    let mut total = Tally::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|core| scope.spawn(move || work(core))).collect();
        for worker in workers {
            for (kind, count) in worker.join().unwrap_or_else(|failure| resume_unwind(failure)).0 {
                *total.0.entry(kind).or_default() += count;
            }
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    let rate = (end - first) as f64 / seconds;
    println!(
        "{what}: {} inputs of seed {seed} in {seconds:.1} s, {rate:.0} a second: {:?}",
        end - first,
        total.0
    );
    total
}

#[test]
fn a_token_is_accepted_only_where_a_second_reader_accepts_it() {
    let mint = Mint::new();
    let tally = run(
        "tokens",
        TOKENS,
        || Tokens::new(&mint),
        |tokens, _, chance, tally| tokens.try_one(chance, tally),
    );
    if setting("RESCIND_FUZZ_INPUTS").is_none_or(|inputs| inputs >= TOKENS) {
        tally.has_seen(&[
            "accepted",
            "Algorithm",
            "Audience",
            "Checksum",
            "Claim",
            "Expired",
            "Header",
            "Issuer",
            "Lifetime",
            "Malformed",
            "NotYetValid",
            "Opaque",
            "Revoked",
            "SenderConstrained",
            "Signature",
            "Stale",
            "Type",
            "UnknownKey",
        ]);
        assert!(tally.0["accepted"] > TOKENS / 20, "{:?}", tally.0);
    }
}

#[test]
fn no_stream_hides_a_revocation_from_a_guard_that_looks_fresh() {
    let mint = Mint::new();
    let try_one = |streams: &mut Streams<'_>, number: u64, chance: &mut Chance, tally: &mut Tally| {
        streams.try_one(number, chance, tally);
    };
    let tally = run("streams", STREAMS, || Streams::new(&mint), try_one);
    if setting("RESCIND_FUZZ_INPUTS").is_none_or(|inputs| inputs >= STREAMS) {
        tally.has_seen(&[
            "fresh",
            "not fresh",
            "revoked and refused",
            "snapshot refused",
            "snapshot taken",
            "stream: All",
            "stream: Gap",
            "stream: Unreadable",
        ]);
    }
}
