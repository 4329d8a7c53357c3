//! What `explain --live` knows beyond the verdict: what came of the source, who listens, what the peer answers.

use std::{net::IpAddr, num::NonZeroUsize, time::Duration};

use anstream::println;
use jiff::Timestamp;
use pacs_guard_common::verdict::Verdict;
use serde_json::{Value, json};

use super::{
    args::Args,
    block_on,
    layer::{Echo, Layer, Symptoms, likely},
    terminal::{self, DIM, ago, count, styled},
};
use crate::{
    datapath::Counters,
    echo::{Failure, Report, Target, probe_all},
    explain::Explanation,
    host,
    image::Card,
    policy::model::Policy,
    seen::SeenRecord,
};

/// What more is known of a policy that is in force.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) card: Card,
    pub(super) counters: Counters,
}

impl Live {
    /// Packets so far that were booked so.
    fn same(&self, explanation: &Explanation) -> u64 {
        let same = |(_, booking, packets)| (booking == *explanation.booking()).then_some(packets);
        self.counters.entries().filter_map(same).sum()
    }

    /// Since when it is so, and for how many packets it was.
    pub(super) fn words(&self, explanation: &Explanation) -> String {
        format!(
            "in force since {}; {} so far had the same outcome",
            self.card.loaded.strftime("%F %TZ"),
            count(self.same(explanation) as usize, "packet")
        )
    }
}

/// What was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) source: IpAddr,
    pub(super) port: u16,
    pub(super) udp: bool,
    /// The port to ask the source for a C-ECHO on, though the policy does not say so.
    pub(super) echo: Option<u16>,
}

/// What is known of the source.
pub(super) struct Facts {
    /// What the kernel keeps of it on this port: as let in, as refused.
    seen: Vec<SeenRecord>,
    /// Its connections of now.
    connected: usize,
    /// Whether something listens here; `None` for UDP, which is not looked at.
    listens: Option<bool>,
    /// What it answers to a C-ECHO.
    echo: Vec<Report>,
    /// Why it was not asked.
    not_asked: Option<String>,
    likely: Layer,
}

impl Facts {
    pub(super) fn gather(
        args: &Args,
        asked: &Asked,
        explanation: &Explanation,
        policy: &Policy,
    ) -> anyhow::Result<Self> {
        let Asked { source, port, udp, .. } = *asked;
        let protocol = if udp { 17 } else { 6 };
        let mut seen = SeenRecord::read(&args.pins()?)?;
        seen.retain(|seen| (seen.source, seen.port, seen.protocol) == (source, port, protocol));
        let here = |connection: &&host::Connection| {
            !udp && connection.local.port() == port && connection.peer.ip() == source
        };
        let connected = host::connections()?.iter().filter(here).count();
        let takes = |listener: &host::Listener| {
            let family = if source.is_ipv4() { listener.takes_ipv4() } else { listener.takes_ipv6() };
            listener.port == port && family
        };
        let listens = if udp { None } else { Some(host::listeners()?.iter().any(takes)) };
        let (targets, not_asked) = targets(asked, policy);
        let deadline = Duration::from_secs(5);
        let echo = block_on(async { Ok(probe_all(targets, deadline, NonZeroUsize::MIN).await) })?;
        let latest = |refused: bool| {
            let drops = Verdict::Drop.name();
            let times = seen.iter().filter(|seen| (seen.outcome == drops) == refused).map(|seen| seen.last);
            times
                .max()
                .map(|last| u64::try_from(last.duration_until(Timestamp::now()).as_secs()).unwrap_or(0))
        };
        let likely = likely(&Symptoms {
            verdict: explanation.booking().verdict,
            passed: latest(false),
            refused: latest(true),
            connected: connected > 0,
            listens,
            echo: answer(&echo),
        });
        Ok(Self { seen, connected, listens, echo, not_asked, likely })
    }

    pub(super) fn tell(
        &self,
        as_json: bool,
        asked: &Asked,
        explanation: &Explanation,
        live: &Live,
    ) -> anyhow::Result<()> {
        if as_json {
            let mut row = serde_json::to_value(explanation)?;
            if let Value::Object(row) = &mut row {
                row.insert("live".into(), self.json(explanation, live));
            }
            return terminal::json(&row);
        }
        let line = |label: &str, text: &str| println!("  {} {text}", styled(DIM, format!("{label:<8}")));
        println!("{explanation}");
        println!("  {}", live.words(explanation));
        if self.seen.is_empty() {
            line("seen", "never, as far as is kept");
        }
        for seen in &self.seen {
            let label = if seen.outcome == Verdict::Drop.name() { "refused" } else { "let in" };
            let connections = count(seen.connections as usize, "connection");
            let first = seen.first.strftime("%F %TZ");
            line(label, &format!("{connections}, first {first}, last {}", ago(seen.last)));
        }
        if self.connected > 0 {
            line("open", &format!("{} of now", count(self.connected, "connection")));
        }
        match self.listens {
            Some(true) => line("archive", &format!("listens on port {}", asked.port)),
            Some(false) => line("archive", &format!("nobody listens on port {} here", asked.port)),
            None => {}
        }
        for report in &self.echo {
            line("C-ECHO", &report.to_string());
        }
        if let Some(why) = &self.not_asked {
            line("C-ECHO", &format!("not asked: {why}"));
        }
        line("likely", &self.likely.to_string());
        Ok(())
    }

    fn json(&self, explanation: &Explanation, live: &Live) -> Value {
        let mut likely = serde_json::to_value(&self.likely).unwrap_or_default();
        if let Value::Object(likely) = &mut likely {
            likely.insert("words".into(), self.likely.to_string().into());
        }
        json!({
            "in_force_since": live.card.loaded,
            "same_outcome_packets": live.same(explanation),
            "seen": self.seen,
            "connected": self.connected,
            "listens": self.listens,
            "echo": self.echo,
            "not_asked": self.not_asked,
            "likely": likely,
        })
    }
}

/// Whom to ask for a C-ECHO: a peer of the policy as it is named there, another only where somebody says so, for
/// whoever is asked out of the blue has reason to wonder.
fn targets(asked: &Asked, policy: &Policy) -> (Vec<Target>, Option<String>) {
    let peers: Vec<_> = policy.peers.iter().filter(|peer| peer.address == asked.source).collect();
    if let Some(peer) = peers.iter().find(|peer| peer.do_not_probe) {
        return (Vec::new(), Some(format!("the policy marks {} do_not_probe", peer.name)));
    }
    let mut targets: Vec<Target> = peers.into_iter().map(Target::from).collect();
    if let Some(port) = asked.echo
        && targets.iter().all(|target| target.port != port)
    {
        targets.push(Target {
            name: "the source".into(),
            address: asked.source,
            port,
            called: "ANY-SCP".into(),
            calling: "PACSGUARD".into(),
            tls: None,
        });
    }
    let none = targets
        .is_empty()
        .then(|| format!("the policy names no peer at {}; `--echo PORT` asks it all the same", asked.source));
    (targets, none)
}

/// What the answers come to: one that works counts.
fn answer(reports: &[Report]) -> Option<Echo> {
    let mut answers = reports.iter().map(|report| match &report.outcome {
        Ok(_) => Echo::Answers,
        // PS3.8 table 9-21: calling and called AE title not recognised.
        Err(failure @ Failure::Rejected(rejection)) => match rejection.codes {
            [_, 1, 3 | 7] => Echo::RefusesTitle(rejection.reason.to_owned()),
            _ => Echo::Fails(failure.to_string()),
        },
        Err(failure) => Echo::Fails(failure.to_string()),
    });
    let first = answers.next()?;
    Some(if answers.any(|answer| answer == Echo::Answers) { Echo::Answers } else { first })
}
