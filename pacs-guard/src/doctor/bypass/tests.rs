//! Ways round the guard, each found and nothing else.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{io, net::SocketAddr};

use super::*;
use crate::{
    doctor::{Severity, sample},
    host::{Address, Connection, Owner, Rules, Translation},
};

fn findings(service: &str, change: impl FnOnce(&mut Facts)) -> Vec<Finding> {
    let mut facts = sample::facts();
    change(&mut facts);
    check(&facts, &sample::policy(service))
}

fn ids(change: impl FnOnce(&mut Facts)) -> Vec<&'static str> {
    findings("ports: [104]", change).iter().map(|found| found.id).collect()
}

/// Another interface with an address.
fn second(kind: Option<&'static str>) -> impl Fn(&mut Facts) {
    move |facts| {
        facts.network.interfaces.push(sample::interface(3, "eth1", kind));
        facts.network.addresses.push(Address { interface: 3, address: "10.1.0.1".parse().unwrap() });
    }
}

#[test]
fn a_host_in_good_order_has_no_way_round() {
    assert_eq!(ids(|_| ()), ["no-way-round"]);
}

#[test]
fn an_interface_without_the_program_is_one() {
    let found = &findings("ports: [104]", second(None))[0];
    assert_eq!((found.id, found.severity), ("uncovered-interface", Severity::Fail));
    assert_eq!(found.fix.as_deref(), Some("interfaces: [eth0, eth1]"));
    // Linux answers on every interface for every address of the host.
    let elsewhere = |facts: &mut Facts| {
        second(None)(facts);
        facts.network.listeners = vec![sample::listener("10.0.0.1", 104, "storescp")];
    };
    assert_eq!(ids(elsewhere), ["uncovered-interface"]);
}

#[test]
fn an_interface_that_leads_to_no_protected_listener_is_none() {
    type Change = fn(&mut Facts);
    let changes: [(&str, Change); 6] = [
        ("down", |facts| facts.network.interfaces[2].up = false),
        ("no address", |facts| facts.network.addresses.retain(|own| own.interface != 3)),
        ("another port", |facts| facts.network.listeners[0].port = 22),
        ("another family", |facts| facts.network.listeners[0].dual_stack = false),
        ("bound to eth0", |facts| facts.network.listeners[0].interface = Some(2)),
        ("guarded", |facts| facts.guarded.push(3)),
    ];
    for (what, change) in changes {
        let found = ids(|facts| {
            second(None)(facts);
            change(facts);
        });
        assert_eq!(found, ["no-way-round"], "{what}");
    }
}

#[test]
fn what_stands_on_a_guarded_interface_is_covered() {
    for kind in ["vlan", "macvlan"] {
        let on = |lower| {
            ids(move |facts| {
                second(Some(kind))(facts);
                facts.network.interfaces[2].lower = Some(lower);
            })
        };
        assert_eq!(on(2), ["no-way-round"], "{kind}");
        assert_eq!(on(1), ["uncovered-interface"], "{kind}");
    }
    // A bridge is covered once every port of it is.
    let bridge = |facts: &mut Facts| {
        second(Some("bridge"))(facts);
        facts.network.interfaces[1].controller = Some(3);
    };
    assert_eq!(ids(bridge), ["no-way-round"]);
    let with_port = |facts: &mut Facts| {
        bridge(facts);
        let mut port = sample::interface(4, "vnet0", None);
        port.controller = Some(3);
        facts.network.interfaces.push(port);
    };
    let found = &findings("ports: [104]", with_port)[0];
    assert_eq!((found.id, found.fix.as_deref()), ("uncovered-interface", Some("interfaces: [eth0, vnet0]")));
}

#[test]
fn a_tunnel_is_one() {
    let wireguard = |facts: &mut Facts| {
        second(Some("wireguard"))(facts);
        facts.network.interfaces[2].has_ethernet_header = false;
    };
    let found = &findings("ports: [104]", wireguard)[0];
    assert_eq!((found.id, found.severity), ("tunnel-ends-here", Severity::Fail));
    assert!(found.fix.as_deref().unwrap().contains("iifname \"eth1\" tcp dport { 104 } drop"));
    // It stands on eth0, but what it carries passes there inside other packets.
    let vxlan = |facts: &mut Facts| {
        second(Some("vxlan"))(facts);
        facts.network.interfaces[2].lower = Some(2);
    };
    assert_eq!(ids(vxlan), ["tunnel-ends-here"]);
    let quiet = |facts: &mut Facts| {
        wireguard(facts);
        facts.network.listeners.clear();
    };
    assert_eq!(ids(quiet), ["no-way-round", "tunnel-ends-here"]);
}

#[test]
fn ipsec_is_said() {
    let found = &findings("ports: [104, 4000-4001]", |facts| facts.ipsec = Ok(2))[0];
    assert_eq!((found.id, found.severity), ("ipsec-ends-here", Severity::Warn));
    assert!(found.fix.as_deref().unwrap().ends_with("meta ipsec exists tcp dport { 104, 4000-4001 } drop'"));
    let unknown = ids(|facts| facts.ipsec = Err(io::ErrorKind::NotFound.into()));
    assert_eq!(unknown, ["no-way-round", "ipsec-ends-here"]);
}

#[test]
fn a_rule_that_leads_to_a_protected_port_is_one() {
    let rule = |from: &[u16], to: Option<u16>| Translation {
        rule: "nft ip nat pre: redirect".into(),
        from: from.iter().map(|port| *port..=*port).collect(),
        to: to.map(|port| port..=port),
        address: None,
    };
    let with = |rule: Translation| {
        move |facts: &mut Facts| facts.translations.push(Rules { program: "nft", found: Ok(vec![rule]) })
    };
    let found = &findings("ports: [104]", with(rule(&[1104], Some(104))))[0];
    assert_eq!(found.what, "nft ip nat pre: redirect leads port 1104 to the protected port 104");
    assert_eq!(found.fix.as_deref(), Some("services: { dicom: { ports: [104, 1104] } }"));
    assert_eq!(ids(with(rule(&[], Some(104)))), ["translated-port"]);
    assert_eq!(ids(with(rule(&[1104], None))), ["translated-port-unknown"]);
    assert_eq!(ids(with(rule(&[1104], Some(4242)))), ["no-way-round"]);
    // The first port is protected itself.
    assert_eq!(ids(with(rule(&[104], Some(104)))), ["no-way-round"]);
}

#[test]
fn rules_that_nobody_looked_at_are_said() {
    let found = ids(|facts| {
        facts.translations.push(Rules { program: "nft", found: Err(io::ErrorKind::NotFound.into()) });
    });
    assert_eq!(found, ["no-way-round", "rules-not-looked-at"]);
}

#[test]
fn a_proxy_is_one() {
    let proxied = |peer: &'static str, pid| {
        ids(move |facts| {
            facts.network.listeners.push(Listener {
                owner: Some(Owner { pid: 8, name: "nginx".into() }),
                ..sample::listener("0.0.0.0", 8080, "nginx")
            });
            let local = "10.0.0.1:40000".parse().unwrap();
            let peer: SocketAddr = peer.parse().unwrap();
            let owner = Some(Owner { pid, name: if pid == 8 { "nginx" } else { "storescp" }.into() });
            facts.connections.push(Connection {
                local,
                peer,
                packets: None,
                last_heard: None,
                inode: 2,
                owner,
            });
        })
    };
    assert_eq!(proxied("127.0.0.1:104", 8), ["proxy-to-protected-port"]);
    assert_eq!(proxied("10.0.0.1:104", 8), ["proxy-to-protected-port"]);
    // Another host's archive, another port, and the archive itself.
    assert_eq!(proxied("10.0.0.9:104", 8), ["no-way-round"]);
    assert_eq!(proxied("127.0.0.1:5432", 8), ["no-way-round"]);
    assert_eq!(proxied("127.0.0.1:104", 7), ["no-way-round"]);
}

#[test]
fn an_address_that_the_service_leaves_out_is_one() {
    let narrowed = "ports: [104], addresses: [10.0.0.1/32]";
    let found = &findings(narrowed, |_| ())[0];
    assert_eq!(found.id, "address-not-protected");
    assert!(found.what.contains("answers at fd00::1 too"), "{}", found.what);
    assert_eq!(found.fix.as_deref(), Some("addresses: [\"10.0.0.1/32\", \"fd00::1\"]"));
    let both = "ports: [104], addresses: [10.0.0.1/32, \"fd00::/64\"]";
    assert_eq!(findings(both, |_| ())[0].id, "no-way-round");
}

#[test]
fn ipv6_without_sources_is_said() {
    let facts = sample::facts();
    let mut policy = sample::policy("ports: [104]");
    policy.segments[0].sources.retain(|source| source.prefix.addr().is_ipv4());
    let found = &check(&facts, &policy)[0];
    assert_eq!((found.id, found.severity), ("ipv6-without-sources", Severity::Warn));
    assert_eq!(found.fix.as_deref(), Some("sources: [10.20.0.0/24, \"fd00::/64\"]"));
    let mut facts = facts;
    facts.network.listeners = vec![sample::listener("0.0.0.0", 104, "storescp")];
    assert_eq!(check(&facts, &policy)[0].id, "no-way-round");
}

#[test]
fn forwarding_and_source_routes_are_said() {
    let forwards = |facts: &mut Facts| facts.forwarding.ipv4 = true;
    assert_eq!(ids(forwards), ["forwards-packets"]);
    let narrowed = "ports: [104], addresses: [10.0.0.1/32, \"fd00::/64\"]";
    assert_eq!(findings(narrowed, forwards)[0].id, "no-way-round");
    assert_eq!(ids(|facts| facts.forwarding.source_routed.push("eth0".into())), ["source-routes"]);
    let unfiltered = ids(|facts| facts.forwarding.unfiltered = vec!["lo".into(), "eth0".into()]);
    assert_eq!(unfiltered, ["no-way-round", "no-reverse-path-filter"]);
}
