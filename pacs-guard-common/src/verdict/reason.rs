//! What can happen to a packet, and why.

use crate::packet::Cause;

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Verdict {
    /// Passes: the packet is not judged.
    Pass = 0,
    /// Passes: its source is granted the service.
    Allow = 1,
    /// Is dropped.
    Drop = 2,
    /// Passes, and is reported: it would be dropped in enforce mode.
    WouldDrop = 3,
}

impl Verdict {
    /// The verdict's name in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Allow => "allow",
            Self::Drop => "drop",
            Self::WouldDrop => "would-drop",
        }
    }

    /// The verdict with this number.
    #[inline(always)]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Pass,
            1 => Self::Allow,
            2 => Self::Drop,
            3 => Self::WouldDrop,
            _ => return None,
        })
    }
}

/// Why a packet was treated so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Neither IPv4 nor IPv6: ARP, LLDP, LLC, MPLS and the like.
    NotIp,
    /// Neither TCP nor a UDP packet of a policy that protects UDP services.
    NotTcp,
    /// No service protects the destination port, or not towards this destination.
    NotProtected,
    /// A later fragment: without its first fragment the stack delivers nothing of it.
    FragmentWithoutPort,
    /// No policy is loaded yet.
    NoPolicy,
    /// A segment of the source grants the service.
    Allowed,
    /// The source lies in no segment.
    NotInSegment,
    /// The source lies in a segment, and none grants the service.
    ServiceNotAllowed,
    /// The policy takes the service away from the source, and the source's connections go on for a while.
    Draining,
    /// The packet could not be parsed.
    Unparsed(Cause),
}

impl Reason {
    /// The reasons that need no policy to be known; they always pass.
    pub const PASSES: [Self; 5] =
        [Self::NotIp, Self::NotTcp, Self::NotProtected, Self::FragmentWithoutPort, Self::NoPolicy];

    const UNPARSED: u8 = 16;

    /// The reason's stable number.
    #[inline(always)]
    pub const fn code(self) -> u8 {
        match self {
            Self::NotIp => 0,
            Self::NotTcp => 1,
            Self::NotProtected => 2,
            Self::FragmentWithoutPort => 3,
            Self::NoPolicy => 4,
            Self::Allowed => 5,
            Self::NotInSegment => 6,
            Self::ServiceNotAllowed => 7,
            Self::Draining => 8,
            Self::Unparsed(cause) => Self::UNPARSED + cause as u8,
        }
    }

    /// The reason with this number.
    #[inline(always)]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::NotIp,
            1 => Self::NotTcp,
            2 => Self::NotProtected,
            3 => Self::FragmentWithoutPort,
            4 => Self::NoPolicy,
            5 => Self::Allowed,
            6 => Self::NotInSegment,
            7 => Self::ServiceNotAllowed,
            8 => Self::Draining,
            16 => Self::Unparsed(Cause::VlanDepth),
            17 => Self::Unparsed(Cause::IpHeader),
            18 => Self::Unparsed(Cause::Length),
            19 => Self::Unparsed(Cause::Fragment),
            20 => Self::Unparsed(Cause::ExtensionHeaders),
            21 => Self::Unparsed(Cause::SourceRoute),
            22 => Self::Unparsed(Cause::Truncated),
            _ => return None,
        })
    }

    /// The reason's name in output: kebab-case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotIp => "not-ip",
            Self::NotTcp => "not-tcp",
            Self::NotProtected => "not-protected",
            Self::FragmentWithoutPort => "fragment-without-port",
            Self::NoPolicy => "no-policy",
            Self::Allowed => "allowed",
            Self::NotInSegment => "not-in-segment",
            Self::ServiceNotAllowed => "service-not-allowed",
            Self::Draining => "draining",
            Self::Unparsed(Cause::VlanDepth) => "unparsed-vlan-depth",
            Self::Unparsed(Cause::IpHeader) => "unparsed-ip-header",
            Self::Unparsed(Cause::Length) => "unparsed-length",
            Self::Unparsed(Cause::Fragment) => "unparsed-fragment",
            Self::Unparsed(Cause::ExtensionHeaders) => "unparsed-extension-headers",
            Self::Unparsed(Cause::SourceRoute) => "unparsed-source-route",
            Self::Unparsed(Cause::Truncated) => "unparsed-truncated",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_reads_back() {
        for code in 0..=u8::MAX {
            if let Some(reason) = Reason::from_code(code) {
                assert_eq!(reason.code(), code);
            }
        }
        for cause in Cause::ALL {
            let reason = Reason::Unparsed(cause);
            assert_eq!(Reason::from_code(reason.code()), Some(reason));
            assert_eq!(reason.name().strip_prefix("unparsed-"), Some(cause.name()));
        }
    }
}
