//! From addresses to prefixes: as tight as is sensible, and what each step wider would add.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

/// Addresses of one network, and the prefixes that hold them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The network: of a route, where one fits; else the /24 or /64 that they lie in.
    pub network: IpNet,
    /// Whether a route of this host says so.
    pub routed: bool,
    /// The prefixes, in order: each at least half full of addresses that were seen.
    pub prefixes: Vec<Cover>,
    /// Wider ones, each a single prefix for the whole group, the tightest first.
    pub wider: Vec<Cover>,
}

/// A prefix that holds addresses that were seen, and others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cover {
    /// The prefix.
    pub prefix: IpNet,
    /// Addresses in it that were seen.
    pub seen: usize,
    /// Addresses in it that were not; saturated, as a /64 has more than can be counted.
    pub unseen: u64,
}

impl Cover {
    fn new(prefix: IpNet, seen: usize) -> Self {
        let bits = u32::from(prefix.max_prefix_len() - prefix.prefix_len());
        let size = 1u64.checked_shl(bits).unwrap_or(u64::MAX);
        Self { prefix, seen, unseen: size.saturating_sub(seen as u64) }
    }
}

/// Groups addresses by the network that they lie in: the narrowest route, the default one apart.
pub fn groups(addresses: &BTreeSet<IpAddr>, routes: &[IpNet]) -> Vec<Group> {
    let mut networks: Vec<(IpNet, bool, Vec<IpAddr>)> = Vec::new();
    for address in addresses {
        let (network, routed) = network_of(*address, routes);
        match networks.iter_mut().find(|(known, ..)| *known == network) {
            Some((.., members)) => members.push(*address),
            None => networks.push((network, routed, vec![*address])),
        }
    }
    networks.into_iter().map(|(network, routed, members)| group(network, routed, &members)).collect()
}

fn network_of(address: IpAddr, routes: &[IpNet]) -> (IpNet, bool) {
    let fitting = routes.iter().filter(|route| route.prefix_len() > 0 && route.contains(&address));
    // A route to one host says nothing of its network.
    let fitting = fitting.filter(|route| route.prefix_len() < route.max_prefix_len());
    match fitting.max_by_key(|route| route.prefix_len()) {
        Some(route) => (route.trunc(), true),
        None => (holding(address, if address.is_ipv4() { 24 } else { 64 }), false),
    }
}

fn group(network: IpNet, routed: bool, members: &[IpAddr]) -> Group {
    let prefixes = tight(members);
    let mut wider = Vec::new();
    if prefixes.len() > 1 || prefixes.iter().any(|one| one.prefix != network) {
        let whole = common(members).filter(|whole| prefixes.iter().all(|one| one.prefix != *whole));
        wider.extend(whole.filter(|whole| *whole != network).map(|whole| Cover::new(whole, members.len())));
        wider.push(Cover::new(network, members.len()));
    }
    Group { network, routed, prefixes, wider }
}

/// The narrowest prefix of these, split until each part is at least half full, or one host.
fn tight(members: &[IpAddr]) -> Vec<Cover> {
    let Some(prefix) = common(members) else { return vec![] };
    let cover = Cover::new(prefix, members.len());
    let half_full = cover.seen >= 4 && cover.unseen <= cover.seen as u64;
    if half_full || cover.unseen == 0 || prefix.prefix_len() == prefix.max_prefix_len() {
        return vec![cover];
    }
    let Ok(halves) = prefix.subnets(prefix.prefix_len() + 1) else { return vec![cover] };
    halves
        .flat_map(|half| {
            let inside: Vec<IpAddr> =
                members.iter().copied().filter(|address| half.contains(address)).collect();
            tight(&inside)
        })
        .collect()
}

/// The longest prefix that holds all of them.
fn common(members: &[IpAddr]) -> Option<IpNet> {
    let (first, last) = (members.iter().min()?, members.iter().max()?);
    let longest = if first.is_ipv4() { 32 } else { 128 };
    (0..=longest).rev().map(|length| holding(*first, length)).find(|prefix| prefix.contains(last))
}

/// The prefix of a length that an address lies in; the length is one that its family has.
fn holding(address: IpAddr, length: u8) -> IpNet {
    IpNet::new(address, length).map_or_else(|_| address.into(), |prefix| prefix.trunc())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    fn texts(covers: &[Cover]) -> Vec<String> {
        covers.iter().map(|cover| format!("{} {}+{}", cover.prefix, cover.seen, cover.unseen)).collect()
    }

    #[test]
    fn neighbours_become_a_prefix_and_single_hosts_stay_single() {
        let seen = set(&["10.1.0.8", "10.1.0.9", "10.1.0.10", "10.1.0.11", "10.1.0.13", "10.1.0.200"]);
        let groups = groups(&seen, &["10.1.0.0/16".parse().unwrap(), "0.0.0.0/0".parse().unwrap()]);
        assert_eq!(groups.len(), 1);
        assert_eq!((groups[0].network.to_string(), groups[0].routed), ("10.1.0.0/16".into(), true));
        assert_eq!(texts(&groups[0].prefixes), ["10.1.0.8/29 5+3", "10.1.0.200/32 1+0"]);
        assert_eq!(texts(&groups[0].wider), ["10.1.0.0/24 6+250", "10.1.0.0/16 6+65530"]);
    }

    #[test]
    fn without_a_route_the_usual_network_is_taken() {
        let seen = set(&["192.0.2.1", "198.51.100.1", "2001:db8::1", "2001:db8::2"]);
        let groups = groups(&seen, &["0.0.0.0/0".parse().unwrap(), "192.0.2.1/32".parse().unwrap()]);
        let networks: Vec<_> = groups.iter().map(|group| group.network.to_string()).collect();
        assert_eq!(networks, ["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/64"]);
        assert_eq!(texts(&groups[2].prefixes), ["2001:db8::1/128 1+0", "2001:db8::2/128 1+0"]);
        assert_eq!(texts(&groups[2].wider), ["2001:db8::/126 2+2", "2001:db8::/64 2+18446744073709551613"]);
        assert!(groups.iter().all(|group| !group.routed));
    }

    proptest! {
        #[test]
        fn every_address_is_held_once_and_no_prefix_is_mostly_strangers(
            hosts in prop::collection::btree_set(0u32..2048, 1..200),
        ) {
            let seen: BTreeSet<IpAddr> =
                hosts.iter().map(|host| std::net::Ipv4Addr::from(0x0a00_0000 + host).into()).collect();
            let groups = groups(&seen, &["10.0.0.0/22".parse().unwrap()]);
            let covers: Vec<Cover> = groups.iter().flat_map(|group| group.prefixes.clone()).collect();
            for address in &seen {
                prop_assert_eq!(covers.iter().filter(|cover| cover.prefix.contains(address)).count(), 1);
            }
            prop_assert_eq!(covers.iter().map(|cover| cover.seen).sum::<usize>(), seen.len());
            prop_assert!(covers.iter().all(|cover| cover.unseen <= cover.seen as u64));
        }
    }
}
