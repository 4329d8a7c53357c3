//! The protected services, and that no two of them claim the same port.

use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::{Owner, named, take};
use crate::policy::{
    document::{At, Mark, RawService, Text},
    fault::Fault,
    findings::Findings,
    model::{Service, Transport},
    prefix::prefix,
    value,
};

/// The most services of a policy.
pub(super) const MAX_SERVICES: usize = 64;
/// The most ports or port ranges of a service.
pub(super) const MAX_PORTS: usize = 16;
/// SSH.
const MANAGEMENT_PORT: u16 = 22;

/// Reads up to [`MAX_SERVICES`]; the caller books what is over.
pub(super) fn read(
    written: Vec<(At<Text<'_>>, RawService<'_>)>,
    management: bool,
    found: &mut Findings<'_>,
) -> Vec<Service> {
    let mut claims = Claims { management, taken: vec![] };
    let mut services = Vec::new();
    for (at, raw) in written.into_iter().take(MAX_SERVICES) {
        let owner = Owner::new("service", &at, &raw.slips);
        let name = named(&at, value::name, found);
        let transport = raw.transport.as_ref().and_then(|at| take(at, value::transport, found));
        let transport = transport.unwrap_or(Transport::Tcp);
        owner.fill(&raw.ports, "ports", found);
        owner.limit(&raw.ports, MAX_PORTS, "ports or port ranges", |at| at.mark, found);
        let mut ports = Vec::new();
        for at in raw.ports.iter().take(MAX_PORTS) {
            let Some(range) = take(at, value::ports, found) else {
                continue;
            };
            claims.add(transport, range.clone(), &name, at.mark, found);
            ports.push(range);
        }
        let addresses = raw.addresses.iter().filter_map(|at| take(at, prefix, found)).collect();
        let mode = raw.mode.as_ref().and_then(|at| take(at, value::mode, found));
        let reset_to = reset_to(&raw, transport, at.mark, found);
        services.push(Service {
            transport,
            ports,
            addresses,
            reset_to,
            mode,
            place: found.place(at.mark),
            name,
        });
        found.book(raw.slips);
    }
    services
}

/// `on_refuse: reset` and `reset_to` go together, and only with TCP.
fn reset_to(
    raw: &RawService<'_>,
    transport: Transport,
    service: Mark,
    found: &mut Findings<'_>,
) -> Vec<IpNet> {
    let resets = raw.on_refuse.as_ref().and_then(|at| take(at, value::resets, found)).unwrap_or(false);
    let mark = raw.on_refuse.as_ref().map_or(service, |at| at.mark);
    match raw.reset_to.first() {
        None if resets && raw.slips.is_empty() => found.push(mark, Fault::ResetToNobody),
        Some(at) if !resets => found.push(at.mark, Fault::ResetNotAsked),
        Some(_) if transport == Transport::Udp => found.push(mark, Fault::ResetUdp),
        _ => {}
    }
    raw.reset_to.iter().filter_map(|at| take(at, prefix, found)).collect()
}

/// The ports claimed so far: at most [`MAX_SERVICES`] times [`MAX_PORTS`].
struct Claims {
    management: bool,
    taken: Vec<Claim>,
}

struct Claim {
    transport: Transport,
    range: RangeInclusive<u16>,
    service: String,
    mark: Mark,
}

impl Claims {
    fn add(
        &mut self,
        transport: Transport,
        range: RangeInclusive<u16>,
        service: &str,
        mark: Mark,
        found: &mut Findings<'_>,
    ) {
        if transport == Transport::Tcp && range.contains(&MANAGEMENT_PORT) && !self.management {
            found.push(mark, Fault::ManagementPort);
        }
        let clash = self.taken.iter().find(|claim| {
            claim.transport == transport
                && claim.range.start() <= range.end()
                && range.start() <= claim.range.end()
        });
        if let Some(claim) = clash {
            let transport = match transport {
                Transport::Tcp => "TCP",
                Transport::Udp => "UDP",
            };
            let ports = match (range.start(), range.end()) {
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}-{last}"),
            };
            let fault = Fault::PortTaken { transport, ports, service: claim.service.clone() };
            found.push_with(mark, fault, Some((claim.mark, "first protected here")));
        }
        self.taken.push(Claim { transport, range, service: service.to_owned(), mark });
    }
}
