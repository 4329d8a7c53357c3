//! Compiles the XDP program, so that the object inside the binary never drifts from its source.

#[path = "../xtask/src/bpf_toolchain.rs"]
mod bpf_toolchain;

use std::{env, fs, path::PathBuf, process::exit};

fn main() {
    for path in ["pacs-guard-ebpf", "pacs-guard-common/src", "Cargo.lock", "xtask/src/bpf_toolchain.rs"] {
        println!("cargo::rerun-if-changed=../{path}");
    }
    println!("cargo::rerun-if-env-changed=PATH");
    if let Err(why) = build() {
        println!("cargo::error={why}");
        exit(1);
    }
}

fn build() -> Result<(), String> {
    let toolchain = bpf_toolchain::find().map_err(|missing| missing.to_string())?;
    let path = |name| env::var_os(name).map(PathBuf::from).ok_or(format!("cargo sets no {name}"));
    let out = path("OUT_DIR")?;
    let manifest = path("CARGO_MANIFEST_DIR")?.join("../pacs-guard-ebpf/Cargo.toml");
    // One folder for all profiles, beside theirs: <target>/<profile>/build/<crate>/out.
    let target = out.ancestors().nth(4).ok_or("OUT_DIR is not inside a target folder")?.join("bpf");
    let status = toolchain.command(&manifest, &target).status().map_err(|why| format!("cargo: {why}"))?;
    if !status.success() {
        return Err("the XDP program does not compile: see above".into());
    }
    // The second is for the bench alone; the library never includes it.
    for (binary, object) in [("pacs-guard-ebpf", "pacs-guard.bpf.o"), ("pacs-guard-bench", "bench.bpf.o")] {
        let built = target.join(bpf_toolchain::TARGET).join("release").join(binary);
        fs::copy(&built, out.join(object)).map_err(|why| format!("{}: {why}", built.display()))?;
    }
    Ok(())
}
