//! Refreshing: the window in which a predecessor gets its successor again, and for how long a family is kept.

use std::time::Duration;

use rescind::clock::{Clock, Timestamp};
use rescind::model::id::ClientId;
use rescind::model::secret::{RefreshToken, SuccessorSecret};
use rescind::service::issue;

use crate::engine::database::catch_up;
use crate::world::{LIVES, NOW, World, after};

/// A client with one device, and the device's refresh token.
async fn device(world: &World) -> (ClientId, String) {
    let ana = world.user("ana").await;
    let client = world.client(&ana).await;
    let token = world.device(&client, &ana, NOW).await.refresh_token.unwrap();
    (client, token.expose().to_owned())
}

/// Presents a refresh token; its successor, or `None` if it is refused.
async fn show(world: &World, client: &ClientId, text: &str, at: Timestamp) -> Option<String> {
    show_within(world, client, text, at, LIVES.refresh_grace).await
}

async fn show_within(
    world: &World,
    client: &ClientId,
    text: &str,
    at: Timestamp,
    grace: Duration,
) -> Option<String> {
    let request = issue::RefreshRequest { token: RefreshToken::parse(text).unwrap(), scope: None };
    let mut terms = world.terms(client, at).await;
    terms.lives.refresh_grace = grace;
    match issue::refresh(&world.store, request, terms).await {
        Ok(issued) => Some(issued.refresh_token.unwrap().expose().to_owned()),
        Err(issue::Error::InvalidGrant) => None,
        Err(error) => panic!("{error}"),
    }
}

fn before(seconds: u64) -> Timestamp {
    NOW.minus(Duration::from_secs(seconds))
}

fn number(world: &World, sql: &str) -> i64 {
    world.beside().value(sql, &[])
}

fn keys(world: &World) -> i64 {
    number(world, "SELECT count(*) FROM successor_keys")
}

fn is_open(world: &World) -> bool {
    number(world, "SELECT count(*) FROM families WHERE status = 'open'") == 1
}

#[tokio::test]
async fn using_the_successor_ends_the_grace_and_the_predecessor_is_reuse_then() {
    let world = World::new().await;
    let (client, first) = device(&world).await;
    let second = show(&world, &client, &first, after(1)).await.unwrap();
    assert_eq!(show(&world, &client, &first, after(2)).await.as_ref(), Some(&second), "the same successor");
    let third = show(&world, &client, &second, after(3)).await.unwrap();
    assert_eq!(show(&world, &client, &first, after(4)).await, None);
    assert_eq!(show(&world, &client, &third, after(5)).await, None, "the family is closed");
}

#[tokio::test]
async fn a_repeated_refresh_gives_the_same_successor_across_key_changes_and_restarts() {
    let mut world = World::new().await;
    let (client, mut token) = device(&world).await;
    for round in 0..8 {
        let at = NOW.plus(Duration::from_millis(7_300 * round));
        let successor = show(&world, &client, &token, at).await.unwrap();
        if round % 2 == 0 {
            world = world.reopened().await;
        }
        let last = at.plus(Duration::from_millis(9_999));
        catch_up(&world.store, &Clock::fixed(last), LIVES.refresh_grace).await.unwrap();
        assert_eq!(show(&world, &client, &token, last).await.as_ref(), Some(&successor), "round {round}");
        assert!(keys(&world) <= 3, "round {round}");
        token = successor;
    }
    assert!(is_open(&world));
}

#[tokio::test]
async fn successor_keys_are_shared_for_the_grace_and_deleted_after_it() {
    let world = World::new().await;
    let (client, first) = device(&world).await;
    let second = show(&world, &client, &first, NOW).await.unwrap();
    let third = show(&world, &client, &second, after(9)).await.unwrap();
    assert_eq!(keys(&world), 1);
    show(&world, &client, &third, after(10)).await.unwrap();
    assert_eq!(keys(&world), 2, "the first key is as old as the grace");
    let kept_at = async |seconds| {
        catch_up(&world.store, &Clock::fixed(after(seconds)), LIVES.refresh_grace).await.unwrap();
        keys(&world)
    };
    assert_eq!(kept_at(19).await, 2);
    assert_eq!(kept_at(20).await, 1);
    assert_eq!(kept_at(30).await, 0);
}

#[tokio::test]
async fn without_a_grace_nothing_is_repeated_and_no_key_is_kept() {
    let world = World::new().await;
    let (client, first) = device(&world).await;
    let show = async |text: &str, at| show_within(&world, &client, text, at, Duration::ZERO).await;
    let second = show(&first, NOW).await.unwrap();
    assert_eq!(keys(&world), 0);
    // Not even where the clock was set back.
    assert_eq!(show(&first, before(5)).await, None);
    assert!(!is_open(&world));
    assert_eq!(show(&second, NOW).await, None);
}

#[tokio::test]
async fn a_clock_that_is_set_back_closes_no_family_and_prolongs_no_key_s_use() {
    let world = World::new().await;
    let (client, first) = device(&world).await;
    let second = show(&world, &client, &first, NOW).await.unwrap();
    assert_eq!(show(&world, &client, &first, before(3600)).await.as_ref(), Some(&second));
    let third = show(&world, &client, &second, before(3600)).await.unwrap();
    assert_eq!(keys(&world), 2, "a key from the future is not taken");
    assert_eq!(show(&world, &client, &second, before(3595)).await.as_ref(), Some(&third));
    catch_up(&world.store, &Clock::fixed(before(3580)), LIVES.refresh_grace).await.unwrap();
    assert_eq!(keys(&world), 1, "the other leaves when its time has come");
    catch_up(&world.store, &Clock::fixed(after(20)), LIVES.refresh_grace).await.unwrap();
    assert_eq!(keys(&world), 0);
    assert!(is_open(&world));
    assert!(show(&world, &client, &third, after(20)).await.is_some());
}

#[tokio::test]
async fn without_its_key_a_repeated_refresh_is_refused_in_the_grace_and_is_reuse_afterwards() {
    let world = World::new().await;
    let (client, first) = device(&world).await;
    let second = show(&world, &client, &first, NOW).await.unwrap();
    world.beside().run("DELETE FROM successor_keys", &[]);
    assert_eq!(show(&world, &client, &first, after(9)).await, None);
    assert!(is_open(&world));
    let third = show(&world, &client, &second, after(9)).await.unwrap();
    assert_eq!(show(&world, &client, &first, after(10)).await, None);
    assert!(!is_open(&world));
    assert_eq!(show(&world, &client, &third, after(10)).await, None);
}

#[tokio::test]
async fn a_family_row_is_rewritten_only_after_a_32nd_of_its_life() {
    let world = World::new().await;
    let (client, mut token) = device(&world).await;
    let until = || number(&world, "SELECT expires_at FROM families");
    let (mut writes, mut last) = (0, until());
    for quarters in 1..=32 {
        token = show(&world, &client, &token, after(quarters * 900)).await.unwrap();
        writes += usize::from(until() != last);
        last = until();
        let short = "SELECT count(*) FROM families AS f WHERE EXISTS (SELECT 1 FROM tokens AS t \
            WHERE 'fam_' || t.family_id = f.id AND (t.expires_at > f.expires_at OR t.kept_until > f.expires_at))";
        assert_eq!(number(&world, short), 0, "a token outlives its family");
    }
    // Tokens live a day here, and a family 45 minutes longer: every fourth refresh is beyond that.
    assert_eq!(writes, 8);
}

#[tokio::test]
async fn refresh_tokens_whose_places_were_taken_are_exchanged_repeated_and_purged_like_others() {
    let world = World::new().await;
    let (client, first) = device(&world).await;
    // The last place that a token is looked for at.
    let displace = || {
        let current =
            "UPDATE tokens SET place = place + 7 WHERE place / 1048576 % 2 = 1 AND superseded_at IS NULL";
        assert_eq!(world.beside().run(current, &[]), 1);
    };
    displace();
    let second = show(&world, &client, &first, after(1)).await.unwrap();
    displace();
    assert_eq!(show(&world, &client, &first, after(2)).await.as_ref(), Some(&second), "the same successor");
    let third = show(&world, &client, &second, after(3)).await.unwrap();
    displace();
    assert_eq!(show(&world, &client, &first, after(4)).await, None, "reuse");
    assert_eq!(show(&world, &client, &third, after(5)).await, None, "the family is closed");
    catch_up(&world.store, &Clock::fixed(after(5)), LIVES.refresh_grace).await.unwrap();
    assert_eq!(number(&world, "SELECT count(*) FROM tokens"), 0);
}

#[tokio::test]
async fn under_another_key_file_nothing_is_repeated_and_the_family_goes_on() {
    let world = World::new().await;
    let (client, first) = device(&world).await;
    let second = show(&world, &client, &first, after(1)).await.unwrap();
    let request = issue::RefreshRequest { token: RefreshToken::parse(&first).unwrap(), scope: None };
    let successors = SuccessorSecret::of_key_file(b"another file");
    let terms = issue::IssueContext { successors, ..world.terms(&client, after(2)).await };
    assert!(matches!(issue::refresh(&world.store, request, terms).await, Err(issue::Error::InvalidGrant)));
    assert_eq!(show(&world, &client, &first, after(3)).await.as_ref(), Some(&second));
}
