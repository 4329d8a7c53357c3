//! `plan`: what would change if a file took the place of what is in force, and whom that would cut.

use std::{fmt::Write, path::Path, time::Duration};

use serde_json::json;

use super::{
    Exit,
    args::{self, Args},
    terminal::{self, BAD, DIM, GOOD, WARN, ago, count, println, styled, thousands},
};
use crate::{
    clock::Clock,
    datapath::{Counters, InForce},
    host,
    image::{Card, Circumstances, Ledger, Size, compile_for, drained},
    plan::{Cut, Kind, Lost, Plan, SegmentChange, ServiceChange, Step},
    policy::Checked,
    seen::SeenRecord,
    state::Store,
};

pub(super) fn run(args: &Args, verb: &args::Plan) -> anyhow::Result<Exit> {
    let Some(checked) = super::read_policy(&verb.file) else { return Ok(Exit::Invalid) };
    let Made { plan, cuts, lost } = make(args, &checked, None)?;
    let exit = match &plan {
        _ if !cuts.is_empty() => Exit::Cuts,
        plan if plan.narrows() || !lost.is_empty() => Exit::Narrows,
        plan if plan.widens() => Exit::Widens,
        _ => Exit::Fine,
    };
    if args.json {
        terminal::json(&json!({ "schema": "pacs-guard/plan/1", "plan": plan, "cuts": cuts, "lost": lost }))?;
    } else {
        print(&plan, &verb.file);
        if !plan.is_empty() {
            print_cut(&cuts, &lost);
        }
    }
    Ok(exit)
}

/// What a policy would change, and for whom.
pub(super) struct Made {
    pub(super) plan: Plan,
    pub(super) cuts: Vec<Cut>,
    pub(super) lost: Vec<Lost>,
}

/// Compares a policy with what is in force, and looks at the connections of now and the sources lately seen. With a
/// drain, in seconds, only those are cut that can't drain.
pub(super) fn make(args: &Args, checked: &Checked, drain: Option<u64>) -> anyhow::Result<Made> {
    let pins = args.pins()?;
    let in_force = InForce::read(&pins)?;
    let (old, going_on) = match in_force.as_ref().and_then(|in_force| in_force.image.card()) {
        Some(card) => {
            let store = Store::open(&args.state_dir)?;
            (Some(store.read(&card.sha256)?), store.drain()?)
        }
        None => (None, Vec::new()),
    };
    let plan = Plan::new(old.as_ref().map(|old| &old.policy), &checked.policy);
    let mut ledger = Ledger::default();
    let clock = Clock::now();
    let before = old.as_ref().map(|old| &old.policy);
    let parts = drained(going_on, before, &checked.policy, drain.map(Duration::from_secs), clock);
    let circumstances = Circumstances { clock, drain: &parts, bypass: false };
    let card = Card::new(checked, clock.wall, None);
    let image = compile_for(&checked.policy, &circumstances, &mut ledger, 1, &card)?;
    let counters = Counters::read(&pins)?;
    let old = in_force.as_ref().zip(counters.as_ref());
    let old = old.map(|(in_force, counters)| (&in_force.image, counters.ledger()));
    let step = Step { old, new: (&image, &ledger), policy: &checked.policy };
    let seen = SeenRecord::read(&pins)?;
    let cuts = step.cuts(&host::connections()?, &seen);
    let lost = step.losses(&seen, &cuts);
    Ok(Made { plan, cuts, lost })
}

fn print(plan: &Plan, file: &Path) {
    if plan.is_empty() {
        return println!("{} {} is what is in force", styled(GOOD, "no change:"), file.display());
    }
    for service in &plan.services {
        println!("{}", words(service));
    }
    for segment in &plan.segments {
        println!("{}", segment_words(segment));
    }
    for other in &plan.others {
        println!("  {other}");
    }
}

/// Names the connections that would end, and the sources lately seen that would get in no more.
pub(super) fn print_cut(cuts: &[Cut], lost: &[Lost]) {
    if cuts.is_empty() {
        println!("{}", styled(DIM, "no connection of now would be cut"));
    } else {
        println!("{}", styled(BAD, format!("{} of now would be cut:", count(cuts.len(), "connection"))));
    }
    for Cut { peer, local, last, packets, connections, loses, because } in cuts {
        let mut facts = vec![format!("port {}", local.port())];
        facts.extend(last.map(|last| format!("last heard {}", ago(last))));
        facts.extend(packets.map(|packets| format!("{} in", count(packets as usize, "packet"))));
        facts.extend(connections.map(|connections| count(connections as usize, "connection")));
        facts.extend(loses.as_ref().map(|segment| format!("loses segment {segment}")));
        println!("  {peer}  {}\n    {because}", facts.join(", "));
    }
    if lost.is_empty() {
        return;
    }
    let sources = count(lost.len(), "source");
    println!("{}", styled(WARN, format!("{sources} lately seen would get in no more:")));
    const SHOWN: usize = 50;
    for Lost { source, port, last, connections, loses, because, .. } in lost.iter().take(SHOWN) {
        let mut facts = vec![format!("port {port}"), format!("last seen {}", ago(*last))];
        facts.push(count(*connections as usize, "connection"));
        facts.extend(loses.as_ref().map(|segment| format!("loses segment {segment}")));
        println!("  {source}  {}\n    {because}", facts.join(", "));
    }
    if lost.len() > SHOWN {
        println!("  and {} more: `--json` has all", lost.len() - SHOWN);
    }
}

fn words(change: &ServiceChange) -> String {
    let mut text = format!("{} service {}", mark(change.kind), change.service);
    let mut add = |style, words: String| {
        write!(text, "\n    {}", styled(style, words)).ok();
    };
    if !change.claimed.is_empty() {
        add(WARN, format!("comes under protection: port {}", change.claimed.join(", ")));
    }
    if !change.released.is_empty() {
        add(WARN, format!("is open to everyone: port {}", change.released.join(", ")));
    }
    if !change.opened.is_empty() {
        add(GOOD, format!("opens to {}", size(change.opened)));
    }
    if !change.closed.is_empty() {
        add(BAD, format!("closes to {}", size(change.closed)));
    }
    for other in &change.others {
        add(DIM, format!("{other} changes"));
    }
    text
}

fn segment_words(change: &SegmentChange) -> String {
    let mut text = format!("{} segment {}", mark(change.kind), change.segment);
    let mut list = |what: &str, items: &[String]| {
        const SHOWN: usize = 8;
        for item in items.iter().take(SHOWN) {
            write!(text, "\n    {what} {item}").ok();
        }
        if items.len() > SHOWN {
            write!(text, "\n    {what} {} more", items.len() - SHOWN).ok();
        }
    };
    list("+ source", &change.sources_added);
    list("- source", &change.sources_removed);
    list("> source", &change.sources_moved);
    list("+ except", &change.except_added);
    list("- except", &change.except_removed);
    list("+ grant", &change.granted);
    list("- grant", &change.revoked);
    if change.mode {
        text.push_str("\n    its mode changes");
    }
    if change.until {
        text.push_str("\n    its end changes");
    }
    text
}

fn mark(kind: Kind) -> String {
    match kind {
        Kind::Added => styled(GOOD, "+"),
        Kind::Removed => styled(BAD, "-"),
        Kind::Changed => styled(WARN, "~"),
    }
}

/// Address space in words: IPv6 in networks of 64 bits where it is as large.
fn size(size: Size) -> String {
    const MOST: u128 = u128::MAX / 2;
    let number = |number: u128| thousands(number.try_into().unwrap_or(u64::MAX));
    let mut parts = Vec::new();
    if size.ipv4 > 0 {
        parts.push(format!("{} IPv4 addresses", thousands(size.ipv4)));
    }
    match size.ipv6 {
        0 => {}
        few if few >> 64 == 0 => parts.push(format!("{} IPv6 addresses", number(few))),
        most if most > MOST => parts.push("most of IPv6".to_owned()),
        many => parts.push(format!("{} IPv6 networks of /64", number(many >> 64))),
    }
    parts.join(" and ")
}
