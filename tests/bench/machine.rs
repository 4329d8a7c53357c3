//! The machine that a bench ran on.

use std::{fmt, fs};

use anyhow::{Context, Result};
use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// The kernel's release, without what a distribution adds to it.
    kernel: String,
    processor: String,
}

impl Machine {
    pub(crate) fn here() -> Result<Self> {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let kernel = kernel.split('-').next().context("no release")?.trim().to_owned();
        let facts = fs::read_to_string("/proc/cpuinfo")?;
        let name = facts.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Ok(Self { kernel, processor: name.map_or("unknown", |(_, name)| name).to_owned() })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, Linux {}", self.processor, self.kernel)
    }
}
