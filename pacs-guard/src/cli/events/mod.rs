//! `events`: refused packets as they come.

use std::io::{IsTerminal, Write};

use super::{
    Exit,
    args::{Args, Events},
    block_on,
    terminal::{self, BAD, WARN, styled},
};
use crate::control::{Client, EventRecord, Streamed};

pub(super) fn run(args: &Args, verb: &Events) -> anyhow::Result<Exit> {
    block_on(async {
        let mut events = Client::connect(&args.socket()).await?.events(verb.recent).await?;
        if !args.json && std::io::stdout().is_terminal() && !verb.recent {
            terminal::eprintln!("refused packets, the kept ones first; Ctrl-C ends");
        }
        let mut out = anstream::stdout();
        let mut left = verb.count.unwrap_or(u64::MAX);
        while left > 0 {
            match events.next().await? {
                None => break,
                Some(Streamed::Missed(missed)) if args.json => writeln!(out, "{{\"missed\":{missed}}}")?,
                Some(Streamed::Missed(missed)) => {
                    writeln!(out, "{}", styled(WARN, format!("{missed} events missed")))?
                }
                Some(Streamed::Event(event)) => {
                    left -= 1;
                    if args.json {
                        writeln!(out, "{}", serde_json::to_string(&event)?)?;
                    } else {
                        writeln!(out, "{}", words(&event))?;
                    }
                }
            }
            out.flush()?;
        }
        Ok(Exit::Fine)
    })
}

fn words(event: &EventRecord) -> String {
    let time = event.time.strftime("%F %T%.3fZ");
    let address =
        |address: Option<std::net::IpAddr>| address.map_or_else(|| "?".to_owned(), |ip| ip.to_string());
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
