//! The explanation: in words, what happens to a packet, why, and which line of the policy says so.

use std::{fmt, net::IpAddr};

use jiff::Timestamp;
use pacs_guard_common::{
    packet::{Cause, Packet},
    verdict::{Reason, Verdict},
};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::{
    image::Booking,
    policy::model::{Place, Policy, Segment, Source},
};

/// What happens to one packet.
///
/// As JSON: `verdict`, `reason`, `segment`, `service`, `file` and `line`, the last four null where there is none; and
/// `until`, where the segment that decides ends by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    packet: Packet,
    booking: Booking,
    /// The prefix that puts the source into the segment.
    prefix: Option<String>,
    /// The line that decides.
    place: Option<Place>,
    /// When the segment that decides ends by itself.
    until: Option<Timestamp>,
    /// A segment that would hold the source, had it not ended: its name, and when that was.
    ended: Option<(String, Timestamp)>,
}

impl Explanation {
    /// Explains a packet that was booked so under a policy.
    pub fn new(packet: Packet, booking: Booking, policy: &Policy) -> Self {
        let now = Timestamp::now();
        let segment = deciding_segment(&booking, policy).filter(|segment| !segment.has_ended(now));
        let source = segment.and_then(|segment| covering(segment, &packet));
        let place = match (source, &booking.service) {
            (Some(source), _) => Some(source.place.clone()),
            (None, Some(name)) => policy
                .services
                .iter()
                .find(|service| *service.name == **name)
                .map(|service| service.place.clone()),
            (None, None) => None,
        };
        let prefix = source.map(|source| source.prefix.to_string());
        let until = segment.and_then(|segment| segment.until);
        let mut ended = policy.segments.iter().filter(|segment| segment.has_ended(now));
        let ended = ended.find(|segment| covering(segment, &packet).is_some());
        let ended = ended.and_then(|segment| Some((segment.name.clone(), segment.until?)));
        Self { packet, booking, prefix, place, until, ended }
    }

    /// The outcome, as it is booked.
    pub const fn booking(&self) -> &Booking {
        &self.booking
    }
}

/// The segment that a booking names, where the policy still has it.
fn deciding_segment<'a>(booking: &Booking, policy: &'a Policy) -> Option<&'a Segment> {
    let name = booking.segment.as_deref()?;
    policy.segments.iter().find(|candidate| candidate.name == name)
}

/// The most specific prefix of a segment that the packet's source lies in.
fn covering<'a>(segment: &'a Segment, packet: &Packet) -> Option<&'a Source> {
    let source: IpAddr = packet.source.to_ip()?;
    if segment.except.iter().any(|except| except.prefix.contains(&source)) {
        return None;
    }
    let covering = segment.sources.iter().filter(|candidate| candidate.prefix.contains(&source));
    covering.max_by_key(|candidate| candidate.prefix.prefix_len())
}

impl Serialize for Explanation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Explanation", 7)?;
        row.serialize_field("verdict", self.booking.verdict.name())?;
        row.serialize_field("reason", self.booking.reason.name())?;
        row.serialize_field("segment", &self.booking.segment.as_deref())?;
        row.serialize_field("service", &self.booking.service.as_deref())?;
        match &self.until {
            Some(until) => row.serialize_field("until", until)?,
            None => row.skip_field("until")?,
        }
        row.serialize_field("file", &self.place.as_ref().map(|place| place.file.display().to_string()))?;
        row.serialize_field("line", &self.place.as_ref().map(|place| place.line))?;
        row.end()
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Booking { segment, service, reason, verdict } = &self.booking;
        let Packet { source, destination_port: port, .. } = self.packet;
        let source = source.to_ip().map_or_else(|| "the source".to_owned(), |source| source.to_string());
        let segment = segment.as_deref().unwrap_or("-");
        let service = service.as_deref().unwrap_or("-");
        let outcome = match verdict {
            Verdict::Pass => "passes, not judged",
            Verdict::Allow => "is allowed",
            Verdict::Drop => "is dropped",
            Verdict::WouldDrop => "passes, and would be dropped in enforce mode",
        };
        match reason {
            Reason::NotIp => write!(f, "the frame {outcome}: it is neither IPv4 nor IPv6"),
            Reason::NotTcp => {
                write!(f, "the packet from {source} {outcome}: no service is protected on its protocol")
            }
            Reason::NotProtected => {
                write!(f, "the packet from {source} {outcome}: no service protects port {port} here")
            }
            Reason::FragmentWithoutPort => {
                write!(
                    f,
                    "the packet from {source} {outcome}: it is a later fragment, useless without its first"
                )
            }
            Reason::NoPolicy => write!(f, "the frame {outcome}: no policy is loaded"),
            Reason::Allowed => {
                let prefix = self.prefix.as_deref().unwrap_or("its sources");
                write!(
                    f,
                    "{source} {outcome} to port {port}: segment {segment} grants {service} to {prefix}"
                )?;
                self.until.map_or(Ok(()), |until| write!(f, " until {until}"))
            }
            Reason::Draining => {
                write!(
                    f,
                    "{source} {outcome} to port {port} for now: {service} was taken away from it, and the connections \
                     that it had go on until the drain ends"
                )
            }
            Reason::NotInSegment => {
                write!(
                    f,
                    "{source} {outcome} at port {port}: it lies in no segment, and {service} is protected"
                )
            }
            Reason::ServiceNotAllowed => {
                write!(
                    f,
                    "{source} {outcome} at port {port}: it lies in segment {segment}, which is not granted {service}"
                )
            }
            Reason::Unparsed(cause) => write!(f, "the frame {outcome}: {}", words(*cause)),
        }?;
        if let Some(place) = &self.place {
            write!(f, " ({}:{})", place.file.display(), place.line)?;
        }
        match (&self.ended, reason) {
            (Some((name, until)), Reason::NotInSegment | Reason::ServiceNotAllowed) => {
                write!(f, "; segment {name} would hold it, and ended at {until}")
            }
            _ => Ok(()),
        }
    }
}

const fn words(cause: Cause) -> &'static str {
    match cause {
        Cause::VlanDepth => "it has more than two VLAN tags",
        Cause::IpHeader => "its IP version or header length is impossible",
        Cause::Length => "its length field contradicts the frame",
        Cause::Fragment => "it is a fragment that hides or rewrites the TCP header",
        Cause::ExtensionHeaders => "it has more IPv6 extension headers than the bound",
        Cause::SourceRoute => "it is source-routed to a protected port",
        Cause::Truncated => "it ends inside a header",
    }
}
