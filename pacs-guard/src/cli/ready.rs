//! `ready` and `apply --enforce`: whether what is watched in audit mode may be enforced, and the step itself.

use anstream::println;
use jiff::{SignedDuration, Timestamp};
use pacs_guard_common::verdict::Verdict;
use serde_json::{Value, json};

use super::{
    Exit,
    args::{self, Args},
    block_on, change,
    plan::{self, Made},
    terminal::{self, BAD, DIM, GOOD, WARN, ago, count, lasting, styled, thousands},
};
use crate::{
    control::{Change, Client, Readiness},
    image::Enforces,
    policy::{
        self,
        model::{Mode, Policy},
    },
    seen::SeenRecord,
    state::Store,
};

pub(super) fn run(args: &Args, verb: &args::Ready) -> anyhow::Result<Exit> {
    let (readiness, refused) = look(args, verb.ready_after)?;
    let (state, exit) = match &readiness {
        readiness if enforced(readiness) => ("enforced", Exit::Fine),
        readiness if readiness.ready(verb.ready_after) => ("ready", Exit::Fine),
        _ => ("not-ready", Exit::NotReady),
    };
    if args.json {
        terminal::json(&json(state, verb.ready_after, &readiness, &refused))?;
    } else {
        print(&readiness, &refused, verb.ready_after);
    }
    Ok(exit)
}

/// Puts what is in force in audit mode in force with every refusal enforced, where it is ready for that.
pub(super) fn enforce(args: &Args, verb: &args::Apply) -> anyhow::Result<Exit> {
    let (readiness, refused) = look(args, verb.ready_after)?;
    if enforced(&readiness) {
        if args.json {
            terminal::json(&json("enforced", verb.ready_after, &readiness, &refused))?;
        } else {
            print(&readiness, &refused, verb.ready_after);
        }
        return Ok(Exit::Fine);
    }
    if !readiness.ready(verb.ready_after) {
        if args.json {
            terminal::json(&json("not-ready", verb.ready_after, &readiness, &refused))?;
        } else {
            print(&readiness, &refused, verb.ready_after);
            terminal::error("nothing was changed");
        }
        return Ok(Exit::NotReady);
    }
    let written = Store::open(&args.state_dir)?.read(&readiness.sha256)?;
    // What is a mistake only where it is enforced is the daemon's to refuse: it says so in full.
    if let (false, Ok(checked)) = (verb.cut, policy::enforced(&written)) {
        let made: Made = plan::make(args, &checked, None)?;
        if !made.cuts.is_empty() {
            return change::refuse_to_cut(args, &made, "`--cut` puts it in force all the same");
        }
    }
    let change = Change::Enforce { ready_after: verb.ready_after, confirm: verb.confirm };
    let exit = change::run(args, &change)?;
    if exit == Exit::Fine && !args.json {
        println!("{} {}", styled(WARN, "note:"), to_write(&readiness.file, &written.policy));
    }
    Ok(exit)
}

/// What the daemon knows, and the sources that would have been refused since.
fn look(args: &Args, after: u64) -> anyhow::Result<(Readiness, Vec<SeenRecord>)> {
    let readiness = block_on(async { Ok(Client::connect(&args.socket()).await?.readiness().await?) })?;
    let after = SignedDuration::from_secs(after.try_into().unwrap_or(i64::MAX));
    let window = Timestamp::now().saturating_sub(after)?;
    let mut refused = SeenRecord::read(&args.pins()?)?;
    refused.retain(|seen| seen.outcome == Verdict::WouldDrop.name() && seen.last >= window);
    Ok((readiness, refused))
}

fn enforced(readiness: &Readiness) -> bool {
    readiness.enforces == Enforces::Everything
}

fn json(state: &str, after: u64, readiness: &Readiness, refused: &[SeenRecord]) -> Value {
    json!({
        "schema": "pacs-guard/ready/1",
        "state": state,
        "ready_after_seconds": after,
        "readiness": readiness,
        "sources": refused,
    })
}

fn print(readiness: &Readiness, refused: &[SeenRecord], after: u64) {
    let Readiness { policy, since, watched_seconds, rows, .. } = readiness;
    let window = lasting(after);
    let found = rows.iter().any(|row| row.quiet_seconds < after && row.last.is_some());
    if enforced(readiness) {
        return println!("{} policy {policy} enforces every refusal", styled(GOOD, "ENFORCED:"));
    }
    if readiness.ready(after) {
        println!("{} nothing would have been dropped for {window}", styled(GOOD, "READY:"));
    } else if found {
        println!("{} in the last {window} something would have been dropped", styled(BAD, "NOT READY:"));
    } else {
        println!("{} it takes {window} without a gap", styled(WARN, "NOT READY YET:"));
    }
    println!("policy {policy}, as it is now, is watched since {}", ago(*since));
    let name = |name: &Option<std::sync::Arc<str>>| name.as_deref().unwrap_or("-").to_owned();
    let shown = rows.iter().filter(|row| row.service.is_some() || row.would_drops > 0);
    let table = shown.map(|row| {
        [
            name(&row.service),
            name(&row.segment),
            row.reason.clone(),
            thousands(row.would_drops),
            row.last.map_or_else(|| "never".to_owned(), |last| last.strftime("%F %TZ").to_string()),
            lasting(row.quiet_seconds.min(*watched_seconds)),
        ]
    });
    println!(
        "{}",
        terminal::table(["SERVICE", "SEGMENT", "REASON", "WOULD DROP", "LAST", "QUIET FOR"], &[3], table)
    );
    if !refused.is_empty() {
        println!("{}", styled(BAD, format!("{} would have been refused:", count(refused.len(), "source"))));
        let rows = refused.iter().map(|seen| {
            let port = seen.port.to_string();
            let connections = thousands(seen.connections);
            [seen.source.to_string(), port, name(&seen.segment), connections, ago(seen.last)]
        });
        println!("{}", terminal::table(["SOURCE", "PORT", "SEGMENT", "CONNECTIONS", "LAST"], &[1, 3], rows));
    }
    if found && refused.is_empty() {
        println!("{}", styled(DIM, "which sources they came from is not known: only the latest are kept"));
    }
    if readiness.ready(after) {
        println!("{}", styled(DIM, "`pacs-guard apply --enforce --confirm 5m` enforces it, with a way back"));
    }
}

/// The line that makes the file say what is in force.
fn to_write(file: &str, policy: &Policy) -> String {
    let mut text = format!("{file} still says otherwise: write `mode: enforce` there");
    let audit = |mode: Option<Mode>| mode == Some(Mode::Audit);
    let services = policy.services.iter().filter(|service| audit(service.mode));
    let services = services.map(|service| format!("service {} ({})", service.name, service.place));
    let segments = policy.segments.iter().filter(|segment| audit(segment.mode));
    let segments = segments.map(|segment| format!("segment {} ({})", segment.name, segment.place));
    let own: Vec<String> = services.chain(segments).collect();
    if !own.is_empty() {
        text += &format!(", and take `mode: audit` out of {}", own.join(", "));
    }
    text + "; `pacs-guard reload` takes the file as it is written"
}
