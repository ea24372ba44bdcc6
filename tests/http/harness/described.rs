//! Answers to programs against `docs/openapi.json`: each one that the tests get is held against it.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use axum::http::Method;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::answer::Answer;

/// The description as it is published.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json"));
    serde_json::from_str(text).unwrap()
});

/// Its schemas, closed: whoever reads an answer ignores what is not described, and here there is no such thing.
static COMPONENTS: LazyLock<Value> = LazyLock::new(|| {
    let mut components = DOCUMENT["components"].clone();
    close(&mut components);
    components
});

/// What has been compiled, by its text.
static VALIDATORS: LazyLock<Mutex<BTreeMap<String, &'static Validator>>> = LazyLock::new(Mutex::default);

fn close(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members.get("properties").is_some_and(Value::is_object) {
                members.insert("additionalProperties".to_owned(), false.into());
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn validator(schema: &Value) -> &'static Validator {
    VALIDATORS.lock().unwrap().entry(schema.to_string()).or_insert_with(|| {
        let mut schema = schema.clone();
        close(&mut schema);
        let whole = json!({ "components": *COMPONENTS, "allOf": [schema] });
        let options = jsonschema::draft202012::options().should_validate_formats(true);
        Box::leak(Box::new(options.build(&whole).unwrap()))
    })
}

#[track_caller]
fn fits(what: &str, schema: &Value, value: &Value) {
    let faults: Vec<String> = validator(schema)
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{what}: {faults:#?}\n{value}");
}

/// Whether `value` is what the component `name` says.
#[track_caller]
pub fn is_a(name: &str, value: &Value) {
    fits(name, &json!({ "$ref": format!("#/components/schemas/{name}") }), value);
}

fn resolved(value: &Value) -> &Value {
    match value["$ref"].as_str() {
        Some(pointer) => DOCUMENT.pointer(pointer.strip_prefix('#').unwrap()).unwrap(),
        None => value,
    }
}

/// The described path that `path` is one of.
fn template_of(path: &str) -> Option<(&'static str, &'static Map<String, Value>)> {
    let is_one = |template: &str| {
        let (parts, asked) = (template.split('/'), path.split('/'));
        parts.clone().count() == asked.clone().count()
            && parts
                .zip(asked)
                .all(|(part, asked)| part == asked || part.starts_with('{') && !asked.is_empty())
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let (template, methods) = paths.iter().find(|(template, _)| is_one(template))?;
    Some((template, methods.as_object().unwrap()))
}

/// Method, path, status and media type of an answer.
pub type Given = (String, String, String, String);

/// Holds an answer against the description; says which of those described it is.
#[track_caller]
pub fn check(what: &str, method: &Method, path: &str, answer: &Answer) -> Option<Given> {
    let media = answer.header("content-type").unwrap_or_default().split(';').next().unwrap();
    let (status, is_head) = (answer.status.as_str(), method == Method::HEAD);
    let name = if is_head { "get".to_owned() } else { method.as_str().to_lowercase() };
    let described = template_of(path).and_then(|(path, methods)| Some((path, methods.get(&name)?)));
    let Some((path, operation)) = described else {
        // A page, a redirect to one, a file of ours, or no such method.
        let is_for_people = ["", "text/html"].contains(&media) || path.starts_with("/static/");
        assert!(
            is_for_people || answer.status == 405,
            "{what}: {media} {status} stands in no docs/openapi.json"
        );
        return None;
    };
    let response = operation["responses"].get(status).map(resolved);
    let response = response.unwrap_or_else(|| panic!("{what}: {status} is not described: {}", answer.body));
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        let value = answer.header(name).unwrap_or_else(|| panic!("{what}: {status} without {name}"));
        fits(&format!("{what}: {name}"), &resolved(header)["schema"], &value.into());
    }
    match response["content"].as_object() {
        None => assert_eq!((media, &*answer.body), ("", ""), "{what}: {status}"),
        Some(content) => {
            let body =
                content.get(media).unwrap_or_else(|| panic!("{what}: {media} {status} is not described"));
            let value = match media {
                "application/json" if !is_head => answer.json(),
                _ => answer.body.as_str().into(),
            };
            // The schema of a stream is that of one event: who listens holds each against it.
            if !is_head && media != "text/event-stream" {
                fits(&format!("{what}: {status}"), &body["schema"], &value);
            }
        }
    }
    Some((name, path.to_owned(), status.to_owned(), media.to_owned()))
}
