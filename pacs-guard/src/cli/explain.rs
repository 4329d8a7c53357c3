//! `explain`: what happens to a packet, offline or by the loaded program itself.

use std::{
    io::{BufRead, Write},
    net::IpAddr,
};

use anyhow::{Context, bail};
use etherparse::PacketBuilder;
use pacs_guard_common::{packet::parse, verdict::judge};

use super::{Exit, args};
use crate::{
    capture,
    datapath::{SHORTEST_FRAME, Trial},
    explain::Explanation,
    image::{Card, Image, Ledger, compile},
    policy::{
        Checked,
        model::{Policy, Service, Transport},
    },
};

pub(super) fn run(args: &args::Args, verb: &args::Explain) -> anyhow::Result<Exit> {
    let Some(checked) = super::read_policy(&verb.file.policy) else { return Ok(Exit::Invalid) };
    let packet = match (verb.source, verb.port) {
        (Some(source), Some(port)) => {
            let transport = if verb.udp { Transport::Udp } else { Transport::Tcp };
            let to = verb.to.unwrap_or_else(|| destination(&checked.policy, source, transport, port));
            Some(build(source, to, transport, port)?)
        }
        _ => None,
    };
    let mut judge = Judge::new(checked, verb.kernel)?;
    let mut out = std::io::stdout().lock();
    let mut tell = |frame: &[u8]| -> anyhow::Result<()> {
        let explanation = judge.explain(frame)?;
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&explanation)?)?;
        } else {
            writeln!(out, "{explanation}")?;
        }
        Ok(())
    };
    if let Some(path) = &verb.pcap {
        capture::read(path, tell).with_context(|| path.display().to_string())?;
    } else if verb.frame.as_deref() == Some("-") {
        for (number, line) in (1..).zip(std::io::stdin().lock().lines()) {
            let line = line?;
            if !line.trim().is_empty() {
                capture::from_hex(&line)
                    .map_err(anyhow::Error::from)
                    .and_then(|frame| tell(&frame))
                    .with_context(|| format!("line {number} of standard input"))?;
            }
        }
    } else if let Some(hex) = &verb.frame {
        tell(&capture::from_hex(hex).context("--frame")?)?;
    } else if let Some(frame) = packet {
        tell(&frame)?;
    }
    Ok(Exit::Fine)
}

/// Who judges the frames.
struct Judge {
    checked: Checked,
    image: Image,
    ledger: Ledger,
    trial: Option<Trial>,
}

impl Judge {
    fn new(checked: Checked, kernel: bool) -> anyhow::Result<Self> {
        let mut ledger = Ledger::default();
        let card = Card::new(&checked, jiff::Timestamp::now(), None);
        let image = compile(&checked.policy, &mut ledger, 1, &card)?;
        let trial = if kernel { Some(Trial::new(&image, ledger.clone())?) } else { None };
        Ok(Self { checked, image, ledger, trial })
    }

    fn explain(&mut self, frame: &[u8]) -> anyhow::Result<Explanation> {
        let (packet, counter) = match &mut self.trial {
            None => {
                let judgement = judge(&frame, &self.image);
                (judgement.packet, judgement.ruling.counter)
            }
            Some(trial) => {
                if frame.len() < SHORTEST_FRAME {
                    bail!(
                        "the kernel takes no frame under {SHORTEST_FRAME} bytes, and this one has {}",
                        frame.len()
                    );
                }
                let answer = trial.run(frame)?.context("the program booked the frame on no counter")?;
                (parse(&frame).packet, answer.counter)
            }
        };
        let booking =
            self.ledger.booking(counter).context("the frame was booked on a counter without a name")?;
        Ok(Explanation::new(packet, booking, &self.checked.policy))
    }
}

/// An address that the port is protected at, of the source's family.
fn destination(policy: &Policy, source: IpAddr, transport: Transport, port: u16) -> IpAddr {
    let protects = |service: &&Service| {
        service.transport == transport && service.ports.iter().any(|range| range.contains(&port))
    };
    let mut addresses = policy.services.iter().filter(protects).flat_map(|service| &service.addresses);
    let narrowed = addresses.find(|prefix| prefix.addr().is_ipv4() == source.is_ipv4());
    match (narrowed, source) {
        (Some(prefix), _) => prefix.addr(),
        // Documentation addresses (RFC 5737, RFC 3849): no service is narrowed to them.
        (None, IpAddr::V4(_)) => IpAddr::from([192, 0, 2, 1]),
        (None, IpAddr::V6(_)) => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
    }
}

/// The first packet of a connection.
fn build(source: IpAddr, to: IpAddr, transport: Transport, port: u16) -> anyhow::Result<Vec<u8>> {
    const SOURCE_PORT: u16 = 49_152;
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let ip = match (source, to) {
        (IpAddr::V4(source), IpAddr::V4(to)) => ethernet.ipv4(source.octets(), to.octets(), 64),
        (IpAddr::V6(source), IpAddr::V6(to)) => ethernet.ipv6(source.octets(), to.octets(), 64),
        _ => bail!("{source} and {to} are not of one address family"),
    };
    let mut frame = Vec::new();
    match transport {
        Transport::Tcp => ip.tcp(SOURCE_PORT, port, 0, 64_240).syn().write(&mut frame, &[])?,
        Transport::Udp => ip.udp(SOURCE_PORT, port).write(&mut frame, &[])?,
    }
    Ok(frame)
}
