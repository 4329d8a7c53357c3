//! The policy reference, `docs/policy.md`, made from the schema.

use std::fmt::Write;

use serde_json::Value;

use super::schema;

const HEAD: &str = "\
# Policy reference

Every key of a policy file, version 1. This page is made from the JSON Schema ([policy.schema.json](policy.schema.json)),
which is made from the tables that the reader itself goes by: `pacs-guard help policy`. An editor that knows the schema
completes and checks while one writes. `pacs-guard check` judges more than the schema can say; each of its codes is
explained in [codes.md](codes.md).

Several files, `policy.yaml` and the folder `policies.d` beside it, are read as one. Unknown keys are errors.
";

/// The page as Markdown.
pub fn reference() -> String {
    let schema = schema();
    let mut page = HEAD.to_owned();
    section(&mut page, "The file", &schema);
    for (title, path) in [
        ("A service", "/properties/services/additionalProperties"),
        ("A segment", "/properties/segments/additionalProperties"),
        ("A peer", "/properties/peers/items"),
    ] {
        if let Some(part) = schema.pointer(path) {
            section(&mut page, title, part);
        }
    }
    page
}

fn section(page: &mut String, title: &str, schema: &Value) {
    let text =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let required: Vec<&Value> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().collect();
    // Writing to a string does not fail.
    let _ = writeln!(page, "\n## {title}\n\n{}\n", text(schema, "description"));
    let _ = writeln!(page, "| key | value | meaning |\n|---|---|---|");
    for (key, value) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let must = if required.contains(&&Value::from(key.as_str())) { " (required)" } else { "" };
        let _ = writeln!(page, "| `{key}`{must} | {} | {} |", words(value), text(value, "description"));
    }
}

/// What a value may be.
fn words(schema: &Value) -> String {
    let all = |key: &str| schema.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let code = |value: &Value| match value.as_str() {
        Some(text) => format!("`{text}`"),
        None => format!("`{value}`"),
    };
    if let Some(only) = schema.get("const") {
        return code(only);
    }
    if !all("enum").is_empty() {
        return all("enum").iter().map(code).collect::<Vec<_>>().join(", ");
    }
    if !all("anyOf").is_empty() {
        return all("anyOf").iter().map(words).collect::<Vec<_>>().join(", or ");
    }
    if let Some(items) = schema.get("items") {
        return format!(
            "list: {}",
            if items.get("properties").is_some() { "see below".into() } else { words(items) }
        );
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        let names = schema.get("propertyNames").map(words).unwrap_or_default();
        let values = if values.get("properties").is_some() { "see below".into() } else { words(values) };
        return format!("mapping from {names} to {values}");
    }
    let mut kinds = all("type").to_vec();
    kinds.extend(schema.get("type").filter(|kind| kind.is_string()).cloned());
    let kinds: Vec<&str> = kinds
        .iter()
        .filter_map(Value::as_str)
        .map(|kind| match kind {
            "string" => "text",
            "integer" => "number",
            "boolean" => "`true` or `false`",
            other => other,
        })
        .collect();
    let mut words = kinds.join(" or ");
    let bound = |key: &str| schema.get(key).map(ToString::to_string);
    for (low, high, unit) in [("minimum", "maximum", ""), ("minLength", "maxLength", " characters")] {
        if let (Some(low), Some(high)) = (bound(low), bound(high)) {
            let _ = write!(words, ", {low} to {high}{unit}");
        }
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        let _ = write!(words, ", `{}`", pattern.replace('|', "\\|"));
    }
    words
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_copy_in_docs_is_equal() {
        let kept = include_str!("../../../docs/policy.md");
        let made = super::reference();
        assert!(kept == made, "make it again: `cargo run -p pacs-guard -- help policy > docs/policy.md`");
        assert!(!made.contains("|  |"), "a key has no value or no meaning:\n{made}");
    }
}
