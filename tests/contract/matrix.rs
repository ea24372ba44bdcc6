//! Who acts × which credential × page or protocol: each act kills what its row says and nothing else.
//!
//! After each act every credential of the estate is tried. Then the purge runs, and a walk over the live
//! schema, with no list of tables, finds no digest of what died and still finds all that lives.

use std::collections::{BTreeMap, BTreeSet};

use rescind::model::client::TokenFormat;

use crate::estate::Estate;

/// Who, what, and the form that goes with it.
type Step = (&'static str, &'static str, &'static str);

#[derive(Clone, Copy)]
struct Row {
    steps: &'static [Step],
    /// The answer to the last request; 0 for what has no page yet.
    status: u16,
    /// Beginnings of names; `*` stands for one part.
    dies: &'static [&'static str],
    /// What does not work while its client may not act, and is kept for the day when it may.
    sleeps: &'static [&'static str],
}

const fn row(steps: &'static [Step], status: u16, dies: &'static [&'static str]) -> Row {
    Row { steps, status, dies, sleeps: &[] }
}

const OF_PRINTS: &[&str] = &["*/prints", "prints/own"];
const ALL_OF_PRINTS: &[&str] = &["*/prints", "prints/own", "prints/secret"];
const NOTHING: &[&str] = &[];
/// Superseded refresh tokens, which may be repeated for a moment.
const WINDOWS: &str = "*/*/*/spent";
const APPS_OF_ALICE: &[&str] = &["alice/prints", "alice/maps", "alice/chat"];
const VERIFIED: &str = "grant_type=authorization_code&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk\
    &code={alice/prints/phone/used}";
const UNVERIFIED: &str = "grant_type=authorization_code&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl\
    &code={alice/prints/phone/used}";
const SPENT: &str = "grant_type=refresh_token&refresh_token={alice/prints/phone/spent}";
const PASSWORDS: &str = "current_password=correct-horse-battery&new_password=another-long-password";

const MATRIX: &[Row] = &[
    // The client, by protocol (RFC 7009; RFC 9700 §4.14.2; RFC 6749 §4.1.2)
    row(
        &[("prints", "POST /oauth/revoke", "token={alice/prints/phone/access}")],
        200,
        &["alice/prints/phone/access"],
    ),
    row(&[("prints", "POST /oauth/revoke", "token={prints/own}")], 200, &["prints/own"]),
    row(
        &[("prints", "POST /oauth/revoke", "token={alice/prints/phone/refresh}")],
        200,
        &["alice/prints/phone"],
    ),
    row(
        &[("prints", "POST /oauth/revoke", "token_type_hint=access_token&token={alice/prints/phone/spent}")],
        200,
        &["alice/prints/phone"],
    ),
    row(&[("prints", "POST /oauth/revoke", "token={alice/prints/phone-new/code}")], 200, NOTHING),
    row(&[("prints", "POST /oauth/token", VERIFIED)], 400, &["alice/prints/phone"]),
    row(&[("prints", "POST /oauth/token", UNVERIFIED)], 400, NOTHING),
    row(&[("prints", "POST /oauth/token", SPENT)], 200, NOTHING),
    row(
        &[("anyone", "wait 10", ""), ("prints", "POST /oauth/token", SPENT)],
        400,
        // Out of the window, nobody's predecessor may be repeated.
        &["alice/prints/phone", WINDOWS],
    ),
    // Another client, and nobody
    row(&[("chat", "POST /oauth/revoke", "token={alice/prints/phone/access}")], 400, NOTHING),
    row(&[("chat", "POST /oauth/revoke", "token={alice/prints/phone/refresh}")], 400, NOTHING),
    row(&[("chat", "POST /oauth/token", VERIFIED)], 400, NOTHING),
    row(&[("chat", "POST /oauth/token", SPENT)], 400, NOTHING),
    row(&[("anyone", "POST /oauth/revoke", "token={alice/prints/phone/refresh}")], 400, NOTHING),
    row(
        &[("anyone", "POST /oauth/revoke", "client_id={prints}&token={alice/prints/phone/refresh}")],
        400,
        NOTHING,
    ),
    // A resource server
    row(&[("api", "POST /oauth/introspect", "token={alice/prints/phone/spent}")], 200, NOTHING),
    row(&[("api", "POST /oauth/introspect", "token={alice/prints/phone/used}")], 200, NOTHING),
    row(&[("api", "POST /oauth/revoke", "token={alice/prints/phone/access}")], 401, NOTHING),
    // The user, by page
    row(
        &[("alice", "POST /authorizations/{alice/prints}/devices/{alice/prints/phone}/revoke", "")],
        303,
        &["alice/prints/phone"],
    ),
    row(&[("alice", "POST /authorizations/{alice/prints}/revoke", "")], 303, &["alice/prints"]),
    row(&[("alice", "POST /authorizations/{alice/prints}/revoke", "block=1")], 303, &["alice/prints"]),
    row(
        &[("alice", "POST /authorizations/revoke", "grant_id={alice/prints}&grant_id={alice/maps}")],
        303,
        &["alice/prints", "alice/maps"],
    ),
    row(&[("alice", "POST /authorizations/revoke", "all=1")], 303, APPS_OF_ALICE),
    row(&[("alice", "POST /authorizations/{alice/prints}/unblock", "")], 303, NOTHING),
    row(&[("alice", "GET /authorizations/{alice/prints}/revoke", "")], 200, NOTHING),
    row(&[("alice", "GET /authorizations/revoke?all=1", "")], 200, NOTHING),
    row(&[("alice", "POST /account/password", PASSWORDS)], 303, &["alice/browser"]),
    row(
        &[(
            "alice",
            "POST /account/password",
            "revoke_apps=1&current_password=correct-horse-battery\
            &new_password=another-long-password",
        )],
        303,
        &["alice/browser", "alice/prints", "alice/maps", "alice/chat"],
    ),
    row(
        &[("alice", "POST /account/password", "current_password=wrong&new_password=another-long-one")],
        422,
        NOTHING,
    ),
    row(&[("alice", "POST /account/taken-over", PASSWORDS)], 303, &["alice"]),
    row(
        &[("alice", "POST /account/taken-over", "current_password=wrong&new_password=another-long-one")],
        422,
        NOTHING,
    ),
    row(&[("alice", "POST /account/delete", PASSWORDS)], 303, &["alice"]),
    row(&[("alice", "POST /logout", "")], 303, &["alice/browser/1"]),
    // Another user, and nobody
    row(&[("bob", "POST /authorizations/{alice/prints}/revoke", "")], 404, NOTHING),
    row(
        &[("bob", "POST /authorizations/{alice/prints}/devices/{alice/prints/phone}/revoke", "")],
        404,
        NOTHING,
    ),
    row(
        &[("bob", "POST /authorizations/{bob/prints}/devices/{alice/prints/phone}/revoke", "")],
        404,
        NOTHING,
    ),
    row(
        &[("bob", "POST /authorizations/revoke", "grant_id={bob/prints}&grant_id={alice/prints}")],
        404,
        NOTHING,
    ),
    row(&[("bob", "POST /authorizations/revoke", "all=1")], 303, &["bob/prints", "bob/maps"]),
    row(&[("anyone", "POST /authorizations/revoke", "all=1")], 303, NOTHING),
    // The developer, by page
    row(&[("dora", "POST /apps/{prints}/revoke-tokens", "")], 303, OF_PRINTS),
    row(&[("dora", "POST /apps/{prints}/revoke-tokens", "generation=1")], 303, OF_PRINTS),
    row(&[("dora", "POST /apps/{prints}/revoke-tokens", "generation=0")], 303, NOTHING),
    row(&[("dora", "GET /apps/{prints}/revoke-tokens", "")], 200, NOTHING),
    row(&[("dora", "POST /apps/{prints}/rotate-secret", "overlap_hours=0")], 303, &["prints/secret"]),
    row(&[("dora", "POST /apps/{prints}/rotate-secret", "overlap_hours=24")], 303, NOTHING),
    row(&[("dora", "POST /apps/{prints}/delete", "name=Fotowerk")], 303, ALL_OF_PRINTS),
    row(&[("dora", "POST /apps/{prints}/delete", "name=Photowerk")], 422, NOTHING),
    // Another developer, and a user
    row(&[("dave", "POST /apps/{prints}/revoke-tokens", "")], 404, NOTHING),
    row(&[("dave", "POST /apps/{prints}/rotate-secret", "overlap_hours=0")], 404, NOTHING),
    row(&[("dave", "POST /apps/{prints}/delete", "name=Fotowerk")], 404, NOTHING),
    row(&[("alice", "POST /apps/{prints}/revoke-tokens", "")], 403, NOTHING),
    row(&[("alice", "POST /apps/{prints}/delete", "name=Fotowerk")], 403, NOTHING),
    // The provider
    Row {
        steps: &[("admin", "suspend {prints}", "")],
        status: 0,
        dies: OF_PRINTS,
        sleeps: &["prints/secret"],
    },
    row(&[("admin", "suspend {prints}", ""), ("admin", "reinstate {prints}", "")], 0, OF_PRINTS),
    row(&[("admin", "ban {prints}", "")], 0, ALL_OF_PRINTS),
    row(&[("admin", "suspend {prints}", ""), ("admin", "ban {prints}", "")], 0, ALL_OF_PRINTS),
    row(&[("admin", "disable {alice}", "")], 0, &["alice"]),
    row(&[("admin", "disable {alice}", ""), ("admin", "enable {alice}", "")], 0, &["alice"]),
    row(&[("admin", "disable {dora}", "")], 0, &["dora"]),
    Row {
        steps: &[("admin", "disable-with-apps {dora}", "")],
        status: 0,
        dies: &["dora", "*/prints", "*/maps", "prints/own", "maps/own"],
        sleeps: &["prints/secret", "maps/secret"],
    },
    row(&[("admin", "revoke-user {alice}", "")], 0, &["alice"]),
    row(&[("admin", "rotate-api {mail}", "")], 0, &["mail/secret"]),
    // The operator, by command
    row(&[("operator", "revoke-user {bob}", "")], 0, &["bob"]),
    row(&[("operator", "revoke-client {prints}", "")], 0, OF_PRINTS),
    row(&[("operator", "revoke-grant {alice/prints}", "")], 0, &["alice/prints"]),
    row(&[("operator", "revoke-token {alice/prints/phone/access}", "")], 0, &["alice/prints/phone/access"]),
    row(&[("operator", "revoke-token {alice/prints/phone/refresh}", "")], 0, &["alice/prints/phone"]),
];

fn is_named(name: &str, patterns: &[&str]) -> bool {
    patterns.iter().any(|pattern| {
        let mut parts = name.split('/');
        pattern.split('/').all(|wanted| parts.next().is_some_and(|part| wanted == "*" || part == wanted))
    })
}

fn without(all: &BTreeSet<String>, patterns: &[&str]) -> BTreeSet<String> {
    all.iter().filter(|name| !is_named(name, patterns)).cloned().collect()
}

/// Does a row to a copy of the estate. What the purge took from each column.
async fn check(estate: &Estate, row: &Row, alive: &BTreeSet<String>) -> BTreeMap<String, BTreeSet<String>> {
    let estate = estate.copied().await;
    let before = estate.digests();
    let mut status = 0;
    for (who, step, form) in row.steps {
        status = estate.does(who, step, form).await;
    }
    let what = format!("{:?}", row.steps);
    assert_eq!(status, row.status, "{what}");
    let left = without(alive, row.dies);
    assert_eq!(estate.alive().await, without(&left, row.sleeps), "{what}");
    estate.does("operator", "purge now", "").await;
    assert_eq!(estate.alive().await, without(&left, row.sleeps), "the purge after {what}");
    estate.forget_new();
    let after = estate.digests();
    let mut taken = BTreeMap::new();
    for (column, names) in before {
        let left_here = &after[&column];
        // A used code and a superseded refresh token stay as evidence, as long as their family lives.
        let (dead, kept): (Vec<_>, Vec<_>) = names.iter().partition(|name| is_named(name, &revoked(row)));
        for name in dead {
            assert!(!left_here.contains(name), "{column} still holds {name} after {what}");
        }
        for name in kept {
            assert!(left_here.contains(name), "{column} lost {name} after {what}");
        }
        let gone: BTreeSet<String> = names.difference(left_here).cloned().collect();
        taken.insert(column, gone);
    }
    taken
}

/// What the row revokes; the end of a window revokes nothing.
fn revoked(row: &Row) -> Vec<&'static str> {
    row.dies.iter().copied().filter(|pattern| *pattern != WINDOWS).collect()
}

#[tokio::test]
async fn each_act_ends_only_what_it_covers_and_the_purge_removes_it_from_every_column() {
    run(TokenFormat::Opaque, MATRIX).await;
}

/// What concerns JWTs alone.
const OF_JWTS: &[Row] = &[
    row(
        &[("operator", "withdraw-key first", "")],
        0,
        &[
            "prints/own",
            "*/prints/phone/access",
            "*/prints/phone/first",
            "*/prints/laptop/access",
            "*/prints/laptop/first",
        ],
    ),
    row(
        &[("admin", "disable {bob}", ""), ("operator", "withdraw-key first", "")],
        0,
        &[
            "bob",
            "prints/own",
            "*/prints/phone/access",
            "*/prints/phone/first",
            "*/prints/laptop/access",
            "*/prints/laptop/first",
        ],
    ),
];

#[tokio::test]
async fn each_act_ends_jwts_as_it_ends_opaque_tokens() {
    let rows: Vec<Row> = MATRIX.iter().chain(OF_JWTS).copied().collect();
    run(TokenFormat::Jwt, &rows).await;
}

async fn run(prints: TokenFormat, matrix: &[Row]) {
    let estate = Estate::new(prints).await;
    let alive = estate.alive().await;
    let all = estate.all();
    let dead: Vec<_> = all.difference(&alive).filter(|name| !name.ends_with("/used")).collect();
    assert!(dead.is_empty(), "all but used codes work at first: {dead:?}");
    let minted = estate.digests();
    for (column, names) in &minted {
        assert!(!names.is_empty(), "{column} holds digests, and this test mints nothing for it");
    }
    // PostgreSQL copies only what nobody has open.
    estate.world.store.close().await;
    let mut taken: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in matrix {
        for (column, names) in check(&estate, row, &alive).await {
            taken.entry(column).or_default().extend(names);
        }
    }
    let untouched: Vec<&String> = minted.keys().filter(|column| taken[*column].is_empty()).collect();
    assert!(untouched.is_empty(), "no act takes anything from {untouched:?}");
    let cells = matrix.len() * estate.all().len();
    println!("matrix: {} acts, {cells} cells, {} columns of digests", matrix.len(), minted.len());
}

#[tokio::test]
async fn expired_credentials_leave_every_column() {
    let estate = Estate::new(TokenFormat::Opaque).await;
    estate.does("anyone", "wait 315360000", "").await;
    let lasting = ["api/secret", "*/secret/newest"];
    let alive = estate.alive().await;
    assert!(alive.iter().all(|name| is_named(name, &lasting)) && alive.len() == 5, "{alive:?}");
    estate.does("operator", "purge now", "").await;
    for (column, names) in estate.digests() {
        assert!(names.iter().all(|name| is_named(name, &lasting)), "{column} still holds {names:?}");
    }
    assert_eq!(estate.alive().await, alive);
}
