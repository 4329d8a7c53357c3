//! `reload`, `apply`, `confirm`, `rollback` and `bypass`: ask the daemon for a change, and say what came of it.

use anyhow::bail;
use serde_json::json;

use super::{
    Exit,
    args::{Apply, Args, Bypass},
    block_on,
    busy::Busy,
    plan::{self, Made},
    ready,
    terminal::{self, GOOD, WARN, eprint, println, styled},
};
use crate::{
    control::{Change, ChangeResult, Client},
    policy,
};

pub(super) fn apply(args: &Args, verb: &Apply) -> anyhow::Result<Exit> {
    let Some(file) = &verb.file else { return ready::enforce(args, verb) };
    if !verb.cut {
        // A bad file is the daemon's to refuse: it says so in full.
        let busy = Busy::with("looking for connections that it would cut".to_owned());
        let made =
            policy::read(file).ok().map(|checked| plan::make(args, &checked, verb.drain)).transpose()?;
        drop(busy);
        if let Some(made) = made
            && !made.cuts.is_empty()
        {
            let advice = match verb.drain {
                None => {
                    "`--drain 10m` lets them go on for a while, and `--cut` puts it in force all the same"
                }
                Some(_) => "these can't drain, and `--cut` cuts them",
            };
            return refuse_to_cut(args, &made, advice);
        }
    }
    // The daemon has another working folder.
    let file = std::path::absolute(file)?;
    if file.to_str().is_none() {
        bail!("{}: the daemon takes only names that are UTF-8: rename it", file.display());
    }
    run(args, &Change::Apply { file, confirm: verb.confirm, drain: verb.drain })
}

/// Names whom a policy would cut and what can be done, and leaves everything as it is.
pub(super) fn refuse_to_cut(
    args: &Args,
    Made { cuts, lost, .. }: &Made,
    advice: &str,
) -> anyhow::Result<Exit> {
    if args.json {
        terminal::json(&json!({ "result": "cuts", "cuts": cuts, "lost": lost }))?;
    } else {
        plan::print_cut(cuts, lost);
        terminal::error(&format!("nothing was changed: {advice}"));
    }
    Ok(Exit::Cuts)
}

pub(super) fn bypass(args: &Args, verb: &Bypass) -> anyhow::Result<Exit> {
    let change = match (verb.duration, &verb.reason) {
        (Some(seconds), Some(reason)) => Change::Bypass { seconds, reason: reason.clone() },
        _ => Change::EndBypass,
    };
    run(args, &change)
}

pub(super) fn run(args: &Args, change: &Change) -> anyhow::Result<Exit> {
    let busy = Busy::with("the daemon puts it in force".to_owned());
    let report = block_on(async { Ok(Client::connect(&args.socket()).await?.change(change).await?) });
    drop(busy);
    let report = report?;
    if args.json {
        terminal::json(&report)?;
    }
    Ok(match report.result {
        ChangeResult::Loaded { policy, generation, until, draining, took_us, warnings, problems } => {
            if !args.json {
                eprint!("{warnings}");
                println!(
                    "{} policy {policy} is in force as generation {generation}, after {:.1} ms",
                    styled(GOOD, "ok"),
                    took_us as f64 / 1e3
                );
                if let Some(until) = until {
                    println!("{} it ends by itself at {until:.0}", styled(WARN, "note:"));
                }
                for part in &draining {
                    println!("{} {part}", styled(WARN, "note:"));
                }
                if matches!(
                    change,
                    Change::Apply { confirm: Some(_), .. } | Change::Enforce { confirm: Some(_), .. }
                ) {
                    println!("`pacs-guard confirm` keeps it, `pacs-guard rollback` goes back at once");
                }
                for problem in &problems {
                    terminal::eprintln!("{} {problem}", styled(WARN, "warning:"));
                }
            }
            if problems.is_empty() { Exit::Fine } else { Exit::Failed }
        }
        ChangeResult::Invalid { rendered, .. } => {
            if !args.json {
                eprint!("{rendered}");
                terminal::error("the policy is invalid; the old one stays in force");
            }
            Exit::Invalid
        }
        ChangeResult::Unfit { rendered, .. } => {
            if !args.json {
                eprint!("{rendered}");
                terminal::error("the policy does not fit this host; the old one stays in force");
            }
            Exit::Invalid
        }
        ChangeResult::Failed { why } => {
            if !args.json {
                terminal::error(&format!("the policy was not replaced: {why}"));
            }
            Exit::Failed
        }
    })
}
