//! `bench`: what a verdict costs on this host, by frames that never leave the kernel.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context, bail};
use pacs_guard_common::verdict::{Verdict, judge};
use serde_json::json;

use super::{
    Exit,
    args::{Args, Bench},
    block_on, terminal,
};
use crate::{
    datapath::Trial,
    first_packet::{first_packet, protected_at},
    host, image,
    interface::{self, Interface},
    policy::model::{Policy, Transport},
};

/// Frames in a round.
const FRAMES: u32 = 200_000;
const ROUNDS: usize = 15;

/// Nanoseconds a packet in a tenth, half and nine tenths of the rounds.
struct Cost {
    what: &'static str,
    p10: u64,
    median: u64,
    p90: u64,
}

pub(super) fn run(args: &Args, verb: &Bench) -> anyhow::Result<Exit> {
    let Some(checked) = super::read_policy(&verb.file.policy) else { return Ok(Exit::Invalid) };
    let on = verb.interface.as_deref().map(driver).transpose()?;
    let mut ledger = image::Ledger::default();
    let card = image::Card::new(&checked, jiff::Timestamp::now(), None);
    let image = image::compile(&checked.policy, &mut ledger, 1, &card)?;
    let loads = loads(&checked.policy, &image)?;
    let mut trial = Trial::new(&image, ledger)?;
    let costs = measure(&mut trial, &loads)?;

    if args.json {
        let costs = costs.iter().map(
            |cost| json!({ "load": cost.what, "p10_ns": cost.p10, "median_ns": cost.median, "p90_ns": cost.p90 }),
        );
        terminal::json(&json!({
            "schema": "pacs-guard/bench/1",
            "policy": checked.policy.name,
            "image_bytes": image.bytes(),
            "interface": verb.interface,
            "native_xdp": on,
            "frames_a_round": FRAMES,
            "rounds": ROUNDS,
            "loads": costs.collect::<Vec<_>>(),
        }))?;
        return Ok(Exit::Fine);
    }
    let rows = costs.iter().map(|cost| {
        let rate = 1e3 / cost.median.max(1) as f64;
        [
            cost.what.to_owned(),
            format!("{} ns", cost.median),
            format!("{}-{} ns", cost.p10, cost.p90),
            format!("{rate:.1} M/s"),
        ]
    });
    anstream::println!("{}", terminal::table(["FRAME", "MEDIAN", "10-90 %", "A CORE"], &[1, 2, 3], rows));
    anstream::println!(
        "\nPolicy {}, {} KiB in the kernel. The time holds the kernel's own loop, some 20 to 40 ns; the driver's part of a \
         packet comes on top, and no test run knows it.",
        checked.policy.name,
        image.bytes() / 1024
    );
    if let (Some(name), Some(native)) = (&verb.interface, on) {
        let native = match native {
            Some(true) => "has native XDP: the program would run in it",
            Some(false) => {
                "has no native XDP: the program would run behind it, in the network stack, and slower"
            }
            None => "does not say whether it has native XDP",
        };
        anstream::println!("The driver of {name} {native}. Nothing was attached to it.");
    }
    Ok(Exit::Fine)
}

/// Whether an interface's driver has native XDP; `None` where the kernel does not say.
fn driver(name: &str) -> anyhow::Result<Option<bool>> {
    block_on(async {
        let known = interface::list().await?;
        let Interface { index, .. } = interface::find(&known, name)?;
        Ok(host::driver_xdp(*index).await.map(|driver| driver.native))
    })
}

/// Frames that are let pass, allowed and refused, as far as the policy has such.
fn loads(policy: &Policy, image: &image::Image) -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
    let services =
        || policy.services.iter().zip(0..).filter(|(service, _)| service.transport == Transport::Tcp);
    let Some(port) = services().find_map(|(service, _)| Some(*service.ports.first()?.start())) else {
        bail!("policy {} protects no TCP service: there is nothing to measure", policy.name);
    };
    let frame = |source: IpAddr, port| {
        let to = protected_at(policy, source, Transport::Tcp, port);
        first_packet(source, to, Transport::Tcp, port).context("source and destination are of two families")
    };
    let mut arp = vec![0xff; 12];
    arp.extend([8, 6]);
    arp.resize(60, 0);
    let stranger = IpAddr::from([203, 0, 113, 9]);
    let open =
        (1..=u16::MAX).find(|port| !image.protects_tcp(*port)).context("every TCP port is protected")?;
    let mut loads = vec![("not IP", arp), ("TCP, another port", frame(stranger, open)?)];
    let known = policy.segments.iter().flat_map(|segment| {
        let service = services().find(|(_, number)| segment.services.contains(number));
        let port = service.and_then(|(service, _)| Some(*service.ports.first()?.start()));
        segment.sources.iter().filter_map(move |source| Some((source.prefix.addr(), port?)))
    });
    // Addresses for documentation (RFC 5737, RFC 3849) are strangers almost everywhere.
    let strangers =
        [stranger, IpAddr::from([0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 9])].map(|source| (source, port));
    let mut seen = Vec::new();
    for (source, port) in known.take(64).chain(strangers) {
        let what = match (judge(&&frame(source, port)?[..], image).ruling.verdict, source) {
            (Verdict::Pass, _) => continue,
            (Verdict::Allow, IpAddr::V4(_)) => "allowed, IPv4",
            (Verdict::Allow, IpAddr::V6(_)) => "allowed, IPv6",
            (Verdict::Drop | Verdict::WouldDrop, IpAddr::V4(_)) => "refused, IPv4",
            (Verdict::Drop | Verdict::WouldDrop, IpAddr::V6(_)) => "refused, IPv6",
        };
        if !seen.contains(&what) {
            seen.push(what);
            loads.push((what, frame(source, port)?));
        }
    }
    Ok(loads)
}

/// The loads in turn, round by round, so that what disturbs one disturbs all.
fn measure(trial: &mut Trial, loads: &[(&'static str, Vec<u8>)]) -> anyhow::Result<Vec<Cost>> {
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); loads.len()];
    let (runner, _) = trial.split()?;
    // The first round warms up.
    for round in 0..=ROUNDS {
        for ((_, frame), times) in loads.iter().zip(&mut times) {
            let time = runner.cost(frame, FRAMES)?;
            if round > 0 {
                times.push(time);
            }
        }
    }
    let cost = |((what, _), mut times): (&(&'static str, Vec<u8>), Vec<Duration>)| {
        times.sort_unstable();
        let at = |tenths: usize| {
            times.get(times.len().saturating_sub(1) * tenths / 10).map_or(0, |time| time.as_nanos() as u64)
        };
        Cost { what, p10: at(1), median: at(5), p90: at(9) }
    };
    Ok(loads.iter().zip(times).map(cost).collect())
}
