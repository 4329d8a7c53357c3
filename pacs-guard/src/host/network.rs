//! How this host is reached: interfaces, addresses and listeners together.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Address, HostError, Listener, addresses, listeners};
use crate::interface::{self, Interface};

/// What of this host other hosts can reach.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// The interfaces.
    pub interfaces: Vec<Interface>,
    /// Their addresses.
    pub addresses: Vec<Address>,
    /// The listening TCP sockets.
    pub listeners: Vec<Listener>,
}

/// An interface over which a protected listener is reached and on which nothing is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uncovered {
    /// The interface's name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// What made it; none for a card.
    pub kind: Option<String>,
    /// The protected ports that answer on it, in order.
    pub reachable_ports: Vec<u16>,
}

impl std::fmt::Display for Uncovered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ports: Vec<String> = self.reachable_ports.iter().map(u16::to_string).collect();
        write!(f, "{}: port {} answers there, and nothing is judged", self.name, ports.join(", "))
    }
}

impl Network {
    /// Looks at this network namespace: a few netlink questions.
    pub async fn look() -> Result<Self, HostError> {
        Ok(Self {
            interfaces: interface::list().await?,
            addresses: addresses().await?,
            listeners: listeners()?,
        })
    }

    /// The interface with an index.
    pub fn interface(&self, index: u32) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.index == index)
    }

    /// The ways round the guard, where the program is on the interfaces `guarded`.
    pub fn uncovered(&self, guarded: &[u32], protects: impl Fn(u16) -> bool) -> Vec<Uncovered> {
        let open = self
            .interfaces
            .iter()
            .filter(|interface| interface.up && !interface.loopback && !self.is_covered(interface, guarded));
        let reached = open.map(|interface| Uncovered {
            name: interface.name.clone(),
            index: interface.index,
            kind: interface.kind.clone(),
            reachable_ports: self.reachable(interface, &protects),
        });
        reached.filter(|uncovered| !uncovered.reachable_ports.is_empty()).collect()
    }

    /// Whether all that comes in by an interface has passed the program, there or below it.
    pub fn is_covered(&self, interface: &Interface, guarded: &[u32]) -> bool {
        /// Kinds whose frames arrive on the lower interface as they are: the program there reads VLAN tags too.
        const TRANSPARENT: [&str; 4] = ["vlan", "macvlan", "macvtap", "ipvlan"];
        /// Kinds whose frames arrive on one of their ports.
        const OF_PORTS: [&str; 3] = ["bond", "team", "bridge"];
        if guarded.contains(&interface.index) {
            return true;
        }
        match interface.kind.as_deref() {
            Some(kind) if TRANSPARENT.contains(&kind) => {
                let lower = interface.lower.and_then(|index| self.interface(index));
                lower.is_some_and(|lower| self.is_covered(lower, guarded))
            }
            Some(kind) if OF_PORTS.contains(&kind) => {
                let mut ports = self.ports(interface).filter(|port| port.up).peekable();
                ports.peek().is_some() && ports.all(|port| self.is_covered(port, guarded))
            }
            // A port of a bond that carries the program has it by the bond.
            _ => interface.controller.and_then(|index| self.interface(index)).is_some_and(|controller| {
                controller.kind.as_deref() == Some("bond") && guarded.contains(&controller.index)
            }),
        }
    }

    /// The ports of a bridge or bond.
    pub fn ports(&self, controller: &Interface) -> impl Iterator<Item = &Interface> {
        self.interfaces.iter().filter(|port| port.controller == Some(controller.index))
    }

    /// The protected ports that answer on an interface.
    ///
    /// Linux answers on every interface for every address of the host, so it is the address family that counts,
    /// save for link-local addresses and sockets that are bound to an interface.
    fn reachable(&self, interface: &Interface, protects: impl Fn(u16) -> bool) -> Vec<u16> {
        let own = || self.addresses.iter().filter(|address| address.interface == interface.index);
        let ipv4 = own().any(|own| own.address.is_ipv4());
        let ipv6 = own().any(|own| own.address.is_ipv6());
        let answers = |listener: &&Listener| {
            let link_local =
                matches!(listener.address, std::net::IpAddr::V6(address) if address.is_unicast_link_local());
            listener.interface.is_none_or(|index| index == interface.index)
                && (!link_local || own().any(|own| own.address == listener.address))
                && (ipv4 && listener.takes_ipv4() || ipv6 && listener.takes_ipv6())
        };
        let ports = self.listeners.iter().filter(|listener| protects(listener.port)).filter(answers);
        ports.map(|listener| listener.port).collect::<BTreeSet<_>>().into_iter().collect()
    }
}
