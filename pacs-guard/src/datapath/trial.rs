//! A trial: frames through the loaded program by BPF_PROG_TEST_RUN, attached to nothing.
//!
//! See Documentation/bpf/bpf_prog_run.rst of the kernel.

use std::time::Duration;

use aya::{
    TestRun, TestRunOptions,
    programs::{ProgramFd, Xdp},
};
use pacs_guard_common::abi::CounterId;

use super::{BootTime, Counters, Datapath, DatapathError, Swapper};
use crate::image::{Image, Ledger};

/// The program on maps of its own, with one policy.
pub struct Trial {
    datapath: Datapath,
}

/// What the program answered for one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether the frame is dropped.
    pub drops: bool,
    /// The counter that the frame was booked on.
    pub counter: CounterId,
}

/// The program's answer for a frame that passes; a drop, and a reset in the frame's place, are the others.
const XDP_PASS: u32 = 2;
/// The kernel takes no shorter frame: an Ethernet header.
pub const SHORTEST_FRAME: usize = 14;

impl Trial {
    /// Loads the program with an image in force; the ledger is the one that it was compiled with.
    pub fn new(image: &Image, ledger: Ledger) -> Result<Self, DatapathError> {
        let mut datapath = Datapath::unpinned()?;
        datapath.swap(image, ledger, None)?;
        Ok(Self { datapath })
    }

    /// Runs one frame and finds the counter that moved.
    pub fn run(&mut self, frame: &[u8]) -> Result<Option<Answer>, DatapathError> {
        let before = self.datapath.counters()?;
        let drops = self.drops(frame, 1)?;
        let after = self.datapath.counters()?;
        let counter = before.moved(&after);
        Ok(counter.map(|counter| Answer { drops, counter }))
    }

    /// Runs one frame so many times; whether it is dropped the last time.
    pub fn drops(&mut self, frame: &[u8], repeat: u32) -> Result<bool, DatapathError> {
        self.split()?.0.drops(frame, repeat)
    }

    /// Puts another image in force.
    pub fn swap(&mut self, image: &Image, ledger: Ledger) -> Result<(), DatapathError> {
        self.datapath.swap(image, ledger, None)
    }

    /// Puts another image in force until a time; then the one that is in force now is so again.
    pub fn swap_until(
        &mut self,
        image: &Image,
        ledger: Ledger,
        until: BootTime,
    ) -> Result<(), DatapathError> {
        self.datapath.swap(image, ledger, Some(until))
    }

    /// What runs frames and what swaps images, for two threads to use at once.
    pub fn split(&mut self) -> Result<(Runner<'_>, Swapper<'_>), DatapathError> {
        let (program, swapper) = self.datapath.split()?;
        Ok((Runner { program }, swapper))
    }

    /// Reads every counter.
    pub fn counters(&self) -> Result<Counters, DatapathError> {
        self.datapath.counters()
    }
}

/// Runs frames, on as many threads as hold it.
#[derive(Clone, Copy)]
pub struct Runner<'a> {
    program: &'a Xdp,
}

impl Runner<'_> {
    /// The loaded program, for other programs to call.
    pub fn program(&self) -> Result<&ProgramFd, DatapathError> {
        Ok(self.program.fd()?)
    }

    /// Runs one frame so many times; whether it is dropped the last time.
    pub fn drops(&self, frame: &[u8], repeat: u32) -> Result<bool, DatapathError> {
        let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::new() };
        Ok(self.program.test_run(options)?.return_value != XDP_PASS)
    }

    /// Runs one frame so many times; how long each run took, by the kernel's own clock.
    pub fn cost(&self, frame: &[u8], repeat: u32) -> Result<Duration, DatapathError> {
        let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::new() };
        Ok(self.program.test_run(options)?.duration)
    }

    /// Runs one frame of which only so many bytes lie in the first buffer; whether it is dropped.
    ///
    /// # Errors
    /// Before Linux 6.18, which is the first that lets a test run choose.
    pub fn drops_split(&self, frame: &[u8], first_buffer: u32) -> Result<bool, DatapathError> {
        // struct xdp_md of linux/bpf.h: six u32, of which `data_end` is the second.
        let mut context = [0; 24];
        if let Some(data_end) = context.get_mut(4..8) {
            data_end.copy_from_slice(&first_buffer.to_ne_bytes());
        }
        let options =
            TestRunOptions { data_in: Some(frame), ctx_in: Some(&context), ..TestRunOptions::new() };
        Ok(self.program.test_run(options)?.return_value != XDP_PASS)
    }
}

impl Counters {
    /// The first counter of a packet's outcome that has grown since this reading.
    fn moved(&self, since: &Self) -> Option<CounterId> {
        since
            .entries()
            .find(|(counter, _, packets)| *packets > self.packets(*counter))
            .map(|(counter, ..)| counter)
    }
}
