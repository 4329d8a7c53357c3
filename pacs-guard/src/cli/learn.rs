//! `learn`: a draft policy from who was seen, in a capture or by the program.

use std::{net::IpAddr, path::Path};

use anstream::println;
use anyhow::Context;
use serde_json::json;

use super::{
    Exit,
    args::{Args, Learn, Seen},
    block_on,
    terminal::{self, GOOD, styled},
};
use crate::{
    capture,
    control::Client,
    host,
    learn::{Learnt, Network, Sightings, draft, observe},
    policy::{
        self,
        model::{Policy, Service},
    },
};

pub(super) fn run(args: &Args, verb: &Learn) -> anyhow::Result<Exit> {
    if let Some(seconds) = verb.duration.or(verb.stop.then_some(0)) {
        return order(args, seconds);
    }
    let Some(policy) = policy(&verb.seen)? else { return Ok(Exit::Invalid) };
    let seen = of(args, &verb.seen, &policy)?;
    if args.json {
        terminal::json(&json!({ "schema": "pacs-guard/learn/1", "seen": seen }))?;
        return Ok(Exit::Fine);
    }
    let routes = block_on(async { Ok(host::routes().await?) })?;
    let network = Network { interfaces: policy.interfaces.clone(), routes };
    anstream::print!("{}", draft(&seen, &policy.services, &network));
    Ok(Exit::Fine)
}

/// Who was seen; `None` where the policy that names the services is invalid, which is then told.
pub(super) fn seen(args: &Args, verb: &Seen) -> anyhow::Result<Option<Sightings>> {
    // What the program has seen is of its own services.
    let Some(path) = &verb.from_pcap else { return live(args).map(Some) };
    let Some(policy) = policy(verb)? else { return Ok(None) };
    from_pcap(path, &policy.services, &verb.host).map(Some)
}

fn of(args: &Args, verb: &Seen, policy: &Policy) -> anyhow::Result<Sightings> {
    match &verb.from_pcap {
        Some(path) => from_pcap(path, &policy.services, &verb.host),
        None => live(args),
    }
}

/// The policy whose services are looked at.
fn policy(verb: &Seen) -> anyhow::Result<Option<Policy>> {
    if verb.ports.is_empty() {
        Ok(super::read_policy(&verb.file.policy).map(|checked| checked.policy))
    } else {
        of_ports(&verb.ports).map(Some)
    }
}

/// A policy of one service, for who has none yet.
fn of_ports(ports: &[u16]) -> anyhow::Result<Policy> {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let text = format!(
        "version: 1\nname: draft\nmode: audit\nservices: {{ dicom: {{ ports: [{}] }} }}\n",
        ports.join(", ")
    );
    Ok(policy::parse("--port".as_ref(), text)?.policy)
}

/// Who speaks to the services in a capture.
fn from_pcap(path: &Path, services: &[Service], hosts: &[IpAddr]) -> anyhow::Result<Sightings> {
    let mut seen = Sightings::default();
    let is_service = |protocol: u8, port: u16| {
        services.iter().any(|service| {
            service.transport.protocol() == protocol
                && service.ports.iter().any(|ports| ports.contains(&port))
        })
    };
    let is_ours = |to| hosts.is_empty() || hosts.contains(&to);
    capture::read(path, |frame, when| {
        observe(frame, when, is_service, is_ours, &mut seen);
        Ok(())
    })
    .with_context(|| path.display().to_string())?;
    Ok(seen)
}

/// Who the program has seen: what its maps hold, and what was kept while it learnt.
fn live(args: &Args) -> anyhow::Result<Sightings> {
    let mut learnt = Learnt::open(&args.state_dir)?;
    learnt.look(&args.pins()?)?;
    Ok(learnt.seen)
}

/// `learn --for` and `--stop`.
fn order(args: &Args, seconds: u64) -> anyhow::Result<Exit> {
    let until = block_on(async { Ok(Client::connect(&args.socket()).await?.learn(seconds).await?) })?.until;
    if args.json {
        terminal::json(&json!({ "schema": "pacs-guard/learn-order/1", "until": until }))?;
        return Ok(Exit::Fine);
    }
    match until {
        Some(until) => {
            println!(
                "{} AE titles are noted until {}, over restarts too",
                styled(GOOD, "ok"),
                until.strftime("%F %TZ")
            );
            println!("`pacs-guard learn` drafts a policy from what was seen so far");
        }
        None => println!("{} AE titles are noted no more", styled(GOOD, "ok")),
    }
    Ok(Exit::Fine)
}
