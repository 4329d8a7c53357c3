//! `DicomModalities` of Orthanc's configuration: JSON with comments.

use serde_json::Value;

use super::Entry;

/// Reads the peers, in the order of the file.
///
/// # Errors
/// What is wrong, with the name of the modality.
pub(super) fn read(text: &str) -> Result<Vec<Entry>, String> {
    let configuration: Value =
        serde_json::from_str(&without_comments(text)).map_err(|why| format!("no JSON: {why}"))?;
    let modalities = match configuration.get("DicomModalities") {
        Some(Value::Object(modalities)) => modalities,
        Some(_) => return Err("`DicomModalities` is expected to be an object".to_owned()),
        None => {
            return Err(
                "it has no `DicomModalities` (with `DicomModalitiesInDatabase`, Orthanc keeps them in its \
                        database: `GET /modalities?expand` shows them)"
                    .to_owned(),
            );
        }
    };
    modalities.iter().map(|(name, value)| entry(name, value)).collect()
}

/// `["CT1", "10.20.0.11", 104]`, with a manufacturer behind it or not, or an object of the same.
fn entry(name: &str, value: &Value) -> Result<Entry, String> {
    let parts = match value {
        Value::Array(parts) => [parts.first(), parts.get(1), parts.get(2)],
        Value::Object(parts) => [parts.get("AET"), parts.get("Host"), parts.get("Port")],
        _ => [None; 3],
    };
    let [Some(ae_title), Some(host), Some(port)] = parts.map(|part| part.and_then(text)) else {
        return Err(format!(
            "modality {name:?}: AE title, host and port are expected: [\"CT1\", \"10.20.0.11\", 104]"
        ));
    };
    Entry::read(Some(name), &ae_title, &host, &port).map_err(|why| format!("modality {name:?}: {why}"))
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Blanks `//` and `/* */` outside strings. Line breaks stay, so that mistakes keep their lines.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if c == '"' {
            let string = string_length(rest);
            out.push_str(rest.get(..string).unwrap_or_default());
            rest = rest.get(string..).unwrap_or_default();
            continue;
        } else {
            out.push(c);
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            continue;
        };
        let comment = rest.get(..length).unwrap_or_default();
        out.extend(comment.chars().filter(|c| *c == '\n'));
        rest = rest.get(length..).unwrap_or_default();
    }
    out
}

/// The length of the string that a text begins with, both quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_forms_are_read_and_comments_are_not() {
        let text = r#"/* Orthanc */ {
            // "DicomModalities": 1,
            "Name": "http://not a comment \" // neither", // a comment
            "DicomModalities": {
                "ct": ["CT1", "10.0.0.1", 104, "GE"], /* "x": 1 */
                "ws": { "AET": "WS_1", "Host": "ws1", "Port": 11112, "AllowStore": false }
            }
        }"#;
        let entries = read(text).unwrap();
        let rows: Vec<_> = entries.iter().map(|entry| (entry.ae_title.as_str(), entry.port)).collect();
        assert_eq!(rows, [("CT1", 104), ("WS_1", 11112)]);
        assert_eq!(entries[0].name.as_deref(), Some("ct"));
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("{", "no JSON: "),
            ("{}", "no `DicomModalities`"),
            (r#"{"DicomModalities": []}"#, "expected to be an object"),
            (r#"{"DicomModalities": {"ct": ["CT1", "h"]}}"#, "modality \"ct\": AE title, host and port"),
            (r#"{"DicomModalities": {"ct": ["CT1", "h", 0]}}"#, "modality \"ct\": `0` is not a port"),
        ];
        for (text, words) in cases {
            let why = read(text).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        let why = read("{\n// x\n/* \n\n */\n !}").unwrap_err();
        assert!(why.contains("line 6"), "{why}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[\"\\\\/*{}a\n:,\u{e9}]{0,60}") {
            let _ = read(&text);
        }
    }
}
