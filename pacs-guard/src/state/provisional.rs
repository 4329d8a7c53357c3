//! What is in force for a while only, as it is kept on disk.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::datapath::BootTime;

/// A policy that ends by itself, and the one that follows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisional {
    /// What it is.
    pub kind: Kind,
    /// The hash of the policy that is in force until then.
    pub sha256: String,
    /// The hash of the policy that is in force from then on.
    pub previous: String,
    /// When, in nanoseconds since boot.
    end: u64,
    /// The boot that the clock counts from.
    boot: String,
}

/// Why a policy is in force for a while only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It waits for `pacs-guard confirm`.
    Unconfirmed,
    /// It is break-glass.
    Bypass,
}

impl Provisional {
    /// A policy that ends at a time of this boot.
    pub fn new(kind: Kind, sha256: String, previous: String, end: BootTime) -> Self {
        Self { kind, sha256, previous, end: end.nanoseconds(), boot: boot() }
    }

    /// When it ends; `None` where that was in an earlier boot.
    pub fn end(&self) -> Option<BootTime> {
        if self.boot == boot() { BootTime::from_nanoseconds(self.end) } else { None }
    }
}

/// The kernel's name for this boot (random(4)).
pub fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
