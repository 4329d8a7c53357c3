//! Programs for the bench only, never part of the release binary: a generator of sources before the program that is
//! measured, and contenders with other look-ups.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod contender;
mod flood;
#[path = "../frame.rs"]
#[allow(dead_code, reason = "the contenders read headers only")]
mod frame;
#[allow(dead_code, reason = "user space shares it")]
mod keys;

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, PerCpuArray, ProgramArray},
    macros::{btf_map, xdp},
    programs::XdpContext,
};

/// Prefixes, address family (0 leaves the frame alone), what is set in the address, and whether the key is hot.
#[btf_map]
static SOURCES: Array<[u64; 4], 1> = Array::new();

/// The number of the next packet on this CPU.
#[btf_map]
static NEXT: PerCpuArray<u64, 1> = PerCpuArray::new();

/// The measured program, where it takes frames of several buffers.
#[btf_map]
static JUDGE_FRAGS: ProgramArray<1> = ProgramArray::new();

/// The measured program, where it does not.
#[btf_map]
static JUDGE: ProgramArray<1> = ProgramArray::new();

/// The floor.
#[xdp(frags)]
pub fn empty_frags(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// The floor of programs that take single buffers.
#[xdp]
pub fn empty(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Puts the next source in the frame and goes on to the measured program.
#[xdp(frags)]
pub fn generate_frags(ctx: XdpContext) -> u32 {
    generate(&ctx);
    // SAFETY: nothing here needs to be dropped.
    unsafe { JUDGE_FRAGS.tail_call(&ctx, 0) };
    xdp_action::XDP_ABORTED
}

/// The same for programs that take single buffers.
#[xdp]
pub fn generate_single(ctx: XdpContext) -> u32 {
    generate(&ctx);
    // SAFETY: nothing here needs to be dropped.
    unsafe { JUDGE.tail_call(&ctx, 0) };
    xdp_action::XDP_ABORTED
}

#[inline(always)]
fn generate(ctx: &XdpContext) {
    let (Some(&[count, family, set, hot]), Some(next)) = (SOURCES.get(0), NEXT.get_ptr_mut(0)) else {
        return;
    };
    // SAFETY: the pointer is to this CPU's own value.
    let packet = unsafe { &mut *next };
    *packet += 1;
    let (number, host) = keys::pick(if hot == 0 { *packet } else { hot }, count);
    match family {
        4 => write(ctx, 26, ((keys::address4(number, host).high | set) as u32).to_be_bytes()),
        6 => {
            let source = keys::address6(number, host);
            write(ctx, 22, (source.high | set).to_be_bytes());
            write(ctx, 30, source.low.to_be_bytes());
        }
        _ => {}
    }
}

#[inline(always)]
fn write<const N: usize>(ctx: &XdpContext, at: usize, bytes: [u8; N]) {
    let start = ctx.data() + at;
    if start + N <= ctx.data_end() {
        // SAFETY: the comparison proves that the bytes lie in the frame.
        unsafe { *(start as *mut [u8; N]) = bytes };
    }
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
