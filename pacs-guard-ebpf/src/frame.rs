//! The frame of an XDP context: the only place that touches packet memory.

use core::{arch::asm, cell::Cell};

use aya_ebpf::{bindings::xdp_md, helpers, programs::XdpContext};
use pacs_guard_common::packet::{Frame, FrameMut, Headers, MAX_OFFSET};

/// The first buffer of a frame, without options and extension headers: for most frames, all that there is.
///
/// Whoever reads it must ask whether it [`fell_short`](LinearPart::fell_short).
pub struct LinearPart<'a> {
    ctx: &'a XdpContext,
    zero: usize,
    fell_short: Cell<bool>,
}

impl<'a> LinearPart<'a> {
    /// `zero` is 0, read from where the verifier can't know it.
    #[inline(always)]
    pub fn new(ctx: &'a XdpContext, zero: usize) -> Self {
        Self { ctx, zero, fell_short: Cell::new(false) }
    }

    /// Whether more was asked for than it holds.
    #[inline(always)]
    pub fn fell_short(&self) -> bool {
        self.fell_short.get()
    }
}

impl Frame for LinearPart<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let start = self.ctx.data() + at;
        if start + N <= self.ctx.data_end() {
            // SAFETY: the comparison above proves to the verifier, and to us, that N bytes from `start` on
            // lie inside the frame.
            return Some(unsafe { load(start) });
        }
        self.fell_short.set(true);
        None
    }

    #[inline(always)]
    fn holds(&self, length: usize) -> bool {
        let holds = self.ctx.data() + length <= self.ctx.data_end();
        if !holds {
            self.fell_short.set(true);
        }
        holds
    }

    #[inline(always)]
    fn forget(&self, offset: usize) -> usize {
        (offset + self.zero) & MAX_OFFSET
    }

    #[inline(always)]
    fn has_chains(&self) -> bool {
        self.fell_short.set(true);
        false
    }
}

/// A frame as the driver hands it over, in one buffer or in many.
pub struct XdpFrame<'a> {
    ctx: &'a XdpContext,
    zero: usize,
}

impl<'a> XdpFrame<'a> {
    /// `zero` is 0, read from where the verifier can't know it.
    pub fn new(ctx: &'a XdpContext, zero: usize) -> Self {
        Self { ctx, zero }
    }
}

/// Reads the headers wherever they lie, chains too, and packs them.
///
/// A function of its own, and one that the linker exports, so that the verifier walks it once and not once for each
/// call; and what other frames read stays in registers.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn read_headers(ctx: *mut xdp_md, zero: u64) -> u64 {
    Headers::read(&XdpFrame::new(&XdpContext::new(ctx), zero as usize)).to_lane()
}

impl Frame for XdpFrame<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let start = self.ctx.data() + at;
        if start + N <= self.ctx.data_end() {
            // SAFETY: the comparison above proves to the verifier, and to us, that N bytes from `start` on
            // lie inside the frame.
            return Some(unsafe { load(start) });
        }
        self.read_behind_linear_part(at)
    }

    #[inline(always)]
    fn holds(&self, length: usize) -> bool {
        if self.ctx.data() + length <= self.ctx.data_end() {
            return true;
        }
        // SAFETY: the helper only reads the context, which is valid for as long as the program runs.
        length as u64 <= unsafe { helpers::generated::bpf_xdp_get_buff_len(self.ctx.ctx) }
    }

    #[inline(always)]
    fn forget(&self, offset: usize) -> usize {
        (offset + self.zero) & MAX_OFFSET
    }
}

impl FrameMut for XdpFrame<'_> {
    #[inline(always)]
    fn write<const N: usize>(&mut self, at: usize, bytes: [u8; N]) -> Option<()> {
        let start = self.ctx.data() + at;
        if start + N > self.ctx.data_end() {
            return None;
        }
        // SAFETY: the comparison above proves that N bytes from `start` on lie inside the frame, which is
        // ours alone while the program runs; `[u8; N]` needs no alignment.
        unsafe { *(start as *mut [u8; N]) = bytes };
        Some(())
    }

    #[inline(always)]
    fn resize(&mut self, length: usize) -> Option<()> {
        // SAFETY: the helper only reads the context.
        let now = unsafe { helpers::generated::bpf_xdp_get_buff_len(self.ctx.ctx) };
        // SAFETY: the helper only moves the end of the frame, and packet pointers are made anew at each use.
        let result =
            unsafe { helpers::generated::bpf_xdp_adjust_tail(self.ctx.ctx, length as i32 - now as i32) };
        (result == 0).then_some(())
    }
}

impl XdpFrame<'_> {
    /// The first buffer alone, for what may as well stay unknown: each way to read doubles what the verifier has to
    /// walk.
    #[inline(always)]
    pub fn linear_part(&self) -> LinearPart<'_> {
        LinearPart::new(self.ctx, self.zero)
    }

    /// Reads where the bytes lie in a later buffer of a multi-buffer frame, or across two.
    #[inline(always)]
    fn read_behind_linear_part<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        // SAFETY: the helper writes N bytes to `bytes`, which holds N, or none where the frame ends before.
        let result = unsafe {
            helpers::generated::bpf_xdp_load_bytes(
                self.ctx.ctx,
                at as u32,
                bytes.as_mut_ptr().cast(),
                N as u32,
            )
        };
        (result == 0).then_some(bytes)
    }
}

/// Loads from packet memory of any alignment in the largest steps that N allows.
///
/// The compiler would load byte by byte what it does not know to be aligned, and the kernel takes unaligned loads from
/// packets wherever the processor does them.
///
/// # Safety
/// N bytes from `start` on lie inside the frame.
#[inline(always)]
unsafe fn load<const N: usize>(start: usize) -> [u8; N] {
    macro_rules! load {
        ($size:literal, $at:literal) => {{
            let value: u64;
            // SAFETY: of the caller, for no step leads behind N bytes.
            unsafe {
                asm!(concat!("{value} = *(", $size, " *)({start} + ", $at, ")"), value = out(reg) value,
                    start = in(reg) start, options(pure, readonly, nostack, preserves_flags));
            }
            value.to_ne_bytes()
        }};
    }
    let mut bytes = [0; N];
    let steps: &[[u8; 8]] = match N {
        2 => &[load!("u16", 0)],
        4 => &[load!("u32", 0)],
        8 => &[load!("u64", 0)],
        20 => &[load!("u64", 0), load!("u64", 8), load!("u32", 16)],
        // SAFETY: of the caller; `[u8; N]` needs no alignment and every bit pattern is a value of it.
        _ => return unsafe { *(start as *const [u8; N]) },
    };
    bytes.iter_mut().zip(steps.as_flattened()).for_each(|(byte, loaded)| *byte = *loaded);
    bytes
}
