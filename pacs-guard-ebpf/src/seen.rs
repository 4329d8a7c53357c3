//! The sources lately seen: one map for those that were let in, one for the refused, each bounded.

use aya_ebpf::{btf_maps::LruHashMap, helpers, macros::btf_map};
use pacs_guard_common::{
    abi::{SEEN_ENTRIES, SeenKey, SeenValue},
    packet::{Packet, TCP, opens},
    verdict::Judgement,
};

use crate::{frame::XdpFrame, record};

type Sources = LruHashMap<[u64; SeenKey::LANES], [u64; SeenValue::LANES], { SEEN_ENTRIES as usize }>;

/// Sources that were let in. Apart from the refused ones, so that no scan pushes out a real peer.
#[btf_map]
static ALLOWED: Sources = Sources::new();

/// Sources that were refused, or would have been.
#[btf_map]
static REFUSED: Sources = Sources::new();

/// `BPF_NOEXIST`: makes an entry only where there is none.
const NEW: u64 = 1;

/// Remembers a source that was let in: once a connection, and on UDP within the budget of events, so that
/// the packets of a connection pay nothing.
#[inline(always)]
pub fn let_in(frame: &XdpFrame<'_>, judgement: &Judgement) {
    let packet = &judgement.packet;
    let begins =
        if packet.protocol == TCP { opens(frame, packet) } else { record::may_report(packet.source) };
    if begins {
        // SAFETY: the helper has no arguments and no effect.
        let now = unsafe { helpers::generated::bpf_ktime_get_boot_ns() };
        note(&ALLOWED, judgement, true, now);
    }
}

/// Remembers a source that was refused; whoever calls it has spent of the budget of events.
#[inline(always)]
pub fn refused(frame: &XdpFrame<'_>, judgement: &Judgement, now: u64) {
    let packet = &judgement.packet;
    note(&REFUSED, judgement, packet.protocol != TCP || opens(frame, packet), now);
}

#[inline(always)]
fn note(sources: &'static Sources, judgement: &Judgement, begins: bool, now: u64) {
    let Judgement { packet: Packet { source, destination_port, protocol, .. }, ruling } = *judgement;
    let key = SeenKey { source, port: destination_port, protocol }.to_lanes();
    let entry = match sources.get_ptr_mut(key) {
        Some(entry) => entry,
        None => {
            let fresh = SeenValue { first: now, last: now, connections: 0, ruling };
            // Another CPU may have made it by now, which is as good.
            let _ = sources.insert(key, fresh.to_lanes(), NEW);
            let Some(entry) = sources.get_ptr_mut(key) else { return };
            entry
        }
    };
    // SAFETY: the pointer is to an aligned value of the map. Other CPUs may write it at the same time, and an entry
    // that is evicted meanwhile stays memory of the map for as long as the program runs: each lane is some whole
    // number, and what is kept here is a hint.
    let [_, last, connections, ruled] = unsafe { &mut *entry };
    *last = now;
    *ruled = ruling.to_lane();
    *connections += u64::from(begins);
}
