//! What each code means, with an example: for `help CODE` and for `docs/codes.md`.

mod files;
mod values;
mod wholes;

use std::{fmt::Write, path::Path, sync::Arc};

use serde::Serialize;

use super::{Checked, Diagnostic, Fault, PolicyText, Severity, model::Place, parse_all, render};

/// A code and what there is to say of it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The code, such as `PG0207`.
    pub code: &'static str,
    /// What it means and why it is so.
    meaning: &'static str,
    example: Example,
}

#[derive(Clone, Copy, Debug)]
enum Example {
    /// A piece of [`POLICY`], what is wrong in its place, and what is right there.
    Piece { piece: &'static str, wrong: &'static str, right: &'static str },
    /// A second file beside [`POLICY`], wrong and right.
    Part { wrong: &'static str, right: &'static str },
    /// What no text of a policy shows: a file, the fault, and what to do.
    File { file: &'static str, fault: fn() -> Fault, right: &'static str },
}

/// An entry ready to be shown.
#[derive(Debug, Serialize)]
pub struct Explained {
    code: &'static str,
    kind: &'static str,
    severity: Severity,
    meaning: &'static str,
    /// As people are shown it by `check`.
    wrong: String,
    right: String,
}

/// The policy that the examples depart from.
const POLICY: &str = "\
version: 1
name: st-elsewhere
interfaces: [eth0]
mode: enforce
services:
  dicom: { ports: [104, 11112] }
  web: { ports: [8042], mode: audit }
segments:
  modalities:
    sources: [10.20.0.0/24]
    except: [10.20.0.66]
    services: [dicom]
  viewers:
    sources: [10.30.0.0/23]
    services: [web]
peers:
  - name: CT1
    address: 10.20.0.11
    port: 104
    ae_title: CT1
    every: 5m
unparsed: { fragment: drop }
";

const MAIN: &str = "policy.yaml";
const PART: &str = "policies.d/10-more.yaml";

/// Every code in its order.
pub fn all() -> impl Iterator<Item = &'static Entry> {
    [files::ENTRIES, values::ENTRIES, wholes::ENTRIES].into_iter().flatten()
}

/// The entry of a code, in upper or lower case.
///
/// # Errors
/// The code that is nearest, where there is none.
pub fn find(code: &str) -> Result<&'static Entry, &'static str> {
    // Longer text is no slip of a code, and its distance would be costly.
    let code: String = code.chars().take(16).collect::<String>().to_ascii_uppercase();
    all().find(|entry| entry.code == code).ok_or_else(|| {
        let nearest = all().min_by_key(|entry| strsim::osa_distance(&code, entry.code));
        nearest.map_or("", |entry| entry.code)
    })
}

impl Entry {
    /// The entry with its example judged and rendered.
    pub fn explain(&self) -> Explained {
        let (diagnostics, texts) = self.judge(true);
        let mut diagnostics: Vec<Diagnostic> =
            diagnostics.into_iter().filter(|found| found.code() == self.code).collect();
        diagnostics.truncate(1);
        let fault = diagnostics.first().map(|found| &found.fault);
        Explained {
            code: self.code,
            kind: fault.map_or("", Fault::kind),
            severity: fault.map_or(Severity::Error, Fault::severity),
            meaning: self.meaning,
            wrong: render(&diagnostics, &texts, false).trim_end().to_owned(),
            right: match self.example {
                Example::Piece { piece, right, .. } => {
                    lines_around(&POLICY.replacen(piece, right, 1), piece, right)
                }
                Example::Part { right, .. } => format!("# {PART}\n{}", right.trim_end()),
                Example::File { right, .. } => right.to_owned(),
            },
        }
    }

    /// What is found in the wrong example, or in the right one.
    fn judge(&self, wrong: bool) -> (Vec<Diagnostic>, Vec<PolicyText>) {
        let pick = |one: &'static str, other: &'static str| if wrong { one } else { other };
        let (main, part) = match self.example {
            Example::Piece { piece, wrong, right } => (POLICY.replacen(piece, pick(wrong, right), 1), None),
            Example::Part { wrong, right } => (POLICY.to_owned(), Some(pick(wrong, right))),
            Example::File { .. } if !wrong => return (vec![], vec![]),
            Example::File { file, fault, .. } => {
                let place = Place { file: Arc::new(file.into()), line: 1, column: 1 };
                return (vec![Diagnostic { fault: fault(), place, span: None, second: None }], vec![]);
            }
        };
        let texts: Vec<_> = [(Path::new(MAIN), main.as_str())]
            .into_iter()
            .chain(part.map(|part| (Path::new(PART), part)))
            .collect();
        match parse_all(Path::new(MAIN), &texts) {
            Ok(Checked { warnings, texts, .. }) => (warnings, texts),
            Err(rejected) => (rejected.diagnostics, rejected.texts),
        }
    }
}

/// The whole lines that `right` is in, where it stands in place of `piece`.
fn lines_around(text: &str, piece: &str, right: &str) -> String {
    let start = POLICY.find(piece).unwrap_or(0);
    let first = text.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let end = start + right.trim_end().len();
    let last = text.get(end..).and_then(|after| after.find('\n')).map_or(text.len(), |newline| end + newline);
    text.get(first..last).unwrap_or(right).to_owned()
}

impl Explained {
    /// For people on a terminal.
    pub fn text(&self) -> String {
        let Self { code, kind, meaning, wrong, right, .. } = self;
        format!(
            "{code}, {kind}\n\n{}\n\nWrong:\n\n{}\n\nRight:\n\n{}\n",
            wrapped(meaning),
            indented(wrong),
            indented(right)
        )
    }
}

/// In lines of at most 80 characters, for a terminal that cuts words in two.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + word.chars().count() < 80 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

fn indented(text: &str) -> String {
    let line = |line: &str| if line.is_empty() { String::new() } else { format!("  {line}") };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// All entries, as `docs/codes.md` has them.
pub fn markdown() -> String {
    let mut page = format!(
        "# Codes\n\nWhat `pacs-guard check` finds, by code. `pacs-guard help PG0207` shows one of them. Codes from \
         PG0900 on are warnings;\nevery other one refuses the policy. The examples depart from this policy in one \
         place each:\n\n```yaml\n{POLICY}```\n"
    );
    for entry in all() {
        let Explained { code, kind, meaning, wrong, right, .. } = entry.explain();
        let command = matches!(entry.example, Example::File { .. }) && !right.starts_with("sources:");
        let language = if command { "sh" } else { "yaml" };
        // Writing to a string can't fail.
        let _ = write!(
            page,
            "\n## {code}, {kind}\n\n{meaning}\n\n```text\n{wrong}\n```\n\nRight:\n\n```{language}\n{right}\n```\n"
        );
    }
    page
}

/// An entry whose right example is [`POLICY`] itself.
const fn piece(code: &'static str, piece: &'static str, wrong: &'static str, meaning: &'static str) -> Entry {
    Entry { code, meaning, example: Example::Piece { piece, wrong, right: piece } }
}

/// An entry whose right example goes further than the policy.
const fn repaired(
    code: &'static str,
    piece: &'static str,
    wrong: &'static str,
    right: &'static str,
    meaning: &'static str,
) -> Entry {
    Entry { code, meaning, example: Example::Piece { piece, wrong, right } }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;

    /// Every code that `fault.rs` gives.
    fn given() -> BTreeSet<&'static str> {
        let source = include_str!("../fault.rs");
        source.match_indices("(\"PG").filter_map(|(at, _)| source.get(at + 2..at + 8)).collect()
    }

    #[test]
    fn every_code_has_one_entry_in_order() {
        let codes: Vec<_> = all().map(|entry| entry.code).collect();
        assert!(given().len() > 50);
        assert_eq!(codes, given().into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn the_wrong_example_has_the_fault_and_the_right_one_has_nothing() {
        for entry in all() {
            if let Example::Piece { piece, .. } = entry.example {
                assert_eq!(POLICY.matches(piece).count(), 1, "{}: {piece:?}", entry.code);
            }
            let wrong: Vec<_> = entry.judge(true).0.iter().map(Diagnostic::code).collect();
            assert!(wrong.contains(&entry.code), "{}: {wrong:?}", entry.code);
            let right: Vec<_> = entry.judge(false).0.iter().map(Diagnostic::code).collect();
            assert_eq!(right, [""; 0], "{}", entry.code);
            let shown = entry.explain();
            assert!(shown.wrong.contains(entry.code) && !shown.right.is_empty(), "{shown:?}");
            assert_eq!(entry.code >= "PG0900", shown.severity == Severity::Warning, "{}", entry.code);
        }
    }

    #[test]
    fn a_code_is_found_or_the_nearest_is_named() {
        assert_eq!(find("pg0207").unwrap().code, "PG0207");
        assert_eq!(find("PG9999").unwrap_err(), "PG0999");
        assert_eq!(find("PG2007").unwrap_err(), "PG0007");
    }

    #[test]
    fn one_entry_as_people_see_it() {
        let expected = "\
PG0206, prefix-length

An IPv4 address has 32 bits and an IPv6 address 128, so no prefix is longer. A
single host is written without a length.

Wrong:

  error[PG0206]: a prefix length is at most 32
    --> policy.yaml:14:15
     |
  14 |     sources: [10.30.0.0/33]
     |               ^^^^^^^^^^^^

Right:

      sources: [10.30.0.0/23]
";
        assert_eq!(find("PG0206").unwrap().explain().text(), expected);
    }

    #[test]
    fn the_copy_in_docs_is_equal() {
        let kept = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/codes.md"));
        let kept = kept.unwrap_or_default();
        assert!(kept == markdown(), "make it again: `cargo run -p pacs-guard -- help codes > docs/codes.md`");
    }
}
