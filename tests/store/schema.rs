//! Every table that holds credentials is one that gets emptied.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use rescind::clock::Clock;
use rescind::model::secret::{AccessToken, Digest, RefreshToken};
use rescind::store::tokens::{Kind, first_place, stored_digest};

use crate::engine::database::catch_up;
use crate::engine::database::skips_on_postgres;
use crate::world::{LIVES, NOW, World, after};

#[tokio::test]
async fn expired_rows_leave_every_table_with_a_digest() {
    let world = World::new().await;
    let ana = world.user("ana").await;
    let client = world.client(&ana).await;
    world.device(&client, &ana, NOW).await;
    world.session("ana").await;
    world.rotates_api_secret().await;
    let beside = world.beside();
    let has_digests = |table: &String| beside.columns(table).iter().any(|(column, _)| column == "digest");
    let tables: BTreeSet<String> = beside.tables().into_iter().filter(has_digests).collect();
    let known = ["authorization_codes", "client_secrets", "sessions", "tokens"].map(str::to_owned);
    assert!(tables.is_superset(&known.into()));
    let count = |table: &str| -> i64 { beside.value(&format!("SELECT count(*) FROM {table}"), &[]) };
    for table in &tables {
        assert!(count(table) > 0, "this test puts nothing into {table}");
        beside.run(&format!("UPDATE {table} SET expires_at = ?1"), &[after(1).millis().into()]);
    }
    let clock = Clock::fixed(NOW);
    catch_up(&world.store, &clock, LIVES.refresh_grace).await.unwrap();
    for table in &tables {
        assert!(count(table) > 0, "nothing in {table} has expired yet");
    }
    clock.advance(std::time::Duration::from_secs(1));
    catch_up(&world.store, &clock, LIVES.refresh_grace).await.unwrap();
    for table in &tables {
        assert_eq!(count(table), 0, "{table}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_the_database() {
    use std::os::unix::fs::PermissionsExt;
    if skips_on_postgres("there is no file") {
        return;
    }
    let world = World::new().await;
    world.user("ana").await;
    for entry in std::fs::read_dir(world.database.folder()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} {mode:o}", entry.file_name());
    }
}

/// Applies migrations by their numbers.
fn migrate(database: &rusqlite::Connection, numbers: RangeInclusive<usize>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let number = |file: &std::path::Path| -> usize {
        file.file_name().unwrap().to_str().unwrap()[..4].parse().unwrap()
    };
    for file in files.iter().filter(|file| numbers.contains(&number(file))) {
        database.execute_batch(&std::fs::read_to_string(file).unwrap()).unwrap();
    }
}

/// Tables, indexes and triggers, without comments and with one way to put spaces.
fn schema(database: &rusqlite::Connection) -> BTreeSet<String> {
    let all = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'sqlite_sequence'";
    let mut statement = database.prepare(all).unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let plain = |sql: String| {
        let code: Vec<_> = sql.lines().map(|line| line.split("--").next().unwrap()).collect();
        let words: Vec<_> = code.iter().flat_map(|line| line.split_whitespace()).collect();
        words.join(" ").replace(" ,", ",").replace(" )", ")").replace('"', "")
    };
    rows.map(|row| plain(row.unwrap())).collect()
}

#[test]
fn the_documented_schema_equals_the_migrated_one() {
    let [migrated, documented] = [(), ()].map(|()| rusqlite::Connection::open_in_memory().unwrap());
    migrate(&migrated, 1..=9999);
    documented.execute_batch(include_str!("../../docs/schema.sql")).unwrap();
    let [migrated, documented] = [migrated, documented].map(|database| schema(&database));
    for line in migrated.symmetric_difference(&documented) {
        eprintln!("{line}");
    }
    assert!(migrated == documented, "see above");
    assert!(migrated.len() > 50);
}

#[test]
fn the_migration_to_places_keeps_all_that_a_refresh_needs() {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    migrate(&database, 1..=13);
    let born = rescind::clock::Timestamp::from_millis(1_790_000_000_123);
    let [spent, current, access, own] = [
        RefreshToken::generate(born).digest(),
        RefreshToken::generate(born).digest(),
        AccessToken::generate(born).digest(),
        AccessToken::generate(after(5)).digest(),
    ];
    let hex =
        |digest: &Digest| format!("x'{}'", digest.as_bytes().map(|byte| format!("{byte:02X}")).concat());
    database
        .execute_batch(&format!(
            "PRAGMA foreign_keys = OFF;
             INSERT INTO grants (id, user_id, client_id, scope, status, generation, server_generation, client_generation,
                 user_generation, first_authorized_at, authorized_at) VALUES ('g', 'u', 'c', 'a', 'open', 7, 1, 1, 1, 0, 0);
             INSERT INTO families (id, grant_id, client_id, user_id, server_generation, client_generation, user_generation,
                 status, device, created_at, expires_at) VALUES ('f', 'g', 'c', 'u', 1, 2, 3, 'open', '', {born}, 900);
             INSERT INTO refresh_tokens (digest, family_id, grant_id, client_id, user_id, server_generation,
                 client_generation, user_generation, scope, created_at, expires_at, superseded_at, successor_digest, sealed)
             VALUES ({}, 'f', 'g', 'c', 'u', 1, 2, 3, 'a', 10, 800, 20, {}, NULL),
                 ({}, 'f', 'g', 'c', 'u', 1, 2, 3, 'a', 20, 810, NULL, NULL, x'77');
             INSERT INTO access_tokens (digest, family_id, grant_id, client_id, user_id, server_generation,
                 client_generation, user_generation, scope, audience, created_at, expires_at, grant_generation)
             VALUES ({}, 'f', 'g', 'c', 'u', 1, 2, 3, 'a', 'api', 30, 60, 6),
                 ({}, NULL, NULL, 'c', NULL, 1, 2, NULL, '', '', {own_born}, 70, NULL);",
            hex(&spent),
            hex(&current),
            hex(&current),
            hex(&access),
            hex(&own),
            born = born.millis(),
            own_born = after(5).millis(),
        ))
        .unwrap();
    migrate(&database, 14..=15);
    let row = |digest: &Digest, kind| -> String {
        let row = "SELECT concat_ws(' ', kind, family_id, grant_id, client_id, user_id, server_generation, client_generation, \
            user_generation, grant_generation, scope, audience, kept_until, created_at, expires_at, superseded_at) \
            FROM tokens WHERE place = ?1 AND digest = ?2";
        database
            .query_row(row, rusqlite::params![first_place(digest, kind), digest.as_bytes()], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(row(&spent, Kind::Refresh), "refresh f g c u 1 2 3 7 a 900 10 800 20");
    assert_eq!(row(&current, Kind::Refresh), "refresh f g c u 1 2 3 7 a 900 20 810");
    assert_eq!(row(&access, Kind::Access), "access f g c u 1 2 3 6 a api 30 60");
    assert_eq!(row(&own, Kind::Access), format!("access c 1 2   {} 70", after(5).millis()));
}

#[test]
fn the_migration_gives_neighbouring_places_to_tokens_with_the_same_place() {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    migrate(&database, 1..=14);
    // As many bits of them as the later schema keeps are the same, and one more is not.
    let [first, second] = [0x20, 0x28].map(|chance| {
        let mut bytes = [chance; 32];
        bytes[..6].copy_from_slice(&Digest::beginning(NOW));
        bytes[6..9].copy_from_slice(&[1, 2, chance]);
        Digest::from_bytes(bytes)
    });
    let mut earlier_place = NOW.millis() * 2_097_152;
    let mut insert = |digest: &Digest, kind: &str, superseded_at: Option<i64>| {
        earlier_place += 1;
        let row = "INSERT INTO tokens (place, digest, kind, client_id, server_generation, client_generation, scope, \
            created_at, expires_at, superseded_at) VALUES (?1, ?2, ?3, 'c', 1, 1, '', 0, 9, ?4)";
        database
            .execute(row, rusqlite::params![earlier_place, digest.as_bytes(), kind, superseded_at])
            .unwrap();
    };
    insert(&first, "refresh", Some(5));
    insert(&second, "refresh", None);
    insert(&first, "access", None);
    migrate(&database, 15..=15);
    let place_of = |digest: &Digest, kind: &str| -> i64 {
        let sql = "SELECT place FROM tokens WHERE digest = ?1 AND kind = ?2";
        database.query_row(sql, rusqlite::params![digest.as_bytes(), kind], |row| row.get(0)).unwrap()
    };
    assert_eq!(place_of(&second, "refresh"), first_place(&second, Kind::Refresh));
    assert_eq!(place_of(&first, "refresh"), first_place(&first, Kind::Refresh) + 1);
    assert_eq!(place_of(&first, "access"), first_place(&first, Kind::Access));
}

#[test]
fn the_migration_to_short_rows_keeps_all_that_a_token_needs() {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    migrate(&database, 1..=16);
    let [spent, current, access, own] = [
        RefreshToken::generate(NOW).digest(),
        RefreshToken::generate(NOW).digest(),
        AccessToken::generate(NOW).digest(),
        AccessToken::generate(NOW).digest(),
    ];
    let of_family = "'fam_F', 'grt_G', 'cli_C', 'usr_U', 1, 2, 3, 4, 'a'";
    let insert = |digest: &Digest, kind: Kind, name: &str, rest: &str| {
        let sql = format!("INSERT INTO tokens VALUES (?1, ?2, '{name}', {rest})");
        database.execute(&sql, rusqlite::params![first_place(digest, kind), digest.as_bytes()]).unwrap();
    };
    insert(&spent, Kind::Refresh, "refresh", &format!("{of_family}, NULL, 900, 10, 800, 20"));
    insert(&current, Kind::Refresh, "refresh", &format!("{of_family}, NULL, 900, 20, 810, NULL"));
    insert(&access, Kind::Access, "access", &format!("{of_family}, 'api', NULL, 30, 60, NULL"));
    insert(
        &own,
        Kind::Access,
        "access",
        "NULL, NULL, 'cli_C', NULL, 1, 2, NULL, NULL, 'b', '', NULL, 40, 70, NULL",
    );
    migrate(&database, 17..=17);
    let row = |digest: &Digest, kind: Kind| -> String {
        let row = "SELECT concat_ws(' ', family, \"grant\", client, user, server_generation, client_generation, \
            user_generation, grant_generation, scope, audience, kept_until, created_at, expires_at, superseded_at) \
            FROM tokens WHERE place = ?1 AND digest = ?2";
        database
            .query_row(row, rusqlite::params![first_place(digest, kind), stored_digest(digest)], |row| {
                row.get(0)
            })
            .unwrap()
    };
    assert_eq!(row(&spent, Kind::Refresh), "F C 1 2 3 4 800 20");
    assert_eq!(row(&current, Kind::Refresh), "F G C U 1 2 3 4 a 900 810");
    assert_eq!(row(&access, Kind::Access), "F G C U 1 2 3 4 a api 30 60");
    assert_eq!(row(&own, Kind::Access), "C 1 2 b  40 70");
}

#[test]
fn banned_hosts_lose_the_dot_of_the_root() {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    migrate(&database, 1..=20);
    database
        .execute_batch(
            "PRAGMA foreign_keys = OFF; INSERT INTO banned_domains (domain, client_id, at) \
             VALUES ('a.example.', 'c', 0), ('b.example.', 'c', 0), ('b.example', 'c', 0), ('com.example.app:', 'c', 0)",
        )
        .unwrap();
    migrate(&database, 21..=21);
    let mut domains = database.prepare("SELECT domain FROM banned_domains ORDER BY domain").unwrap();
    let domains: Vec<String> =
        domains.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(domains, ["a.example", "b.example", "com.example.app:"]);
}
