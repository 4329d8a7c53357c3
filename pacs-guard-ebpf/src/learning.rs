//! Learning: the AE titles of associations, noted while somebody has asked for it, and for no longer.

use aya_ebpf::{
    btf_maps::{Array, LruHashMap},
    helpers::generated::bpf_ktime_get_boot_ns,
    macros::btf_map,
};
use pacs_guard_common::{
    abi::{ASSOCIATIONS, AssociationKey, SeenKey},
    packet::titles,
    verdict::Judgement,
};

use crate::frame::XdpFrame;

/// When learning ends, in nanoseconds since boot (`CLOCK_BOOTTIME`); 0 where it is off. So it ends without a daemon.
#[btf_map]
static LEARNING: Array<u64, 1> = Array::new();

/// Who associated under which titles, and when last, on the same clock.
#[btf_map]
static TITLES: LruHashMap<[u64; AssociationKey::LANES], u64, { ASSOCIATIONS as usize }> = LruHashMap::new();

/// Notes the titles of a packet to a protected service that is not dropped, where it asks for an association.
#[inline(always)]
pub fn listen(frame: &XdpFrame<'_>, judgement: &Judgement) {
    let until = LEARNING.get(0).copied().unwrap_or(0);
    if until == 0 {
        return;
    }
    // SAFETY: the helper has no arguments and no effect.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    if until <= now {
        return;
    }
    let packet = &judgement.packet;
    if let Some(titles) = titles(frame, packet) {
        let (port, protocol) = (packet.destination_port, packet.protocol);
        let key = AssociationKey { source: SeenKey { source: packet.source, port, protocol }, titles };
        // A full map forgets the oldest, so this fails for a moment at most.
        let _ = TITLES.insert(key.to_lanes(), now, 0);
    }
}
