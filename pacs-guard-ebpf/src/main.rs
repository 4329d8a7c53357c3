//! The XDP program: a thin shell around the verdict of `pacs-guard-common`.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod answer;
mod frame;
mod learning;
mod maps;
mod record;
mod seen;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use pacs_guard_common::{
    abi::CounterId,
    packet::{Headers, TCP},
    verdict::{Case, PolicyView, Verdict, passes},
};

use crate::{
    frame::{LinearPart, XdpFrame},
    maps::InForce,
};

/// Judges one frame. It passes or is dropped, unless a refused SYN is turned into its own reset.
#[xdp(frags)]
pub fn pacs_guard(ctx: XdpContext) -> u32 {
    let in_force = InForce::read();
    let zero = in_force.zero();
    let linear = LinearPart::new(&ctx, zero);
    let mut headers = Headers::read(&linear);
    if linear.fell_short() {
        headers = Headers::from_lane(frame::read_headers(ctx.ctx, zero as u64));
    }
    // The policy itself is not even looked up for most packets.
    if let Some(reason) = passes(&headers, |port| in_force.leaves_open(port)) {
        record::count(CounterId::of_pass(reason));
        return xdp_action::XDP_PASS;
    }
    let generation = in_force.generation();
    let case = match Case::open(headers, &generation) {
        Ok(case) => case,
        Err(reason) => {
            record::count(CounterId::of_pass(reason));
            return xdp_action::XDP_PASS;
        }
    };
    let mut frame = XdpFrame::new(&ctx, zero);
    let ruling = case.rule(&frame, &generation);
    record::count(ruling.counter());
    let verdict = ruling.verdict();
    if matches!(verdict, Verdict::Pass) {
        return xdp_action::XDP_PASS;
    }
    let (packed, lane) = (headers.to_lane(), ruling.lane());
    if matches!(verdict, Verdict::Allow) {
        if headers.protocol() != TCP || headers.opens(&frame) {
            seen::remember(ctx.ctx, zero as u64, packed, lane);
        }
        if learning::is_on() {
            learning::listen(ctx.ctx, zero as u64, packed);
        }
        return xdp_action::XDP_PASS;
    }
    let number = generation.header().map_or(0, |header| header.generation);
    let reported = record::report(ctx.ctx, zero as u64, packed, lane, number) != 0;
    if matches!(verdict, Verdict::WouldDrop) {
        if reported && learning::is_on() {
            learning::listen(ctx.ctx, zero as u64, packed);
        }
        return xdp_action::XDP_PASS;
    }
    if ruling.resets() && answer::with_reset(&ctx, &mut frame) {
        return xdp_action::XDP_TX;
    }
    xdp_action::XDP_DROP
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

// The kernel reads a dual licence as GPL-compatible.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
