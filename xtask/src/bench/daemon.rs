//! `cargo xtask bench daemon`: what the daemon takes to start, and what it takes while nothing happens.

use std::{
    fmt::{Display, Write},
    fs,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::policy::{HEAD, memory};
use crate::{
    build,
    lab::{Daemon, Lab},
};

const STARTS: usize = 20;
/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(30);

/// Starts the release binary on a host of its own, over and over; an error beyond a limit.
pub(crate) fn run() -> Result<()> {
    let binary = build::run()?;
    let mut lab = Lab::new()?;
    let host = lab.host("pacs")?;
    let file = host.dir().join("policy.yaml");
    let begin = || {
        let start = Instant::now();
        // A clean end leaves nothing, so that the next one starts from nothing.
        Daemon::start(&binary, &host, &file, &["--detach"]).map(|daemon| (start.elapsed(), daemon))
    };
    let mut kept = true;
    for prefixes in [1, 10_000] {
        fs::write(&file, policy(prefixes))?;
        let mut times = Vec::new();
        for _ in 0..STARTS {
            let (time, mut daemon) = begin()?;
            times.push(time.as_millis());
            daemon.stop()?;
        }
        times.sort_unstable();
        let median = times.get(STARTS / 2).copied().unwrap_or_default();
        kept &= row(&format!("start to ready, {prefixes} CIDRs, median of {STARTS}"), median, 300, "ms");
    }
    let (_, mut daemon) = begin()?;
    let process = daemon.process().id();
    let before = wake_ups(process)?;
    thread::sleep(IDLE);
    let woken = wake_ups(process)? - before;
    let held = memory(process, "VmRSS:").context("the daemon ended")?;
    kept &= row("memory, idle, 10000 CIDRs", held, 20 * 1024, "KiB");
    kept &= row(&format!("wake-ups in {} s, idle", IDLE.as_secs()), woken, IDLE.as_secs(), "");
    daemon.stop()?;
    if !kept {
        bail!("a limit is passed");
    }
    Ok(())
}

/// A line of the table; whether the limit is kept.
fn row<N: Display + PartialOrd>(what: &str, found: N, most: N, unit: &str) -> bool {
    let kept = found <= most;
    println!("{what:<42} {found:>6} of {most:>5} {unit:<3}   {}", if kept { "ok" } else { "TOO MUCH" });
    kept
}

fn policy(prefixes: u32) -> String {
    (0..prefixes).fold(format!("{HEAD}  all:\n    services: [dicom]\n    sources:\n"), |mut text, i| {
        let _ = writeln!(text, "      - {}/32", Ipv4Addr::from(i.wrapping_mul(2_654_435_761)));
        text
    })
}

/// How often the kernel has put a thread of a process on a CPU (proc_pid_status(5)).
fn wake_ups(process: u32) -> Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        let switches = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
        sum += switches.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum::<u64>();
    }
    Ok(sum)
}
