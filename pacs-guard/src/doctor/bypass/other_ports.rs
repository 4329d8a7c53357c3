//! Other ports that lead to a protected one: XDP sees the port before it is translated, and lets them pass.

use std::{io, net::IpAddr};

use super::{GROUP, on_port, words};
use crate::{
    doctor::{Facts, finding::Finding, listeners::says},
    host::{Listener, Translation},
    policy::model::{Policy, Service},
};

/// Rules that lead from an unprotected port to a protected one.
pub(super) fn translations(facts: &Facts, policy: &Policy) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut unseen = Vec::new();
    for rules in &facts.translations {
        match &rules.found {
            Ok(found) => findings.extend(found.iter().filter_map(|rule| translation(rule, policy))),
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                unseen.push(format!("{} is not installed", rules.program));
            }
            Err(why) => unseen.push(format!("{}: {why}", rules.program)),
        }
    }
    if !unseen.is_empty() {
        findings.push(Finding::note(
            GROUP,
            "rules-not-looked-at",
            format!("not every rule of port translation was looked at: {}", unseen.join("; ")),
            "a rule that leads from another port to a protected one is a way round",
        ));
    }
    findings
}

/// A rule that leads from an unprotected port to a protected one: XDP sees the port before it is translated.
fn translation(rule: &Translation, policy: &Policy) -> Option<Finding> {
    const WHY: &str = "the guard sees the port before it is translated, and lets an unprotected one pass";
    let open: Vec<String> = rule
        .from
        .iter()
        .filter(|range| (*range).clone().any(|port| on_port(policy, port).is_none()))
        .map(words)
        .collect();
    if open.is_empty() && !rule.from.is_empty() {
        return None;
    }
    let from = if open.is_empty() { "any port".to_owned() } else { format!("port {}", open.join(", ")) };
    let Some(to) = &rule.to else {
        let what = format!("{} leads {from} to a port that depends on the packet", rule.rule);
        return Some(Finding::warn(GROUP, "translated-port-unknown", what, WHY));
    };
    let (port, service) = to.clone().find_map(|port| Some((port, on_port(policy, port)?)))?;
    let at = rule.address.map_or_else(String::new, |address| format!(" at {address}"));
    let what = format!("{} leads {from} to the protected port {port}{at}", rule.rule);
    let finding = Finding::fail(GROUP, "translated-port", what, WHY);
    Some(if open.is_empty() { finding } else { finding.fix(with_port(service, &open)) })
}

/// The policy's line of a service with ports more.
fn with_port(service: &Service, more: &[String]) -> String {
    let own = service.ports.iter().map(words);
    let ports: Vec<String> = own.chain(more.iter().cloned()).collect();
    format!("services: {{ {}: {{ ports: [{}] }} }}", service.name, ports.join(", "))
}

/// Processes that listen on an unprotected port and are connected to a protected one of this host.
pub(super) fn proxies(facts: &Facts, policy: &Policy) -> Vec<Finding> {
    let network = &facts.network;
    let here =
        |address: IpAddr| address.is_loopback() || network.addresses.iter().any(|own| own.address == address);
    let mut findings: Vec<Finding> = Vec::new();
    for connection in &facts.connections {
        let (Some(owner), Some(service)) = (&connection.owner, on_port(policy, connection.peer.port()))
        else {
            continue;
        };
        let own = || network.listeners.iter().filter(|listener| listener.owner.as_ref() == Some(owner));
        // An archive that speaks to itself is none.
        if !here(connection.peer.ip()) || own().any(|listener| listener.port == connection.peer.port()) {
            continue;
        }
        let outer =
            |listener: &&Listener| !listener.is_loopback() && on_port(policy, listener.port).is_none();
        for listener in own().filter(outer) {
            let what = format!(
                "{} and is connected to the protected port {}",
                says(listener),
                connection.peer.port()
            );
            let why = "it may be a proxy: whoever reaches it may reach the service, and comes from this host";
            let finding = Finding::warn(GROUP, "proxy-to-protected-port", what, why);
            let finding = finding.fix(with_port(service, &[listener.port.to_string()]));
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
    findings
}
