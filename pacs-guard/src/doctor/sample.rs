//! A host in good order, from which each test departs in one place.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use jiff::Timestamp;

use super::{Clock, Facts, Nic, Program};
use crate::{
    host::{Address, DriverXdp, Forwarding, Listener, LocalPorts, Network, Owner},
    interface::Interface,
    policy::{self, model::Policy},
};

/// `lo` (index 1) and `eth0` (2, guarded once `run` starts), and `storescp` on port 104 of both families.
pub(super) fn facts() -> Facts {
    let lo = Interface { loopback: true, ..interface(1, "lo", None) };
    let address = |interface, text: &str| Address { interface, address: text.parse().unwrap() };
    Facts {
        kernel: "6.18".into(),
        supports: Vec::new(),
        load: Some(Ok(Some(1))),
        missing_capabilities: Vec::new(),
        on_bpffs: true,
        bpffs_mountable: false,
        pins: "/pins".into(),
        network: Network {
            interfaces: vec![lo, interface(2, "eth0", None)],
            addresses: vec![address(1, "127.0.0.1"), address(2, "10.0.0.1"), address(2, "fd00::1")],
            listeners: vec![listener("::", 104, "storescp")],
        },
        nics: vec![Nic {
            index: 2,
            driver: Some(DriverXdp { native: true, multi_buffer: true }),
            strips_vlan: Some(false),
            program: Program::None,
        }],
        guarded: Vec::new(),
        connections: Vec::new(),
        local_ports: LocalPorts { range: 32768..=60999, reserved: Vec::new() },
        translations: Vec::new(),
        ipsec: Ok(0),
        forwarding: Forwarding::default(),
        clock: Clock { now: Timestamp::now(), policy_written: None },
        systemd: true,
    }
}

/// An Ethernet interface that is up.
pub(super) fn interface(index: u32, name: &str, kind: Option<&str>) -> Interface {
    Interface {
        index,
        name: name.into(),
        has_ethernet_header: true,
        mtu: 1500,
        up: true,
        kind: kind.map(str::to_owned),
        ..Interface::default()
    }
}

/// A listener of process 7; `::` is dual-stack.
pub(super) fn listener(address: &str, port: u16, program: &str) -> Listener {
    Listener {
        address: address.parse().unwrap(),
        port,
        dual_stack: address == "::",
        interface: None,
        inode: 1,
        owner: Some(Owner { pid: 7, name: program.into() }),
    }
}

/// A policy for `eth0` with one service, for a segment of both families.
pub(super) fn policy(service: &str) -> Policy {
    let text = format!(
        "version: 1\nname: sample\ninterfaces: [eth0]\nmode: enforce\nservices:\n  dicom: {{ {service} }}\n\
         segments:\n  ct: {{ sources: [10.20.0.0/24, \"2001:db8::/64\"], services: [dicom] }}\n"
    );
    policy::parse(Path::new("sample.yaml"), text).unwrap().policy
}
