//! What the daemon and the command line say to each other. Version 1.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use pacs_guard_common::{abi::Event, verdict::Verdict};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    datapath::BootTime,
    echo::Standing,
    image::{Booking, Draining, Enforces},
    observe::Tally,
    web,
};

/// What only a running daemon knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Process id.
    pub pid: u32,
    /// Version of the program.
    pub version: String,
    /// When it started.
    pub started: Timestamp,
    /// The policy file that a reload reads.
    pub policy_file: String,
    /// Whether that file is unlike the policy in force; `None` where it can't be read.
    pub file_differs: Option<bool>,
    /// The last change.
    pub last_change: Option<ChangeReport>,
    /// How each peer of the policy stands.
    pub peers: Vec<Standing>,
    /// Until when AE titles are noted.
    #[serde(default)]
    pub learning_until: Option<Timestamp>,
    /// What came of changes since it started.
    #[serde(default)]
    pub tally: Tally,
    /// Events that made no entry in the journal since it started; `None` where it writes none there.
    #[serde(default)]
    pub journal_left_out: Option<u64>,
    /// How the status page stands, where it is served.
    #[serde(default)]
    pub web: Option<web::Standing>,
}

/// A change of what is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Change {
    /// Read the configured policy file again.
    Reload,
    /// Put a file in force.
    Apply {
        /// The file, absolute.
        file: PathBuf,
        /// Go back after so many seconds, unless [`Change::Confirm`] comes before.
        confirm: Option<u64>,
        /// Let the connections of sources that lose a service go on for so many seconds.
        #[serde(default)]
        drain: Option<u64>,
    },
    /// Enforce what is in force in audit mode, as if `mode: enforce` were written everywhere.
    Enforce {
        /// Only where it would have dropped nothing for so many seconds.
        ready_after: u64,
        /// As of [`Change::Apply`].
        confirm: Option<u64>,
    },
    /// Keep what was applied.
    Confirm,
    /// Go back to an earlier policy.
    Rollback {
        /// How many policies back.
        steps: usize,
    },
    /// Refuse nothing for a while.
    Bypass {
        /// How many seconds.
        seconds: u64,
        /// Why, for the history.
        reason: String,
    },
    /// End a bypass before its time.
    EndBypass,
}

/// Notes AE titles for a while.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct LearnOrder {
    /// For how many seconds; 0 ends it.
    pub seconds: u64,
}

/// Until when AE titles are noted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Learning {
    /// `None` where they are not.
    pub until: Option<Timestamp>,
}

/// Takes what a peer says of itself now as its baseline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AcceptPeer {
    /// The peer's name.
    pub peer: String,
}

/// How a change went.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangeReport {
    /// When.
    pub at: Timestamp,
    /// What came of it.
    #[serde(flatten)]
    pub result: ChangeResult,
}

/// What came of a change.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum ChangeResult {
    /// The new policy is in force.
    Loaded {
        /// Its name.
        policy: String,
        /// The number of its generation.
        generation: u64,
        /// When it ends by itself.
        until: Option<Timestamp>,
        /// Whose connections go on for a while.
        #[serde(default)]
        draining: Vec<Draining>,
        /// Time from reading the file to the flip, in microseconds.
        took_us: u64,
        /// What to look at in the file and on this host, for people.
        warnings: String,
        /// What the new policy wants that could not be done, such as an interface that is not there.
        problems: Vec<String>,
    },
    /// The file is bad; the old policy stays in force.
    Invalid {
        /// The mistakes, for people.
        rendered: String,
        /// The mistakes, for machines.
        diagnostics: Value,
    },
    /// The policy would break what this host does; the old policy stays in force.
    Unfit {
        /// Why, and what to do, for people.
        rendered: String,
        /// What the doctor found, for machines.
        findings: Value,
    },
    /// The kernel refused; the old policy stays in force.
    Failed {
        /// Why.
        why: String,
    },
}

/// One refused packet, for people and machines.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventRecord {
    /// When.
    pub time: Timestamp,
    /// Index of the interface.
    pub interface: u32,
    /// Source address, where it could be read.
    pub source: Option<IpAddr>,
    /// Source port.
    pub source_port: u16,
    /// Destination address, where it could be read.
    pub destination: Option<IpAddr>,
    /// Destination port.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// `drop` or `would-drop`.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// The segment that the source lies in.
    pub segment: Option<Arc<str>>,
    /// The service that was asked for.
    pub service: Option<Arc<str>>,
    /// The generation of the policy that refused it.
    pub generation: u64,
}

impl EventRecord {
    /// Words an event.
    pub fn new(event: &Event, booking: Option<Booking>) -> Self {
        let time = BootTime::from_nanoseconds(event.time).unwrap_or_else(BootTime::now).to_timestamp();
        let (segment, service) = booking.map_or((None, None), |booking| (booking.segment, booking.service));
        Self {
            time,
            interface: event.interface,
            source: event.packet.source.to_ip(),
            source_port: event.packet.source_port,
            destination: event.packet.destination.to_ip(),
            destination_port: event.packet.destination_port,
            protocol: event.packet.protocol,
            verdict: event.ruling.verdict.name().to_owned(),
            reason: event.ruling.reason.name().to_owned(),
            segment,
            service,
            generation: event.generation,
        }
    }

    /// Whether the packet was really dropped.
    pub fn dropped(&self) -> bool {
        self.verdict == Verdict::Drop.name()
    }
}

/// How long the policy in force would have dropped nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Readiness {
    /// The policy's name.
    pub policy: String,
    /// Its file.
    pub file: String,
    /// Its hash, by which the state folder keeps it.
    pub sha256: String,
    /// What of it is enforced now.
    pub enforces: Enforces,
    /// Since when it is watched without a gap, just as it is.
    pub since: Timestamp,
    /// How long that is.
    pub watched_seconds: u64,
    /// What is not enforced yet.
    pub rows: Vec<ReadyRow>,
}

/// One outcome that enforcing would turn into a drop.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadyRow {
    /// The service; none for packets that can't be parsed.
    pub service: Option<Arc<str>>,
    /// The segment; none for sources in no segment.
    pub segment: Option<Arc<str>>,
    /// Why it would be dropped.
    pub reason: String,
    /// Packets that would have been dropped since the watch began.
    pub would_drops: u64,
    /// When the last of them was counted, to the minute and rather late than early.
    pub last: Option<Timestamp>,
    /// How long there was none.
    pub quiet_seconds: u64,
}

impl Readiness {
    /// Whether it was watched for so many seconds, and would have dropped nothing in them.
    pub fn ready(&self, after: u64) -> bool {
        self.watched_seconds >= after && self.rows.iter().all(|row| row.quiet_seconds >= after)
    }
}
