//! Killed while it purges: the tally is exact at every death, and the purge goes on to its end.

use std::os::unix::process::ExitStatusExt;

use rescind::store::tokens::Kind;

use crate::engine::database::is_postgres;
use crate::killing::CrashSite;
use crate::visitor::World;

/// The tally's columns, and the rows that each counts.
const COUNTED: [(&str, &str); 4] = [
    ("access_tokens", "tokens WHERE place / 1048576 % 2 = 0"),
    ("refresh_tokens", "tokens WHERE place / 1048576 % 2 = 1"),
    ("authorization_codes", "authorization_codes"),
    ("families", "families"),
];
/// Copies of one access token and of one refresh token: 24 slices.
const COPIES: [(Kind, i64); 2] = [(Kind::Access, 9_000), (Kind::Refresh, 3_000)];
/// At each start at least one slice is committed before the process dies in or after another.
const POINTS: [&str; 5] = [
    "purge.after_deletion:2",
    "purge.after_tally:2",
    "purge.between_slices:1",
    "writer.before_commit:3",
    "writer.after_commit:2",
];
const DEATHS: usize = 13;

/// Many tokens like the one of this kind that is there, of the same family and without their secrets.
fn copy_tokens(place: &CrashSite, kind: Kind, copies: i64) {
    let database = place.open();
    let columns = database.columns("tokens").into_iter().map(|(name, _)| name);
    let columns: Vec<_> = columns.filter(|name| !["place", "digest"].contains(&name.as_str())).collect();
    let columns = columns.join(", ");
    let random = if is_postgres() { "decode(md5(random()::text), 'hex')" } else { "randomblob(16)" };
    let sql = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000), \
         original AS (SELECT * FROM tokens WHERE place / 1048576 % 2 = ?1 LIMIT 1), \
         free AS (SELECT place - place % 1048576 + i AS place FROM original, n \
             WHERE place - place % 1048576 + i NOT IN (SELECT place FROM tokens) LIMIT ?2) \
         INSERT INTO tokens (place, digest, {columns}) \
         SELECT free.place, {random}, {columns} FROM original, free"
    );
    let made = database.run(&sql, &[(kind as i64).into(), copies.into()]);
    assert_eq!(i64::try_from(made).unwrap(), copies);
}

/// Rows that are there, by kind.
fn rows(place: &CrashSite) -> [i64; 4] {
    COUNTED.map(|(_, rows)| place.number(&format!("SELECT count(*) FROM {rows}")))
}

/// What the last purge says it has taken, by kind.
fn tally(place: &CrashSite) -> [i64; 4] {
    COUNTED.map(|(column, _)| {
        place.number(&format!("SELECT {column} FROM purges ORDER BY ledger_sequence DESC LIMIT 1"))
    })
}

#[tokio::test]
async fn a_purge_killed_a_dozen_times_goes_on_and_its_tally_is_exact() {
    let place = CrashSite::new();
    let world = World::register(&place);
    let server = place.serve();
    let visitor = world.at(&server);
    let cookie = visitor.sign_in().await;
    let tokens = visitor.authorize(&cookie).await;
    let code = visitor.code(&cookie).await;
    server.kill();
    for (table, copies) in COPIES {
        copy_tokens(&place, table, copies);
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
        place.is_sound(point);
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
