//! The frame of an XDP context: the only place that touches packet memory.

use aya_ebpf::{helpers, programs::XdpContext};
use pacs_guard_common::packet::{Frame, FrameMut, MAX_OFFSET};

/// A frame as the driver hands it over.
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

impl Frame for XdpFrame<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        if let Some(bytes) = self.read_linear_part(at) {
            return Some(bytes);
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

/// The linear part of a frame alone, for what may as well stay unknown: each way to read doubles what the verifier
/// has to walk.
pub struct Linear<'a>(pub &'a XdpFrame<'a>);

impl Frame for Linear<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.read_linear_part(at)
    }

    #[inline(always)]
    fn holds(&self, length: usize) -> bool {
        self.0.ctx.data() + length <= self.0.ctx.data_end()
    }

    #[inline(always)]
    fn forget(&self, offset: usize) -> usize {
        self.0.forget(offset)
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
    #[inline(always)]
    fn read_linear_part<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let start = self.ctx.data() + at;
        if start + N <= self.ctx.data_end() {
            // SAFETY: the comparison above proves to the verifier, and to us, that N bytes from `start` on
            // lie inside the frame; `[u8; N]` needs no alignment and every bit pattern is a value of it.
            return Some(unsafe { *(start as *const [u8; N]) });
        }
        None
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
