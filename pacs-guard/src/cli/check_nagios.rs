//! `check-nagios`: one line and an exit code for Nagios, Icinga and Checkmk.

use serde_json::json;

use super::{
    args::{Args, CheckNagios},
    scrape,
    terminal::println,
};
use crate::observe::{Level, Scrape, State, Totals, health};

/// Lines of a plug-in end at these; names come from the policy and from interfaces, and never hold them.
const RESERVED: [char; 3] = ['|', '\n', '\r'];

/// Ends the process, for the exit codes are those of the monitoring plug-ins and not this program's own.
pub(super) fn run(args: &Args, verb: &CheckNagios) -> ! {
    let scrape = scrape(args).map_err(|why| why.to_string());
    let findings = scrape.as_ref().map(health).unwrap_or_default();
    let level = match &scrape {
        Ok(_) => findings.first().map_or(Level::Ok, |finding| finding.level),
        Err(_) => Level::Unknown,
    };
    let totals = scrape.as_ref().ok().map(Scrape::totals);
    if args.json {
        let page = json!({
            "schema": "pacs-guard/health/1",
            "level": level,
            "state": scrape.as_ref().ok().map(Scrape::state),
            "findings": findings,
            "packets": totals,
            "error": scrape.as_ref().err(),
        });
        println!("{page:#}");
        std::process::exit(level as i32)
    }
    let text = scrape.as_ref().map_or_else(Clone::clone, summary);
    let text = findings.iter().fold(text, |text, finding| text + "; " + &finding.what);
    let text = text.replace(RESERVED, " ");
    match totals {
        _ if verb.checkmk => {
            let data = totals.map_or_else(|| "-".to_owned(), |totals| performance(totals, "|", ""));
            println!("{} \"pacs-guard\" {data} {text}", level as u8);
        }
        Some(totals) => println!("PACS-GUARD {} - {text} | {}", level.name(), performance(totals, " ", "c")),
        None => println!("PACS-GUARD {} - {text}", level.name()),
    }
    std::process::exit(level as i32)
}

fn summary(scrape: &Scrape) -> String {
    let state = match scrape.state() {
        State::Enforcing => "ENFORCING",
        State::PartlyAudit => "ENFORCING, some of it in AUDIT",
        State::Audit => "AUDIT",
        State::Bypass => "BYPASS",
        State::NotEnforcing => "NOT ENFORCING",
    };
    match scrape.card() {
        Some(card) => format!("{state}, policy {}", card.policy),
        None => state.to_owned(),
    }
}

/// The totals as performance data; `c` marks a counter for Nagios.
fn performance(totals: Totals, between: &str, unit: &str) -> String {
    let Totals { allowed, dropped, would_drop, passed, events_suppressed, events_lost } = totals;
    let rows = [
        ("allowed", allowed),
        ("dropped", dropped),
        ("would_drop", would_drop),
        ("passed", passed),
        ("events_suppressed", events_suppressed),
        ("events_lost", events_lost),
    ];
    rows.map(|(name, packets)| format!("{name}={packets}{unit}")).join(between)
}
