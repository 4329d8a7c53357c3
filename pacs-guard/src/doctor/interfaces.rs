//! Whether each interface of the policy can carry the program, and whether it is the right one.

use super::{
    Facts, Nic, Program,
    finding::{Finding, Group},
};
use crate::{interface::Interface, policy::model::Policy};

/// The longest frame that fits one page beside XDP's headroom and the packet's book-keeping: 4096 - 256 - 320 bytes,
/// less the Ethernet header and two VLAN tags.
const LARGEST_LINEAR_MTU: u32 = 4096 - 256 - 320 - 22;

const GROUP: Group = Group::Interfaces;

pub(super) fn check(facts: &Facts, policy: &Policy) -> Vec<Finding> {
    if policy.interfaces.is_empty() {
        let why = "then `run` needs `--interface`, and the doctor can't look at it";
        let finding = Finding::warn(GROUP, "no-interface", "the policy names no interface", why);
        return vec![finding.fix("interfaces: [eth0]")];
    }
    policy.interfaces.iter().flat_map(|name| interface(facts, policy, name)).collect()
}

fn interface(facts: &Facts, policy: &Policy, name: &str) -> Vec<Finding> {
    let found = facts.network.interfaces.iter().find(|found| found.name == name);
    let (Some(found), Some(nic)) =
        (found, found.and_then(|found| facts.nics.iter().find(|nic| nic.index == found.index)))
    else {
        let finding = Finding::stop(GROUP, "interface-missing", format!("{name}: not there"), missing(facts));
        return vec![finding.fix("ip -brief link")];
    };
    if !found.has_ethernet_header {
        return vec![Finding::stop(
            GROUP,
            "no-ethernet-header",
            format!("{name}: no Ethernet header (link layer {})", found.link_layer),
            "the program would judge nothing there; name the Ethernet interface that carries its packets",
        )];
    }
    let mut findings: Vec<Finding> = [
        down(found),
        other_program(found, nic),
        native(found, nic),
        mtu(found, nic),
        port(facts, policy, found),
        resets(policy, found, nic),
    ]
    .into_iter()
    .flatten()
    .collect();
    if findings.is_empty() {
        let carries = if nic.program == Program::Ours { ", under guard" } else { "" };
        let what = format!("{name}: up, Ethernet, native XDP, MTU {}{carries}", found.mtu);
        findings.push(Finding::ok(GROUP, "interface", what));
    }
    findings
}

fn missing(facts: &Facts) -> String {
    let names: Vec<&str> = facts.network.interfaces.iter().map(|found| found.name.as_str()).collect();
    format!("there are: {}", names.join(", "))
}

fn down(found: &Interface) -> Option<Finding> {
    let what = format!("{}: down", found.name);
    (!found.up).then(|| {
        Finding::warn(GROUP, "interface-down", what, "nobody reaches this host by it")
            .fix(format!("ip link set dev {} up", found.name))
    })
}

fn other_program(found: &Interface, nic: &Nic) -> Option<Finding> {
    let Program::Other(program) = &nic.program else { return None };
    let what = format!("{}: carries the XDP program {program} of somebody else", found.name);
    Some(
        Finding::stop(GROUP, "other-xdp-program", what, "pacs-guard never replaces it")
            .fix(format!("ip link set dev {} xdp off", found.name)),
    )
}

fn native(found: &Interface, nic: &Nic) -> Option<Finding> {
    let name = &found.name;
    match nic.driver {
        // A program that runs is proof.
        _ if nic.program == Program::Ours => None,
        Some(driver) if driver.native => None,
        // The ports are the place, see `port`.
        Some(_) if found.kind.as_deref() == Some("bridge") => None,
        Some(_) => Some(
            Finding::stop(
                GROUP,
                "no-native-xdp",
                format!("{name}: the driver has no native XDP"),
                "`run` does not fall back to generic mode by itself, for that is slower",
            )
            .fix("pacs-guard run --xdp-mode generic"),
        ),
        None => Some(Finding::note(
            GROUP,
            "native-xdp-unknown",
            format!("{name}: whether the driver has native XDP is not known"),
            "Linux says so since 6.3; `run` says so when it attaches",
        )),
    }
}

fn mtu(found: &Interface, nic: &Nic) -> Option<Finding> {
    let driver = nic.driver.filter(|driver| driver.native && !driver.multi_buffer)?;
    (found.mtu > LARGEST_LINEAR_MTU && nic.program != Program::Ours && driver.native).then(|| {
        Finding::warn(
            GROUP,
            "mtu-too-large",
            format!("{}: MTU {}, and the driver has no XDP in several buffers", found.name, found.mtu),
            format!("native XDP needs an MTU of about {LARGEST_LINEAR_MTU} at most there"),
        )
        .fix(format!("ip link set dev {} mtu 1500", found.name))
    })
}

/// The right place to attach: the bond and not its ports, the ports and not the bridge.
fn port(facts: &Facts, policy: &Policy, found: &Interface) -> Option<Finding> {
    let name = &found.name;
    let named = |other: &Interface| policy.interfaces.contains(&other.name);
    if found.kind.as_deref() == Some("bridge") {
        let ports: Vec<&str> = facts.network.ports(found).map(|port| port.name.as_str()).collect();
        let why = "native XDP runs on a bridge's ports, where every frame comes in";
        let finding = Finding::stop(GROUP, "bridge", format!("{name}: a bridge"), why);
        return Some(finding.fix(format!("interfaces: [{}]", ports.join(", "))));
    }
    let controller = facts.network.interface(found.controller?)?;
    let others: Vec<&str> =
        facts.network.ports(controller).filter(|port| !named(port)).map(|port| port.name.as_str()).collect();
    match controller.kind.as_deref() {
        Some("bond" | "team") if !others.is_empty() => Some(
            Finding::warn(
                GROUP,
                "bond-port",
                format!(
                    "{name}: a port of {}, whose other ports ({}) are not named",
                    controller.name,
                    others.join(", ")
                ),
                "what comes in by those is not judged; on the bond the program covers every port",
            )
            .fix(format!("interfaces: [{}]", controller.name)),
        ),
        Some("bridge") => Some(Finding::note(
            GROUP,
            "bridge-port",
            format!("{name}: a port of the bridge {}, the right place", controller.name),
            "the program judges what comes in by this port for every host behind the bridge; \
             narrow services by `addresses:` where that is too much",
        )),
        _ => None,
    }
}

fn resets(policy: &Policy, found: &Interface, nic: &Nic) -> Option<Finding> {
    let asked = policy.services.iter().any(|service| !service.reset_to.is_empty());
    let name = &found.name;
    (asked && nic.strips_vlan == Some(true)).then(|| {
        Finding::warn(
            GROUP,
            "resets-silent",
            format!("{name}: the card takes VLAN tags off (rxvlan), and the policy asks for resets"),
            "`on_refuse: reset` stays silent there, for an answer could go to another VLAN",
        )
        .fix(format!("ethtool -K {name} rxvlan off rx-vlan-stag-hw-parse off"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{doctor::sample, host::DriverXdp};

    fn findings(change: impl FnOnce(&mut Facts)) -> Vec<Finding> {
        let mut facts = sample::facts();
        change(&mut facts);
        check(&facts, &sample::policy("ports: [104]"))
    }

    fn ids(change: impl FnOnce(&mut Facts)) -> Vec<&'static str> {
        findings(change).iter().map(|found| found.id).collect()
    }

    #[test]
    fn each_fault_is_named() {
        assert_eq!(ids(|_| ()), ["interface"]);
        assert_eq!(ids(|facts| facts.network.interfaces[1].name = "ens1".into()), ["interface-missing"]);
        assert_eq!(
            ids(|facts| facts.network.interfaces[1].has_ethernet_header = false),
            ["no-ethernet-header"]
        );
        assert_eq!(ids(|facts| facts.network.interfaces[1].up = false), ["interface-down"]);
        assert_eq!(ids(|facts| facts.nics[0].program = Program::Other("`x`".into())), ["other-xdp-program"]);
        assert_eq!(ids(|facts| facts.nics[0].driver = None), ["native-xdp-unknown"]);
        let driver = |native, multi_buffer| Some(DriverXdp { native, multi_buffer });
        assert_eq!(ids(|facts| facts.nics[0].driver = driver(false, false)), ["no-native-xdp"]);
        assert_eq!(ids(|facts| facts.nics[0].driver = driver(true, false)), ["interface"]);
        let jumbo = |facts: &mut Facts| {
            facts.nics[0].driver = driver(true, false);
            facts.network.interfaces[1].mtu = 9000;
        };
        assert_eq!(ids(jumbo), ["mtu-too-large"]);
    }

    #[test]
    fn a_program_of_ours_is_proof_enough() {
        let ours = |facts: &mut Facts| {
            facts.nics[0].driver = None;
            facts.nics[0].program = Program::Ours;
        };
        assert_eq!(ids(ours), ["interface"]);
    }

    #[test]
    fn the_right_place_is_named() {
        let member = |kind: &'static str| {
            move |facts: &mut Facts| {
                facts.network.interfaces.push(sample::interface(8, "upper0", Some(kind)));
                facts.network.interfaces[1].controller = Some(8);
                let mut other = sample::interface(9, "eth9", None);
                other.controller = Some(8);
                facts.network.interfaces.push(other);
            }
        };
        let bond = findings(member("bond"));
        assert_eq!((bond[0].id, bond[0].fix.as_deref()), ("bond-port", Some("interfaces: [upper0]")));
        assert_eq!(ids(member("bridge")), ["bridge-port"]);
        let bridge = findings(|facts| {
            member("bridge")(facts);
            facts.network.interfaces[1].kind = Some("bridge".into());
            facts.network.interfaces[1].controller = None;
            facts.network.interfaces[3].controller = Some(2);
        });
        assert_eq!((bridge[0].id, bridge[0].fix.as_deref()), ("bridge", Some("interfaces: [eth9]")));
    }

    #[test]
    fn resets_need_the_tag() {
        let facts = sample::facts();
        let policy = sample::policy("ports: [104], on_refuse: reset, reset_to: [10.20.0.0/24]");
        let ids = |facts: &Facts| check(facts, &policy).iter().map(|found| found.id).collect::<Vec<_>>();
        assert_eq!(ids(&facts), ["interface"]);
        let mut facts = facts;
        facts.nics[0].strips_vlan = Some(true);
        assert_eq!(ids(&facts), ["resets-silent"]);
    }
}
