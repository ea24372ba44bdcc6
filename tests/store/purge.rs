//! What is dead or expired leaves, all of it and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use rescind::clock::Clock;
use rescind::model::id::{ClientId, UserId};
use rescind::model::secret::RefreshToken;
use rescind::model::user::Role;
use rescind::service::revoke::{self, Token};
use rescind::service::{issue, moderate};
use rescind::store::purges::Slice;
use rusqlite::types::{FromSql, Value};

use crate::engine::connection::Connection;
use crate::engine::database::{catch_up, is_postgres};
use crate::world::{LIVES, NOW, World, after, opaque, operator};

/// The tally's columns, and the rows that carry a stamp.
const COUNTED: [(&str, &str); 5] = [
    ("access_tokens", "tokens WHERE place / 1048576 % 2 = 0 AND"),
    ("refresh_tokens", "tokens WHERE place / 1048576 % 2 = 1 AND"),
    ("authorization_codes", "authorization_codes WHERE"),
    ("families", "families WHERE"),
    ("sessions", "sessions WHERE"),
];

/// All rows of [`COUNTED`] that `condition` selects, as table and key.
fn rows(connection: &Connection, condition: impl Fn(&str) -> Option<String>) -> BTreeSet<(usize, Vec<u8>)> {
    let mut rows = BTreeSet::new();
    for (place, (name, all)) in COUNTED.iter().enumerate() {
        let key = if *name == "families" { "id" } else { "digest" };
        let Some(condition) = condition(name) else { continue };
        let keys = connection.column(&format!("SELECT {key} FROM {all} {condition}"), &[]);
        rows.extend(keys.into_iter().map(|key| match key {
            Value::Text(text) => (place, text.into_bytes()),
            Value::Blob(bytes) => (place, bytes),
            other => panic!("{other:?}"),
        }));
    }
    rows
}

fn all_rows(connection: &Connection) -> BTreeSet<(usize, Vec<u8>)> {
    rows(connection, |_| Some("TRUE".to_owned()))
}

/// Two users with two clients each; every pair has two devices, one refreshed, and an open code.
struct Crowd {
    world: World,
    clients: Vec<ClientId>,
    users: Vec<UserId>,
}

impl Crowd {
    async fn new() -> Self {
        let world = World::new().await;
        let users = vec![world.user("ana").await, world.user("ben").await];
        let clients = vec![world.client(&users[0]).await, world.client(&users[0]).await];
        let crowd = Self { world, clients, users };
        crowd.mint().await;
        crowd
    }

    /// Gives everybody a little more of everything.
    async fn mint(&self) {
        let Self { world, clients, users } = self;
        for client in clients {
            for user in users {
                world.device(client, user, NOW).await;
                let issued = world.device(client, user, NOW).await;
                world.refresh(client, issued, NOW).await.unwrap();
                world.code(client, user, NOW).await;
            }
            let scope = crate::world::scope();
            issue::for_client(&world.store, scope, world.terms(client, NOW).await).await.unwrap();
        }
        world.session("ana").await;
        world.session("ben").await;
    }

    fn one<T: FromSql>(&self, sql: &str) -> T {
        self.world.beside().value(sql, &[])
    }
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Family,
    Grant,
    Client,
    User,
}

impl Crowd {
    /// Does the act, and returns the condition on the rows that it makes dead.
    async fn revoke(&self, act: Act) -> impl Fn(&str) -> Option<String> + use<> {
        let (store, by) = (&self.world.store, operator());
        let (column, id) = match act {
            Act::Family => {
                // One that has refreshed, so that there is something of every kind.
                let family: String = self
                    .one("SELECT 'fam_' || family_id FROM tokens WHERE superseded_at IS NOT NULL LIMIT 1");
                let grant: String = self.one(&format!("SELECT grant_id FROM families WHERE id = '{family}'"));
                let user: String = self.one(&format!("SELECT user_id FROM families WHERE id = '{family}'"));
                let (user, grant) = (UserId::parse(&user).unwrap(), grant.parse_id());
                let id = rescind::model::id::FamilyId::parse(&family).unwrap();
                revoke::device(store, user, grant, id, by).await.unwrap();
                ("family_id", family)
            }
            Act::Grant => {
                let grant: String = self.one("SELECT id FROM grants LIMIT 1");
                revoke::any_grant(store, grant.parse_id(), by).await.unwrap();
                ("grant_id", grant)
            }
            Act::Client => {
                revoke::client_tokens(store, self.clients[0].clone(), revoke::Authority::Provider, None, by)
                    .await
                    .unwrap();
                ("client_id", self.clients[0].to_string())
            }
            Act::User => {
                revoke::user(store, self.users[0].clone(), None, by).await.unwrap();
                ("user_id", self.users[0].to_string())
            }
        };
        move |table| match (table, column) {
            ("sessions", "user_id") => Some(format!("user_id = '{id}'")),
            ("sessions", _) => None,
            ("families", "family_id") => Some(format!("id = '{id}'")),
            ("access_tokens" | "refresh_tokens", "family_id") => {
                Some(format!("'fam_' || family_id = '{id}'"))
            }
            ("access_tokens" | "refresh_tokens", "client_id") => {
                Some(format!("'cli_' || client_id = '{id}'"))
            }
            ("access_tokens" | "refresh_tokens", column) => {
                Some(format!("'fam_' || family_id IN (SELECT id FROM families WHERE {column} = '{id}')"))
            }
            _ => Some(format!("{column} = '{id}'")),
        }
    }
}

trait ParseId {
    fn parse_id(&self) -> rescind::model::id::GrantId;
}

impl ParseId for String {
    fn parse_id(&self) -> rescind::model::id::GrantId {
        rescind::model::id::GrantId::parse(self).unwrap()
    }
}

/// One slice of `rows`; whether there was anything to do.
async fn slice(world: &World, rows: i64) -> bool {
    if world.store.write(move |tx| tx.purge_dead_slice(rows, NOW)).await.unwrap() == Slice::Worked {
        return true;
    }
    // On PostgreSQL it waits for older transactions of the whole database server.
    let waits = !world.store.unfinished_purges().await.unwrap().is_empty();
    if waits {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    waits
}

/// One slice that takes all there is. On PostgreSQL, older transactions of other tests may keep some of it at first.
async fn only_slice(world: &World, rows: i64) {
    assert!(slice(world, rows).await);
    while is_postgres() && slice(world, rows).await {}
}

#[tokio::test]
async fn a_purge_deletes_only_dead_rows_and_counts_them_exactly_despite_crashes() {
    for act in [Act::Family, Act::Grant, Act::Client, Act::User] {
        let crowd = Crowd::new().await;
        let doomed = crowd.revoke(act).await;
        let dead = rows(&crowd.world.beside(), &doomed);
        assert!(dead.len() > 2, "{act:?}");
        // What is given afterwards, to the same people and apps too, is alive.
        crowd.mint().await;
        let live = &all_rows(&crowd.world.beside()) - &dead;

        let mut crowd = crowd;
        while slice(&crowd.world, 2).await {
            // As if the server crashed after every slice.
            crowd.world = crowd.world.reopened().await;
        }
        let beside = crowd.world.beside();
        assert_eq!(all_rows(&beside), live, "{act:?}");
        for (place, (name, _)) in COUNTED.iter().enumerate() {
            let tally: i64 = beside.value(&format!("SELECT {name} FROM purges"), &[]);
            let gone = dead.iter().filter(|(of, _)| *of == place).count();
            assert_eq!(tally, i64::try_from(gone).unwrap(), "{act:?} {name}");
        }
        let finished = "SELECT count(*) FROM purges WHERE finished_at IS NOT NULL AND step = 'done'";
        assert_eq!(beside.value::<i64>(finished, &[]), 1, "{act:?}");
    }
}

#[tokio::test]
async fn overlapping_acts_are_purged_together() {
    let crowd = Crowd::new().await;
    let mut dead = BTreeSet::new();
    for act in [Act::Family, Act::Grant, Act::Client, Act::User] {
        let doomed = crowd.revoke(act).await;
        dead.extend(rows(&crowd.world.beside(), &doomed));
    }
    let live = &all_rows(&crowd.world.beside()) - &dead;
    let clock = Clock::fixed(NOW);
    catch_up(&crowd.world.store, &clock, LIVES.refresh_grace).await.unwrap();
    assert_eq!(all_rows(&crowd.world.beside()), live);
    let tally = "SELECT CAST(sum(access_tokens + refresh_tokens + authorization_codes + families + sessions) AS BIGINT) \
        FROM purges";
    let tally: i64 = crowd.one(tally);
    assert_eq!(tally, i64::try_from(dead.len()).unwrap());
}

#[tokio::test]
async fn a_revoked_access_token_is_in_the_tally_of_its_own_act() {
    let crowd = Crowd::new().await;
    let issued = crowd.world.device(&crowd.clients[0], &crowd.users[0], NOW).await;
    let before = all_rows(&crowd.world.beside()).len();
    revoke::token(&crowd.world.store, Token::Access(opaque(issued.access_token)), None, operator())
        .await
        .unwrap();
    assert_eq!(all_rows(&crowd.world.beside()).len(), before - 1);
    assert!(!slice(&crowd.world, 500).await);
    assert_eq!(crowd.one::<i64>("SELECT access_tokens FROM purges WHERE step = 'done'"), 1);
}

#[tokio::test]
async fn a_small_purge_does_not_wait_for_the_end_of_a_large_one() {
    let crowd = Crowd::new().await;
    for _ in 0..20 {
        crowd.mint().await;
    }
    let _ = crowd.revoke(Act::Client).await;
    let large: i64 = crowd.one("SELECT max(ledger_sequence) FROM purges");
    let _ = crowd.revoke(Act::User).await;
    let small: i64 = crowd.one("SELECT max(ledger_sequence) FROM purges");
    let finished = |which: i64| -> bool {
        crowd.one(&format!("SELECT finished_at IS NOT NULL FROM purges WHERE ledger_sequence = {which}"))
    };
    let mut at = NOW;
    while !finished(small) && !finished(large) {
        at = at.plus(Duration::from_millis(1));
        crowd.world.store.write(move |tx| tx.purge_dead_slice(5, at)).await.unwrap();
    }
    assert_ne!(crowd.one::<i64>("SELECT min(access_tokens) FROM purges"), 0, "they take turns");
}

#[tokio::test]
async fn many_small_purges_share_a_slice() {
    let world = World::new().await;
    let ana = world.user("ana").await;
    let client = world.client(&ana).await;
    for _ in 0..15 {
        let issued = world.device(&client, &ana, NOW).await;
        let token = Token::Refresh(issued.refresh_token.unwrap());
        revoke::token(&world.store, token, None, operator()).await.unwrap();
    }
    only_slice(&world, 500).await;
    assert_eq!(all_rows(&world.beside()).len(), 0, "a commit a row would never catch up");
}

#[tokio::test]
async fn acts_that_end_nothing_leave_nothing_to_purge() {
    let world = World::new().await;
    let (ana, ben) = (world.user("ana").await, world.user("ben").await);
    let client = world.client(&ana).await;
    revoke::suspend_client(&world.store, client.clone(), "it misbehaves".to_owned(), operator())
        .await
        .unwrap();
    assert!(world.store.is_purging());
    only_slice(&world, 500).await;
    assert!(!world.store.is_purging());
    moderate::reinstate_client(&world.store, client, ben.clone(), operator()).await.unwrap();
    moderate::set_role(&world.store, ben, Role::Developer, operator()).await.unwrap();
    assert!(!world.store.is_purging());
}

#[tokio::test]
async fn a_used_code_and_a_superseded_refresh_token_stay_until_they_expire() {
    let world = World::new().await;
    let ana = world.user("ana").await;
    let client = world.client(&ana).await;
    let issued = world.device(&client, &ana, NOW).await;
    world.refresh(&client, issued, after(1)).await.unwrap();
    let clock = Clock::fixed(NOW);
    let count = |table| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        world.beside().value(&sql, &[])
    };
    let tables = [
        "authorization_codes",
        "tokens WHERE place / 1048576 % 2 = 0",
        "tokens WHERE place / 1048576 % 2 = 1",
        "families",
    ];
    let counts = || tables.map(count);
    for (seconds, expected) in [
        (59, [1, 2, 2, 1]),
        // The code expires at 60 s, the access tokens at 3600 s and 3601 s.
        (60, [0, 2, 2, 1]),
        (3600, [0, 1, 2, 1]),
        (3601, [0, 0, 2, 1]),
        // The superseded refresh token first, its successor a second later, and in time the family.
        (86_399, [0, 0, 2, 1]),
        (86_400, [0, 0, 1, 1]),
        (86_401, [0, 0, 0, 1]),
        (89_100, [0, 0, 0, 1]),
        // Guards may accept a JWT for an hour and five minutes after it expired; until then its family can be closed.
        (93_000, [0, 0, 0, 0]),
    ] {
        clock.advance(after(seconds).since(clock.now()));
        catch_up(&world.store, &clock, LIVES.refresh_grace).await.unwrap();
        assert_eq!(counts(), expected, "after {seconds} s");
    }
}

#[tokio::test]
async fn a_family_row_is_deleted_after_its_tokens_and_codes() {
    let crowd = Crowd::new().await;
    let clock = Clock::fixed(after(10 * 86_400));
    let sweep = || {
        let now = clock.now();
        crowd.world.store.write(move |tx| tx.purge_expired_slice(1, now))
    };
    let found_by_nobody = "SELECT count(*) FROM (SELECT 'fam_' || family_id AS family_id FROM tokens UNION ALL \
        SELECT family_id FROM authorization_codes) AS t \
        WHERE t.family_id NOT IN (SELECT id FROM families)";
    let mut slices = 0;
    while sweep().await.unwrap() == Slice::Worked {
        slices += 1;
        let left: i64 = crowd.one(found_by_nobody);
        assert_eq!(left, 0, "after {slices} slices");
    }
    assert!(slices > 10);
    assert_eq!(all_rows(&crowd.world.beside()).len(), 0);
}

#[tokio::test]
async fn a_family_outlives_its_access_tokens_even_where_refresh_tokens_are_short() {
    let world = World::new().await;
    let ana = world.user("ana").await;
    let client = world.client(&ana).await;
    let mut terms = world.terms(&client, NOW).await;
    terms.lives.refresh_token = Duration::from_secs(60);
    let code = world.code(&client, &ana, NOW).await;
    let issued = issue::redeem(&world.store, code, terms.clone()).await.unwrap();
    let text = issued.refresh_token.unwrap().expose().to_owned();
    let mut tokens = vec![opaque(issued.access_token)];
    // Once by rotation, and once within the grace.
    for seconds in [1, 2] {
        let terms = issue::IssueContext { now: after(seconds), ..terms.clone() };
        let request = issue::RefreshRequest { token: RefreshToken::parse(&text).unwrap(), scope: None };
        tokens.push(opaque(issue::refresh(&world.store, request, terms).await.unwrap().access_token));
    }
    for (seconds, token) in tokens.iter().enumerate() {
        let clock = Clock::fixed(after(3599 + seconds as u64));
        catch_up(&world.store, &clock, LIVES.refresh_grace).await.unwrap();
        let live = world.store.live_access_token(&token.digest(), clock.now()).await.unwrap();
        let family = live.unwrap_or_else(|| panic!("token {seconds}")).stamp.family.unwrap();
        let kept = "SELECT count(*) FROM families WHERE id = ?1";
        let kept: i64 = world.beside().value(kept, &[family.to_string().into()]);
        assert_eq!(kept, 1, "the family of token {seconds}");
    }
}
