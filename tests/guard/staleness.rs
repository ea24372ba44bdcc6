//! A guard that can't know the newest revocations refuses, and one that can goes on, whatever wires and clocks do.

use std::time::Duration;

use rescind::clock::Clock as ServerClock;
use rescind_guard::{Guard, Refusal, Revoked, Timing};

use crate::line::{Line, Passage};
use crate::middle::{ACK, FEED, Middle, SNAPSHOT};
use crate::stage::{QUICK, Stage, accepts, confirmed, is_stale, refuses, until, within};

/// The registration says 300 seconds.
const SHORTER: Duration = Duration::from_secs(290);
const REST: Duration = Duration::from_secs(11);

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_shorter_than_max_staleness_refuses_nobody() {
    let stage = Stage::new().await;
    let line = Line::to(Some(stage.address)).await;
    let (guard, clock) = stage.guard_and_clock(&line.url).await;
    let [held, cut, live] = stage.tokens().await;
    for (passage, dead) in [(Passage::Held, &held), (Passage::Cut, &cut)] {
        confirmed(&guard).await;
        line.is(passage);
        stage.app.revokes(dead).await.is(200);
        clock.sleep(SHORTER);
        accepts(&guard, &live);
        line.is(Passage::Open);
        stage.reaches(&guard).await;
        refuses(&guard, dead, Revoked::Token);
        // Nobody was refused meanwhile, or the guard would have been stale.
        accepts(&guard, &live);
        clock.set_wall(-290);
    }
    assert_eq!(guard.state().counters.refused, [("revoked", 2)]);
    assert_eq!(guard.state().counters.snapshots, 1, "it went on from where it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_longer_than_max_staleness_refuses_everybody_until_it_is_over() {
    let stage = Stage::new().await;
    let line = Line::to(Some(stage.address)).await;
    let (guard, clock) = stage.guard_and_clock(&line.url).await;
    let [held, cut, live] = stage.tokens().await;
    for (passage, dead) in [(Passage::Held, &held), (Passage::Cut, &cut)] {
        confirmed(&guard).await;
        line.is(passage);
        stage.app.revokes(dead).await.is(200);
        clock.sleep(SHORTER);
        accepts(&guard, &live);
        clock.sleep(REST);
        is_stale(&guard, &live);
        is_stale(&guard, dead);
        assert!(guard.state().age.unwrap() > Duration::from_secs(300));
        line.is(Passage::Open);
        within(guard.ready()).await;
        // Fresh means that nothing is missing.
        refuses(&guard, dead, Revoked::Token);
        accepts(&guard, &live);
        clock.set_wall(-301);
    }
}

/// Sockets stay open, and nothing comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_connection_is_given_up_and_keeps_no_guard_fresh() {
    let stage = Stage::new().await;
    let line = Line::to(Some(stage.address)).await;
    let clock = rescind_guard::Clock::movable();
    // The server says something every five seconds.
    let timing = Timing { silence: Duration::from_secs(7), answer: Duration::from_secs(1), ..QUICK };
    let settings = stage.settings(&line.url).timing(timing).clock(clock.clone());
    let guard = Guard::start(settings).unwrap();
    within(guard.ready()).await;
    until(|| guard.state().is_connected).await;
    let [dead, live] = stage.tokens().await;
    line.is(Passage::Held);
    stage.app.revokes(&dead).await.is(200);
    until(|| !guard.state().is_connected).await;
    accepts(&guard, &live);
    clock.sleep(SHORTER + REST);
    is_stale(&guard, &live);
    is_stale(&guard, &dead);
    line.is(Passage::Open);
    within(guard.ready()).await;
    refuses(&guard, &dead, Revoked::Token);
    accepts(&guard, &live);
}

/// Acknowledgements pass all the while, and their answers say that something is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_comes_a_minute_late_keeps_no_guard_fresh() {
    let stage = Stage::new().await;
    let middle = Middle::to(stage.address).await;
    let clock = rescind_guard::Clock::movable();
    let settings = stage.settings(&middle.url).max_staleness(Duration::from_secs(45)).clock(clock.clone());
    let guard = Guard::start(settings).unwrap();
    within(guard.ready()).await;
    let [dead, live] = stage.tokens().await;
    middle.holds(FEED);
    middle.holds(SNAPSHOT);
    stage.app.revokes(&dead).await.is(200);
    let before = guard.state().counters.acknowledged;
    until(|| guard.state().counters.acknowledged > before + 3).await;
    clock.sleep(Duration::from_secs(60));
    is_stale(&guard, &live);
    is_stale(&guard, &dead);
    // However many answers there are.
    let before = guard.state().counters.acknowledged;
    until(|| guard.state().counters.acknowledged > before + 3).await;
    is_stale(&guard, &live);
    // A snapshot gets through, and the guard needs no more.
    middle.releases(SNAPSHOT);
    within(guard.ready()).await;
    refuses(&guard, &dead, Revoked::Token);
    accepts(&guard, &live);
    // Then comes what is late, and changes nothing.
    middle.releases(FEED);
    confirmed(&guard).await;
    refuses(&guard, &dead, Revoked::Token);
    accepts(&guard, &live);
    assert_eq!(guard.state().entries, 1);
}

/// The stream passes, and so nothing is missing; but nobody says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_counts_from_the_time_of_its_request() {
    let stage = Stage::new().await;
    let middle = Middle::to(stage.address).await;
    let (guard, clock) = stage.guard_and_clock(&middle.url).await;
    let live = stage.token("read").await;
    middle.holds(ACK);
    let before = middle.asked(ACK);
    within(middle.is_asked_again(ACK, before)).await;
    clock.sleep(SHORTER + REST);
    is_stale(&guard, &live);
    // What was asked before the machine slept is answered now, which makes nobody fresh.
    let acknowledged = guard.state().counters.acknowledged;
    let asked = middle.asked(ACK);
    middle.releases(ACK);
    until(|| guard.state().counters.acknowledged > acknowledged || middle.asked(ACK) > asked).await;
    within(guard.ready()).await;
    assert!(guard.state().age.unwrap() < SHORTER, "it counts from a question of after the sleep");
    accepts(&guard, &live);
}

/// As with a connection that died without a word: nobody waits for that answer when the network is whole again.
#[tokio::test(flavor = "multi_thread")]
async fn an_unanswered_acknowledgement_does_not_delay_later_ones() {
    let stage = Stage::new().await;
    let middle = Middle::to(stage.address).await;
    let (guard, clock) = stage.guard_and_clock(&middle.url).await;
    let [dead, live] = stage.tokens().await;
    middle.holds(ACK);
    within(middle.keeps_waiting(3)).await;
    clock.sleep(SHORTER);
    stage.app.revokes(&dead).await.is(200);
    stage.reaches(&guard).await;
    accepts(&guard, &live);
    // All are answered at once, in whatever order: those from before count for less than the newest.
    middle.releases(ACK);
    until(|| guard.state().age.unwrap() < SHORTER).await;
    refuses(&guard, &dead, Revoked::Token);
    accepts(&guard, &live);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_cut_off_from_its_database_keeps_no_guard_fresh() {
    let stage = Stage::new().await;
    let (guard, clock) = stage.guard_and_clock(&stage.url()).await;
    let [dead, live] = stage.tokens().await;
    let file = stage.world.app.store.path().unwrap().to_owned();
    let aside = file.with_extension("aside");
    let unreadable = || stage.world.forces_schema("ALTER TABLE ledger RENAME TO gone");
    let readable = || stage.world.forces_schema("ALTER TABLE gone RENAME TO ledger");
    let absent = || std::fs::rename(&file, &aside).unwrap();
    let present = || std::fs::rename(&aside, &file).unwrap();
    let ways: [[&dyn Fn(); 2]; 2] = [[&absent, &present], [&unreadable, &readable]];
    for [cut_off, reconnected] in ways {
        confirmed(&guard).await;
        cut_off();
        until(|| guard.state().trouble.is_some()).await;
        // No answer of before is on its way any more.
        clock.sleep(SHORTER + REST);
        is_stale(&guard, &live);
        tokio::time::sleep(Duration::from_millis(300)).await;
        is_stale(&guard, &live);
        reconnected();
        within(guard.ready()).await;
        accepts(&guard, &live);
        clock.set_wall(-301);
    }
    stage.app.revokes(&dead).await.is(200);
    stage.reaches_and_knows(&guard).await;
    refuses(&guard, &dead, Revoked::Token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_starts_before_its_server_accepts_nothing_until_it_is_fresh() {
    let stage = Stage::new().await;
    let [dead, live] = stage.tokens().await;
    stage.app.revokes(&dead).await.is(200);
    let line = Line::to(None).await;
    let guard = Guard::start(stage.settings(&line.url)).unwrap();
    is_stale(&guard, &live);
    until(|| guard.state().trouble.is_some()).await;
    is_stale(&guard, &live);
    is_stale(&guard, &dead);
    line.leads_to(stage.address);
    within(guard.ready()).await;
    refuses(&guard, &dead, Revoked::Token);
    accepts(&guard, &live);
    until(|| guard.state().trouble.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_jumps_an_hour_changes_only_expiry() {
    let stage = Stage::new().await;
    let clock = rescind_guard::Clock::movable();
    let leeway = Duration::from_secs(120);
    let guard = Guard::start(stage.settings(&stage.url()).leeway(leeway).clock(clock.clone())).unwrap();
    within(guard.ready()).await;
    let [dead, live] = stage.tokens().await;
    stage.app.revokes(&dead).await.is(200);
    stage.reaches_and_knows(&guard).await;
    // A token lives ten minutes.
    for (jump, expected) in [
        (660, None),
        (780, Some(Refusal::Expired)),
        (3600, Some(Refusal::Expired)),
        (-60, None),
        (-180, Some(Refusal::NotYetValid)),
        (-3600, Some(Refusal::NotYetValid)),
    ] {
        clock.set_wall(jump);
        assert_eq!(guard.verify(&live).err(), expected, "{jump}");
        assert!(guard.verify(&dead).is_err(), "{jump}");
        assert!(guard.state().is_fresh && guard.state().age.unwrap() < SHORTER, "{jump}");
        confirmed(&guard).await;
        clock.set_wall(-jump);
        accepts(&guard, &live);
        refuses(&guard, &dead, Revoked::Token);
    }
    assert_eq!(guard.state().counters.snapshots, 1);
}

/// What the server tells of an entry's remaining time follows its own clock, with slack for such jumps.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_clock_jumps_an_hour_revives_no_token() {
    let stage = Stage::new().await;
    let guard = stage.guard(&stage.url()).await;
    let [dead, later, live] = stage.tokens().await;
    stage.app.revokes(&dead).await.is(200);
    let ServerClock::Fixed(millis) = &stage.world.app.clock else { panic!("a clock that tests move") };
    for jump in [3_600_000, -3_600_000, -3_600_000, 3_600_000] {
        millis.fetch_add(jump, std::sync::atomic::Ordering::SeqCst);
        stage.reaches_and_knows(&guard).await;
        let newcomer = stage.guard(&stage.url()).await;
        for guard in [&guard, &newcomer] {
            refuses(guard, &dead, Revoked::Token);
            accepts(guard, &live);
        }
    }
    stage.app.revokes(&later).await.is(200);
    stage.reaches_and_knows(&guard).await;
    refuses(&guard, &later, Revoked::Token);
}
