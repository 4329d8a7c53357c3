//! `check`: judges policy files, alone and without touching anything.

use anstream::{eprint, eprintln, println};
use serde_json::{Value, json};

use super::{
    Exit,
    args::{Args, Check},
    terminal::{self, DIM, GOOD, styled},
};
use crate::policy::{self, Checked, Diagnostic};

pub(super) fn run(args: &Args, verb: &Check) -> anyhow::Result<Exit> {
    let mut exit = Exit::Fine;
    let mut code = None;
    let mut files: Vec<Value> = Vec::new();
    for path in &verb.files {
        match policy::read(path) {
            Ok(checked) => {
                code = code.or(checked.warnings.first().map(Diagnostic::code));
                files.push(json!({ "file": path, "valid": true, "diagnostics": checked.warnings }));
                if !args.json {
                    eprint!("{}", checked.render(terminal::stderr_has_colour()));
                    println!("{}", summary(&checked));
                }
            }
            Err(rejected) => {
                exit = Exit::Invalid;
                code = code.or(rejected.diagnostics.first().map(Diagnostic::code));
                files.push(json!({ "file": path, "valid": false, "diagnostics": rejected.diagnostics }));
                if !args.json {
                    eprint!("{}", rejected.render(terminal::stderr_has_colour()));
                }
            }
        }
    }
    if args.json {
        terminal::json(&json!({ "schema": "pacs-guard/check/1", "files": files }))?;
    } else if let Some(code) = code {
        eprintln!("{}", styled(DIM, format!("`pacs-guard help {code}` explains a code, with an example")));
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
        terminal::count(policy.services.len(), "service"),
        terminal::count(policy.segments.len(), "segment"),
        terminal::count(sources, "source"),
        match checked.warnings.len() {
            0 => "no warnings".to_owned(),
            warnings => terminal::count(warnings, "warning"),
        },
    )
}
