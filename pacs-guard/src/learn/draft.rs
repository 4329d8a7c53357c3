//! A draft policy from what was seen: it is in audit mode, passes `check`, and says in comments what it is made of.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    net::IpAddr,
    ops::RangeInclusive,
};

use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    Sighting, Sightings,
    prefixes::{Cover, Group, groups},
};
use crate::{
    echo::Printable,
    policy::model::{Service, Transport},
};

/// What a draft needs to know of the host.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// The interfaces to guard; may be empty, and is then left to `run --interface`.
    pub interfaces: Vec<String>,
    /// The prefixes that the host has routes to.
    pub routes: Vec<IpNet>,
}

/// The text of a policy that lets in who was seen, and reports everybody else.
///
/// A source is granted the services that it was seen at, and no more.
pub fn draft(seen: &Sightings, services: &[Service], network: &Network) -> String {
    let mut text = String::new();
    let named: Vec<(&Sighting, &Service)> =
        seen.iter().filter_map(|sighting| Some((sighting, service_of(sighting, services)?))).collect();
    head(&mut text, &named, seen, network);
    text.push_str("services:\n");
    for service in services {
        let ports = service.ports.iter().map(ports).collect::<Vec<_>>().join(", ");
        let transport = if service.transport == Transport::Udp { ", transport: udp" } else { "" };
        let _ = writeln!(text, "  {}: {{ ports: [{ports}]{transport} }}", service.name);
    }
    let mut granted: BTreeMap<IpAddr, BTreeSet<&str>> = BTreeMap::new();
    for (sighting, service) in &named {
        granted.entry(sighting.source).or_default().insert(&service.name);
    }
    let mut by_grant: BTreeMap<BTreeSet<&str>, BTreeSet<IpAddr>> = BTreeMap::new();
    for (source, grant) in granted {
        by_grant.entry(grant).or_default().insert(source);
    }
    if by_grant.is_empty() {
        text.push_str(
            "# Nobody was seen: until a segment grants a service, all of its packets are reported.\n",
        );
        return text;
    }
    text.push_str("segments:\n");
    let mut names = BTreeSet::new();
    for (grant, sources) in &by_grant {
        for group in groups(sources, &network.routes) {
            segment(&mut text, &mut names, &group, grant, &named);
        }
    }
    text
}

fn head(text: &mut String, named: &[(&Sighting, &Service)], seen: &Sightings, network: &Network) {
    let first = named.iter().filter_map(|(sighting, _)| sighting.first).min();
    let last = named.iter().filter_map(|(sighting, _)| sighting.last).max();
    text.push_str(
        "# Drafted from what was seen. Who did not speak in that time is not in it: read it line by line,\n",
    );
    text.push_str("# ask who each source is, and watch in audit mode before you write `mode: enforce`.\n");
    if let (Some(first), Some(last)) = (first, last) {
        let _ = writeln!(text, "# Seen from {} to {}.", at(first), at(last));
    }
    if seen.left_out() > 0 {
        let _ = writeln!(
            text,
            "# {} further sightings are left out: there were too many sources.",
            seen.left_out()
        );
    }
    text.push_str(
        "# AE titles are what the source says of itself. Where none is shown, none could be read.\n",
    );
    text.push_str("version: 1\nname: draft\n");
    if network.interfaces.is_empty() {
        text.push_str("# interfaces: [eth0]   # or `pacs-guard run --interface`\n");
    } else {
        let names: Vec<String> = network.interfaces.iter().map(|name| quoted(name)).collect();
        let _ = writeln!(text, "interfaces: [{}]", names.join(", "));
    }
    text.push_str("mode: audit\n");
}

fn segment<'a>(
    text: &mut String,
    names: &mut BTreeSet<String>,
    group: &Group,
    grant: &BTreeSet<&'a str>,
    named: &[(&Sighting, &'a Service)],
) {
    let _ = writeln!(text, "  {}:", name(names, &group.network));
    let whence =
        if group.routed { "a route of this host" } else { "no route of this host says how large it is" };
    let _ = writeln!(text, "    # {}: {whence}", group.network);
    text.push_str("    sources:\n");
    for cover in &group.prefixes {
        for (sighting, service) in named {
            if cover.prefix.contains(&sighting.source) && grant.contains(service.name.as_str()) {
                source(text, sighting, service);
            }
        }
        let _ = writeln!(text, "      - {}{}", quoted(&address(cover)), adds(cover));
    }
    for cover in &group.wider {
        let _ = writeln!(text, "    # wider: {} for all of these{}", address(cover), adds(cover));
    }
    let services: Vec<&str> = grant.iter().copied().collect();
    let _ = writeln!(text, "    services: [{}]", services.join(", "));
}

fn source(text: &mut String, sighting: &Sighting, service: &Service) {
    let _ = write!(text, "      # {}: {} port {}", sighting.source, service.name, sighting.port);
    if let Some(packets) = sighting.packets {
        let _ = write!(text, ", {packets} packets");
    }
    let plural = if sighting.connections == 1 { "" } else { "s" };
    let _ = write!(text, ", {} connection{plural}", sighting.connections);
    if let (Some(first), Some(last)) = (sighting.first, sighting.last) {
        let _ = write!(text, ", {} to {}", at(first), at(last));
    }
    text.push('\n');
    for association in &sighting.associations {
        let (calling, called) = (Printable(&association.calling), Printable(&association.called));
        let _ = writeln!(text, "      #   as {calling}, calling {called}");
    }
    if sighting.more_associations {
        text.push_str("      #   and under more titles: a router or NAT?\n");
    }
}

/// One that no other segment has.
fn name(names: &mut BTreeSet<String>, network: &IpNet) -> String {
    let base: String =
        network.to_string().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let base = format!("net-{base}");
    let name = (1..).map(|n| if n == 1 { base.clone() } else { format!("{base}-{n}") });
    let free = name.into_iter().find(|name| !names.contains(name)).unwrap_or(base);
    names.insert(free.clone());
    free
}

fn address(cover: &Cover) -> String {
    if cover.prefix.prefix_len() == cover.prefix.max_prefix_len() {
        cover.prefix.addr().to_string()
    } else {
        cover.prefix.to_string()
    }
}

fn adds(cover: &Cover) -> String {
    match cover.unseen {
        0 => String::new(),
        u64::MAX => "   # adds more addresses than can be counted".to_owned(),
        unseen => format!("   # {} seen, adds {unseen} that were not", cover.seen),
    }
}

/// YAML would read a colon as a mapping.
fn quoted(text: &str) -> String {
    if text.contains(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '/' | '-' | '_')) {
        format!("\"{text}\"")
    } else {
        text.to_owned()
    }
}

fn ports(range: &RangeInclusive<u16>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{}-{}", range.start(), range.end())
    }
}

fn at(time: Timestamp) -> String {
    time.strftime("%F %TZ").to_string()
}

/// The service that a sighting was at.
fn service_of<'a>(sighting: &Sighting, services: &'a [Service]) -> Option<&'a Service> {
    services.iter().find(|service| {
        service.transport.protocol() == sighting.protocol
            && service.ports.iter().any(|ports| ports.contains(&sighting.port))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{learn::Association, policy};

    fn services(text: &str) -> Vec<Service> {
        let policy = format!("version: 1\nname: p\ninterfaces: [eth0]\nmode: audit\nservices:\n{text}");
        policy::parse(Path::new("p.yaml"), policy).unwrap().policy.services
    }

    fn sighting(source: &str, port: u16) -> Sighting {
        Sighting {
            connections: 2,
            packets: Some(9),
            ..Sighting::new(source.parse().unwrap(), port, 6, Some(Timestamp::UNIX_EPOCH))
        }
    }

    #[test]
    fn a_draft_is_a_policy_that_grants_what_was_seen_and_no_more() {
        let services = services("  dicom: { ports: [104, 4000-4010] }\n  web: { ports: [8042] }\n");
        let mut seen = Sightings::default();
        for host in 8..14 {
            seen.add(sighting(&format!("10.20.0.{host}"), 104));
        }
        let mut named = sighting("10.20.0.12", 104);
        named.associate(Association { calling: "CT\n1".into(), called: "ARCHIVE".into() });
        seen.add(named);
        seen.add(sighting("10.30.0.7", 8042));
        seen.add(sighting("10.30.0.7", 4004));
        seen.add(sighting("2001:db8::7", 104));
        seen.add(sighting("10.99.0.1", 22));
        let network =
            Network { interfaces: vec!["eth0".into()], routes: vec!["10.20.0.0/20".parse().unwrap()] };
        let text = draft(&seen, &services, &network);
        println!("{text}");
        let checked = policy::parse(Path::new("draft.yaml"), text.clone()).unwrap();
        assert_eq!(checked.warnings.len(), 0, "{}", checked.render(false));
        let segments: Vec<_> = checked
            .policy
            .segments
            .iter()
            .map(|segment| {
                let sources: Vec<String> =
                    segment.sources.iter().map(|source| source.prefix.to_string()).collect();
                (segment.name.as_str(), sources.join(" "), segment.services.clone())
            })
            .collect();
        assert_eq!(
            segments,
            [
                ("net-10-20-0-0-20", "10.20.0.8/29".into(), vec![0]),
                ("net-2001-db8---64", "2001:db8::7/128".into(), vec![0]),
                ("net-10-30-0-0-24", "10.30.0.7/32".into(), vec![0, 1]),
            ]
        );
        for line in [
            "      - 10.20.0.8/29   # 6 seen, adds 2 that were not",
            "    # wider: 10.20.0.0/20 for all of these   # 6 seen, adds 4090 that were not",
            "      # 10.20.0.8: dicom port 104, 9 packets, 2 connections, 1970-01-01 00:00:00Z to 1970-01-01 00:00:00Z",
            "      #   as CT\\u{a}1, calling ARCHIVE",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn nobody_seen_is_a_policy_too() {
        let services = services("  dicom: { ports: [104] }\n");
        let text = draft(&Sightings::default(), &services, &Network::default());
        policy::parse(Path::new("draft.yaml"), text).unwrap();
    }

    #[test]
    fn names_of_long_networks_are_names() {
        let mut names = BTreeSet::new();
        let long = "2001:db8:1111:2222:3333:4444:5555:0/112".parse().unwrap();
        for _ in 0..3 {
            assert!(name(&mut names, &long).len() <= 63);
        }
        assert_eq!(names.len(), 3);
    }
}
