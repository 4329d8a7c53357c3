//! Learning: the AE titles of associations, noted while somebody has asked for it, and for no longer.

use aya_ebpf::{
    btf_maps::{Array, LruHashMap, PerCpuArray},
    helpers::generated::bpf_ktime_get_boot_ns,
    macros::btf_map,
};
use pacs_guard_common::{
    abi::{ASSOCIATIONS, AssociationKey, SeenKey},
    packet::{Packet, TCP, titles_at},
    verdict::Judgement,
};

use crate::frame::XdpFrame;

/// When learning ends, in nanoseconds since boot (`CLOCK_BOOTTIME`); 0 where it is off. So it ends without a daemon.
#[btf_map]
static LEARNING: Array<u64, 1> = Array::new();

/// Who associated under which titles, and when last, on the same clock.
#[btf_map]
static TITLES: LruHashMap<[u64; AssociationKey::LANES], u64, { ASSOCIATIONS as usize }> = LruHashMap::new();

/// Whom this CPU listens to: the key of [`TITLES`], and where the TCP header lies.
///
/// What is read back from a map, the verifier knows nothing of. So it walks through [`note`] once, and not for each way
/// that a packet can have been parsed and judged. And the stack has no room for a key.
#[btf_map]
static LISTENED: PerCpuArray<Listened, 1> = PerCpuArray::new();

type Listened = [u64; AssociationKey::LANES + 1];

/// Notes the titles of a packet to a protected service that is not dropped, where it asks for an association. Whoever
/// calls it for what would be dropped has spent of the budget of events.
#[inline(always)]
pub fn listen(frame: &XdpFrame<'_>, judgement: &Judgement) {
    let until = LEARNING.get(0).copied().unwrap_or(0);
    if until == 0 {
        return;
    }
    let Some(listened) = LISTENED.get_ptr_mut(0) else { return };
    let Packet { source, destination_port, protocol, transport_at, .. } = judgement.packet;
    let [high, low, last] = SeenKey { source, port: destination_port, protocol }.to_lanes();
    // SAFETY: the pointer is to this CPU's own value, which lives as long as the map, and nothing else runs on this CPU
    // meanwhile.
    unsafe { *listened = [high, low, last, 0, 0, 0, 0, transport_at as u64] };
    note(frame, until);
}

/// A function of its own, for its variables do not fit into one stack frame with the verdict's.
#[inline(never)]
fn note(frame: &XdpFrame<'_>, until: u64) -> u64 {
    // SAFETY: the helper has no arguments and no effect.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    let Some(listened) = LISTENED.get_ptr_mut(0) else { return 0 };
    // SAFETY: as above.
    let [_, _, last, c1, c2, g1, g2, tcp] = unsafe { &mut *listened };
    // A later fragment, or what could not be parsed, has no header that is known.
    if now >= until || *tcp == 0 || (*last >> 16) as u8 != TCP {
        return 0;
    }
    if let Some(titles) = titles_at(&frame.linear_part(), *tcp as usize) {
        [*c1, *c2, *g1, *g2] = AssociationKey::title_lanes(titles);
        // SAFETY: the key is the first part of the value.
        let key = unsafe { &*listened.cast::<[u64; AssociationKey::LANES]>() };
        // A full map forgets the oldest, so this fails for a moment at most.
        let _ = TITLES.insert(key, now, 0);
    }
    0
}
