//! Ways round the guard: what reaches a protected service and is not judged, and what is judged and should not be.

use std::{net::IpAddr, ops::RangeInclusive};

use super::{
    Facts,
    finding::{Finding, Group},
    listeners::{protects, says},
};
use crate::{
    host::{Forwarding, Listener, Uncovered},
    policy::model::{Policy, Service, Transport},
};

mod other_ports;

const GROUP: Group = Group::WaysRound;

/// Interfaces whose packets arrive inside other packets, which pass on the card as UDP, GRE or ESP.
const TUNNELS: [&str; 15] = [
    "wireguard",
    "gre",
    "gretap",
    "ip6gre",
    "ip6gretap",
    "vxlan",
    "geneve",
    "ipip",
    "ip6tnl",
    "sit",
    "vti",
    "vti6",
    "xfrm",
    "tun",
    "ppp",
];

pub(super) fn check(facts: &Facts, policy: &Policy) -> Vec<Finding> {
    let mut findings = interfaces(facts, policy);
    findings.extend(ipsec(facts, policy));
    findings.extend(other_ports::translations(facts, policy));
    findings.extend(other_ports::proxies(facts, policy));
    findings.extend(addresses(facts, policy));
    findings.extend(ipv6(facts, policy));
    findings.extend(forwarding(&facts.forwarding, policy));
    if findings.iter().all(|found| found.severity <= super::Severity::Note) {
        findings.insert(0, Finding::ok(GROUP, "no-way-round", "no way round the guard was found"));
    }
    findings
}

fn on_port(policy: &Policy, port: u16) -> Option<&Service> {
    let mut services = policy.services.iter().filter(|service| service.transport == Transport::Tcp);
    services.find(|service| service.ports.iter().any(|range| range.contains(&port)))
}

fn interfaces(facts: &Facts, policy: &Policy) -> Vec<Finding> {
    // The policy's own count as guarded: what stands in the way there is said elsewhere.
    let named = facts.network.interfaces.iter().filter(|found| policy.interfaces.contains(&found.name));
    let named = named.filter(|found| found.has_ethernet_header).map(|found| found.index);
    let guarded: Vec<u32> = named.chain(facts.guarded.iter().copied()).collect();
    let uncovered = facts.network.uncovered(&guarded, |port| on_port(policy, port).is_some());
    let is_tunnel = |kind: Option<&str>| kind.is_some_and(|kind| TUNNELS.contains(&kind));
    let mut findings: Vec<Finding> = uncovered
        .iter()
        .map(|open| {
            let ports: Vec<String> = open.reachable_ports.iter().map(u16::to_string).collect();
            let ports = ports.join(", ");
            let fix = cover(facts, policy, open, &ports);
            match open.kind.as_deref() {
                kind if is_tunnel(kind) => Finding::fail(
                    GROUP,
                    "tunnel-ends-here",
                    format!(
                        "{}: a tunnel ({}) ends here, and port {ports} answers in it",
                        open.name,
                        kind.unwrap_or("?")
                    ),
                    "what comes out of it has passed the guard inside other packets",
                ),
                _ => Finding::fail(
                    GROUP,
                    "uncovered-interface",
                    format!("{}: port {ports} answers there, and no program is on it", open.name),
                    "whoever comes in by it is not judged",
                ),
            }
            .fix(fix)
        })
        .collect();
    let quiet = facts.network.interfaces.iter().filter(|found| {
        found.up
            && is_tunnel(found.kind.as_deref())
            && !guarded.contains(&found.index)
            && uncovered.iter().all(|open| open.index != found.index)
    });
    findings.extend(quiet.map(|found| {
        Finding::note(
            GROUP,
            "tunnel-ends-here",
            format!("{}: a tunnel ({}) ends here", found.name, found.kind.as_deref().unwrap_or("?")),
            "no protected port answers in it now; what comes out of it is not judged",
        )
    }));
    findings
}

/// A line that closes an interface: the policy's where the program can go on it, else a rule of nftables.
fn cover(facts: &Facts, policy: &Policy, open: &Uncovered, ports: &str) -> String {
    let found = facts.network.interface(open.index);
    if found.is_some_and(|found| found.has_ethernet_header) {
        let bridge = found.filter(|found| found.kind.as_deref() == Some("bridge"));
        let more: Vec<&str> = match bridge {
            Some(bridge) => facts.network.ports(bridge).map(|port| port.name.as_str()).collect(),
            None => vec![open.name.as_str()],
        };
        let more = more.into_iter().filter(|name| policy.interfaces.iter().all(|named| named != name));
        let all: Vec<&str> = policy.interfaces.iter().map(String::as_str).chain(more).collect();
        return format!("interfaces: [{}]", all.join(", "));
    }
    drop_rule(&format!("iifname \"{}\"", open.name), ports)
}

/// A line for a shell that refuses TCP connections to ports, where something matches.
fn drop_rule(matches: &str, ports: &str) -> String {
    format!(
        "nft 'add table inet pacs_round; add chain inet pacs_round input {{ type filter hook input priority -10; }}; \
         add rule inet pacs_round input {matches} tcp dport {{ {ports} }} drop'"
    )
}

/// What IPsec decrypts comes in once more, behind the guard, by the same interface.
fn ipsec(facts: &Facts, policy: &Policy) -> Option<Finding> {
    const ID: &str = "ipsec-ends-here";
    match facts.ipsec {
        Ok(0) => None,
        Ok(count) => {
            let services = policy.services.iter().filter(|service| service.transport == Transport::Tcp);
            let ports: Vec<String> = services.flat_map(|service| service.ports.iter().map(words)).collect();
            let what = format!("IPsec runs here, with {count} security associations");
            let why = "what IPsec decrypts has passed the guard as ESP, and is not judged";
            let finding = Finding::warn(GROUP, ID, what, why);
            Some(finding.fix(drop_rule("meta ipsec exists", &ports.join(", "))))
        }
        Err(ref why) => {
            let what = format!("whether IPsec ends here is not known: {why}");
            Some(Finding::note(GROUP, ID, what, "what it decrypts would not be judged"))
        }
    }
}

/// A port or a range of ports, as the policy says it.
fn words(range: &RangeInclusive<u16>) -> String {
    if range.start() == range.end() {
        return range.start().to_string();
    }
    format!("{}-{}", range.start(), range.end())
}

/// Addresses of this host that a service's `addresses:` leave out, and where it answers.
fn addresses(facts: &Facts, policy: &Policy) -> Vec<Finding> {
    let network = &facts.network;
    let mut findings = Vec::new();
    for service in policy.services.iter().filter(|service| !service.addresses.is_empty()) {
        let answers = |address: IpAddr| {
            network.listeners.iter().any(|listener| {
                on_port(policy, listener.port) == Some(service)
                    && (listener.address == address
                        || listener.address.is_unspecified()
                            && if address.is_ipv4() { listener.takes_ipv4() } else { listener.takes_ipv6() })
            })
        };
        let open: Vec<String> = network
            .addresses
            .iter()
            .map(|own| own.address)
            .filter(|address| !address.is_loopback() && !protects(service, *address) && answers(*address))
            .map(|address| address.to_string())
            .collect();
        if !open.is_empty() {
            findings.push(
                Finding::warn(
                    GROUP,
                    "address-not-protected",
                    format!(
                        "service {} answers at {} too, which its `addresses:` leave out",
                        service.name,
                        open.join(", ")
                    ),
                    "there nobody is judged",
                )
                .fix(format!("addresses: [{}]", all_addresses(service, &open))),
            );
        }
    }
    findings
}

fn all_addresses(service: &Service, more: &[String]) -> String {
    let own = service.addresses.iter().map(|prefix| format!("\"{prefix}\""));
    own.chain(more.iter().map(|address| format!("\"{address}\""))).collect::<Vec<_>>().join(", ")
}

/// Services that answer over IPv6, while the policy knows no IPv6 source.
fn ipv6(facts: &Facts, policy: &Policy) -> Option<Finding> {
    let mut sources = policy.segments.iter().flat_map(|segment| &segment.sources);
    let is_global = |address: &IpAddr| match address {
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
        IpAddr::V4(_) => false,
    };
    let own = facts.network.addresses.iter().map(|own| own.address).find(is_global)?;
    if sources.any(|source| source.prefix.addr().is_ipv6()) {
        return None;
    }
    let protected = |listener: &&Listener| on_port(policy, listener.port).is_some() && listener.takes_ipv6();
    let listener = facts.network.listeners.iter().find(protected)?;
    let prefix = ipnet::IpNet::new(own, 64).ok()?.trunc();
    let example = policy.segments.first().and_then(|segment| segment.sources.first());
    let example = example.map_or_else(String::new, |source| format!("{}, ", source.prefix));
    Some(
        Finding::warn(
            GROUP,
            "ipv6-without-sources",
            format!("{} over IPv6 too, and the policy has only IPv4 sources", says(listener)),
            format!("a peer that comes by IPv6 is in no segment, and refused; this host is {own}"),
        )
        .fix(format!("sources: [{example}\"{prefix}\"]")),
    )
}

pub(super) fn forwarding(forwarding: &Forwarding, policy: &Policy) -> Vec<Finding> {
    let mut findings = Vec::new();
    let wide: Vec<&str> = policy
        .services
        .iter()
        .filter(|service| service.addresses.is_empty())
        .map(|service| service.name.as_str())
        .collect();
    let settings =
        [(forwarding.ipv4, "net.ipv4.ip_forward"), (forwarding.ipv6, "net.ipv6.conf.all.forwarding")];
    for (_, setting) in settings.into_iter().filter(|(on, _)| *on && !wide.is_empty()) {
        findings.push(
            Finding::warn(
                GROUP,
                "forwards-packets",
                format!("{setting} is on, and {} protected for every destination", is_are(&wide)),
                "packets that this host only passes on are judged too, and the answers to connections that it \
                 translates may come to a protected port; narrow the services by `addresses:`, or switch it off",
            )
            .fix(format!("sysctl -w {setting}=0")),
        );
    }
    let cards = |names: &[String]| {
        let wanted = names.iter().filter(|name| policy.interfaces.contains(name));
        wanted.map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    if !forwarding.source_routed.is_empty() {
        findings.push(
            Finding::warn(
                GROUP,
                "source-routes",
                format!("packets with a source route are taken on {}", forwarding.source_routed.join(", ")),
                "a sender can then choose the way of the answers, and so borrow an allowed address",
            )
            .fix("sysctl -w net.ipv4.conf.all.accept_source_route=0"),
        );
    }
    let unfiltered = cards(&forwarding.unfiltered);
    if !unfiltered.is_empty() {
        findings.push(
            Finding::note(
                GROUP,
                "no-reverse-path-filter",
                format!("{unfiltered}: no reverse path filter"),
                "a packet may come in by it with a source that lies elsewhere; an allowlist is no authentication",
            )
            .fix("sysctl -w net.ipv4.conf.all.rp_filter=1"),
        );
    }
    findings
}

fn is_are(names: &[&str]) -> String {
    format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests;
