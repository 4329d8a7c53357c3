//! Walls: what refuses the flood at the receiving end, and how many packets it counted itself.

use std::{fmt::Write, fs};

use anyhow::{Context, Result};
use aya::programs::xdp::XdpLinkId;
use pacs_guard::{
    datapath::{Datapath, LogLevel, Pins, XdpChoice},
    interface::{self, Interface},
};
use pacs_guard_common::verdict::Verdict;
use serde_json::Value;

use crate::{
    lab::{self, Host, PATIENCE},
    load::FROM4,
    policy::{compiled, source4, text},
    wire::{WIRE, Wire, on},
};

/// Sources that the contenders of user space's making allow.
const SOURCES: u64 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wall {
    /// Nobody takes the frames: what is left is the generator's own cost.
    Nobody,
    /// The host takes every packet.
    Open,
    /// An XDP program that counts and drops.
    Bare,
    /// One that passes what is not the flood.
    Sieve,
    Guard,
    /// The guard with a million sources.
    GuardMillion,
    Ingress,
    Prerouting,
    Input,
    Ipset,
}

impl Wall {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody listens (the generator alone)",
            Self::Open => "none",
            Self::Bare | Self::Sieve => "bare XDP drop",
            Self::Guard => "pacs-guard, 1,000 sources",
            Self::GuardMillion => "pacs-guard, 1,000,000 sources",
            Self::Ingress => "nftables netdev ingress, set of 1,000",
            Self::Prerouting => "nftables raw prerouting, set of 1,000",
            Self::Input => "nftables input, set of 1,000",
            Self::Ipset => "iptables raw, ipset of 1,000",
        }
    }
}

/// What stands, until it is taken down.
enum Standing {
    Nothing,
    Program(&'static str, XdpLinkId),
    Guard,
}

/// One wall after the other at the receiving end.
pub(crate) struct Walls {
    pub(crate) wire: Wire,
    guard: Option<Guard>,
    million: Option<Guard>,
}

/// The guard as the daemon runs it, on pins of its own, so that its policy outlives its turns.
struct Guard {
    datapath: Datapath,
    pins: Pins,
    interface: Interface,
}

impl Walls {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { wire: Wire::new()?, guard: None, million: None })
    }

    /// Puts a wall up, does something before it, and takes it down, whatever came of it.
    pub(crate) fn behind<T>(&mut self, wall: Wall, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let (done, standing) = match self.raise(wall) {
            Ok(standing) => (work(self), standing),
            Err(why) => (Err(why), Standing::Nothing),
        };
        self.lower(wall, standing)?;
        done
    }

    fn raise(&mut self, wall: Wall) -> Result<Standing> {
        let receiver = self.wire.receiver.clone();
        // Without XDP and without GRO the end has no queue, and redirected frames vanish before the stack.
        let gro = if wall == Wall::Nobody { "off" } else { "on" };
        receiver.sh(&format!("ethtool -K {WIRE} gro {gro}"))?;
        match wall {
            Wall::Nobody | Wall::Open => {}
            Wall::Bare => return Ok(Standing::Program("bare", self.wire.attach("bare", &receiver)?)),
            Wall::Sieve => {
                return Ok(Standing::Program("bare_sieve", self.wire.attach("bare_sieve", &receiver)?));
            }
            Wall::Guard | Wall::GuardMillion => {
                let (guard, sources) = match wall {
                    Wall::Guard => (&mut self.guard, SOURCES),
                    _ => (&mut self.million, 1_000_000),
                };
                let guard = match guard {
                    Some(guard) => guard,
                    None => guard.insert(Guard::new(&receiver, sources)?),
                };
                on(&receiver, || Ok(guard.datapath.attach(&guard.interface, XdpChoice::Native)?))?;
                return Ok(Standing::Guard);
            }
            Wall::Ingress => nft(
                &receiver,
                "netdev",
                &format!("type filter hook ingress device \"{WIRE}\" priority filter"),
            )?,
            Wall::Prerouting => nft(&receiver, "ip", "type filter hook prerouting priority raw")?,
            Wall::Input => nft(&receiver, "ip", "type filter hook input priority filter")?,
            Wall::Ipset => {
                let mut set = String::from("create allowed hash:net\n");
                for source in sources() {
                    let _ = writeln!(set, "add allowed {source} -exist");
                }
                fs::write(receiver.dir().join("allowed.ipset"), set)?;
                receiver.sh(
                    "ipset restore -file allowed.ipset
                     iptables -t raw -A PREROUTING -p tcp --dport 104 -m set ! --match-set allowed src -j DROP",
                )?;
            }
        }
        Ok(Standing::Nothing)
    }

    fn lower(&mut self, wall: Wall, standing: Standing) -> Result<()> {
        let receiver = &self.wire.receiver.clone();
        match standing {
            Standing::Program(name, link) => self.wire.detach(name, link)?,
            Standing::Guard => {
                let guard = self.guard_of(wall).context("no guard")?;
                guard.pins.unlink(guard.interface.index)?;
            }
            Standing::Nothing => match wall {
                Wall::Ingress | Wall::Prerouting | Wall::Input => {
                    receiver.sh("nft flush ruleset")?;
                }
                Wall::Ipset => {
                    receiver.sh(
                        "iptables -t raw -F; ! command -v nft >/dev/null || nft flush ruleset; ipset destroy",
                    )?;
                }
                _ => {}
            },
        }
        // A link that lost its pin is freed a moment later.
        lab::wait_for("the wall to be gone", PATIENCE, || {
            Ok(!receiver.sh(&format!("ip link show {WIRE}"))?.contains("xdp"))
        })
    }

    fn guard_of(&self, wall: Wall) -> Option<&Guard> {
        if wall == Wall::GuardMillion { self.million.as_ref() } else { self.guard.as_ref() }
    }

    /// Packets that the wall has refused by its own count; `None` where nobody counts.
    pub(crate) fn refused(&self, wall: Wall) -> Result<Option<u64>> {
        let receiver = &self.wire.receiver;
        Ok(match wall {
            Wall::Nobody | Wall::Open => None,
            Wall::Bare | Wall::Sieve => Some(self.wire.dropped()?),
            Wall::Guard | Wall::GuardMillion => {
                let counters = self.guard_of(wall).context("no guard")?.datapath.counters()?;
                let dropped = counters.entries().filter(|(_, booking, _)| booking.verdict == Verdict::Drop);
                Some(dropped.map(|(_, _, packets)| packets).sum())
            }
            Wall::Ingress | Wall::Prerouting | Wall::Input => {
                let counters: Value = serde_json::from_str(&receiver.sh("nft -j list counters")?)?;
                let counters = counters.get("nftables").and_then(Value::as_array).context("no counters")?;
                counters.iter().find_map(|one| one.get("counter")?.get("packets")?.as_u64())
            }
            Wall::Ipset => {
                let rules = receiver.sh("iptables -t raw -nvxL PREROUTING")?;
                let rule = rules.lines().find(|line| line.contains("match-set")).context("no rule")?;
                Some(rule.split_whitespace().next().context("no count")?.parse()?)
            }
        })
    }
}

impl Guard {
    /// Loads it with so many sources in force, and the sending host.
    fn new(host: &Host, sources: u64) -> Result<Self> {
        let (image, ledger) = compiled(format!(
            "{}  sender:\n    services: [dicom]\n    sources: [{FROM4}]\n",
            text(sources, 0)
        ))?;
        let root = host.pins().join(format!("sources-{sources}"));
        on(host, || {
            let pins = Pins::here(&root)?;
            let mut datapath = Datapath::open(pins.clone(), LogLevel::Off)?;
            datapath.swap(&image, ledger, None)?;
            let interfaces = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(interface::list())?;
            let interface = interface::find(&interfaces, WIRE)?.clone();
            Ok(Self { datapath, pins, interface })
        })
    }
}

/// The sources that the other contenders allow: the guard's, and the sending host.
fn sources() -> impl Iterator<Item = String> {
    (0..SOURCES).map(source4).chain([FROM4.to_string()])
}

/// One rule at one hook: who sends to the protected port and is not in the set is dropped.
fn nft(host: &Host, family: &str, hook: &str) -> Result<()> {
    let elements = sources().collect::<Vec<_>>().join(", ");
    let rules = format!(
        "table {family} bench {{
           set allowed {{ type ipv4_addr; flags interval; auto-merge; elements = {{ {elements} }} }}
           counter refused {{ }}
           chain refuse {{
             {hook}
             tcp dport 104 ip saddr != @allowed counter name refused drop
           }}
         }}"
    );
    fs::write(host.dir().join("rules.nft"), rules)?;
    host.sh("nft -f rules.nft")?;
    Ok(())
}
