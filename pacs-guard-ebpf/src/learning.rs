//! Learning: the AE titles of associations, noted while somebody has asked for it, and for no longer.

use aya_ebpf::{
    bindings::xdp_md,
    btf_maps::{Array, LruHashMap},
    helpers::generated::bpf_ktime_get_boot_ns,
    macros::btf_map,
    programs::XdpContext,
};
use pacs_guard_common::{
    abi::{ASSOCIATIONS, AssociationKey},
    packet::{Headers, TCP, titles_at},
};

use crate::{frame::XdpFrame, seen};

/// When learning ends, in nanoseconds since boot (`CLOCK_BOOTTIME`); 0 where it is off. So it ends without a daemon.
#[btf_map]
static LEARNING: Array<u64, 1> = Array::new();

/// Who associated under which titles, and when last, on the same clock.
#[btf_map]
static TITLES: LruHashMap<[u64; AssociationKey::LANES], u64, { ASSOCIATIONS as usize }> = LruHashMap::new();

/// Whether the program learns, or did until it ended.
#[inline(always)]
pub fn is_on() -> bool {
    LEARNING.get(0).is_some_and(|until| *until != 0)
}

/// Notes the titles of a packet to a protected service that is not dropped, where it asks for an association, by its packed
/// headers. Whoever calls it for what would be dropped has spent of the budget of events.
///
/// A function of its own, and one that the linker exports: see [`read_headers`](crate::frame::read_headers).
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn listen(ctx: *mut xdp_md, zero: u64, headers: u64) -> u64 {
    let until = LEARNING.get(0).copied().unwrap_or(0);
    // SAFETY: the helper has no arguments and no effect.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    let headers = Headers::from_lane(headers);
    // A later fragment, or what could not be parsed, has no header that is known.
    if now >= until || headers.transport_at() == 0 || headers.protocol() != TCP {
        return 0;
    }
    let ctx = XdpContext::new(ctx);
    let frame = XdpFrame::new(&ctx, zero as usize);
    if let Some(titles) = titles_at(&frame.linear_part(), headers.transport_at()) {
        let key = AssociationKey { source: seen::key(&frame, &headers), titles };
        // A full map forgets the oldest, so this fails for a moment at most.
        let _ = TITLES.insert(key.to_lanes(), now, 0);
    }
    0
}
