//! `check`: judges policy files, alone or against this host, without touching anything.

use serde_json::{Value, json};

use super::{
    Exit,
    args::{Args, Check},
    busy::Busy,
    doctor,
    terminal::{self, DIM, GOOD, eprint, eprintln, println, styled},
};
use crate::{
    doctor::{Finding, Severity},
    echo::Printable,
    image::SegmentEnd,
    policy::{self, Checked, Diagnostic},
};

pub(super) fn run(args: &Args, verb: &Check) -> anyhow::Result<Exit> {
    let mut exit = Exit::Fine;
    let mut code = None;
    let mut files: Vec<Value> = Vec::new();
    for path in &verb.files {
        let busy = Busy::with(format!("checking {}", Printable(&path.to_string_lossy())));
        let read = policy::read(path);
        drop(busy);
        match read {
            Ok(checked) => {
                code = code.or(checked.warnings.first().map(Diagnostic::code));
                let findings =
                    if verb.host { doctor::asked(args, path, &checked.policy)? } else { Vec::new() };
                exit = worse(exit, &findings);
                let mut file = json!({
                    "file": path.to_string_lossy(),
                    "valid": true,
                    "diagnostics": checked.warnings,
                    "ends": SegmentEnd::all(&checked.policy),
                });
                if verb.host {
                    file["host"] = json!(findings);
                }
                files.push(file);
                if !args.json {
                    eprint!("{}", checked.render(terminal::stderr_has_colour()));
                    println!("{}", summary(&checked));
                    for end in SegmentEnd::all(&checked.policy) {
                        println!("   {end}");
                    }
                    if verb.host {
                        doctor::print(&findings);
                    }
                }
            }
            Err(rejected) => {
                exit = Exit::Invalid;
                code = code.or(rejected.diagnostics.first().map(Diagnostic::code));
                files.push(json!({ "file": path.to_string_lossy(), "valid": false, "diagnostics": rejected.diagnostics }));
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

/// A bad file counts most, then what stops enforcement here, then what is open or broken.
fn worse(exit: Exit, findings: &[Finding]) -> Exit {
    match exit {
        Exit::Fine | Exit::Failed if findings.iter().any(|found| found.stops_enforcement) => {
            Exit::NotEnforcing
        }
        Exit::Fine if findings.iter().any(|found| found.severity == Severity::Fail) => Exit::Failed,
        exit => exit,
    }
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
