//! What the page shows, at one moment: the JSON of `/state` and of each event of `/stream`.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use jiff::Timestamp;
use pacs_guard_common::verdict::Verdict;
use serde::Serialize;

use super::{Reach, drops::Drops};
use crate::{
    control::DaemonStatus,
    datapath::{BootTime, Counters, Outline},
    echo::Standing,
    image::Card,
    observe::{Guarded, Reading, State, Totals},
    seen::SeenRecord,
    state::Entry,
};

/// Refused sources, peers and entries of the history that are listed.
const LISTED: usize = 100;

#[derive(Debug, Serialize)]
pub(super) struct View {
    schema: &'static str,
    at: Timestamp,
    state: State,
    policy: Option<Card>,
    generation: Option<u64>,
    /// When the policy in force ends by itself.
    until: Option<Timestamp>,
    interfaces: Vec<Guarded>,
    /// The ways round the guard, in words.
    uncovered: Vec<String>,
    packets: Totals,
    drops: Drops,
    /// Sources lately refused, the latest first.
    refused: Vec<SeenRecord>,
    refused_in_all: usize,
    /// `None` where the daemon's loop does not answer, as with what follows.
    reach: Option<Reach>,
    /// Packets by segment, since the counters began.
    by_segment: BTreeMap<Arc<str>, Booked>,
    peers: Vec<Peer>,
    peers_in_all: usize,
    history: Vec<Entry>,
    daemon: Option<Daemon>,
}

#[derive(Debug, Default, Serialize)]
struct Booked {
    allowed: u64,
    dropped: u64,
    would_drop: u64,
}

#[derive(Debug, Serialize)]
struct Peer {
    name: String,
    address: IpAddr,
    port: u16,
    ae_title: String,
    tls: bool,
    do_not_probe: bool,
    answers: Option<bool>,
    asked_last: Option<Timestamp>,
    last_success: Option<Timestamp>,
    certificate_expires: Option<Timestamp>,
    /// Things that it says of itself and its baseline does not.
    drift: usize,
}

#[derive(Debug, Serialize)]
struct Daemon {
    version: String,
    started: Timestamp,
    policy_file: String,
    file_differs: Option<bool>,
}

/// Everything that a view is made from.
pub(super) struct Facts {
    pub(super) reading: Reading,
    pub(super) daemon: Option<DaemonStatus>,
    pub(super) reach: Option<Reach>,
    pub(super) drops: Drops,
    pub(super) seen: Vec<SeenRecord>,
    pub(super) history: Vec<Entry>,
}

impl From<Facts> for View {
    fn from(Facts { reading, daemon, reach, drops, seen, mut history }: Facts) -> Self {
        let mut refused: Vec<SeenRecord> =
            seen.into_iter().filter(|seen| seen.outcome != Verdict::Allow.name()).collect();
        let refused_in_all = refused.len();
        refused.truncate(LISTED);
        history.reverse();
        history.truncate(LISTED);
        let standings = daemon.as_ref().map_or(&[][..], |daemon| &daemon.peers);
        let mut peers: Vec<Peer> = standings.iter().map(Peer::from).collect();
        // Whoever does not answer comes first, and is never among those that are left out.
        peers.sort_by_key(|peer| peer.answers != Some(false));
        peers.truncate(LISTED);
        let outline = reading.outline.as_ref();
        Self {
            schema: "pacs-guard/web/1",
            at: Timestamp::now(),
            state: reading.state,
            generation: outline.and_then(Outline::generation),
            until: outline.and_then(|outline| outline.until).map(BootTime::to_timestamp),
            uncovered: reading.uncovered.iter().map(ToString::to_string).collect(),
            packets: reading.totals(),
            drops,
            refused,
            refused_in_all,
            reach,
            by_segment: reading.counters.as_ref().map(by_segment).unwrap_or_default(),
            peers_in_all: standings.len(),
            peers,
            history,
            policy: reading.card,
            interfaces: reading.interfaces,
            daemon: daemon.map(Daemon::from),
        }
    }
}

fn by_segment(counters: &Counters) -> BTreeMap<Arc<str>, Booked> {
    let mut segments = BTreeMap::<_, Booked>::new();
    for (_, booking, packets) in counters.entries() {
        let Some(segment) = booking.segment else { continue };
        let booked = segments.entry(segment).or_default();
        match booking.verdict {
            Verdict::Allow => booked.allowed += packets,
            Verdict::Drop => booked.dropped += packets,
            Verdict::WouldDrop => booked.would_drop += packets,
            Verdict::Pass => {}
        }
    }
    segments
}

impl From<&Standing> for Peer {
    fn from(standing: &Standing) -> Self {
        Self {
            name: standing.peer.clone(),
            address: standing.address,
            port: standing.port,
            ae_title: standing.ae_title.clone(),
            tls: standing.tls,
            do_not_probe: standing.do_not_probe,
            answers: standing.answers,
            asked_last: standing.asked_last,
            last_success: standing.last_success,
            certificate_expires: standing.certificate_expires,
            drift: standing.drift.len(),
        }
    }
}

impl From<DaemonStatus> for Daemon {
    fn from(status: DaemonStatus) -> Self {
        let DaemonStatus { version, started, policy_file, file_differs, .. } = status;
        Self { version, started, policy_file, file_differs }
    }
}
