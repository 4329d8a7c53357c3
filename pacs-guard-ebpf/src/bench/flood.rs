//! A flood for live frames, each from another refused source, and the barest walls against it.

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::Array,
    helpers::bpf_redirect,
    macros::{btf_map, xdp},
    programs::XdpContext,
};

use crate::{NEXT, contender::count, keys, write};

/// The interface to send out of, and the sum of the IPv4 header's words without its source and checksum.
#[btf_map]
static FLOOD: Array<[u64; 2], 1> = Array::new();

/// Puts the next source in the frame, with the checksum that belongs to it (RFC 1071), and sends it.
#[xdp]
pub fn flood(ctx: XdpContext) -> u32 {
    let (Some(&[interface, sum]), Some(next)) = (FLOOD.get(0), NEXT.get_ptr_mut(0)) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: the pointer is to this CPU's own value.
    let packet = unsafe { &mut *next };
    *packet += 1;
    let source = keys::refused4(*packet);
    let sum = sum + u64::from(source >> 16) + u64::from(source & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    write(&ctx, 24, (!sum as u16).to_be_bytes());
    write(&ctx, 26, source.to_be_bytes());
    // SAFETY: it takes no pointers.
    unsafe { bpf_redirect(interface as u32, 0) as u32 }
}

/// Counts and drops whatever comes.
#[xdp(frags)]
pub fn bare(_: XdpContext) -> u32 {
    count(2);
    xdp_action::XDP_DROP
}

/// Counts and drops the flood, known by one byte, and lets everything else pass.
#[xdp(frags)]
pub fn bare_sieve(ctx: XdpContext) -> u32 {
    let start = ctx.data();
    // SAFETY: the comparison proves that the byte lies in the frame.
    if start + 27 <= ctx.data_end() && unsafe { *((start + 26) as *const u8) } >> 6 == keys::REFUSED4 {
        count(2);
        return xdp_action::XDP_DROP;
    }
    xdp_action::XDP_PASS
}
