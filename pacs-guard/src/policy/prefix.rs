//! Address prefixes: from text, and sets of them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    fault::{Fault, Quoted},
    value::decimal,
};

/// Reads `10.20.0.0/24`; a bare address is its own /32 or /128.
///
/// # Errors
/// Anything with host bits set, over-long, a DNS name, or IPv4-mapped.
pub(super) fn prefix(text: &str) -> Result<IpNet, Fault> {
    let (head, tail) = match text.split_once('/') {
        Some((head, tail)) => (head, Some(tail)),
        None => (text, None),
    };
    let address: IpAddr = head.parse().map_err(|_| no_address(text, head, tail.is_none()))?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match tail {
        None => most,
        Some(tail) => length(text, address, tail, most)?,
    };
    let net = IpNet::new(address, length).map_err(|_| Fault::PrefixLength { most })?;
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
        && length >= 96
    {
        let ipv4 = IpNet::new(v4.into(), length - 96).ok().map(|net| net.trunc().to_string());
        return Err(Fault::Mapped { ipv4 });
    }
    if net.trunc() != net {
        return Err(Fault::HostBits { prefix: net });
    }
    Ok(net)
}

fn length(text: &str, address: IpAddr, tail: &str, most: u8) -> Result<u8, Fault> {
    match decimal::<u32>(tail) {
        Some(length) => u8::try_from(length).ok().filter(|n| *n <= most).ok_or(Fault::PrefixLength { most }),
        None if !tail.is_empty()
            && tail.bytes().all(|byte| byte.is_ascii_digit())
            && !tail.starts_with('0') =>
        {
            Err(Fault::PrefixLength { most })
        }
        None => {
            let mask = tail.parse().ok().and_then(|mask| ipnet::ip_mask_to_prefix(mask).ok());
            let hint = mask.map(|length| format!("a prefix takes a length and no mask: {address}/{length}"));
            Err(Fault::Prefix { found: Quoted::new(text), hint })
        }
    }
}

fn no_address(text: &str, head: &str, bare: bool) -> Fault {
    if looks_like_dns_name(head) {
        return Fault::DnsName { found: Quoted::new(text) };
    }
    let range = head.split_once('-').is_some_and(|(first, _)| first.trim().parse::<IpAddr>().is_ok());
    let octets = || head.split('.').map(|octet| octet.trim_start_matches('0'));
    let hint = if bare && range {
        Some("a range is written as prefixes: 10.20.0.0-10.20.0.255 is 10.20.0.0/24".to_owned())
    } else if head.split('.').count() == 4
        && head.split('.').any(|octet| octet.len() > 1 && octet.starts_with('0'))
    {
        let plain: Vec<_> = octets().map(|octet| if octet.is_empty() { "0" } else { octet }).collect();
        let plain = plain.join(".");
        plain.parse::<IpAddr>().ok().map(|address| format!("without leading zeros: {address}"))
    } else {
        None
    };
    Fault::Prefix { found: Quoted::new(text), hint }
}

/// Letters, digits, dots and hyphens with a letter among them, and no IPv6 address.
pub(super) fn looks_like_dns_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// A set of addresses, as ranges that neither overlap nor touch, in order.
pub(super) struct Cover(Vec<(IpAddr, IpAddr)>);

impl Cover {
    /// The union of all `prefixes`.
    pub(super) fn new(prefixes: impl Iterator<Item = IpNet>) -> Self {
        let mut ranges: Vec<_> = prefixes.map(|net| (net.network(), net.broadcast())).collect();
        ranges.sort_unstable();
        ranges.dedup_by(|next, kept| {
            let joined = next.0 <= kept.1 || successor(kept.1) == Some(next.0);
            if joined {
                kept.1 = kept.1.max(next.1);
            }
            joined
        });
        Self(ranges)
    }

    /// Whether every address from `first` to `last` is in the set.
    pub(super) fn holds(&self, first: IpAddr, last: IpAddr) -> bool {
        let after = self.0.partition_point(|range| range.0 <= first);
        let range = after.checked_sub(1).and_then(|index| self.0.get(index));
        range.is_some_and(|range| range.1 >= last)
    }

    /// Whether the set holds all of a set that isn't empty.
    pub(super) fn hides(&self, other: &Self) -> bool {
        !other.0.is_empty() && other.0.iter().all(|(first, last)| self.holds(*first, *last))
    }
}

/// The next address of the same family.
fn successor(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(v6) => v6.to_bits().checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    }
}
