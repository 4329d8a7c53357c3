//! The Ethernet header and its VLAN tags (IEEE 802.3, 802.1Q, 802.1ad).
//!
//! A tag that the hardware has taken off is not seen here, and need not be: no verdict depends on a VLAN.

use super::{Cause, Frame};

const VLAN_8021Q: u16 = 0x8100;
const VLAN_8021AD: u16 = 0x88a8;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// What an Ethernet frame carries.
pub(super) enum Ethernet {
    /// IPv4, from this offset on.
    Ipv4(usize),
    /// IPv6, from this offset on.
    Ipv6(usize),
    /// Something else. Values under 0x0600 are a length, and LLC follows.
    NotIp,
}

/// Reads the header, and up to two VLAN tags, priority tags with VLAN 0 included.
#[inline(always)]
pub(super) fn read<F: Frame>(frame: &F) -> Result<Ethernet, Cause> {
    let mut ether_type = read_type(frame, 12)?;
    let mut at = 14;
    for _ in 0..2 {
        if !is_vlan(ether_type) {
            break;
        }
        ether_type = read_type(frame, at + 2)?;
        at += 4;
    }
    let at = frame.forget(at);
    match ether_type {
        IPV4 => Ok(Ethernet::Ipv4(at)),
        IPV6 => Ok(Ethernet::Ipv6(at)),
        deeper if is_vlan(deeper) => Err(Cause::VlanDepth),
        _ => Ok(Ethernet::NotIp),
    }
}

#[inline(always)]
fn read_type<F: Frame>(frame: &F, at: usize) -> Result<u16, Cause> {
    frame.read(at).map(u16::from_be_bytes).ok_or(Cause::Truncated)
}

#[inline(always)]
const fn is_vlan(ether_type: u16) -> bool {
    matches!(ether_type, VLAN_8021Q | VLAN_8021AD)
}
