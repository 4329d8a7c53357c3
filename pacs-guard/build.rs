//! Compiles the XDP program, so that the object inside the binary never drifts from its source.

#[path = "../xtask/src/bpf_toolchain.rs"]
mod bpf_toolchain;

use std::{env, fs, path::PathBuf, process::exit};

use object::{
    build::elf::{Builder, SectionData},
    elf::SHT_STRTAB,
};

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
        let lean = fs::read(&built).map_err(|why| why.to_string()).and_then(|whole| without_dwarf(&whole));
        let lean = lean.map_err(|why| format!("{}: {why}", built.display()))?;
        fs::write(out.join(object), lean).map_err(|why| format!("{object}: {why}"))?;
    }
    Ok(())
}

/// Six sevenths of the object are DWARF, which no kernel reads: the verifier takes its source lines from BTF.
fn without_dwarf(object: &[u8]) -> Result<Vec<u8>, String> {
    let mut elf = Builder::read(object).map_err(|why| why.to_string())?;
    for section in &mut elf.sections {
        let name = &section.name[..];
        section.delete = name.starts_with(b".debug_") || name.starts_with(b".rel.debug_");
    }
    elf.delete_orphans();
    // bpf-linker keeps the names of sections and symbols in one table; the writer wants one of each.
    let names = elf.sections.add();
    names.name = ".shstrtab".into();
    names.sh_type = SHT_STRTAB;
    names.data = SectionData::SectionString;
    let mut lean = Vec::new();
    elf.write(&mut lean).map_err(|why| why.to_string())?;
    Ok(lean)
}
