//! A thousand guards that lose their server at once.

use std::time::{Duration, Instant};

use rescind_guard::{Guard, Timing};

use crate::line::Passage;
use crate::restart::Home;
use crate::stage::{accepts, until, within};

const GUARDS: usize = 1_000;

/// A guard, the line and the server have two connections each, and so two descriptors at each end.
fn lift_limit_of_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum.map_or(Some(65_536), |most| Some(most.min(65_536)));
    setrlimit(Resource::Nofile, limit).unwrap();
    assert!(limit.current.unwrap() >= 10 * GUARDS as u64, "too few open files are allowed here: {limit:?}");
}

async fn all(guards: &[Guard], mut is_so: impl FnMut(&Guard) -> bool) {
    until(|| guards.iter().all(&mut is_so)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_guards_come_back_after_a_restart_and_hold_nobody_up() {
    lift_limit_of_open_files();
    let home = Home::new("120").await;
    let server = home.serves().await;
    let timing = Timing { acknowledge: Duration::from_secs(5), ..Timing::default() };
    let start = |_| Guard::start(home.settings().timing(timing)).unwrap();
    let guards: Vec<Guard> = (0..GUARDS).map(start).collect();
    all(&guards, |guard| guard.state().is_fresh && guard.state().is_connected).await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(home.token(&server).await);
    }
    let [before, meanwhile, live] = tokens.try_into().unwrap();
    home.revokes(&before);
    all(&guards, |guard| guard.verify(&before).is_err()).await;
    guards.iter().for_each(|guard| accepts(guard, &live));

    // It is killed, a command revokes, and it starts again.
    let before_restart: Vec<u64> = guards.iter().map(|guard| guard.state().counters.connects).collect();
    let from = Instant::now();
    home.line.forgets_arrivals();
    server.kill();
    home.revokes(&meanwhile);
    let server = home.serves().await;
    let answering = tokio::spawn(answers_others(format!("http://{}/readyz", server.address)));
    all(&guards, |guard| guard.verify(&meanwhile).is_err()).await;
    let is_back = |(guard, before): (&Guard, &u64)| guard.state().counters.connects > *before;
    until(|| guards.iter().zip(&before_restart).all(is_back)).await;
    all(&guards, |guard| guard.state().is_fresh && guard.state().is_connected).await;
    let answered = answering.await.unwrap();
    println!(
        "all back {:?} after the server was killed, and {answered} others answered meanwhile",
        from.elapsed()
    );
    let mut by_tenth = vec![0; 100];
    for arrival in home.line.arrivals() {
        let tenth = usize::try_from(arrival.duration_since(from).as_millis() / 100).unwrap();
        by_tenth[tenth.min(99)] += 1;
    }
    println!("connections in each tenth of a second: {by_tenth:?}");
    for guard in &guards {
        assert!(guard.verify(&before).is_err() && guard.verify(&meanwhile).is_err());
        accepts(guard, &live);
        assert_eq!(guard.state().counters.snapshots, 1, "each goes on where it was");
    }

    // And they hear of what comes.
    home.revokes(&live);
    all(&guards, |guard| guard.verify(&live).is_err()).await;
    // As if the machine were gone: nobody is told anything, and nothing is left waiting.
    home.line.is(Passage::Cut);
    drop(guards);
    server.stop();
}

/// Asks until a hundred were answered, which takes about as long as the guards take.
async fn answers_others(url: String) -> usize {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut answered = 0;
    while answered < 100 {
        assert_eq!(within(http.get(&url).send()).await.unwrap().status(), 200);
        answered += 1;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    answered
}
