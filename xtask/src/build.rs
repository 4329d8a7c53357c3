//! `cargo xtask build`: the release binary, and its function names in a file beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::{bpf_toolchain, shell};

/// What the binary may have, in bytes.
const MOST: u64 = 12_000_000;

/// Builds `pacs-guard` with the XDP program inside; gives the binary's path.
pub(crate) fn run() -> Result<PathBuf> {
    // Asked here too, so that the answer is one line and not a build script's log.
    bpf_toolchain::find()?;
    shell::run(&mut shell::cargo(&["build", "--release", "--package", "pacs-guard"]))?;
    let binary = shell::target_dir().join("release/pacs-guard");
    split(&binary)?;
    let bytes = fs::metadata(&binary)?.len();
    ensure!(
        bytes <= MOST,
        "{}: {bytes} bytes, and {MOST} are the most: `cargo bloat --release --crates` names what is large",
        binary.display()
    );
    Ok(binary)
}

/// Moves the names of functions to `pacs-guard.debug`. Where that lies beside the binary, a backtrace finds them there.
fn split(binary: &Path) -> Result<()> {
    ensure!(shell::find("objcopy").is_some(), "objcopy is missing: `apt-get install binutils`");
    let names = binary.with_extension("debug");
    let small = binary.with_extension("small");
    shell::run(Command::new("objcopy").arg("--only-keep-debug").args([binary, &names]))?;
    let mut link = std::ffi::OsString::from("--add-gnu-debuglink=");
    link.push(&names);
    shell::run(Command::new("objcopy").arg("--strip-all").arg(link).args([binary, &small]))?;
    // Renamed and not written: cargo's own copy is the same file, and stays whole for the next build.
    Ok(fs::rename(small, binary)?)
}
