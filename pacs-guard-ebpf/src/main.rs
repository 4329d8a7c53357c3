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
    packet::Headers,
    verdict::{Case, Verdict},
};

use crate::{
    frame::{LinearPart, XdpFrame},
    maps::Generation,
};

/// Judges one frame. It passes or is dropped, unless a refused SYN is turned into its own reset.
#[xdp(frags)]
pub fn pacs_guard(ctx: XdpContext) -> u32 {
    let generation = Generation::active();
    let linear = LinearPart::new(&ctx, generation.zero);
    let mut headers = Headers::read(&linear);
    if linear.fell_short() {
        headers = Headers::from_lane(frame::read_headers(ctx.ctx, generation.zero as u64));
    }
    let case = match Case::open(headers, &generation) {
        Ok(case) => case,
        Err(reason) => {
            record::count(CounterId::of_pass(reason));
            return xdp_action::XDP_PASS;
        }
    };
    let mut frame = XdpFrame::new(&ctx, generation.zero);
    let judgement = case.judge(&frame, &generation);
    record::count(judgement.ruling.counter);
    let (action, refused) = match judgement.ruling.verdict {
        Verdict::Pass | Verdict::Allow => (xdp_action::XDP_PASS, false),
        Verdict::WouldDrop => (xdp_action::XDP_PASS, true),
        Verdict::Drop => (xdp_action::XDP_DROP, true),
    };
    if refused {
        record::report(&ctx, &frame, &judgement, &generation);
    } else if judgement.ruling.verdict as u8 == Verdict::Allow as u8 {
        seen::let_in(&frame, &judgement);
        learning::listen(&frame, &judgement);
    }
    if action == xdp_action::XDP_DROP && judgement.ruling.resets && answer::with_reset(&ctx, &mut frame) {
        return xdp_action::XDP_TX;
    }
    action
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
