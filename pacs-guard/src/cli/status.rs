//! `status`: what is in force, read from the kernel itself, and from the daemon where one runs.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Exit,
    args::Args,
    block_on,
    terminal::{self, BAD, DIM, GOOD, WARN, count, println, styled, thousands},
};
use crate::{
    control::{ChangeResult, Client, ClientError, DaemonStatus},
    datapath::{BootTime, Outline, Pins, XdpMode},
    echo::{EXPIRY_WARNING_DAYS, Printable},
    host::Uncovered,
    image::{Card, Draining, SegmentEnd},
    observe::{Guarded, Reading, State, Totals},
};

/// Columns before a text: two spaces, the label, and one space.
const MARGIN: usize = 13;

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let pins = args.pins()?;
    let (reading, daemon) = block_on(async {
        let daemon = match Client::connect(&args.socket()).await {
            Ok(client) => client.status().await,
            Err(why) => Err(why),
        };
        Ok((Reading::take(&pins).await?, daemon))
    })?;
    let totals = reading.totals();
    let Reading { state, outline, card, interfaces, uncovered, .. } = reading;
    let generation = outline.as_ref().and_then(Outline::generation);
    let until = outline.as_ref().and_then(|outline| outline.until).map(BootTime::to_timestamp);
    if args.json {
        terminal::json(&json!({
            "schema": "pacs-guard/status/1",
            "state": state,
            "policy": card,
            "generation": generation,
            "until": until,
            "ends": card.iter().flat_map(|card| &card.ends).map(end_for_machines).collect::<Vec<_>>(),
            "draining": draining(card.as_ref()).map(drain_for_machines).collect::<Vec<_>>(),
            "interfaces": interfaces,
            "uncovered_interfaces": uncovered,
            "packets": totals,
            "daemon": daemon.as_ref().ok(),
            "daemon_error": daemon.as_ref().err().map(ToString::to_string),
        }))?;
    } else {
        print(state, card.as_ref(), (generation, until), &interfaces, &uncovered, &totals, &daemon);
    }
    Ok(if state == State::NotEnforcing { Exit::NotEnforcing } else { Exit::Fine })
}

/// The name of the policy that some interface of ours is under; `None` where nothing is enforced.
pub(super) fn policy_in_force(pins: &Pins) -> anyhow::Result<Option<String>> {
    let reading = block_on(async { Ok(Reading::take(pins).await?) })?;
    Ok(reading.card.filter(|_| reading.state != State::NotEnforcing).map(|card| card.policy))
}

fn end_for_machines(end: &SegmentEnd) -> Value {
    let left = end.until.duration_since(Timestamp::now());
    json!({ "segment": end.segment, "until": end.until, "seconds_left": left.as_secs().max(0) })
}

/// What drains still.
fn draining(card: Option<&Card>) -> impl Iterator<Item = &Draining> {
    let parts = card.into_iter().flat_map(|card| &card.draining);
    parts.filter(|part| !part.end.remaining().is_zero())
}

fn drain_for_machines(part: &Draining) -> Value {
    json!({
        "segment": part.segment,
        "service": part.service,
        "ports": part.ports,
        "until": part.end.to_timestamp(),
        "seconds_left": part.end.remaining().as_secs(),
    })
}

fn print(
    state: State,
    card: Option<&Card>,
    (generation, until): (Option<u64>, Option<Timestamp>),
    interfaces: &[Guarded],
    uncovered: &[Uncovered],
    totals: &Totals,
    daemon: &Result<DaemonStatus, ClientError>,
) {
    println!(
        "{}",
        match state {
            State::Enforcing => styled(GOOD, "ENFORCING"),
            State::PartlyAudit =>
                format!("{}, {}", styled(GOOD, "ENFORCING"), styled(WARN, "some of it in AUDIT")),
            State::Bypass => styled(BAD, "BYPASS: nothing is refused"),
            State::Audit => styled(WARN, "AUDIT: refusals are reported, and pass"),
            State::NotEnforcing => styled(BAD, "NOT ENFORCING"),
        }
    );
    let width = terminal::width();
    let line = |label: &str, text: String| {
        let mut label = label;
        for text in terminal::wrapped(&text, width.saturating_sub(MARGIN)) {
            println!("  {} {text}", styled(DIM, format!("{label:<10}")));
            label = "";
        }
    };
    match card {
        None => line("policy", "none in force".into()),
        Some(card) => {
            line("policy", format!("{} ({})", card.policy, card.file));
            line(
                "",
                format!(
                    "generation {}, since {}, sha256 {}",
                    generation.unwrap_or(0),
                    card.loaded.strftime("%F %TZ"),
                    card.sha256.get(..16).unwrap_or(&card.sha256)
                ),
            );
            if let Some(reason) = &card.bypass {
                line("", styled(BAD, format!("bypassed, for: {}", Printable(reason))));
            }
            if card.enforced {
                line("", styled(WARN, format!("enforced by hand, whatever mode {} says", card.file)));
            }
            if let Some(until) = until {
                line("", styled(WARN, format!("ends by itself at {}", until.strftime("%F %TZ"))));
            }
            line(
                "",
                format!(
                    "{}, {}, {}",
                    count(card.services, "service"),
                    count(card.segments, "segment"),
                    count(card.sources, "source")
                ),
            );
            for end in &card.ends {
                line("", styled(WARN, end));
            }
            for part in draining(Some(card)) {
                line("", styled(WARN, format!("draining: {part}")));
            }
        }
    }
    if interfaces.is_empty() {
        line("interface", "none is guarded".into());
    }
    for interface in interfaces {
        let mode = interface.mode.map_or("no XDP program", XdpMode::name);
        let text = match (interface.attached, interface.mode) {
            (true, Some(XdpMode::Generic)) => {
                format!("{}  {}", interface.name, styled(WARN, "generic mode (slow)"))
            }
            (true, _) => format!("{}  {mode} mode", interface.name),
            (false, _) => format!("{}  {}", interface.name, styled(BAD, "not guarded: the program is gone")),
        };
        line("interface", text);
    }
    for open in uncovered {
        line("", styled(WARN, open));
    }
    line(
        "packets",
        format!(
            "{} allowed, {} dropped, {} would drop, {} not judged",
            thousands(totals.allowed),
            thousands(totals.dropped),
            thousands(totals.would_drop),
            thousands(totals.passed)
        ),
    );
    if totals.events_suppressed + totals.events_lost > 0 {
        let left_out = thousands(totals.events_suppressed + totals.events_lost);
        line("events", format!("{left_out} refused packets sent no event (budget, full ring)"));
    }
    match daemon {
        Ok(daemon) => print_daemon(daemon, line),
        Err(ClientError::NotRunning { .. }) => {
            line("daemon", styled(WARN, "not running; what is in force stays in force"));
        }
        Err(why) => line("daemon", styled(BAD, format!("{why}; what is in force stays in force"))),
    }
}

fn print_daemon(daemon: &DaemonStatus, line: impl Fn(&str, String)) {
    line("daemon", format!("running, process {}, version {}", daemon.pid, daemon.version));
    match daemon.file_differs {
        Some(true) => line("", styled(WARN, format!("{} differs from what is in force", daemon.policy_file))),
        None => line("", styled(WARN, format!("{} can't be read", daemon.policy_file))),
        Some(false) => {}
    }
    if let Some(change) = &daemon.last_change {
        let text = match &change.result {
            ChangeResult::Loaded { problems, .. } if problems.is_empty() => "fine".to_owned(),
            ChangeResult::Loaded { problems, .. } => styled(WARN, problems.join("; ")),
            ChangeResult::Invalid { .. } => styled(BAD, "refused: the file is invalid"),
            ChangeResult::Unfit { .. } => styled(BAD, "refused: the policy does not fit this host"),
            ChangeResult::Failed { why } => styled(BAD, format!("failed: {why}")),
        };
        line("change", format!("{}  {text}", change.at.strftime("%F %TZ")));
    }
    if let Some(until) = daemon.learning_until {
        line("learning", format!("AE titles are noted until {}", until.strftime("%F %TZ")));
    }
    if let Some(web) = &daemon.web {
        line("page", web.url.clone());
        if let Some(end) = web.certificate_expires {
            let text = format!("certificate until {}", end.strftime("%F %TZ"));
            let soon = web.certificate_days(Timestamp::now()).is_some_and(|days| days < EXPIRY_WARNING_DAYS);
            line("", if soon { styled(WARN, text) } else { text });
        }
        if web.refused_tokens > 0 {
            line("", styled(WARN, format!("tokens refused: {}", thousands(web.refused_tokens))));
        }
    }
    for peer in &daemon.peers {
        for text in super::peers::status_lines(peer) {
            line("peer", text);
        }
    }
}
