//! What operators see of a running server: metrics, request ids, readiness.

use axum::body::Body;
use axum::http::header;

use crate::harness::engine::database::skips_on_postgres;
use crate::harness::{METRICS_TOKEN, scene};

/// The value of a series; 0 where there is none.
fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn metrics_are_404_without_the_metrics_token() {
    let scene = scene().await;
    let unknown = scene.world.gets("/metrika").await.page(404);
    let admin = scene.world.with_role("max", rescind::model::user::Role::Admin).await;
    assert_eq!(admin.gets("/metrics").await.page(404).body, unknown.body);
    for wrong in ["", "Bearer", "Bearer ", "Bearer wrong", "Basic x"] {
        let request = scene.world.request("GET", "/metrics").header(header::AUTHORIZATION, wrong);
        let answer = scene.world.sends(request.body(Body::empty()).unwrap()).await.page(404);
        assert_eq!(answer.body, unknown.body, "{wrong:?}");
    }
    let request = scene.world.request("GET", "/metrics");
    let request = request.header(header::AUTHORIZATION, format!("Bearer {METRICS_TOKEN}"));
    let answer = scene.world.sends(request.body(Body::empty()).unwrap()).await.is(200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
}

#[tokio::test]
async fn metrics_count_requests_acts_purges_and_failed_sign_ins() {
    let scene = scene().await;
    let tokens = scene.alice.connects(&scene.app).await;
    let before = scene.world.metrics().await;
    for _ in 0..3 {
        scene.api.introspects(&tokens.access).await;
    }
    scene.alice.elsewhere().types("a wrong password", "").await.is(401);
    scene.alice.revokes(&scene.app).await.is(303);
    scene.world.advances(7);
    let after = scene.world.metrics().await;
    let grown = |series: &str| value(&after, series) - value(&before, series);
    assert_eq!(
        grown("rescind_requests_total{route=\"/oauth/introspect\",method=\"POST\",status=\"200\"}"),
        3.0
    );
    let name = "rescind_request_duration_seconds_count{route=\"/oauth/introspect\",method=\"POST\"}";
    assert_eq!(grown(name), 3.0);
    assert_eq!(grown("rescind_acts_total{act=\"app_revoked\"}"), 1.0);
    assert_eq!(grown("rescind_sign_in_failures_total{reason=\"refused\"}"), 1.0);
    assert!(grown("rescind_write_duration_seconds_count") >= 1.0);
    assert!(grown("rescind_write_groups_total") >= 1.0);
    // Nobody has purged yet, and the clock has moved by seven seconds since.
    assert_eq!(value(&after, "rescind_purges_unfinished"), 1.0);
    assert_eq!(value(&after, "rescind_purge_oldest_seconds"), 7.0);
    scene.world.purges().await;
    let purged = scene.world.metrics().await;
    assert_eq!(value(&purged, "rescind_purges_unfinished"), 0.0);
    // Read again, nothing is counted twice.
    assert_eq!(value(&purged, "rescind_acts_total{act=\"app_revoked\"}"), 1.0);
    let acts = after.lines().filter(|line| line.starts_with("rescind_acts_total{"));
    assert_eq!(acts.count(), rescind::model::act::Act::ALL.len(), "every act has a series from the start");
}

#[tokio::test]
async fn unknown_paths_add_no_metric_series() {
    let scene = scene().await;
    scene.world.gets("/metrika/stranger1").await.is(404);
    let labels = |metrics: &str| metrics.lines().filter(|line| !line.starts_with('#')).count();
    let before = labels(&scene.world.metrics().await);
    for path in [
        "/metrika/stranger2",
        "/static/stranger3",
        "/static/stranger4",
        "/apps/stranger5",
        "/apps/stranger6",
        "/receipts/stranger7",
    ] {
        scene.world.gets(path).await;
    }
    let after = scene.world.metrics().await;
    // The metrics page itself, and three templates: a count and a histogram of 17 lines each.
    assert!(labels(&after) <= before + 4 * 18, "{after}");
    assert!(!after.contains("stranger"), "{after}");
}

#[tokio::test]
async fn a_fault_s_page_names_its_request() {
    let scene = scene().await;
    let tokens = scene.alice.connects(&scene.app).await;
    let first = scene.world.gets("/healthz").await;
    let second = scene.world.gets("/healthz").await;
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    scene.world.forces_schema("ALTER TABLE grants RENAME TO lost");
    let page = scene.alice.gets("/authorizations").await.page(503);
    let id = page.header("x-request-id").unwrap().to_owned();
    page.shows(&format!("<code>{id}</code>"));
    scene.world.forces_schema("ALTER TABLE tokens RENAME TO lost_tokens");
    scene.api.posts(&crate::harness::fields::Fields::new(&[("token", &tokens.access)])).await.is(503);
}

#[tokio::test]
async fn a_server_whose_database_file_was_replaced_is_not_ready() {
    if skips_on_postgres("there is no file") {
        return;
    }
    let scene = scene().await;
    let file = scene.world.database.path();
    scene.world.gets("/readyz").await.is(200);
    let aside = file.with_extension("aside");
    std::fs::rename(&file, &aside).unwrap();
    scene.world.gets("/readyz").await.is(503).shows("replaced or removed");
    std::fs::copy(&aside, &file).unwrap();
    scene.world.gets("/readyz").await.is(503).shows("replaced or removed");
    std::fs::rename(&aside, &file).unwrap();
    scene.world.gets("/readyz").await.is(200);
}
