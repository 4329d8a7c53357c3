//! `events`: refused packets as they come.

mod beat;
mod cef;

use std::{
    io::{IsTerminal, Write},
    net::IpAddr,
    time::Duration,
};

use ipnet::IpNet;
use tokio::time::{Instant, interval_at};

use super::{
    Exit,
    args::{Args, EventFilter, EventFormat, Events},
    block_on,
    terminal::{self, BAD, DIM, WARN, styled},
};
use crate::control::{Client, EventRecord, Streamed};
use beat::{Beat, Pulse};

pub(super) fn run(args: &Args, verb: &Events) -> anyhow::Result<Exit> {
    let format = if args.json { EventFormat::Json } else { verb.format };
    block_on(async {
        let mut events = Client::connect(&args.socket()).await?.events(verb.recent).await?;
        if format == EventFormat::Text && std::io::stdout().is_terminal() && !verb.recent {
            terminal::eprintln!("refused packets, the kept ones first; Ctrl-C ends");
        }
        let mut out = anstream::stdout();
        let mut pulse = Pulse::new(args.pins()?);
        let every = Duration::from_secs(verb.heartbeat);
        let mut beats = interval_at(Instant::now() + every, every);
        let mut left = verb.count.unwrap_or(u64::MAX);
        while left > 0 {
            let line = tokio::select! {
                streamed = events.next() => match streamed? {
                    None => break,
                    Some(Streamed::Missed(missed)) => {
                        pulse.missed += missed;
                        missed_line(missed, format)
                    }
                    Some(Streamed::Event(event)) if verb.filter.takes(&event) => {
                        left -= 1;
                        pulse.events += 1;
                        Some(event_line(&event, format)?)
                    }
                    Some(Streamed::Event(_)) => None,
                },
                _ = beats.tick() => beat_line(&pulse.beat(), format)?,
            };
            if let Some(line) = line {
                writeln!(out, "{line}")?;
                out.flush()?;
            }
        }
        Ok(Exit::Fine)
    })
}

fn event_line(event: &EventRecord, format: EventFormat) -> anyhow::Result<String> {
    Ok(match format {
        EventFormat::Text => words(event),
        EventFormat::Json => serde_json::to_string(event)?,
        EventFormat::Cef => cef::event(event),
    })
}

/// In CEF the next heartbeat says it.
fn missed_line(missed: u64, format: EventFormat) -> Option<String> {
    match format {
        EventFormat::Text => Some(styled(WARN, format!("{missed} events missed"))),
        EventFormat::Json => Some(format!("{{\"missed\":{missed}}}")),
        EventFormat::Cef => None,
    }
}

/// Machines are told that nothing came, people are not.
fn beat_line(beat: &Beat, format: EventFormat) -> anyhow::Result<Option<String>> {
    Ok(match format {
        EventFormat::Text if beat.is_quiet() => None,
        EventFormat::Text => Some(styled(DIM, beat.words())),
        EventFormat::Json => Some(serde_json::to_string(&beat.json())?),
        EventFormat::Cef => Some(cef::beat(beat)),
    })
}

impl EventFilter {
    /// Whether an event passes every filter that is given.
    fn takes(&self, event: &EventRecord) -> bool {
        let is = |wanted: &Option<String>, name: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| wanted == name.unwrap_or("-"))
        };
        let lies_in = |network: IpNet| event.source.is_some_and(|source: IpAddr| network.contains(&source));
        is(&self.segment, event.segment.as_deref())
            && is(&self.service, event.service.as_deref())
            && is(&self.reason, Some(&event.reason))
            && self.source.is_none_or(lies_in)
    }
}

fn words(event: &EventRecord) -> String {
    let time = event.time.strftime("%F %T%.3fZ");
    let address = |address: Option<IpAddr>| address.map_or_else(|| "?".to_owned(), |ip| ip.to_string());
    let style = if event.dropped() { BAD } else { WARN };
    format!(
        "{time}  {}  {} -> {} port {}  {}  segment {}  service {}",
        styled(style, format!("{:<10}", event.verdict)),
        address(event.source),
        address(event.destination),
        event.destination_port,
        event.reason,
        event.segment.as_deref().unwrap_or("-"),
        event.service.as_deref().unwrap_or("-"),
    )
}
