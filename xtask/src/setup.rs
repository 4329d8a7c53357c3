//! `cargo xtask setup`: finds what building and testing need, and installs what is missing.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::bpf_toolchain::{self, Compiler};
use crate::{lab, shell};

/// The programs that the tests and the demo run, and Debian's packages with them.
const PEERS: &[(&str, &str)] = &[
    ("storescp", "dcmtk"),
    ("Orthanc", "orthanc"),
    ("ip", "iproute2"),
    ("ping", "iputils-ping"),
    ("sysctl", "procps"),
    ("nsenter", "util-linux"),
    ("ethtool", "ethtool"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("ipset", "ipset"),
    ("strace", "strace"),
    ("xdp-filter", "xdp-tools"),
    ("promtool", "prometheus"),
    ("systemd-analyze", "systemd"),
    ("rsyslogd", "rsyslog"),
    ("logger", "bsdutils"),
    ("tmux", "tmux"),
    ("curl", "curl"),
    ("openssl", "openssl"),
    ("chromium", "chromium"),
];

/// The packages of Python that the tests use, each with its release: a DICOM library, and what drives Chromium.
const PYTHON: &[(&str, &str)] = &[("pynetdicom", "3.0.4"), ("playwright", "1.65.2")];

/// Debian's compiler with `core` for BPF, and its clippy.
const DEBIAN_RUSTC: &[&str] = &["rustc-web", "libstd-rust-web-dev-bpf", "rust-web-clippy"];

/// The release that the project was tried with.
const BPF_LINKER: &str = "0.13.0";

/// Prints a line for each thing that was found, and installs the others: after a question, unless `yes` or
/// nobody is there to answer. A second run finds everything, in well under two seconds.
pub(crate) fn run(yes: bool) -> Result<()> {
    let mut missing = Vec::new();
    match bpf_toolchain::find_compiler() {
        Some(Compiler::DebianCore(rustc)) => {
            found("BPF compiler", &format!("{} with a prebuilt core", rustc.display()));
            if !rustc.with_file_name("clippy-driver").is_file() {
                missing.push("rust-web-clippy".to_owned());
            }
        }
        Some(Compiler::RustupNightly) => found("BPF compiler", "rustup's nightly with rust-src"),
        None if offered("libstd-rust-web-dev-bpf") => {
            missing.extend(DEBIAN_RUSTC.iter().map(|&name| name.into()))
        }
        None if shell::find("rustup").is_some() => install_nightly(yes)?,
        None => bail!(
            "no compiler for BPF: this machine's apt offers no libstd-rust-web-dev-bpf, and there is no rustup to fetch \
             a nightly with rust-src; install one of them"
        ),
    }
    for &(program, package) in PEERS {
        match shell::find(program) {
            Some(path) => found(package, &path.display().to_string()),
            None => missing.push(package.to_owned()),
        }
    }
    if !missing.is_empty() {
        install(&missing, yes)?;
    }
    match bpf_toolchain::find_linker() {
        Some(path) => found("bpf-linker", &path.display().to_string()),
        None => install_linker(yes)?,
    }
    add_components(yes)?;
    for &(package, version) in PYTHON {
        add_python(package, version, yes)?;
    }
    match shell::find("cargo-nextest") {
        Some(path) => found("test runner", &path.display().to_string()),
        None => found("test runner", "cargo test (cargo-nextest would be quicker)"),
    }
    bpf_toolchain::find()?;
    Ok(())
}

/// Adds what `cargo xtask lint` calls; a minimal rustup has neither.
fn add_components(yes: bool) -> Result<()> {
    for (verb, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        let version = shell::cargo(&[verb, "--version"]).output();
        if let Some(out) = version.ok().filter(|out| out.status.success()) {
            found(component, String::from_utf8_lossy(&out.stdout).trim());
            continue;
        }
        ensure!(
            shell::find("rustup").is_some(),
            "`cargo {verb}` is missing, and there is no rustup to add it: install it the way that cargo came"
        );
        agreed(component, yes)?;
        shell::run(Command::new("rustup").args(["component", "add", component]))?;
    }
    Ok(())
}

/// Makes a Python environment for a package beside the build. Only there: pynetdicom brings a `storescp` and an
/// `echoscu` of its own, which would stand before DCMTK's for everybody on this machine.
fn add_python(package: &str, version: &str, yes: bool) -> Result<()> {
    let folder = shell::target_dir().join(package);
    let python = folder.join("bin/python");
    let import = format!("import {package}, importlib.metadata as of; print(of.version('{package}'))");
    let import = Command::new(&python).args(["-c", &import]).output();
    if let Some(out) = import.ok().filter(|out| out.status.success()) {
        found(package, String::from_utf8_lossy(&out.stdout).trim());
        return Ok(());
    }
    let release = format!("{package}=={version}");
    agreed(&release, yes)?;
    let make = Command::new("python3").args(["-m", "venv"]).arg(&folder).status();
    if !make.is_ok_and(|status| status.success()) {
        install(&["python3-venv".to_owned()], true)?;
        shell::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    shell::run(Command::new(&python).args(["-m", "pip", "install", "--quiet", &release]))
}

fn found(what: &str, detail: &str) {
    println!("{what:<14} {detail}");
}

/// Asks, where somebody can answer; elsewhere the answer is yes.
fn agreed(what: &str, yes: bool) -> Result<()> {
    if yes || env::var_os("CI").is_some() || !io::stdin().is_terminal() {
        println!("missing: {what}; installing");
        return Ok(());
    }
    print!("missing: {what}; install? [Y/n] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    ensure!(matches!(answer.trim(), "" | "y" | "Y" | "yes"), "not installed: {what}");
    Ok(())
}

/// Does apt offer this package?
fn offered(package: &str) -> bool {
    let policy = || Command::new("apt-cache").args(["policy", package]).output().ok();
    let has_candidate = || {
        let text = policy().map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
        text.contains("Candidate:") && !text.contains("Candidate: (none)")
    };
    // A fresh machine may have no package lists yet.
    has_candidate() || (lab::is_root() && apt(&["update"]).is_ok() && has_candidate())
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut apt = Command::new("apt-get");
    shell::run(apt.args(["-qq", "-y"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
}

fn install(packages: &[String], yes: bool) -> Result<()> {
    let list = packages.join(" ");
    ensure!(lab::is_root(), "missing: {list}; only root can install: `sudo apt-get install {list}`");
    ensure!(shell::find("apt-get").is_some(), "missing: {list}, and there is no apt-get to install it");
    agreed(&list, yes)?;
    apt(&["update"])?;
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    // Never at the price of a package that somebody uses.
    apt(&[&["install", "--no-install-recommends", "--no-remove"], names.as_slice()].concat())?;
    // The tests start an archive of their own; Debian's package would leave one on ports 4242 and 8042.
    if names.contains(&"orthanc") && Path::new("/run/systemd/system").exists() {
        println!("stopping the orthanc service that the package has started");
        shell::run(Command::new("systemctl").args(["disable", "--now", "orthanc"]))?;
    }
    Ok(())
}

fn install_nightly(yes: bool) -> Result<()> {
    agreed("rustup's nightly with rust-src", yes)?;
    let mut rustup = Command::new("rustup");
    shell::run(
        rustup
            .args(["toolchain", "install", "nightly", "--profile", "minimal"])
            .args(["-c", "rust-src,clippy"]),
    )
}

/// Finds a nightly compiler and cargo-fuzz, and installs them as [`run`] would.
pub(crate) fn fuzzer() -> Result<()> {
    let nightly = Command::new("rustup").args(["run", "nightly", "rustc", "--version"]).output();
    match nightly.ok().filter(|out| out.status.success()) {
        Some(out) => found("nightly", String::from_utf8_lossy(&out.stdout).trim()),
        None => install_nightly(false)?,
    }
    match shell::find("cargo-fuzz") {
        Some(path) => found("cargo-fuzz", &path.display().to_string()),
        None => {
            agreed("cargo-fuzz (a minute, once)", false)?;
            shell::run(&mut shell::cargo(&["install", "--locked", "cargo-fuzz"]))?;
        }
    }
    Ok(())
}

/// Compiles `bpf-linker`, which must have the LLVM of the compiler whose bitcode it links.
fn install_linker(yes: bool) -> Result<()> {
    let what = format!("bpf-linker {BPF_LINKER} (some minutes, once)");
    let version = format!("bpf-linker@{BPF_LINKER}");
    let Some(Compiler::DebianCore(rustc)) = bpf_toolchain::find_compiler() else {
        agreed(&what, yes)?;
        return shell::run(&mut shell::cargo(&["install", "--locked", &version]));
    };
    let llvm = llvm_version(&rustc)?;
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    if !prefix.join("include/llvm-c").exists() || shell::find("c++").is_none() {
        install(&[format!("llvm-{llvm}-dev"), "libzstd-dev".into(), "zlib1g-dev".into(), "g++".into()], yes)?;
    }
    agreed(&what, yes)?;
    let features = format!("llvm-{llvm}");
    let mut cargo =
        shell::cargo(&["install", "--locked", &version, "--no-default-features", "--features", &features]);
    cargo.env("LLVM_PREFIX", &prefix);
    cargo.env("RUSTFLAGS", format!("-L native={}", prefix.join("lib").display()));
    shell::run(&mut cargo)
}

/// The major version of the compiler's LLVM, such as `22`.
fn llvm_version(rustc: &Path) -> Result<String> {
    let out = Command::new(rustc).arg("-vV").output()?;
    let text = String::from_utf8_lossy(&out.stdout);
    let version = text.lines().find_map(|line| line.strip_prefix("LLVM version: "));
    match version.and_then(|version| version.split('.').next()) {
        Some(major) => Ok(major.to_owned()),
        None => bail!("{} -vV names no LLVM version", rustc.display()),
    }
}
