//! `/admin/ledger`: search, pages by key, and the exports.

use rescind::model::client::{AppName, ClientKind};
use rescind::model::user::Role;

use crate::harness::browser::Browser;
use crate::harness::fields::Fields;
use crate::harness::{Scene, World, scene};

async fn max(world: &World) -> Browser {
    world.with_role("max", Role::Admin).await
}

#[tokio::test]
async fn acts_are_found_by_app_person_id_and_kind() {
    let Scene { world, app, alice, .. } = scene().await;
    let max = max(&world).await;
    max.gets("/admin/ledger").await.page(200).shows("Nothing has been revoked yet");
    alice.connects(&app).await;
    alice.revokes(&app).await.is(303);
    world.ends_all_tokens_of(&app).await;
    let page = max
        .gets("/admin/ledger")
        .await
        .page(200)
        .shows("Prints’s access was revoked")
        .shows("by the user, alice");
    page.shows("All user tokens of Prints were revoked").shows("by the server’s operator");
    for query in ["q=alice", "q=ALICE", "act=app_revoked", &format!("q={}", alice.id)] {
        let page =
            max.gets(&format!("/admin/ledger?{query}")).await.page(200).shows("Prints’s access was revoked");
        page.hides("All user tokens of Prints were revoked");
    }
    max.gets("/admin/ledger?q=prin").await.page(200).shows("All user tokens of Prints were revoked");
    max.gets("/admin/ledger?q=nobody").await.page(200).shows("No entry matches");
    for format in ["", "&format=json", "&format=csv"] {
        max.gets(&format!("/admin/ledger?act=x{format}")).await.page(400).shows("“act”");
        for before in ["x", "1.5", "99999999999999999999"] {
            max.gets(&format!("/admin/ledger?before={before}{format}")).await.page(400).shows("“before”");
        }
    }
    max.gets("/admin/ledger?format=xml").await.page(400).shows("csv or json");
    let receipt: String = world.value("SELECT receipt_id FROM ledger WHERE act = 'app_revoked'");
    max.gets(&format!("/admin/ledger?q={receipt}")).await.page(200).shows("Prints’s access was revoked");
}

/// Adds rows that look like acts of an operator.
fn acts(world: &World, count: usize) {
    let app: String = world.value("SELECT id FROM clients");
    if count == 0 {
        return;
    }
    let row = |number| {
        format!(
            "((SELECT coalesce(max(sequence), 0) FROM ledger) + 1 + {number}, 'rcp_{number:020}', {number}, \
             'user_tokens_revoked', 'operator', 'command', 'client', '{app}', '{app}', {number})"
        )
    };
    let rows: Vec<String> = (0..count).map(row).collect();
    let insert = format!(
        "INSERT INTO ledger (sequence, receipt_id, at, act, actor_kind, origin, subject_kind, subject_id, client_id, \
         generation) VALUES {}",
        rows.join(", ")
    );
    assert_eq!(world.connects().adds_to_ledger(&insert, &[]), count);
}

/// A row of another receipt, newer than all.
fn acts_later(world: &World, number: usize) {
    let insert = format!(
        "INSERT INTO ledger (sequence, receipt_id, at, act, actor_kind, origin, subject_kind, subject_id, client_id) \
         SELECT (SELECT max(sequence) + 1 FROM ledger), 'rcp_later{number:015}', 0, act, actor_kind, origin, \
         subject_kind, subject_id, client_id FROM ledger LIMIT 1"
    );
    assert_eq!(world.connects().adds_to_ledger(&insert, &[]), 1);
}

#[tokio::test]
async fn pages_turn_by_key() {
    let Scene { world, .. } = scene().await;
    let max = max(&world).await;
    acts(&world, 120);
    let mut path = "/admin/ledger?q=Prints".to_owned();
    let mut seen = Vec::new();
    for rows in [50, 50, 20] {
        let page = max.gets(&path).await.page(200);
        let found: Vec<String> =
            page.body.split("/receipts/").skip(1).map(|rest| rest[..24].to_owned()).collect();
        assert_eq!(found.len(), rows);
        seen.extend(found);
        // What is added meanwhile moves nothing.
        if rows == 50 {
            path = page.attribute("rel=\"next\"", "href");
            acts_later(&world, seen.len());
        } else {
            page.hides("rel=\"next\"");
        }
    }
    let expected: Vec<String> = (0..120).rev().map(|number| format!("rcp_{number:020}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn exports_hold_everything_that_matches() {
    let Scene { world, .. } = scene().await;
    let max = max(&world).await;
    for (count, total) in [(0, 0), (500, 500), (501, 1001)] {
        acts(&world, count);
        let answer = max.gets("/admin/ledger?format=json&before=3").await.is(200);
        assert!(answer.json().as_array().unwrap().len() <= 2);
        let answer = max.gets("/admin/ledger?format=json").await.is(200);
        assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"ledger.json\""));
        let rows = answer.json().as_array().unwrap().clone();
        assert_eq!(rows.len(), total);
        assert!(rows.windows(2).all(|pair| pair[0]["sequence"].as_i64() > pair[1]["sequence"].as_i64()));
        assert!(rows.iter().all(|row| row["at"].as_str().unwrap().ends_with('Z')));
        let answer = max.gets("/admin/ledger?format=csv").await.is(200);
        assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
        assert_eq!(answer.body.lines().count(), total + 1);
        let answer = max.gets("/admin/ledger?format=csv&act=client_banned").await.is(200);
        assert_eq!(answer.body.lines().count(), 1);
    }
}

#[tokio::test]
async fn no_cell_is_a_formula() {
    let Scene { world, .. } = scene().await;
    let max = max(&world).await;
    let name = AppName::parse("=HYPERLINK(\"https://evil.example\")").unwrap();
    let app = world.client(ClientKind::Public, |new| new.name = name).await;
    let reason = Fields::new(&[("reason", "@SUM(1,2), \"quoted\"")]);
    max.posts(&format!("/admin/apps/{}/suspend", app.id), &reason).await.is(303);
    let csv = max.gets("/admin/ledger?format=csv").await.is(200);
    let csv = csv
        .shows(",\"'=HYPERLINK(\"\"https://evil.example\"\")\",")
        .shows(",\"'@SUM(1,2), \"\"quoted\"\"\",");
    csv.hides(",\"=").hides(",=").hides(",\"@").shows(",\"max\",");
}
