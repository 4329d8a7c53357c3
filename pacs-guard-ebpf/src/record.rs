//! What a judged packet leaves behind: a count, and an event where it was refused.

use aya_ebpf::{bindings::xdp_md, helpers, programs::XdpContext};
use aya_log_ebpf::info;
use pacs_guard_common::{
    abi::{
        ALL_EVENTS, CounterId, EVENTS_PER_SECOND, EVENTS_PER_SOURCE, Event, FIRST_SOURCE, PackedRuling,
        SOURCE_BUCKETS,
    },
    packet::{Address, Headers},
};

use crate::{
    frame::XdpFrame,
    maps::{BUDGETS, COUNTERS, EVENTS},
    seen,
};

const SECOND: u64 = 1_000_000_000;

/// Adds one packet to a counter of this CPU.
#[inline(always)]
pub fn count(counter: CounterId) {
    let (page, place) = counter.place();
    let Some(page) = COUNTERS.get_ptr_mut(page) else { return };
    // SAFETY: the pointer is to this CPU's own value, which lives as long as the map, and nothing else runs
    // on this CPU between here and the write: XDP runs with bottom halves off.
    if let Some(packets) = unsafe { (*page).get_mut(place) } {
        *packets += 1;
    }
}

/// Sends an event of packed headers and a packed ruling and remembers the source, unless it, or all sources together, have
/// spent the second's budget; 1 where they had not.
///
/// A function of its own, and one that the linker exports: see [`read_headers`](crate::frame::read_headers). Most packets
/// never come here.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn report(ctx: *mut xdp_md, zero: u64, headers: u64, ruling: u64, generation: u64) -> u64 {
    let ctx = XdpContext::new(ctx);
    let frame = XdpFrame::new(&ctx, zero as usize);
    let (headers, ruling) = (Headers::from_lane(headers), PackedRuling::new(ruling));
    let packet = headers.packet(&frame);
    info!(&ctx, "refused: port {}, reason {}", packet.destination_port, ruling.reason_code());
    if !may_report(packet.source) {
        count(CounterId::EVENTS_SUPPRESSED);
        return 0;
    }
    // SAFETY: the helper has no arguments and no effect.
    let time = unsafe { helpers::generated::bpf_ktime_get_boot_ns() };
    seen::refused(&frame, &headers, ruling, time);
    let interface = ctx.ingress_ifindex() as u32;
    if EVENTS.output(Event::lanes(time, interface, generation, &packet, ruling), 0).is_err() {
        count(CounterId::EVENTS_LOST);
    }
    1
}

/// Takes one from the budget of a source, and one from that of all sources together.
#[inline(always)]
pub fn may_report(source: Address) -> bool {
    spend(bucket(source), EVENTS_PER_SOURCE) && spend(ALL_EVENTS, EVENTS_PER_SECOND)
}

/// Takes one from a bucket's budget of this second. Two CPUs may take the same one: it is a fence, no count.
#[inline(always)]
pub fn spend(bucket: u32, budget: u64) -> bool {
    const USED: u64 = 0xffff;
    // SAFETY: the helper has no arguments and no effect.
    let second = unsafe { helpers::generated::bpf_ktime_get_coarse_ns() } / SECOND;
    let Some(cell) = BUDGETS.get_ptr_mut(bucket) else { return false };
    // SAFETY: the pointer is to an aligned u64 of the map; other CPUs may write it at the same time, and
    // whichever value is read or stays is a whole one.
    let cell = unsafe { &mut *cell };
    let spent = if *cell >> 16 == second { *cell & USED } else { 0 };
    if spent >= budget {
        return false;
    }
    *cell = second << 16 | (spent + 1);
    true
}

/// The bucket of a source, by Fibonacci hashing.
#[inline(always)]
fn bucket(source: Address) -> u32 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = (source.high ^ source.low.rotate_left(32)).wrapping_mul(GOLDEN);
    FIRST_SOURCE + (mixed >> 52) as u32 % SOURCE_BUCKETS
}
