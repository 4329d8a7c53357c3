//! Finds the toolchain that compiles the XDP program and knows how to call it.
//!
//! Std only: `pacs-guard/build.rs` includes this very file, so that set-up and build agree on what is there.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiler's name for the BPF machine of this host's byte order.
pub(crate) const TARGET: &str =
    if cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" };

const PROGRAM: &str = "pacs-guard-ebpf";

/// A compiler for [`TARGET`] and the linker that goes with it.
#[derive(Debug)]
pub(crate) enum BpfToolchain {
    /// A distribution's `rustc` that ships `core` already compiled for BPF (Debian: `rustc-web`).
    DebianCore {
        /// The compiler.
        rustc: PathBuf,
        /// `bpf-linker`.
        linker: PathBuf,
    },
    /// rustup's nightly with `rust-src`: cargo compiles `core` itself.
    RustupNightly {
        /// `bpf-linker`.
        linker: PathBuf,
    },
}

/// What keeps the XDP program from being compiled. Its text is one line for a person.
#[derive(Debug)]
pub(crate) enum Missing {
    /// Neither way to compile for [`TARGET`] is there.
    Compiler,
    /// There is a compiler, but no `bpf-linker`.
    Linker,
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compiler => write!(
                out,
                "no compiler for {TARGET}: neither Debian's rustc-web with libstd-rust-web-dev-bpf, nor rustup's \
                 nightly with rust-src; run `cargo xtask setup`"
            ),
            Self::Linker => write!(
                out,
                "bpf-linker is neither on PATH nor in cargo's bin folder; run `cargo xtask setup`"
            ),
        }
    }
}

impl std::error::Error for Missing {}

/// The compiler half of a [`BpfToolchain`].
#[derive(Debug)]
pub(crate) enum Compiler {
    /// See [`BpfToolchain::DebianCore`].
    DebianCore(PathBuf),
    /// See [`BpfToolchain::RustupNightly`].
    RustupNightly,
}

/// Finds compiler and linker; the prebuilt `core` first, because it compiles nothing twice.
pub(crate) fn find() -> Result<BpfToolchain, Missing> {
    let compiler = find_compiler().ok_or(Missing::Compiler)?;
    let linker = find_linker().ok_or(Missing::Linker)?;
    Ok(match compiler {
        Compiler::DebianCore(rustc) => BpfToolchain::DebianCore { rustc, linker },
        Compiler::RustupNightly => BpfToolchain::RustupNightly { linker },
    })
}

/// Finds a compiler that has `core` for [`TARGET`], or the source to make it from.
pub(crate) fn find_compiler() -> Option<Compiler> {
    let rustc = PathBuf::from("/usr/bin/rustc");
    if sysroot(&mut Command::new(&rustc)).is_some_and(|root| has_core(&root)) {
        return Some(Compiler::DebianCore(rustc));
    }
    let nightly = sysroot(Command::new("rustup").args(["run", "nightly", "rustc"]))?;
    nightly.join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file().then_some(Compiler::RustupNightly)
}

/// Finds `bpf-linker` on PATH or in cargo's bin folder.
pub(crate) fn find_linker() -> Option<PathBuf> {
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")));
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(cargo_home.map(|home| home.join("bin")))
        .map(|folder| folder.join("bpf-linker"))
        .find(|file| file.is_file())
}

impl BpfToolchain {
    /// The cargo call that compiles the XDP program of the manifest `pacs-guard-ebpf/Cargo.toml`.
    ///
    /// `target_dir` must not be the folder of the cargo that calls: it holds the lock on its own.
    pub(crate) fn command(&self, manifest: &Path, target_dir: &Path) -> Command {
        let mut cargo = match self {
            Self::DebianCore { rustc, .. } => {
                let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
                // The prebuilt `core` is of a stable compiler; the program needs unstable features.
                cargo.args(["build"]).env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
                cargo
            }
            Self::RustupNightly { .. } => {
                let mut cargo = Command::new("rustup");
                cargo.args(["run", "nightly", "cargo", "build", "-Z", "build-std=core"]).env_remove("RUSTC");
                cargo
            }
        };
        // Set by an outer `cargo clippy`, `rustup run` or a coverage tool, for the host and not for BPF.
        for inherited in ["RUSTC_WORKSPACE_WRAPPER", "RUSTC_WRAPPER", "RUSTFLAGS", "RUSTUP_TOOLCHAIN"] {
            cargo.env_remove(inherited);
        }
        cargo
            .args(["--release", "--target", TARGET, "--package", PROGRAM, "--bins", "--manifest-path"])
            .arg(manifest)
            .arg("--target-dir")
            .arg(target_dir)
            .env("CARGO_ENCODED_RUSTFLAGS", rustflags().join("\x1f"))
            .env(linker_variable(), self.linker());
        cargo
    }

    /// Where [`BpfToolchain::command`] leaves the BPF object.
    #[allow(dead_code, reason = "for the build script; xtask only lints")]
    pub(crate) fn object(target_dir: &Path) -> PathBuf {
        target_dir.join(TARGET).join("release").join(PROGRAM)
    }

    fn linker(&self) -> &OsStr {
        match self {
            Self::DebianCore { linker, .. } | Self::RustupNightly { linker } => linker.as_os_str(),
        }
    }
}

/// The compiler flags of the XDP program: BTF for the loader, debug lines for the verifier's log, and the
/// machine whose register layout `aya-ebpf` should use.
pub(crate) fn rustflags() -> Vec<String> {
    // In a build script cargo names the machine that is built for; elsewhere it is this one.
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_else(|_| env::consts::ARCH.to_owned());
    vec![
        "-Clink-arg=--btf".to_owned(),
        "-Cdebuginfo=2".to_owned(),
        format!("--cfg=bpf_target_arch=\"{arch}\""),
    ]
}

fn linker_variable() -> String {
    format!("CARGO_TARGET_{}_LINKER", TARGET.to_uppercase().replace('-', "_"))
}

fn sysroot(rustc: &mut Command) -> Option<PathBuf> {
    // A rustup that has no nightly must say so, not fetch one.
    let out = rustc.args(["--print", "sysroot"]).env("RUSTUP_AUTO_INSTALL", "0").output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    (out.status.success() && !text.trim().is_empty()).then(|| PathBuf::from(text.trim()))
}

fn has_core(sysroot: &Path) -> bool {
    let libraries = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    let Ok(entries) = libraries.read_dir() else {
        return false;
    };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("libcore-")
            && Path::new(&name).extension() == Some(OsStr::new("rlib"))
    })
}
