//! The policy as a value with no invalid states: what every later stage reads.
//!
//! Built only by `policy::validate`. Nothing here knows of YAML or of kernel maps.

use std::{
    collections::BTreeMap, net::IpAddr, ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration,
};

use ipnet::IpNet;
use jiff::Timestamp;
use pacs_guard_common::packet::Cause;
use serde::Serialize;

/// A validated policy, version 1 of the file format.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The policy's own name: travels into status, metrics and errors.
    pub name: String,
    /// Interfaces to protect, in the order of the file; may be empty where `--interface` names them.
    pub interfaces: Vec<String>,
    /// What a refusal does where neither segment nor service says its own.
    pub mode: Mode,
    /// Protected services, in the order of the file. At most 64.
    pub services: Vec<Service>,
    /// Segments, in the order of the file. At most 4,096.
    pub segments: Vec<Segment>,
    /// Peers to spot-check with C-ECHO.
    pub peers: Vec<Peer>,
    /// What is done with a packet that cannot be parsed, per cause; a cause that is absent is dropped.
    pub unparsed: BTreeMap<Cause, UnparsedAction>,
}

impl Policy {
    /// The same policy with every refusal reported and none done.
    pub fn in_audit_mode(&self) -> Self {
        let mut policy = self.clone();
        policy.mode = Mode::Audit;
        policy.services.iter_mut().for_each(|service| service.mode = None);
        policy.segments.iter_mut().for_each(|segment| segment.mode = None);
        policy
    }
}

/// Whether a refusal drops the packet or only reports that it would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Count and report `would-drop`, and pass the packet.
    Audit,
    /// Drop the packet.
    Enforce,
}

/// The transport protocol that a service is protected on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// IP protocol 6.
    Tcp,
    /// IP protocol 17.
    Udp,
}

impl Transport {
    /// Its IP protocol number.
    pub const fn protocol(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

/// What is done with a packet that cannot be parsed for one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnparsedAction {
    /// Refuse it: dropped, or reported as `would-drop` where the whole policy is in audit mode.
    Drop,
    /// Let it pass, counted.
    Pass,
}

/// A protected service: the ports whose traffic is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Unique among the services; at most 63 bytes of `[a-z0-9-]`, as a segment's name is.
    pub name: String,
    /// The transport protocol of all its ports.
    pub transport: Transport,
    /// Ports and port ranges, 1 to 65535, at most 16, shared with no other service of the same transport.
    pub ports: Vec<RangeInclusive<u16>>,
    /// Destination prefixes that the protection is narrowed to; empty means every destination.
    pub addresses: Vec<IpNet>,
    /// Sources whose refused SYN is answered with a TCP RST, so that they fail at once; the others hear
    /// nothing.
    pub reset_to: Vec<IpNet>,
    /// The service's own mode.
    pub mode: Option<Mode>,
    /// Where the file declares it.
    pub place: Place,
}

/// A named set of source addresses and the services it is granted.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Unique among the segments; counters are booked under it for as long as the name lives.
    pub name: String,
    /// Free text for people.
    pub description: Option<String>,
    /// Prefixes that lie in the segment, host bits clear.
    pub sources: Vec<Source>,
    /// Prefixes carved out of the sources.
    pub except: Vec<Source>,
    /// Indices into [`Policy::services`].
    pub services: Vec<usize>,
    /// When it ends by itself: from then on it is as if it were not in the policy.
    pub until: Option<Timestamp>,
    /// The segment's own mode, stronger than the service's and the policy's.
    pub mode: Option<Mode>,
    /// Where the file declares it.
    pub place: Place,
}

impl Segment {
    /// Whether it has ended by this time.
    pub fn has_ended(&self, at: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= at)
    }
}

/// A prefix and the place that declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The prefix, host bits clear.
    pub prefix: IpNet,
    /// Where the file declares it.
    pub place: Place,
}

/// A DICOM peer that is spot-checked with C-ECHO.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// Unique among the peers.
    pub name: String,
    /// Lies in some segment.
    pub address: IpAddr,
    /// The port that the peer listens on.
    pub port: u16,
    /// Called AE title, 1 to 16 characters (DICOM PS3.5 section 6.2, VR AE).
    pub ae_title: String,
    /// Calling AE title, 1 to 16 characters; `PACSGUARD` where the file names none.
    pub calling_ae_title: String,
    /// Interval between two probes; `None` means only when asked.
    pub every: Option<Duration>,
    /// The site or vendor forbids probing: never asked, shown as `do-not-probe`.
    pub do_not_probe: bool,
    /// How it is asked over TLS; `None` means in clear.
    pub tls: Option<PeerTls>,
    /// Where the file declares it.
    pub place: Place,
}

/// How a peer is asked over TLS (DICOM PS3.15 annex B). Every path is absolute and leads to PEM text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerTls {
    /// The authorities that are trusted for this peer, or its very certificate.
    pub ca: PathBuf,
    /// Certificate chain and private key for a peer that asks who we are.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name that its certificate must hold, a DNS name or an address; `None` means its address.
    pub server_name: Option<String>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum TlsVersion {
    /// RFC 5246.
    #[serde(rename = "1.2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    Tls13,
}

/// A place in a policy file, for people: both numbers count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file, as the user named it.
    pub file: Arc<PathBuf>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}
