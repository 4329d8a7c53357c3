//! `doctor`: whether this host can enforce a policy, what is in the way, and what leads round it.

use std::path::Path;

use serde_json::json;

use super::{
    Exit,
    args::{Args, PolicyFile},
    block_on,
    terminal::{self, BAD, DIM, GOOD, WARN, println, styled},
};
use crate::{
    doctor::{Facts, Finding, Group, Severity, examine},
    policy::{self, model::Policy},
};

pub(super) fn run(args: &Args, file: &PolicyFile) -> anyhow::Result<Exit> {
    let path = &file.policy;
    let (policy, missing) = match policy::read(path) {
        Ok(checked) => (Some(checked.policy), None),
        Err(rejected) => {
            let fix = format!("pacs-guard check {}", path.display());
            (None, Some(Finding::no_policy(rejected.to_string(), fix)))
        }
    };
    let interfaces = policy.as_ref().map_or(&[][..], |policy: &Policy| &policy.interfaces);
    let pins = args.pins()?;
    let facts = block_on(async { Ok(Facts::gather(&pins, path, interfaces).await?) })?;
    let mut findings = examine(&facts, policy.as_ref());
    // What is in force stays so, whatever the settings of this host have become.
    let in_force = !facts.guarded.is_empty();
    for found in findings.iter_mut().filter(|found| in_force && found.group == Group::Ports) {
        found.stops_enforcement = false;
    }
    findings.splice(0..0, missing);
    let exit = exit(&findings);
    if args.json {
        terminal::json(&json!({
            "schema": "pacs-guard/doctor/1",
            "policy_file": path.to_string_lossy(),
            "would_enforce": exit != Exit::NotEnforcing,
            "findings": findings,
        }))?;
    } else {
        print(&findings);
    }
    Ok(exit)
}

/// What this host has against a policy of a file.
pub(super) fn asked(args: &Args, path: &Path, policy: &Policy) -> anyhow::Result<Vec<Finding>> {
    let pins = args.pins()?;
    let facts = block_on(async { Ok(Facts::gather(&pins, path, &policy.interfaces).await?) })?;
    let mut findings = examine(&facts, Some(policy));
    findings.retain(|found| found.severity >= Severity::Warn);
    Ok(findings)
}

fn exit(findings: &[Finding]) -> Exit {
    if findings.iter().any(|found| found.stops_enforcement) {
        Exit::NotEnforcing
    } else if findings.iter().any(|found| found.severity >= Severity::Warn) {
        Exit::Failed
    } else {
        Exit::Fine
    }
}

pub(super) fn print(findings: &[Finding]) {
    let mut group = None;
    for found in findings {
        if group.replace(found.group) != Some(found.group) {
            println!("{}", found.group.title());
        }
        let (style, word) = match found.severity {
            Severity::Ok => (GOOD, "ok  "),
            Severity::Note => (DIM, "note"),
            Severity::Warn => (WARN, "WARN"),
            Severity::Fail => (BAD, "FAIL"),
        };
        println!("  {}  {}", styled(style, word), found.what);
        if !found.why.is_empty() {
            println!("        {}", styled(DIM, &found.why));
        }
        if let Some(fix) = &found.fix {
            println!("        {} {fix}", styled(DIM, "fix:"));
        }
    }
    let count = |severity, noun| {
        terminal::count(findings.iter().filter(|found| found.severity == severity).count(), noun)
    };
    let summary = format!("{}, {}", count(Severity::Fail, "failure"), count(Severity::Warn, "warning"));
    println!(
        "{}",
        match exit(findings) {
            Exit::Fine => styled(GOOD, "nothing to do"),
            Exit::NotEnforcing => styled(BAD, format!("{summary}: pacs-guard would not enforce")),
            _ => styled(WARN, summary),
        }
    );
}
