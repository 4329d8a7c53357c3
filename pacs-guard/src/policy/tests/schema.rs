//! The JSON Schema: kept in docs, right about the example policies, and of use.

use std::{fs, path::Path};

use serde_json::Value;

use super::{BASE, changed, judge};
use crate::policy::schema;

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[test]
fn the_copy_in_docs_is_equal() {
    let kept = fs::read_to_string(repository().join("docs/policy.schema.json")).unwrap_or_default();
    let now = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    assert!(kept == now, "make it again: `cargo run -p pacs-guard -- schema > docs/policy.schema.json`");
}

#[test]
fn the_example_policies_satisfy_it() {
    let mut count = 0;
    for entry in fs::read_dir(repository().join("policies")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(faults_of(&fs::read_to_string(&path).unwrap()), [""; 0], "{}", path.display());
        count += 1;
    }
    assert!(count >= 5);
    assert_eq!(faults_of(BASE), [""; 0]);
}

#[test]
fn it_sees_what_can_be_seen_value_by_value() {
    let rows = [
        ("version: 1\n", "", ": version is missing"),
        ("version: 1", "version: 2", "/version: const"),
        ("interfaces:", "interface:", ": interface is unknown"),
        ("[eth0]", "eth0", "/interfaces: type"),
        ("mode: enforce", "mode: enforced", "/mode: enum"),
        ("  viewers:", "  Viewers:", "/segments/Viewers: pattern"),
        ("[8042]", "[65536]", "/services/web/ports/0: anyOf"),
        ("{ ports: [8042], mode: audit }", "{ mode: audit }", "/services/web: ports is missing"),
        ("10.30.0.0/23", "viewer.example.org", "/segments/viewers/sources/0: pattern"),
        ("every: 5m", "every: 5 minutes", "/peers/0/every: pattern"),
        ("ae_title: CT1", "ae_title: ABCDEFGHIJKLMNOPQ", "/peers/0/ae_title: maxLength"),
        ("fragment: drop", "fragments: drop", "/unparsed/fragments: enum"),
        ("fragment: drop", "fragment: allow", "/unparsed/fragment: enum"),
    ];
    for (from, to, fault) in rows {
        let text = changed(from, to);
        assert_eq!(faults_of(&text), [fault], "{to}");
        assert!(judge(text).is_err(), "the schema is stricter than the reader: {to}");
    }
}

#[test]
fn every_key_has_a_value_and_a_description() {
    fn walk(schema: &Value, at: &str) {
        assert_ne!(schema, &Value::Bool(false), "{at} has no schema");
        for (key, value) in schema["properties"].as_object().into_iter().flatten() {
            assert!(value["description"].as_str().is_some_and(|text| text.ends_with('.')), "{at}/{key}");
            walk(value, &format!("{at}/{key}"));
        }
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                walk(&schema[inner], at);
            }
        }
    }
    walk(&schema(), "");
}

fn faults_of(text: &str) -> Vec<String> {
    let mut faults = vec![];
    satisfy(&schema(), &serde_saphyr::from_str(text).unwrap(), "", &mut faults);
    faults
}

/// Judges `value` by the keywords that our schema has, and fails on any other.
fn satisfy(schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    for (keyword, rule) in schema.as_object().unwrap() {
        let text = value.as_str();
        let fine = match keyword.as_str() {
            "$schema" | "title" | "description" | "properties" => true,
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "type" => match rule {
                Value::Array(types) => types.iter().any(|one| is(value, one)),
                one => is(value, one),
            },
            "minimum" => value.as_i64().is_none_or(|number| number >= rule.as_i64().unwrap()),
            "maximum" => value.as_i64().is_none_or(|number| number <= rule.as_i64().unwrap()),
            "minLength" => text.is_none_or(|text| text.chars().count() as u64 >= rule.as_u64().unwrap()),
            "maxLength" => text.is_none_or(|text| text.chars().count() as u64 <= rule.as_u64().unwrap()),
            "pattern" => {
                text.is_none_or(|text| regex_lite::Regex::new(rule.as_str().unwrap()).unwrap().is_match(text))
            }
            "anyOf" => rule.as_array().unwrap().iter().any(|one| {
                let mut inner = vec![];
                satisfy(one, value, at, &mut inner);
                inner.is_empty()
            }),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    satisfy(rule, item, &format!("{at}/{index}"), faults);
                }
                true
            }
            "required" => {
                for key in rule.as_array().unwrap().iter().filter_map(Value::as_str) {
                    if value.as_object().is_some_and(|map| !map.contains_key(key)) {
                        faults.push(format!("{at}: {key} is missing"));
                    }
                }
                true
            }
            "propertyNames" => {
                for key in value.as_object().into_iter().flat_map(|map| map.keys()) {
                    satisfy(rule, &Value::String(key.clone()), &format!("{at}/{key}"), faults);
                }
                true
            }
            "additionalProperties" => {
                for (key, inner) in value.as_object().into_iter().flatten() {
                    match schema["properties"].get(key) {
                        Some(known) => satisfy(known, inner, &format!("{at}/{key}"), faults),
                        None if rule == &Value::Bool(false) => faults.push(format!("{at}: {key} is unknown")),
                        None => satisfy(rule, inner, &format!("{at}/{key}"), faults),
                    }
                }
                true
            }
            other => panic!("{other} is not known here"),
        };
        if !fine {
            faults.push(format!("{at}: {keyword}"));
        }
    }
}

fn is(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is not known here"),
    }
}
