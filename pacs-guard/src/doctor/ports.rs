//! Whether answers to this host's own connections would be judged: protected ports that it gives out itself.

use std::{collections::BTreeSet, ops::RangeInclusive};

use super::finding::{Finding, Group};
use crate::{
    host::LocalPorts,
    policy::model::{Mode, Policy, Service},
};

pub(super) fn check(ports: &LocalPorts, policy: &Policy) -> Vec<Finding> {
    let (first, last) = (ports.range.start(), ports.range.end());
    let mut cut: Vec<RangeInclusive<u16>> = Vec::new();
    let mut findings = Vec::new();
    for service in &policy.services {
        let own = service.ports.iter().filter(|range| (*range).clone().any(|port| ports.gives_out(port)));
        let own: Vec<_> = own.cloned().collect();
        if own.is_empty() {
            continue;
        }
        let finding = if drops(policy, service) { Finding::stop } else { Finding::warn };
        findings.push(finding(
            Group::Ports,
            "port-in-local-range",
            format!(
                "service {} protects {}, within ip_local_port_range {first}-{last}",
                service.name,
                list(&own)
            ),
            "the answers to connections that this host opens from such a port (C-MOVE, C-STORE to a \
             workstation) would be refused, now and then and without a pattern"
                .to_owned(),
        ));
        cut.extend(own);
    }
    if findings.is_empty() {
        let what = format!(
            "no protected port is given to outgoing connections (ip_local_port_range {first}-{last})"
        );
        return vec![Finding::ok(Group::Ports, "local-ports", what)];
    }
    cut.extend(ports.reserved.iter().cloned());
    let fix = format!("sysctl -w net.ipv4.ip_local_reserved_ports={}", list(&cut));
    findings.into_iter().map(|finding| finding.fix(&fix)).collect()
}

/// Whether any packet to a service is dropped, and not only reported.
fn drops(policy: &Policy, service: &Service) -> bool {
    let modes = policy.segments.iter().map(|segment| segment.mode);
    service.mode.unwrap_or(policy.mode) == Mode::Enforce || modes.flatten().any(|mode| mode == Mode::Enforce)
}

/// Ports and ranges in order, as sysctl takes them.
fn list(ranges: &[RangeInclusive<u16>]) -> String {
    let ranges: BTreeSet<(u16, u16)> = ranges.iter().map(|range| (*range.start(), *range.end())).collect();
    let words = ranges.into_iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    words.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Severity, sample};

    #[test]
    fn a_protected_port_in_the_range_must_be_reserved() {
        let policy = sample::policy("ports: [104, 40000, 50000-50002]");
        let mut ports = LocalPorts { range: 32768..=60999, reserved: vec![45000..=45000] };
        let found = check(&ports, &policy);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].id, found[0].severity), ("port-in-local-range", Severity::Fail));
        let fix = "sysctl -w net.ipv4.ip_local_reserved_ports=40000,45000,50000-50002";
        assert_eq!(found[0].fix.as_deref(), Some(fix), "what is reserved already stays reserved");

        ports.reserved = vec![40000..=40000, 50000..=50001];
        let found = check(&ports, &policy);
        assert!(found[0].what.contains("50000-50002") && !found[0].what.contains("40000,"), "{found:?}");

        ports.reserved.push(50002..=50002);
        assert_eq!(check(&ports, &policy)[0].severity, Severity::Ok);
    }
}
