//! The sources lately seen: one map for those that were let in, one for the refused, each bounded.

use aya_ebpf::{bindings::xdp_md, btf_maps::LruHashMap, helpers, macros::btf_map, programs::XdpContext};
use pacs_guard_common::{
    abi::{PackedRuling, SEEN_ENTRIES, SeenKey, SeenValue},
    packet::{Headers, TCP},
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

/// Remembers a source that was let in, by packed headers and a packed ruling: once a connection, and on UDP within the
/// budget of events, so that the packets of a connection pay nothing.
///
/// A function of its own, and one that the linker exports: see [`read_headers`](crate::frame::read_headers).
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn remember(ctx: *mut xdp_md, zero: u64, headers: u64, ruling: u64) -> u64 {
    let ctx = XdpContext::new(ctx);
    let frame = XdpFrame::new(&ctx, zero as usize);
    let headers = Headers::from_lane(headers);
    let key = key(&frame, &headers);
    if headers.protocol() == TCP || record::may_report(key.source) {
        // SAFETY: the helper has no arguments and no effect.
        let now = unsafe { helpers::generated::bpf_ktime_get_boot_ns() };
        note(&ALLOWED, key, PackedRuling::new(ruling), true, now);
    }
    0
}

/// Remembers a source that was refused; whoever calls it has spent of the budget of events.
#[inline(always)]
pub fn refused(frame: &XdpFrame<'_>, headers: &Headers, ruling: PackedRuling, now: u64) {
    let begins = headers.protocol() != TCP || headers.opens(frame);
    note(&REFUSED, key(frame, headers), ruling, begins, now);
}

/// Who sends a packet, and what it asks for.
#[inline(always)]
pub fn key(frame: &XdpFrame<'_>, headers: &Headers) -> SeenKey {
    SeenKey { source: headers.source(frame), port: headers.destination_port(), protocol: headers.protocol() }
}

#[inline(always)]
fn note(sources: &'static Sources, key: SeenKey, ruling: PackedRuling, begins: bool, now: u64) {
    let key = key.to_lanes();
    let entry = match sources.get_ptr_mut(key) {
        Some(entry) => entry,
        None => {
            // Another CPU may have made it by now, which is as good.
            let _ = sources.insert(key, SeenValue::lanes(now, now, 0, ruling), NEW);
            let Some(entry) = sources.get_ptr_mut(key) else { return };
            entry
        }
    };
    // SAFETY: the pointer is to an aligned value of the map. Other CPUs may write it at the same time, and an entry
    // that is evicted meanwhile stays memory of the map for as long as the program runs: each lane is some whole
    // number, and what is kept here is a hint.
    let [_, last, connections, ruled] = unsafe { &mut *entry };
    *last = now;
    *ruled = ruling.lane();
    *connections += u64::from(begins);
}
