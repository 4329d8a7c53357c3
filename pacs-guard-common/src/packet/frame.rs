//! Access to the bytes of a frame.

/// The largest offset that a parser may [`forget`](Frame::forget): all bits set.
pub const MAX_OFFSET: usize = 0x7fff;

/// The bytes of an Ethernet frame, from the destination address on, without the frame check sequence.
pub trait Frame {
    /// Copies `N` bytes from offset `at`; `None` where the frame ends before them.
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]>;

    /// Whether the frame is at least `length` bytes long.
    fn holds(&self, length: usize) -> bool;

    /// The same offset, of which the kernel's verifier knows only that it is at most [`MAX_OFFSET`].
    ///
    /// The verifier walks code once for each set of values that it can tell apart, and the offsets behind a
    /// chain of headers are many. Outside the kernel this does nothing.
    fn forget(&self, offset: usize) -> usize {
        offset
    }

    /// Whether options and extension headers are followed in it. Where not, a frame that has any is as if it ended
    /// before them.
    fn has_chains(&self) -> bool {
        true
    }
}

/// A frame that can be changed in place.
pub trait FrameMut: Frame {
    /// Writes `N` bytes at offset `at`; `None` where the frame ends before them.
    fn write<const N: usize>(&mut self, at: usize, bytes: [u8; N]) -> Option<()>;

    /// Makes the frame `length` bytes long; `None` where that is not possible.
    fn resize(&mut self, length: usize) -> Option<()>;
}

impl Frame for [u8] {
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.get(at..)?.first_chunk().copied()
    }

    fn holds(&self, length: usize) -> bool {
        self.len() >= length
    }
}

impl<F: Frame + ?Sized> Frame for &F {
    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        (**self).read(at)
    }

    #[inline(always)]
    fn holds(&self, length: usize) -> bool {
        (**self).holds(length)
    }

    #[inline(always)]
    fn forget(&self, offset: usize) -> usize {
        (**self).forget(offset)
    }
    #[inline(always)]
    fn has_chains(&self) -> bool {
        (**self).has_chains()
    }
}
