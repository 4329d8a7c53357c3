//! An IP address as the keys of the search trees.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The family of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Family {
    /// No address was read.
    #[default]
    None = 0,
    /// IPv4.
    V4 = 4,
    /// IPv6. A v4-mapped address stays IPv6, and so matches no IPv4 prefix.
    V6 = 6,
}

impl Family {
    /// The family with this number.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::None,
            4 => Self::V4,
            6 => Self::V6,
            _ => return None,
        })
    }
}

/// An IP address in two 64-bit keys in host byte order.
///
/// An IPv6 address is split in its halves; an IPv4 address lies in `high`, and `low` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Address {
    /// The family.
    pub family: Family,
    /// An IPv6 address's first 64 bits, or an IPv4 address.
    pub high: u64,
    /// An IPv6 address's last 64 bits, or 0.
    pub low: u64,
}

impl Address {
    /// Reads an IPv4 address in network byte order.
    #[inline(always)]
    pub const fn v4(bytes: [u8; 4]) -> Self {
        Self { family: Family::V4, high: u32::from_be_bytes(bytes) as u64, low: 0 }
    }

    /// Reads an IPv6 address in network byte order, given as its two halves.
    #[inline(always)]
    pub const fn v6(high: [u8; 8], low: [u8; 8]) -> Self {
        Self { family: Family::V6, high: u64::from_be_bytes(high), low: u64::from_be_bytes(low) }
    }

    /// The address as the standard library writes it; `None` where no address was read.
    pub const fn to_ip(self) -> Option<IpAddr> {
        Some(match self.family {
            Family::None => return None,
            Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(self.high as u32)),
            Family::V6 => IpAddr::V6(Ipv6Addr::from_bits((self.high as u128) << 64 | self.low as u128)),
        })
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::v4(address.octets()),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                Self { family: Family::V6, high: (bits >> 64) as u64, low: bits as u64 }
            }
        }
    }
}
