//! `/metrics`: its format, what each series counts, and the board that draws them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rescind::model::canary::{Outcome, Times};
use rescind::service::drill;
use serde_json::{Value, json};

use crate::harness::ONE_SERVER;
use crate::harness::api::Api;
use crate::harness::engine::database::{is_postgres, skips_on_postgres};
use crate::harness::listener::acknowledgement;
use crate::harness::{Scene, World, scene};

/// A metric as its `# TYPE` line says, with its samples: name, labels, value.
#[derive(Debug)]
struct Family {
    kind: String,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// The labels between braces, and what stands after them.
fn labels(mut text: &str) -> (BTreeMap<String, String>, &str) {
    let mut found = BTreeMap::new();
    loop {
        let (name, rest) = text.split_once("=\"").expect("a label with a quoted value");
        assert!(is_name(name), "{name:?}");
        let (mut value, mut letters) = (String::new(), rest.char_indices());
        let end = loop {
            match letters.next().expect("the end of a label's value") {
                (place, '"') => break place,
                (_, '\\') => value.push(match letters.next().expect("an escape").1 {
                    'n' => '\n',
                    plain @ ('\\' | '"') => plain,
                    other => panic!("no escape: {other:?}"),
                }),
                (_, letter) => value.push(letter),
            }
        };
        assert!(found.insert(name.to_owned(), value).is_none(), "{name} stands twice");
        text = &rest[end + 1..];
        match text.strip_prefix(',') {
            Some(rest) => text = rest,
            None => return (found, text.strip_prefix('}').expect("the end of labels")),
        }
    }
}

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).expect("a value");
    let (name, rest) = line.split_at(end);
    assert!(is_name(name), "{line:?}");
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest),
        None => (BTreeMap::new(), rest),
    };
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line:?}"));
    assert!(!value.contains(' '), "{line:?}");
    Sample { name: name.to_owned(), labels, value: value.parse().unwrap_or_else(|_| panic!("{line:?}")) }
}

/// Reads the text format 0.0.4, and refuses what its description does not allow.
fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n'));
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let (mut described, mut current) = (None, None::<String>);
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("words");
            assert!(is_name(name) && !words.trim().is_empty(), "{line}");
            described = Some(name.to_owned());
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a kind");
            assert_eq!(described.take().as_deref(), Some(name), "TYPE follows its HELP");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            let family = Family { kind: kind.to_owned(), samples: Vec::new() };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} stands twice");
            current = Some(name.to_owned());
        } else {
            let sample = sample(line);
            let name = current.as_deref().expect("a sample after its TYPE");
            let family = families.get_mut(name).unwrap();
            let ends: &[&str] =
                if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(ends.iter().any(|end| sample.name == format!("{name}{end}")), "{line} under {name}");
            let is_twice = |known: &Sample| known.name == sample.name && known.labels == sample.labels;
            assert!(!family.samples.iter().any(is_twice), "{line} stands twice");
            assert!(sample.value >= 0.0 && sample.value.is_finite(), "{line}");
            family.samples.push(sample);
        }
    }
    for (name, family) in families.iter().filter(|(_, family)| family.kind == "histogram") {
        assert_histogram(name, family);
    }
    families
}

/// Buckets grow up to `+Inf`, which is the count.
fn assert_histogram(name: &str, family: &Family) {
    let mut series: BTreeMap<BTreeMap<String, String>, Vec<&Sample>> = BTreeMap::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        assert_eq!(labels.remove("le").is_some(), sample.name.ends_with("_bucket"), "{sample:?}");
        series.entry(labels).or_default().push(sample);
    }
    for samples in series.values() {
        let (buckets, rest): (Vec<&Sample>, Vec<&Sample>) =
            samples.iter().partition(|sample| sample.labels.contains_key("le"));
        let bound = |sample: &Sample| match sample.labels["le"].as_str() {
            "+Inf" => f64::INFINITY,
            bound => bound.parse().unwrap(),
        };
        assert!(buckets.windows(2).all(|pair| bound(pair[0]) < bound(pair[1])), "{name}");
        assert!(buckets.windows(2).all(|pair| pair[0].value <= pair[1].value), "{name}");
        let last = buckets.last().expect("buckets");
        let names: Vec<&str> = rest.iter().map(|sample| sample.name.as_str()).collect();
        assert_eq!(names, [format!("{name}_sum"), format!("{name}_count")]);
        assert_eq!((bound(last), last.value), (f64::INFINITY, rest[1].value), "{name}");
    }
}

async fn families(world: &World) -> BTreeMap<String, Family> {
    parse(&world.metrics().await)
}

/// The value of a series; 0 where there is none.
fn value(families: &BTreeMap<String, Family>, name: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |sample: &&Sample| {
        sample.name == name
            && sample.labels.len() == labels.len()
            && labels.iter().all(|&(label, text)| sample.labels.get(label).is_some_and(|held| held == text))
    };
    families.values().flat_map(|family| &family.samples).find(has).map_or(0.0, |sample| sample.value)
}

/// A world in which every metric has a series.
async fn lively() -> Scene {
    let scene = scene().await;
    let Scene { world, api, app, alice } = &scene;
    confirms(api, 0).await;
    alice.connects(app).await;
    alice.revokes(app).await.is(303);
    alice.elsewhere().types("a wrong password", "").await.is(401);
    world.gets("/nowhere").await.is(404);
    drill::begin(&world.app.store, world.app.clock.now()).await.unwrap();
    ends_drill(world, passed()).await;
    scene
}

fn passed() -> Outcome {
    let [p50, p99, max] = [1, 8, 20].map(Duration::from_millis);
    Outcome::Passed(Times { rounds: 100, p50, p99, max })
}

async fn ends_drill(world: &World, outcome: Outcome) {
    assert!(drill::end(&world.app.store, outcome, world.app.clock.now()).await.unwrap());
}

/// An acknowledgement of everything up to `through`.
async fn confirms(api: &Api, through: i64) {
    let incarnation = api.world.value("SELECT incarnation FROM server");
    api.acknowledges(&acknowledgement(incarnation, through)).await.is(200);
}

async fn flushes(world: &World) {
    world.app.guards.flush(&world.app.store, world.app.clock.now()).await.unwrap();
}

/// Ends something everywhere; its sequence, once the feed has read it.
async fn ends(scene: &Scene) -> i64 {
    scene.world.ends_all_tokens_of(&scene.app).await;
    scene.world.app.feed.reached(&scene.world.app.store).await.unwrap().sequence
}

#[tokio::test]
async fn metrics_are_in_the_text_format_of_prometheus() {
    let scene = lively().await;
    let found = families(&scene.world).await;
    assert!(found.keys().all(|name| name.starts_with("rescind_")));
    let without: Vec<_> = found.iter().filter(|(_, family)| family.samples.is_empty()).collect();
    assert!(without.is_empty(), "{without:?}");
}

#[test]
fn the_parser_of_these_tests_refuses_bad_metrics() {
    let head = "# HELP a_total A.\n# TYPE a_total counter\n";
    parse(&format!("{head}a_total{{b=\"c\\\"d\\\\e\\nf,g}}\"}} 1\na_total 2.5e3\n"));
    for wrong in [
        "a_total 1",
        "a_total",
        "a_total{b=\"c\"} 1\na_total{b=\"c\"} 2\n",
        "a_total{b=\"c} 1\n",
        "a_total{b=\"c\\d\"} 1\n",
        "a_total{1b=\"c\"} 1\n",
        "a_total  1\n",
        "a_total one\n",
        "a_total -1\n",
        "b_total 1\n",
        "# HELP a_total A.\n# TYPE a_total counter\n",
        "# TYPE b_total counter\n",
        "# HELP b B.\n# TYPE b counter\n",
        "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n",
        "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n",
    ] {
        let text = format!("{head}{wrong}");
        assert!(std::panic::catch_unwind(|| parse(&text)).is_err(), "{wrong:?}");
    }
}

#[tokio::test]
async fn metrics_show_confirmation_times_and_the_lag_of_guards() {
    if skips_on_postgres(ONE_SERVER) {
        return;
    }
    let scene = scene().await;
    let Scene { world, api, .. } = &scene;
    let other = world.api("https://music.example", &["listen"]).await;
    let labels = [("resource_server", api.id.as_str()), ("name", "https://photos.example")];
    let of_other = [("resource_server", other.id.as_str()), ("name", "https://music.example")];
    let before = families(world).await;
    assert_eq!(value(&before, "rescind_guards_running", &labels), 0.0);
    confirms(api, 0).await;
    let sequence = ends(&scene).await;
    world.advances(2);
    let waiting = families(world).await;
    assert_eq!(value(&waiting, "rescind_guards_running", &labels), 1.0);
    assert_eq!(value(&waiting, "rescind_feed_lag_seconds", &labels), 2.0);
    assert_eq!(value(&waiting, "rescind_feed_lag_seconds", &of_other), 0.0);
    assert_eq!(value(&waiting, "rescind_confirmation_seconds_count", &[]), 0.0);
    confirms(api, sequence).await;
    confirms(api, sequence).await;
    flushes(world).await;
    let after = families(world).await;
    assert_eq!(value(&after, "rescind_feed_lag_seconds", &labels), 0.0);
    assert_eq!(value(&after, "rescind_confirmation_seconds_count", &[]), 1.0);
    assert_eq!(value(&after, "rescind_confirmation_seconds_sum", &[]), 2.0);
    let outcome = |found: &BTreeMap<String, Family>, outcome: &str| {
        value(found, "rescind_confirmations_total", &[("outcome", outcome)])
    };
    assert_eq!(
        ["confirmed", "silent", "idle", "unguarded"].map(|name| outcome(&after, name)),
        [1.0, 0.0, 0.0, 1.0]
    );

    // Nothing is heard of this guard any more: its lease runs out, and then nobody runs.
    ends(&scene).await;
    world.advances(60);
    flushes(world).await;
    ends(&scene).await;
    flushes(world).await;
    let gone = families(world).await;
    assert_eq!(value(&gone, "rescind_guards_running", &labels), 0.0);
    assert_eq!(value(&gone, "rescind_feed_lag_seconds", &labels), 0.0);
    assert_eq!(
        ["confirmed", "silent", "idle", "unguarded"].map(|name| outcome(&gone, name)),
        [1.0, 1.0, 1.0, 3.0]
    );
    assert_eq!(value(&gone, "rescind_confirmation_seconds_count", &[]), 1.0);
}

#[tokio::test]
async fn drills_and_pages_change_their_metrics() {
    let scene = scene().await;
    let Scene { world, alice, .. } = &scene;
    let before = families(world).await;
    assert!(!before.contains_key("rescind_drill_passed"), "none was run");
    drill::begin(&world.app.store, world.app.clock.now()).await.unwrap();
    ends_drill(world, passed()).await;
    alice.gets("/authorizations").await.page(200);
    let after = families(world).await;
    assert_eq!(value(&after, "rescind_drill_passed", &[]), 1.0);
    assert_eq!(value(&after, "rescind_drill_p99_seconds", &[]), 0.008);
    let now = world.app.clock.now().millis() as f64 / 1000.0;
    assert_eq!(value(&after, "rescind_drill_timestamp_seconds", &[]), now);
    let waits = |found| value(found, "rescind_page_wait_seconds_count", &[]);
    // On PostgreSQL, pages share connections and wait for none.
    assert!(is_postgres() || waits(&after) > waits(&before));
    ends_drill(world, Outcome::Failed { rounds: 3 }).await;
    let failed = families(world).await;
    assert_eq!(value(&failed, "rescind_drill_passed", &[]), 0.0);
    assert!(!failed.contains_key("rescind_drill_p99_seconds"));
}

/// Everything in a board under this name, however deep.
fn collect(board: &Value, name: &str, found: &mut Vec<Value>) {
    match board {
        Value::Object(members) => {
            found.extend(members.get(name).cloned());
            members.values().for_each(|member| collect(member, name, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, name, found)),
        _ => {}
    }
}

/// Words of a query: names of metrics, labels, functions.
fn words(query: &str) -> Vec<&str> {
    let mut outside = query.split('"').step_by(2).collect::<Vec<_>>();
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_$".contains(letter);
    outside
        .drain(..)
        .flat_map(|text| text.split(move |letter| !is_part(letter)))
        .filter(|word| !word.is_empty())
        .collect()
}

#[tokio::test]
async fn the_board_draws_metrics_that_exist_by_labels_that_they_have() {
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/grafana.json")).unwrap();
    let board: Value = serde_json::from_str(&file).unwrap();
    let scene = lively().await;
    let found = families(&scene.world).await;
    let mut queries = Vec::new();
    collect(&board, "expr", &mut queries);
    let mut drawn = BTreeSet::new();
    for query in &queries {
        let query = query.as_str().unwrap();
        let metrics: Vec<&str> =
            words(query).into_iter().filter(|word| word.starts_with("rescind_")).collect();
        assert!(!metrics.is_empty(), "{query}");
        for metric in metrics {
            let of = |family: &&String| {
                let is_histogram = found[*family].kind == "histogram";
                metric == *family && !is_histogram
                    || is_histogram
                        && ["_bucket", "_sum", "_count"].iter().any(|end| metric == format!("{family}{end}"))
            };
            let family = found.keys().find(of).unwrap_or_else(|| panic!("there is no {metric}: {query}"));
            drawn.insert(family.clone());
            if let Some((_, by)) = query.split_once(" by (") {
                for label in by.split(')').next().unwrap().split(", ") {
                    let has = found[family].samples.iter().any(|sample| sample.labels.contains_key(label));
                    assert!(has, "{metric} has no {label}: {query}");
                }
            }
        }
    }
    let missing: Vec<_> = found.keys().filter(|name| !drawn.contains(*name)).collect();
    assert!(missing.is_empty(), "the board leaves out {missing:?}");
    let mut legends = Vec::new();
    collect(&board, "legendFormat", &mut legends);
    assert_eq!(legends.len(), queries.len());
    assert_eq!(board["templating"]["list"][0]["query"], json!("prometheus"));
}
