//! `cargo xtask fuzz`: libFuzzer on each parser of what strangers write.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::{setup, shell};

/// What is fuzzed, and the longest input that makes sense, in bytes.
const TARGETS: &[(&str, u32)] = &[("frame_parse", 2048), ("policy_read", 8192), ("echo_answer", 1024)];

/// Runs each target for so many minutes; the first finding ends it.
///
/// What the fuzzer learns stays beside the build; `fuzz/corpus` holds only what people chose.
pub(crate) fn run(minutes: u64) -> Result<()> {
    ensure!(minutes > 0, "--minutes is at least 1");
    setup::fuzzer()?;
    let build = shell::target_dir().join("fuzz");
    for (number, &(target, longest)) in (1..).zip(TARGETS) {
        println!("\n== {target} ({number} of {}): {minutes} min", TARGETS.len());
        let learnt = build.join("corpus").join(target);
        fs::create_dir_all(&learnt).with_context(|| format!("cannot make {}", learnt.display()))?;
        let start = Instant::now();
        shell::run(&mut fuzzer(target, &build, &learnt, minutes * 60, longest)).with_context(|| {
            format!("the input is in fuzz/artifacts/{target}; keep it as a named test beside the fix")
        })?;
        println!("== {target}: nothing found in {:.0} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}

fn fuzzer(target: &str, build: &Path, learnt: &Path, seconds: u64, longest: u32) -> Command {
    let mut cargo = Command::new("cargo");
    // The nightly's own cargo, not the one that runs this.
    cargo.current_dir(shell::root().join("fuzz")).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    cargo.args(["+nightly", "fuzz", "run", target, "--target-dir"]).arg(build);
    cargo.arg(learnt).arg(format!("corpus/{target}"));
    cargo.args(["--", &format!("-max_total_time={seconds}"), &format!("-max_len={longest}"), "-timeout=10"]);
    cargo.arg("-print_final_stats=1");
    cargo
}
