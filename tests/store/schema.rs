//! Every table that holds credentials is one that gets emptied.

use std::collections::BTreeSet;

use rescind::clock::Clock;
use rescind::service::purge::catch_up;

use crate::world::{LIVES, NOW, World, after};

#[tokio::test]
async fn every_table_with_a_digest_is_emptied_of_what_has_expired() {
    let world = World::new().await;
    let ana = world.user("ana").await;
    let client = world.client(&ana).await;
    world.device(&client, &ana, NOW).await;
    world.session("ana").await;
    let beside = world.beside();
    let mut statement = beside
        .prepare(
            "SELECT t.name FROM sqlite_master AS t, pragma_table_info(t.name) AS c \
             WHERE t.type = 'table' AND c.name = 'digest'",
        )
        .unwrap();
    let tables: BTreeSet<String> =
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let known = ["access_tokens", "authorization_codes", "client_secrets", "refresh_tokens", "sessions"]
        .map(str::to_owned);
    assert!(tables.is_superset(&known.into()));
    let count = |table: &str| -> i64 {
        beside.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    for table in &tables {
        assert!(count(table) > 0, "this test puts nothing into {table}");
        beside.execute(&format!("UPDATE {table} SET expires_at = ?1"), [after(1)]).unwrap();
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
    let world = World::new().await;
    world.user("ana").await;
    let folder = world.path();
    for entry in std::fs::read_dir(folder.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} {mode:o}", entry.file_name());
    }
}
