//! `check`: judges policy files, alone and without touching anything.

use anstream::{eprint, println};
use serde_json::{Value, json};

use super::{
    Exit,
    args::{Args, Check},
    terminal::{self, GOOD, styled},
};
use crate::policy::{self, Checked};

pub(super) fn run(args: &Args, verb: &Check) -> anyhow::Result<Exit> {
    let mut exit = Exit::Fine;
    let mut files: Vec<Value> = Vec::new();
    for path in &verb.files {
        match policy::read(path) {
            Ok(checked) => {
                files.push(json!({ "file": path, "valid": true, "diagnostics": checked.warnings }));
                if !args.json {
                    eprint!("{}", checked.render(terminal::stderr_has_colour()));
                    println!("{}", summary(&checked));
                }
            }
            Err(rejected) => {
                exit = Exit::Invalid;
                files.push(json!({ "file": path, "valid": false, "diagnostics": rejected.diagnostics }));
                if !args.json {
                    eprint!("{}", rejected.render(terminal::stderr_has_colour()));
                }
            }
        }
    }
    if args.json {
        terminal::json(&json!({ "schema": "pacs-guard/check/1", "files": files }))?;
    }
    Ok(exit)
}

fn summary(checked: &Checked) -> String {
    let policy = &checked.policy;
    let sources: usize = policy.segments.iter().map(|segment| segment.sources.len()).sum();
    format!(
        "{} {}: policy {} protects {} with {} and {}, {}",
        styled(GOOD, "ok"),
        checked.path.display(),
        policy.name,
        count(policy.services.len(), "service"),
        count(policy.segments.len(), "segment"),
        count(sources, "source"),
        match checked.warnings.len() {
            0 => "no warnings".to_owned(),
            warnings => count(warnings, "warning"),
        },
    )
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
