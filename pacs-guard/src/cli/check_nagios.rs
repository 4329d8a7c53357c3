//! `check-nagios`: one line and an exit code for Nagios, Icinga and Checkmk.

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
    let (level, text, totals) = match scrape(args) {
        Ok(scrape) => {
            let findings = health(&scrape);
            let level = findings.first().map_or(Level::Ok, |finding| finding.level);
            let text = findings.iter().fold(summary(&scrape), |text, finding| text + "; " + &finding.what);
            (level, text, Some(scrape.totals()))
        }
        Err(why) => (Level::Unknown, why.to_string(), None),
    };
    let text = text.replace(RESERVED, " ");
    if verb.checkmk {
        println!("{} \"pacs-guard\" {} {text}", level as u8, performance(totals, "|", ""));
    } else {
        println!("PACS-GUARD {} - {text} | {}", level.name(), performance(totals, " ", "c"));
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
fn performance(totals: Option<Totals>, between: &str, unit: &str) -> String {
    let Some(totals) = totals else { return "-".to_owned() };
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
