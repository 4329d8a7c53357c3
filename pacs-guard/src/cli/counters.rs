//! `counters`: packets per segment, service and outcome, read from the pinned maps.

use pacs_guard_common::{abi::CounterId, verdict::Verdict};
use serde_json::{Value, json};

use super::{
    Exit, args,
    terminal::{self, BAD, DIM, GOOD, WARN, print, println, styled, thousands},
};
use crate::{datapath::Counters, image::Booking, observe::Format};

pub(super) fn run(args: &args::Args, verb: &args::Counters) -> anyhow::Result<Exit> {
    if verb.prometheus {
        // Said also where nothing is enforced, for that is what an alert must see.
        print!("{}", super::scrape(args)?.text(Format::Prometheus));
        return Ok(Exit::Fine);
    }
    let pins = args.pins()?;
    let Some(counters) = Counters::read(&pins)? else {
        terminal::error(&format!(
            "nothing is counted here: no maps are pinned under {}",
            pins.folder().display()
        ));
        return Ok(Exit::NotEnforcing);
    };
    let suppressed = counters.packets(CounterId::EVENTS_SUPPRESSED);
    let lost = counters.packets(CounterId::EVENTS_LOST);
    let reset = counters.packets(CounterId::RESETS_SENT);
    let silent = counters.packets(CounterId::RESETS_SUPPRESSED);
    if args.json {
        let rows: Vec<Value> =
            counters.entries().map(|(id, booking, packets)| row(id, &booking, packets)).collect();
        terminal::json(&json!({
            "schema": "pacs-guard/counters/1",
            "counters": rows,
            "packets": counters.total(),
            "events_suppressed": suppressed,
            "events_lost": lost,
            "resets_sent": reset,
            "resets_suppressed": silent,
        }))?;
        return Ok(Exit::Fine);
    }
    let shown = counters.entries().filter(|(_, _, packets)| verb.all || *packets > 0);
    let rows = shown.map(|(_, booking, packets)| {
        let name = |name: &Option<std::sync::Arc<str>>| name.as_deref().unwrap_or("-").to_owned();
        [
            booking.verdict.name().to_owned(),
            booking.reason.name().to_owned(),
            name(&booking.segment),
            name(&booking.service),
            thousands(packets),
        ]
    });
    let table = terminal::table(["VERDICT", "REASON", "SEGMENT", "SERVICE", "PACKETS"], &[4], rows);
    for line in table.lines() {
        println!("{}", paint(line));
    }
    println!("{}", styled(DIM, format!("{} packets in all", thousands(counters.total()))));
    if suppressed + lost > 0 {
        println!(
            "{} of the refused packets sent no event: {} over the budget, {} with the ring full",
            thousands(suppressed + lost),
            thousands(suppressed),
            thousands(lost)
        );
    }
    if reset + silent > 0 {
        println!(
            "{} refused connections were answered with a reset, {} more were over the budget",
            thousands(reset),
            thousands(silent)
        );
    }
    Ok(Exit::Fine)
}

fn row(id: CounterId, booking: &Booking, packets: u64) -> Value {
    json!({
        "id": id.number(),
        "verdict": booking.verdict.name(),
        "reason": booking.reason.name(),
        "segment": booking.segment,
        "service": booking.service,
        "packets": packets,
    })
}

/// Colours a row by its verdict, its first word.
fn paint(line: &str) -> String {
    let verdict = line.split_whitespace().next();
    let style = match verdict {
        Some(word) if word == Verdict::Drop.name() => BAD,
        Some(word) if word == Verdict::WouldDrop.name() => WARN,
        Some(word) if word == Verdict::Allow.name() => GOOD,
        _ => return line.to_owned(),
    };
    styled(style, line)
}
