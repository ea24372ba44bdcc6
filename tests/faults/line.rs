//! Every route on PostgreSQL, with the line to it breaking at every statement that the request asks of the database:
//! before the statement has arrived, or before its answer has; one connection, or all of them until the answer. And in the
//! middle of messages.
//!
//! A run takes one route of `RESCIND_FAULT_SHARE` (8), and one place of as many on it, beginning anywhere. All of them take
//! hours: `RESCIND_FAULT_SHARE=1 RESCIND_TEST_ENGINE=postgres scripts/postgres.sh run cargo test --test faults line`

use std::time::Duration;

use rescind::routes::{Caller, Route};

use crate::http::harness::World;
use crate::http::harness::engine::database::{Database, is_postgres};
use crate::http::harness::engine::postgres::cluster::relay::{Break, Relay};
use crate::outcome::{Contents, Outcome, PROTOCOL, change, routes_of};
use crate::requests::{Request, Stage, variants};

/// After so many requests a new stage, or the bounds on password attempts come in between.
const REQUESTS: usize = 12;
/// How often the same statement is struck in one request.
const TIMES: usize = 2;
/// Breaks in the middle of messages for each request.
const BYTES: u64 = 8;
/// How long it takes at most until broken connections have been noticed.
const RECOVERY: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug)]
enum Lost {
    Connection,
    /// Also every new one, until the answer has come.
    Line,
}

/// Where it breaks.
#[derive(Debug)]
struct Place {
    /// Counts only this statement.
    statement: Option<String>,
    at: Break,
    lost: Lost,
}

impl Place {
    fn arm(&self, line: &Relay) {
        line.counts_only(self.statement.as_deref());
        match self.lost {
            Lost::Connection => line.break_at(self.at),
            Lost::Line => line.cut_at(self.at),
        }
    }

    /// All that can be done to a request that asks these statements.
    fn all(statements: &[String], bytes: u64) -> Vec<Self> {
        let mut places = Vec::new();
        for (index, statement) in statements.iter().enumerate() {
            let number = statements[..=index].iter().filter(|other| *other == statement).count();
            if number > TIMES {
                continue;
            }
            for at in [Break::BeforeStatement(number), Break::AfterStatement(number)] {
                for lost in [Lost::Connection, Lost::Line] {
                    places.push(Self { statement: Some(statement.clone()), at, lost });
                }
            }
        }
        for part in 0..BYTES {
            let at = Break::BeforeByte(1 + bytes * part / BYTES);
            places.push(Self { statement: None, at, lost: Lost::Connection });
        }
        places
    }
}

/// A stage that is used until something has been done on it.
struct Play {
    stage: Stage,
    request: Request,
    contents: Contents,
    requests: usize,
}

impl Play {
    async fn new(route: &Route, variant: usize) -> Self {
        let stage = Stage::on(World::on(Database::on_a_line()).await).await;
        let request = stage.request(route, variant).await;
        let contents = stage.world.contents();
        Self { stage, request, contents, requests: 0 }
    }

    /// Begins on a new stage.
    async fn again(&mut self, route: &Route, variant: usize) {
        self.stage.world.ends().await;
        *self = Self::new(route, variant).await;
    }

    fn line(&self) -> &Relay {
        self.stage.world.database.line()
    }

    async fn sends(&mut self) -> Outcome {
        self.requests += 1;
        let answer = self.stage.sends(&self.request).await;
        let contents = self.stage.world.contents();
        let change = change(&self.contents, &contents);
        self.contents = contents;
        Outcome { answer, change }
    }

    /// Whether the line broke there.
    async fn sends_with(&mut self, place: &Place) -> (Outcome, bool) {
        place.arm(self.line());
        let outcome = self.sends().await;
        let has_struck = !self.line().forgets_break();
        self.line().restore();
        self.line().counts_only(None);
        (outcome, has_struck)
    }

    fn is_used_up(&self, outcome: &Outcome) -> bool {
        !outcome.change.is_empty() || self.requests >= REQUESTS
    }
}

/// What was struck, and what was wrong then.
#[derive(Default)]
struct Tally {
    strikes: usize,
    /// Places that a request did not come to.
    missed: usize,
    flaws: Vec<String>,
}

impl Tally {
    /// Sends the request until the line breaks at `place`.
    async fn strike(
        &mut self,
        play: &mut Play,
        undisturbed: &Outcome,
        place: &Place,
        route: &Route,
        variant: usize,
    ) {
        let mut recovering = Duration::ZERO;
        loop {
            let (outcome, has_struck) = play.sends_with(place).await;
            let what = format!("{} {} ({variant}), {place:?}", route.method, route.path);
            self.flaws.extend(outcome.flaw(undisturbed).map(|flaw| format!("{what}: {flaw}")));
            let is_refused = outcome.answer.status == 503 && outcome.change.is_empty();
            let is_first = play.requests == 1;
            if play.is_used_up(&outcome) || !(has_struck || is_refused) {
                play.again(route, variant).await;
            }
            if has_struck {
                self.strikes += 1;
                return;
            }
            if is_refused {
                // It found a connection broken that had been broken before.
                if recovering >= RECOVERY {
                    self.flaws.push(format!("{what}: it does not recover"));
                    return;
                }
                recovering += PAUSE;
                tokio::time::sleep(PAUSE).await;
            } else if is_first {
                self.missed += 1;
                return;
            }
        }
    }
}

/// One of so many, beginning anywhere.
struct Share {
    of: usize,
    turn: usize,
}

impl Share {
    fn new(of: usize) -> Self {
        Self { of, turn: rand::random_range(0..of) }
    }

    fn takes_this(&mut self) -> bool {
        self.turn = (self.turn + 1) % self.of;
        self.turn == 0
    }
}

/// Breaks the line under all routes of these callers.
async fn break_the_line(callers: &[Caller]) {
    if !is_postgres() {
        eprintln!("skipped on SQLite: there is no line to a file");
        return;
    }
    let share = std::env::var("RESCIND_FAULT_SHARE").map_or(8, |share| share.parse().unwrap());
    let (mut routes, mut some) = (Share::new(share), Share::new(share));
    let mut tally = Tally::default();
    let mut places = 0;
    for (route, variant) in routes_of(callers).flat_map(|route| (0..variants(route)).map(move |i| (route, i)))
    {
        if !routes.takes_this() {
            continue;
        }
        let mut play = Play::new(route, variant).await;
        play.line().forget_statements();
        let undisturbed = play.sends().await;
        let all = Place::all(&play.line().statements(), play.line().bytes());
        places += all.len();
        if play.is_used_up(&undisturbed) {
            play.again(route, variant).await;
        }
        for place in all {
            if some.takes_this() {
                tally.strike(&mut play, &undisturbed, &place, route, variant).await;
            }
        }
        play.stage.world.ends().await;
    }
    let Tally { strikes, missed, flaws } = tally;
    println!("{strikes} of {places} places struck, {missed} missed");
    assert!(flaws.is_empty(), "{flaws:#?}");
    assert!(strikes + missed >= places / share, "too little happened");
    assert!(missed <= strikes / 4 + 1, "{missed} places were missed");
}

#[tokio::test]
async fn a_line_that_breaks_gives_no_false_answer_on_public_pages() {
    break_the_line(&[Caller::Public]).await;
}

#[tokio::test]
async fn a_line_that_breaks_gives_no_false_answer_on_a_person_s_pages() {
    break_the_line(&[Caller::SignedIn]).await;
}

#[tokio::test]
async fn a_line_that_breaks_gives_no_false_answer_on_developers_and_admins_pages() {
    break_the_line(&[Caller::Developer, Caller::Admin]).await;
}

#[tokio::test]
async fn a_line_that_breaks_gives_no_false_answer_of_the_protocol() {
    break_the_line(&PROTOCOL).await;
}
