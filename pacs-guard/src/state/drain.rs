//! The drains of now, as they are kept on disk.

use serde::{Deserialize, Serialize};

use super::provisional::boot;
use crate::image::Leaving;

/// Whose connections go on for a while. Of an earlier boot, none: their connections are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Drain {
    /// The boot that the ends are counted from.
    boot: String,
    parts: Vec<Leaving>,
}

impl Drain {
    pub(super) fn new(parts: Vec<Leaving>) -> Self {
        Self { boot: boot(), parts }
    }

    pub(super) fn parts(self) -> Vec<Leaving> {
        if self.boot == boot() { self.parts } else { Vec::new() }
    }
}
