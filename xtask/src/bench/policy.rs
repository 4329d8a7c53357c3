//! `cargo xtask bench policy`: what the largest policies cost to check, against the limits that are promised.

use std::{
    fmt::Write,
    fs,
    net::Ipv4Addr,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::build;

/// A policy, how its check must end, and what that may cost.
struct Case {
    name: &'static str,
    text: String,
    exit: i32,
    time: Duration,
    kilobytes: u64,
}

/// Checks each case with the release binary; an error beyond a limit.
pub(crate) fn run() -> Result<()> {
    let binary = build::run()?;
    let folder = std::env::temp_dir().join(format!("pacs-guard-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let done = cases().iter().map(|case| check(&binary, &folder, case)).collect::<Result<Vec<bool>>>();
    fs::remove_dir_all(&folder)?;
    if done?.contains(&false) {
        bail!("a limit is passed");
    }
    Ok(())
}

fn cases() -> [Case; 3] {
    const MEGABYTE: u64 = 1024;
    let second = Duration::from_secs(1);
    let prefixes = |between: &str| -> String {
        // An odd factor visits each number once: a million addresses in no order, none twice.
        (0..1_000_000_u32).fold(String::new(), |mut text, i| {
            let _ = write!(text, "{between}{}/32", Ipv4Addr::from(i.wrapping_mul(2_654_435_761)));
            text
        })
    };
    let aliases: String = (1..200).fold(String::new(), |mut text, i| {
        let _ = writeln!(text, "  s{i}: {{ sources: *all, services: [dicom] }}");
        text
    });
    let list = vec!["10.0.0.0/8"; 50_000].join(", ");
    let million = |name, text| Case { name, text, exit: 0, time: 4 * second, kilobytes: 300 * MEGABYTE };
    [
        million(
            "a million CIDRs, one a line",
            format!("{HEAD}  all:\n    services: [dicom]\n    sources:{}\n", prefixes("\n      - ")),
        ),
        million(
            "a million CIDRs, one line",
            format!("{HEAD}  all: {{ services: [dicom], sources: [10.0.0.1{}] }}\n", prefixes(", ")),
        ),
        Case {
            name: "an alias bomb",
            text: format!("{HEAD}  s0: {{ sources: &all [{list}], services: [dicom] }}\n{aliases}"),
            exit: 3,
            time: second,
            kilobytes: 300 * MEGABYTE,
        },
    ]
}

/// A policy up to its segments.
pub(super) const HEAD: &str = "version: 1\nname: bench\ninterfaces: [eth0]\nmode: audit\nservices:\n  dicom: { ports: [104] }\n\
                    segments:\n";

/// Whether the check keeps to its limits.
fn check(binary: &Path, folder: &Path, case: &Case) -> Result<bool> {
    let file = folder.join("policy.yaml");
    fs::write(&file, &case.text)?;
    let mut command = Command::new(binary);
    command.arg("check").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
    let mut peak = 0;
    let status = loop {
        // The peak never falls, so what was read last before the end is the whole run's.
        peak = memory(child.id(), "VmHWM:").unwrap_or(peak);
        match child.try_wait()? {
            Some(status) => break status,
            None => thread::sleep(Duration::from_millis(1)),
        }
    };
    let time = start.elapsed();
    if status.code() != Some(case.exit) {
        bail!("{}: ended with {status}, and {} was expected", case.name, case.exit);
    }
    let kept = time <= case.time && peak <= case.kilobytes;
    println!(
        "{:<28} {:>6.2} s of {:>4.1} s   {:>4} MB of {:>4} MB   {}",
        case.name,
        time.as_secs_f64(),
        case.time.as_secs_f64(),
        peak / 1024,
        case.kilobytes / 1024,
        if kept { "ok" } else { "TOO MUCH" },
    );
    Ok(kept)
}

/// Memory of a process, in KiB: now (`VmRSS:`), or the most so far (`VmHWM:`), as proc_pid_status(5) has it.
pub(super) fn memory(process: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}
