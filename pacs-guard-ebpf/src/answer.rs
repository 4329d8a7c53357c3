//! The answer to a refused SYN: a TCP RST out of the same interface.

use aya_ebpf::programs::XdpContext;
use pacs_guard_common::{
    abi::{ALL_RESETS, CounterId, RESETS_PER_SECOND},
    packet::{Frame, Syn},
};

use crate::{frame::XdpFrame, maps::ANSWERING, record};

/// Turns a refused SYN into its reset; whether the frame may be sent. Where not, it must be dropped.
///
/// Only a frame to the interface's own unicast address is answered: on a bridge or in promiscuous mode the
/// connection is somebody else's.
///
/// A function of its own, for its variables do not fit into one stack frame with the verdict's.
#[inline(never)]
pub fn with_reset(ctx: &XdpContext, frame: &mut XdpFrame<'_>) -> bool {
    write(ctx, frame).is_some()
}

#[inline(always)]
fn write(ctx: &XdpContext, frame: &mut XdpFrame<'_>) -> Option<()> {
    let [d1, d2, d3, d4, d5, d6]: [u8; 6] = frame.read(0)?;
    // SAFETY: the value is copied at once; should user space store another meanwhile, each byte is of one of
    // the two, and a mixed address matches no frame that matters.
    let own = unsafe { ANSWERING.get(ctx.ingress_ifindex() as u32) }.copied()?;
    if own != [d1, d2, d3, d4, d5, d6, 0, 0] {
        return None;
    }
    let syn = Syn::find(frame)?;
    if !record::spend(ALL_RESETS, RESETS_PER_SECOND) {
        record::count(CounterId::RESETS_SUPPRESSED);
        return None;
    }
    syn.answer(frame)?;
    record::count(CounterId::RESETS_SENT);
    Some(())
}
