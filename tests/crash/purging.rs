//! Killed while it purges: the tally is exact at every death, and the purge goes on to its end.

use std::os::unix::process::ExitStatusExt;

use crate::program::Place;
use crate::visitor::World;

const TABLES: [&str; 4] = ["access_tokens", "refresh_tokens", "authorization_codes", "families"];
/// Copies of one access token and of one refresh token: 24 slices.
const COPIES: [(&str, i64); 2] = [("access_tokens", 9_000), ("refresh_tokens", 3_000)];
/// At each start at least one slice is committed before the process dies in or after another.
const POINTS: [&str; 5] = [
    "purge.after_deletion:2",
    "purge.after_tally:2",
    "purge.between_slices:1",
    "writer.before_commit:3",
    "writer.after_commit:2",
];
const DEATHS: usize = 13;

/// Many rows like the one that is there, of the same family and without their secrets.
fn copy_rows(place: &Place, table: &str, copies: i64) {
    let database = place.open();
    let mut columns =
        database.prepare("SELECT name FROM pragma_table_info(?1) WHERE name <> 'digest'").unwrap();
    let columns: Vec<String> =
        columns.query_map([table], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let columns = columns.join(", ");
    let sql = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
         INSERT INTO {table} (digest, {columns}) \
         SELECT unhex(hex(substr(digest, 1, 6)) || hex(randomblob(26))), {columns} \
         FROM (SELECT * FROM {table} LIMIT 1), n"
    );
    assert_eq!(i64::try_from(database.execute(&sql, [copies]).unwrap()).unwrap(), copies);
}

/// Rows that are there, by table.
fn rows(place: &Place) -> [i64; 4] {
    TABLES.map(|table| place.number(&format!("SELECT count(*) FROM {table}")))
}

/// What the last purge says it has taken, by table.
fn tally(place: &Place) -> [i64; 4] {
    TABLES.map(|table| {
        place.number(&format!("SELECT {table} FROM purges ORDER BY ledger_sequence DESC LIMIT 1"))
    })
}

#[tokio::test]
async fn a_purge_killed_a_dozen_times_goes_on_and_its_tally_is_exact() {
    let place = Place::new();
    let world = World::register(&place);
    let server = place.serve();
    let visitor = world.at(&server);
    let cookie = visitor.sign_in().await;
    let tokens = visitor.authorize(&cookie).await;
    let code = visitor.code(&cookie).await;
    server.kill();
    for (table, copies) in COPIES {
        copy_rows(&place, table, copies);
    }
    let total = rows(&place);
    assert_eq!(total, [9_001, 3_001, 2, 2]);
    assert_eq!(place.run(&["revoke", "client", &world.client.0]).exit, 0);
    assert_eq!((rows(&place), tally(&place)), (total, [0; 4]), "a command leaves the purge to the server");

    let mut deleted = 0;
    for point in POINTS.into_iter().cycle().take(DEATHS) {
        let ended = place.dies_at(point, &["serve"]);
        assert_eq!(ended.signal(), Some(9), "{point}: {ended}");
        let left = rows(&place);
        let gone: [i64; 4] = std::array::from_fn(|i| total[i] - left[i]);
        assert_eq!(tally(&place), gone, "{point}: the tally is what is gone");
        let now: i64 = gone.iter().sum();
        assert!(deleted < now && now < total.iter().sum(), "{point}: {deleted} → {now} of {total:?}");
        deleted = now;
        let verdict: String = place.open().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok", "{point}");
    }

    let server = place.serve();
    let visitor = world.at(&server);
    assert!(!visitor.is_active(&tokens.access).await);
    assert_eq!(visitor.refresh(&tokens.refresh).await.status(), 400);
    assert_eq!(visitor.redeem(&code).await.status(), 400);
    place.is_purged();
    assert_eq!((rows(&place), tally(&place)), ([0; 4], total));
    place.is_sound("at the end");
}
