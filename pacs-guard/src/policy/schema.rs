//! The JSON Schema of the policy file, made from the tables that the reader itself goes by.
//!
//! It is for editors, which complete and check while one writes. It sees one file and one value at a time, so it
//! accepts more than `check` does.

use pacs_guard_common::packet::Cause;
use serde_json::{Map, Value, json};

use super::{
    document::{Document, Mapping, RawPeer, RawSegment, RawService, RawTls},
    value::{ACTIONS, MODES, REFUSALS, TLS_VERSIONS, TRANSPORTS},
};

/// The JSON Schema (draft 2020-12) of policy version 1.
pub fn schema() -> Value {
    let mut schema = object::<Document<'_>>(&["version"], |key| match key {
        "version" => json!({ "const": 1 }),
        "name" => name(),
        "interfaces" => list(&json!({ "type": "string", "minLength": 1, "maxLength": 15 })),
        "mode" => words(&MODES),
        "allow_management_port" => json!({ "type": "boolean" }),
        "services" => named(&object::<RawService<'_>>(&["ports"], service)),
        "segments" => named(&object::<RawSegment<'_>>(&["sources", "services"], segment)),
        "peers" => list(&object::<RawPeer<'_>>(&["name", "address", "port", "ae_title"], peer)),
        "unparsed" => json!({
            "type": "object",
            "propertyNames": { "enum": Cause::ALL.map(Cause::name) },
            "additionalProperties": words(&ACTIONS),
        }),
        _ => json!(false),
    });
    if let Value::Object(schema) = &mut schema {
        schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        schema.insert("title".to_owned(), json!("pacs-guard policy, version 1"));
    }
    schema
}

fn service(key: &str) -> Value {
    match key {
        "ports" => {
            list(&json!({ "anyOf": [port(), { "type": "string", "pattern": "^[0-9]+ *(- *[0-9]+)?$" }] }))
        }
        "transport" => words(&TRANSPORTS),
        "addresses" | "reset_to" => list(&prefix()),
        "on_refuse" => words(&REFUSALS),
        "mode" => words(&MODES),
        _ => json!(false),
    }
}

fn segment(key: &str) -> Value {
    match key {
        "description" => json!({ "type": "string" }),
        "sources" | "except" => list(&prefix()),
        "services" => list(&name()),
        "until" => json!({ "type": "string", "format": "date-time" }),
        "mode" => words(&MODES),
        _ => json!(false),
    }
}

fn peer(key: &str) -> Value {
    // A title of digits is a number to YAML.
    let ae_title = json!({ "type": ["string", "number"], "minLength": 1, "maxLength": 16 });
    match key {
        "name" => json!({ "type": ["string", "number"], "pattern": "^[A-Za-z0-9._-]{1,63}$" }),
        "address" => json!({ "type": "string" }),
        "port" => port(),
        "ae_title" | "calling_ae_title" => ae_title,
        "every" => json!({ "type": "string", "pattern": "^[1-9][0-9]*[smh]$" }),
        "do_not_probe" => json!({ "type": "boolean" }),
        "tls" => object::<RawTls<'_>>(&["ca"], tls),
        _ => json!(false),
    }
}

fn tls(key: &str) -> Value {
    match key {
        "ca" | "certificate" | "key" => json!({ "type": "string", "pattern": "^/" }),
        "server_name" => json!({ "type": "string", "minLength": 1 }),
        // Without quotes, a version is a number to YAML.
        "min_version" => json!({ "enum": TLS_VERSIONS.map(|(word, _)| word).into_iter().map(Value::from)
            .chain([json!(1.2), json!(1.3)]).collect::<Vec<_>>() }),
        _ => json!(false),
    }
}

/// A mapping of known keys. `false`, which nothing satisfies, stands for a key that is not known here.
fn object<'de, T: Mapping<'de>>(required: &[&str], value: impl Fn(&str) -> Value) -> Value {
    let properties: Map<String, Value> = T::KEYS
        .iter()
        .map(|(key, what)| {
            let mut schema = value(key);
            if let Value::Object(schema) = &mut schema {
                schema.insert("description".to_owned(), json!(sentence(what)));
            }
            ((*key).to_owned(), schema)
        })
        .collect();
    json!({
        "description": sentence(T::WHAT),
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// A mapping from names that the author chooses.
fn named(value: &Value) -> Value {
    json!({ "type": "object", "propertyNames": name(), "additionalProperties": value })
}

fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn name() -> Value {
    json!({ "type": "string", "pattern": "^[a-z0-9-]{1,63}$" })
}

fn words<T>(words: &[(&str, T)]) -> Value {
    json!({ "enum": words.iter().map(|(word, _)| word).collect::<Vec<_>>() })
}

fn port() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": 65535 })
}

/// The form alone: what the digits say is for `check` to judge.
fn prefix() -> Value {
    json!({ "type": "string", "pattern": "^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$" })
}

/// The lines of a doc comment as one text.
fn sentence(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}
