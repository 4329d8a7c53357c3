//! The program's own log, by aya-log.

use std::io;

use aya::Ebpf;
use aya_log::EbpfLogger;

use super::events::wait_readable;

/// Log lines of the XDP program, for whoever debugs it.
pub struct ProgramLog(EbpfLogger<&'static dyn log::Log>);

impl ProgramLog {
    pub(super) fn new(ebpf: &mut Ebpf) -> Option<Self> {
        EbpfLogger::init(ebpf).ok().map(Self)
    }

    /// Hands the lines to the log, for ever; it blocks the thread.
    pub fn forward(mut self) -> io::Result<()> {
        loop {
            wait_readable(&self.0)?;
            self.0.flush();
        }
    }
}
