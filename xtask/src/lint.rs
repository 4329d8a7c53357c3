//! `cargo xtask lint`: formatting, clippy, the XDP program by itself, and the dependencies' licences.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::bpf_toolchain::{self, BpfToolchain};
use crate::shell;

/// A named check.
pub(crate) type Step = (&'static str, fn() -> Result<()>);

/// The checks in the order in which they run: the quickest first.
pub(crate) const STEPS: &[Step] = &[
    ("format", format),
    ("dependencies", dependencies),
    ("clippy", clippy),
    ("clippy of the XDP program", ebpf),
    ("fuzz targets", fuzz),
];

/// Runs every check; the first that fails ends it.
pub(crate) fn run() -> Result<()> {
    STEPS.iter().try_for_each(|(name, step)| {
        println!("== {name}");
        step()
    })
}

fn format() -> Result<()> {
    shell::run(&mut shell::cargo(&["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    // The default members: the XDP program compiles for the BPF machine only.
    shell::run(&mut shell::cargo(&["clippy", "--all-targets", "--", "-D", "warnings"]))
}

/// They are a workspace of their own, which only the fuzzer builds: so they are checked here, or they would rot.
fn fuzz() -> Result<()> {
    let mut check = shell::cargo(&["check", "--manifest-path", "fuzz/Cargo.toml", "--target-dir"]);
    shell::run(check.arg(shell::target_dir()))
}

fn dependencies() -> Result<()> {
    if shell::find("cargo-deny").is_none() {
        println!("not run: cargo-deny is not installed (`cargo install cargo-deny`)");
        return Ok(());
    }
    shell::run(&mut shell::cargo(&["deny", "check", "bans", "licenses", "sources"]))?;
    // A machine that cannot reach the database has not been told of an advisory.
    if shell::run(&mut shell::cargo(&["deny", "fetch", "db"])).is_err() {
        println!("not run: advisories, since their database cannot be fetched");
        return Ok(());
    }
    shell::run(&mut shell::cargo(&["deny", "check", "advisories"]))
}

/// The XDP program has its own target, so it is linted by itself, by the compiler that builds it.
fn ebpf() -> Result<()> {
    let toolchain = bpf_toolchain::find()?;
    let manifest = shell::root().join("pacs-guard-ebpf/Cargo.toml");
    let mut lint = toolchain.command(&manifest, &shell::target_dir().join("bpf-lint"));
    match clippy_driver(&toolchain) {
        // What `cargo clippy -- -D warnings` sets; that command itself would take the host's toolchain.
        Some(driver) => {
            lint.env("RUSTC_WORKSPACE_WRAPPER", driver).env("CLIPPY_ARGS", "-Dwarnings__CLIPPY_HACKERY__");
        }
        None => {
            println!("this compiler has no clippy (Debian: rust-web-clippy): compiler warnings only");
            let flags = [bpf_toolchain::rustflags(), vec!["-Dwarnings".to_owned()]].concat();
            lint.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        }
    }
    shell::run(&mut lint)
}

fn clippy_driver(toolchain: &BpfToolchain) -> Option<PathBuf> {
    match toolchain {
        BpfToolchain::DebianCore { rustc, .. } => {
            Some(rustc.with_file_name("clippy-driver")).filter(|file| file.is_file())
        }
        BpfToolchain::RustupNightly { .. } => {
            let mut which = Command::new("rustup");
            let out = which.args(["which", "--toolchain", "nightly", "clippy-driver"]).output().ok()?;
            out.status.success().then(|| "clippy-driver".into())
        }
    }
}
