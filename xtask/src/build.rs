//! `cargo xtask build`: the release binaries.

use std::path::PathBuf;

use anyhow::Result;

use crate::{bpf_toolchain, shell};

/// Builds `pacs-guard` with the XDP program inside; gives the binary's path.
pub(crate) fn run() -> Result<PathBuf> {
    // Asked here too, so that the answer is one line and not a build script's log.
    bpf_toolchain::find()?;
    shell::run(&mut shell::cargo(&["build", "--release", "--package", "pacs-guard"]))?;
    Ok(shell::target_dir().join("release/pacs-guard"))
}
