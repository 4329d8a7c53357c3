//! Prefixes and sources by number: the same in the bench's XDP programs and in the policies that they are judged by.

/// A prefix of IPv4 (`high` below 2^32, `low` 0) or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    /// An IPv6 address's first 64 bits, or an IPv4 address.
    pub high: u64,
    /// An IPv6 address's last 64 bits, or 0.
    pub low: u64,
    /// Bits that count.
    pub length: u32,
}

/// Lengths of IPv4 prefixes: from a network to a host.
pub const LENGTHS4: [u32; 8] = [20, 22, 24, 25, 27, 28, 30, 32];
/// Lengths of IPv6 prefixes, on both sides of the middle.
pub const LENGTHS6: [u32; 8] = [40, 48, 52, 56, 60, 64, 96, 128];

/// Set in an address, it lies in no prefix: all of them lie in the lower half of the space.
pub const STRANGER4: u64 = 1 << 31;
/// The same for an IPv6 address's first half; prefixes lie in 2000::/4.
pub const STRANGER6: u64 = 1 << 60;

/// The first two bits of every source of the flood: in no prefix, and no multicast, which routing would refuse first.
pub const REFUSED4: u8 = 0b10;

/// A step of Weyl's sequence: numbers far apart, and each as often as the others.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The packet's number to the number of a prefix under `count`, and bits for the host's part.
#[inline(always)]
pub const fn pick(packet: u64, count: u64) -> (u64, u64) {
    let spread = packet.wrapping_mul(GOLDEN);
    (((spread >> 32) * count) >> 32, spread ^ spread << 17)
}

/// The source of the flood's packet with this number.
#[inline(always)]
pub const fn refused4(packet: u64) -> u32 {
    (REFUSED4 as u32) << 30 | (packet.wrapping_mul(GOLDEN) >> 34) as u32
}

/// Steele, Lea and Flood's SplitMix64.
#[inline(always)]
const fn mix(seed: u64) -> u64 {
    let seed = seed.wrapping_add(1).wrapping_mul(GOLDEN);
    let seed = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    seed ^ seed >> 27
}

/// The IPv4 prefix with this number; `host` fills the rest of its address.
#[inline(always)]
pub const fn address4(number: u64, host: u64) -> Prefix {
    let bits = mix(number);
    let length = 20 + ((0x0C0A_0807_0504_0200_u64 >> ((bits & 7) * 8)) & 0xff) as u32;
    let rest = (1 << (32 - length)) - 1;
    Prefix { high: (bits >> 33) & !rest | host & rest, low: 0, length }
}

/// The IPv6 prefix with this number; `host` fills the rest of its address.
#[inline(always)]
pub const fn address6(number: u64, host: u64) -> Prefix {
    let bits = mix(number);
    let length = 40 + ((0x5838_1814_100C_0800_u64 >> ((bits & 7) * 8)) & 0xff) as u32;
    let high = 0x2000_0000_0000_0000 | bits >> 4;
    if length > 64 {
        let rest = if length == 96 { 0xffff_ffff } else { 0 };
        Prefix { high, low: bits.wrapping_mul(GOLDEN) & !rest | host & rest, length }
    } else {
        let rest = if length == 64 { 0 } else { u64::MAX >> length };
        Prefix { high: high & !rest | host & rest, low: host, length }
    }
}
