//! The audit: who gave power or changed who has it, why, when and from where.

use rescind::model::user::Role;

use crate::harness::browser::Browser;
use crate::harness::engine::connection::read;
use crate::harness::fields::Fields;
use crate::harness::{PASSWORD, Scene, World, scene};

/// The acts of the audit and the ledger since `sequence` of each: act, kind of actor, origin, reason, detail, address.
type Row = (String, String, String, Option<String>, Option<String>, Option<String>);

fn rows(world: &World, table: &str) -> Vec<Row> {
    let sql = format!(
        "SELECT l.act, l.actor_kind, l.origin, n.reason, n.detail, n.address FROM {table} AS l \
         LEFT JOIN receipt_notes AS n ON n.receipt_id = l.receipt_id ORDER BY l.sequence"
    );
    let rows = world.connects().rows(&sql, &[]);
    let row = |row: &Vec<_>| {
        (read(&row[0]), read(&row[1]), read(&row[2]), read(&row[3]), read(&row[4]), read(&row[5]))
    };
    rows.iter().map(row).collect()
}

/// What `act` adds to the audit and the ledger.
async fn adds(world: &World, act: impl Future<Output = ()>) -> Vec<Row> {
    let before = [rows(world, "audit").len(), rows(world, "ledger").len()];
    act.await;
    let mut added = rows(world, "audit").split_off(before[0]);
    added.extend(rows(world, "ledger").split_off(before[1]));
    added
}

const FROM: Option<&str> = Some("0.0.0.0");

#[track_caller]
fn is(added: &[Row], expected: &[(&str, &str, Option<&str>, Option<&str>)]) {
    let found: Vec<_> = added
        .iter()
        .map(|(act, actor, _, reason, detail, _)| {
            (act.as_str(), actor.as_str(), reason.as_deref(), detail.as_deref())
        })
        .collect();
    assert_eq!(found, expected);
    for (act, _, origin, _, _, address) in added {
        assert_eq!((origin.as_str(), address.as_deref()), ("page", FROM), "{act}");
    }
}

async fn sends(browser: &Browser, path: &str, fields: &Fields) {
    browser.posts(path, fields).await.is(303);
}

#[tokio::test]
async fn the_audit_records_what_people_do_to_their_own_accounts() {
    let Scene { world, app, alice, .. } = scene().await;
    let browser = "Firefox on Linux";
    let added = adds(&world, alice.signs_in()).await;
    is(&added, &[("signed_in", "user", None, Some(browser))]);
    let added = adds(&world, async { drop(alice.authorizes(&app).await) }).await;
    is(&added, &[("consent_given", "user", None, Some("read write"))]);
    let added = adds(&world, async { drop(alice.authorizes(&app).await) }).await;
    is(&added, &[]);
    let grant = alice.grant_of(&app).await;
    let block = Fields::new(&[("block", "1")]);
    let added = adds(&world, sends(&alice, &format!("/authorizations/{grant}/revoke"), &block)).await;
    is(&added, &[("app_blocked", "user", None, None), ("app_revoked", "user", None, None)]);
    let unblock = format!("/authorizations/{grant}/unblock");
    let added = adds(&world, sends(&alice, &unblock, &Fields::EMPTY)).await;
    is(&added, &[("app_unblocked", "user", None, None)]);
    let added = adds(&world, sends(&alice, &unblock, &Fields::EMPTY)).await;
    is(&added, &[]);
    let other = alice.elsewhere();
    let own: String = world.value("SELECT id FROM sessions");
    other.signs_in().await;
    let id: String = world.value(&format!("SELECT id FROM sessions WHERE id <> '{own}'"));
    let added = adds(&world, sends(&alice, &format!("/account/sessions/{id}/end"), &Fields::EMPTY)).await;
    is(&added, &[("session_ended", "user", None, None)]);
    let passwords = Fields::new(&[("current_password", PASSWORD), ("new_password", "another good password")]);
    let added = adds(&world, sends(&alice, "/account/password", &passwords)).await;
    is(&added, &[("password_changed", "user", None, None)]);
    let added = adds(&world, sends(&alice, "/logout", &Fields::EMPTY)).await;
    is(&added, &[("session_ended", "user", None, None)]);
    let form = Fields::new(&[("username", "carol"), ("password", PASSWORD)]);
    let added = adds(&world, sends(&alice.elsewhere(), "/register", &form)).await;
    is(&added, &[("account_created", "visitor", None, None)]);
}

#[tokio::test]
async fn the_audit_records_acts_of_developers_and_admins_with_their_reason() {
    let Scene { world, app, alice, .. } = scene().await;
    let dana = world.with_role("dana", Role::Developer).await;
    let max = world.with_role("max", Role::Admin).await;
    world.forces(&format!("UPDATE clients SET owner_id = '{}'", dana.id));
    let registration =
        [("name", "Album"), ("redirect_uri", "https://album.example/cb"), ("type", "confidential")];
    let registration = Fields::new(&registration);
    let added = adds(&world, sends(&dana, "/apps/new", &registration)).await;
    is(&added, &[("client_registered", "developer", None, None)]);
    let own = format!("/apps/{}", app.id);
    let added = adds(&world, sends(&dana, &own, &registration)).await;
    is(&added, &[("client_edited", "developer", None, Some("name, publisher, redirect_uris"))]);
    let hours = Fields::new(&[("overlap_hours", "1")]);
    let added = adds(&world, sends(&dana, &format!("{own}/rotate-secret"), &hours)).await;
    is(&added, &[("client_secret_rotated", "developer", None, None)]);

    let why = Some("It was looked at.");
    let (reason, account) = (Fields::reason(), format!("/admin/users/{}", alice.id));
    let moderated = format!("/admin/apps/{}", app.id);
    for (path, fields, act, detail) in [
        (
            format!("{account}/role"),
            reason.clone().and("role", "developer"),
            "role_changed",
            Some("developer"),
        ),
        (format!("{account}/revoke"), reason.clone(), "user_revoked", None),
        (format!("{account}/disable"), reason.clone(), "user_disabled", None),
        (format!("{account}/enable"), reason.clone(), "user_enabled", None),
        (format!("{moderated}/suspend"), reason.clone(), "client_suspended", None),
        (format!("{moderated}/reinstate"), reason.clone(), "client_reinstated", None),
        (format!("{moderated}/ban"), reason.clone(), "client_banned", None),
    ] {
        let before = world.contents();
        max.posts(&path, &fields.clone().without("reason")).await.page(422).shows("Enter a reason");
        assert_eq!(world.contents(), before, "{path}");
        let added = adds(&world, sends(&max, &path, &fields)).await;
        is(&added, &[(act, "admin", why, detail)]);
    }
    let server =
        [("name", "Notes"), ("audience", "https://notes.example"), ("scopes", "notes.read=Read notes")];
    let added = adds(&world, sends(&max, "/admin/resource-servers/new", &Fields::new(&server))).await;
    is(&added, &[("resource_server_registered", "admin", None, None)]);
}

#[tokio::test]
async fn people_concerned_read_the_audit_and_only_admins_and_the_actor_see_addresses() {
    let Scene { world, app, alice, .. } = scene().await;
    let max = world.with_role("max", Role::Admin).await;
    alice.authorizes(&app).await;
    let grant = alice.grant_of(&app).await;
    let page = alice.gets("/account").await.page(200).shows("alice signed in, by you").shows("0.0.0.0");
    page.shows("alice allowed Prints to use the account");
    let page = alice.gets(&format!("/authorizations/{grant}")).await.page(200);
    page.shows("The app was allowed to use the account").hides("0.0.0.0");
    let page = max.gets("/admin/audit?q=alice").await.page(200).shows("alice signed in").shows("0.0.0.0");
    page.shows("On a page").hides("max signed in").hides("/receipts/");
    max.gets("/admin/audit?act=consent_given").await.page(200).shows("read write").hides("signed in");
    max.gets("/admin/audit?act=client_banned").await.page(400);
    max.gets("/admin/audit?act=consent_given&format=csv").await.is(200).shows("consent_given");
    max.gets(&format!("/admin/users/{}", alice.id)).await.page(200).shows("alice signed in");
    alice.gets("/admin/audit").await.page(403);
}

#[tokio::test]
async fn a_deleted_account_takes_its_addresses_with_it_and_the_rows_stay() {
    let Scene { world, app, alice, .. } = scene().await;
    alice.authorizes(&app).await;
    let before = rows(&world, "audit").len();
    alice.posts("/account/delete", &Fields::new(&[("current_password", PASSWORD)])).await.is(303);
    let of_alice =
        format!("SELECT count(*) FROM receipt_notes WHERE actor_id = '{}' AND address IS NOT NULL", alice.id);
    assert_eq!(world.value::<i64>(&of_alice), 0);
    assert_eq!(rows(&world, "audit").len(), before);
    assert!(world.connects().tries("UPDATE audit SET act = 'x'", &[]).is_err());
    assert!(world.connects().tries("DELETE FROM audit", &[]).is_err());
}

#[tokio::test]
async fn audit_rows_do_not_enter_the_feed() {
    let Scene { world, app, alice, .. } = scene().await;
    let head = *world.app.store.ledger_head().borrow();
    alice.authorizes(&app).await;
    alice.posts("/logout", &Fields::EMPTY).await.is(303);
    alice.signs_in().await;
    assert_eq!(*world.app.store.ledger_head().borrow(), head);
}
