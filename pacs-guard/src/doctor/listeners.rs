//! The services that listen on this host, and the ones that look like DICOM and are in no policy.

use std::{collections::BTreeMap, net::IpAddr};

use super::finding::{Finding, Group};
use crate::{
    host::{Listener, Network},
    policy::model::{Policy, Service, Transport},
};

/// DICOM, DICOM over TLS and over ISCL in the registry of ports (IANA).
const REGISTERED: [u16; 4] = [104, 11112, 2762, 2761];
/// Ports that archives written in Java, and those of unknown programs, listen on as they come.
const USUAL: [u16; 8] = [104, 11112, 2762, 2761, 4242, 8042, 8080, 8443];
/// Programs that speak DICOM wherever they listen (DCMTK, Orthanc, dcm4che).
const PROGRAMS: [&str; 9] = [
    "storescp", "dcmqrscp", "dcmrecv", "wlmscpfs", "ppsscpfs", "dcmpsrcv", "dcmprscp", "orthanc", "dcm4chee",
];

const GROUP: Group = Group::Listeners;

pub(super) fn check(network: &Network, policy: Option<&Policy>) -> Vec<Finding> {
    let mut findings = Vec::new();
    // One process may listen for IPv4 and for IPv6.
    let listeners: BTreeMap<(u16, Option<&str>), &Listener> = network
        .listeners
        .iter()
        .rev()
        .map(|listener| ((listener.port, listener.program()), listener))
        .collect();
    for listener in listeners.into_values() {
        let service = policy.and_then(|policy| service(policy, listener));
        match service {
            Some(service) => {
                let what = format!("{}: service {}", says(listener), service.name);
                findings.push(Finding::ok(GROUP, "protected-listener", what));
            }
            None if !listener.is_loopback() && looks_like_dicom(listener) => {
                findings.push(unprotected(listener));
            }
            None => {}
        }
    }
    for service in policy.iter().flat_map(|policy| &policy.services) {
        let has = |listener: &Listener| service.ports.iter().any(|range| range.contains(&listener.port));
        if service.transport == Transport::Tcp && !network.listeners.iter().any(has) {
            findings.push(Finding::note(
                GROUP,
                "nothing-listens",
                format!("nothing listens on a port of service {}", service.name),
                "it may be behind this host, in a container, or not started",
            ));
        }
    }
    findings
}

/// The TCP service that protects a listener.
pub(super) fn service<'a>(policy: &'a Policy, listener: &Listener) -> Option<&'a Service> {
    policy.services.iter().find(|service| {
        service.transport == Transport::Tcp
            && service.ports.iter().any(|range| range.contains(&listener.port))
            && (listener.address.is_unspecified() || protects(service, listener.address))
    })
}

/// Whether a service is protected at a destination.
pub(super) fn protects(service: &Service, address: IpAddr) -> bool {
    service.addresses.is_empty() || service.addresses.iter().any(|prefix| prefix.contains(&address))
}

/// Who listens where.
pub(super) fn says(listener: &Listener) -> String {
    let at = match listener.address {
        address if address.is_unspecified() => String::new(),
        address => format!(" at {address}"),
    };
    match &listener.owner {
        Some(owner) => format!("{} (process {}) listens on {}{at}", owner.name, owner.pid, listener.port),
        None => format!("a process that can't be named listens on {}{at}", listener.port),
    }
}

fn looks_like_dicom(listener: &Listener) -> bool {
    let is = |name: &str, program: &str| name.eq_ignore_ascii_case(program);
    match listener.program() {
        _ if REGISTERED.contains(&listener.port) => true,
        Some(name) if PROGRAMS.iter().any(|program| is(name, program)) => true,
        Some(name) => is(name, "java") && USUAL.contains(&listener.port),
        None => USUAL.contains(&listener.port),
    }
}

fn unprotected(listener: &Listener) -> Finding {
    let name = listener.program().unwrap_or("a process");
    Finding::warn(
        GROUP,
        "dicom-listener-unprotected",
        format!("{name} listens on {}, and no service names it", listener.port),
        "it looks like DICOM, and whoever reaches this host reaches it",
    )
    .fix(format!("services: {{ dicom-{0}: {{ ports: [{0}] }} }}", listener.port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample;

    fn found(listener: Listener) -> Vec<(&'static str, String)> {
        let network = Network { listeners: vec![listener], ..Network::default() };
        let findings = check(&network, Some(&sample::policy("ports: [104], addresses: [10.0.0.1/32]")));
        let relevant = findings.into_iter().filter(|found| found.id != "nothing-listens");
        relevant.map(|found| (found.id, found.what)).collect()
    }

    #[test]
    fn dicom_outside_the_policy_is_named() {
        let words = |name: &str, port| format!("{name} listens on {port}, and no service names it");
        for (name, port) in [("storescp", 4006), ("Orthanc", 8042), ("java", 8080), ("python3", 11112)] {
            let expected = vec![("dicom-listener-unprotected", words(name, port))];
            assert_eq!(found(sample::listener("::", port, name)), expected);
        }
    }

    #[test]
    fn what_is_no_dicom_is_left_alone() {
        for (address, port, name) in
            [("::", 22, "sshd"), ("::", 9999, "java"), ("127.0.0.1", 4006, "storescp")]
        {
            assert_eq!(found(sample::listener(address, port, name)), []);
        }
    }

    #[test]
    fn a_protected_listener_is_fine_where_the_service_covers_its_address() {
        assert_eq!(found(sample::listener("::", 104, "storescp"))[0].0, "protected-listener");
        assert_eq!(found(sample::listener("10.0.0.1", 104, "storescp"))[0].0, "protected-listener");
        assert_eq!(found(sample::listener("10.0.0.2", 104, "storescp"))[0].0, "dicom-listener-unprotected");
    }

    #[test]
    fn a_service_without_a_listener_is_noted() {
        let findings = check(&Network::default(), Some(&sample::policy("ports: [104]")));
        assert_eq!(findings.iter().map(|found| found.id).collect::<Vec<_>>(), ["nothing-listens"]);
    }
}
