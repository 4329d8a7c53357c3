//! Why a packet could not be parsed: a closed, published list.

/// Why a packet could not be parsed. Each cause has an action in the policy and a counter of its own.
///
/// The order is stable: it numbers counters in pinned maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Cause {
    /// More than two VLAN tags (IEEE 802.1Q, 802.1ad).
    VlanDepth = 0,
    /// An IP version unlike the EtherType's, or an IPv4 header length under five words (RFC 791 section 3.1).
    IpHeader = 1,
    /// A length field that contradicts the header or the frame, where Linux drops the packet too.
    Length = 2,
    /// A first fragment too short to hold the ports, or a TCP fragment at offset 1 (RFC 1858, RFC 3128).
    Fragment = 3,
    /// More IPv6 extension headers than the bound.
    ExtensionHeaders = 4,
    /// A source route: IPv4 LSRR or SSRR, or an IPv6 routing header with segments left.
    SourceRoute = 5,
    /// The frame ends inside a header.
    Truncated = 6,
}

impl Cause {
    /// Every cause, in the order of its numbers.
    pub const ALL: [Self; 7] = [
        Self::VlanDepth,
        Self::IpHeader,
        Self::Length,
        Self::Fragment,
        Self::ExtensionHeaders,
        Self::SourceRoute,
        Self::Truncated,
    ];

    /// The cause's name in policies, counters and events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VlanDepth => "vlan-depth",
            Self::IpHeader => "ip-header",
            Self::Length => "length",
            Self::Fragment => "fragment",
            Self::ExtensionHeaders => "extension-headers",
            Self::SourceRoute => "source-route",
            Self::Truncated => "truncated",
        }
    }
}
