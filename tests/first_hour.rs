//! The first hour: each command of docs/first-hour.md, in order, on an archive of its own, against the output shown there.
//! Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "lab/mod.rs"]
mod lab;

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use lab::{Daemon, Host, Lab, PATIENCE};
use regex_lite::Regex;

const BINARY: &str = env!("CARGO_BIN_EXE_pacs-guard");
/// What the document calls the archive's card, its folder and its port; and who is who in it.
const CARD: &str = "ens18";
const FOLDER: &str = "/etc/pacs-guard";
const PORT: u16 = 11112;
const ARCHIVE: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 1);
const SCANNER: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 11);
const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 99);

/// What the document asks its reader to do.
enum Step {
    /// Write the policy.
    Policy(String),
    /// Run a command, and see these lines.
    Command(String, Vec<String>),
}

/// The blocks of the document, in order.
fn steps() -> Vec<Step> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/first-hour.md");
    let text = fs::read_to_string(path).unwrap();
    let mut steps = Vec::new();
    for block in text.split("```").skip(1).step_by(2) {
        if let Some(policy) = block.strip_prefix("yaml\n") {
            steps.push(Step::Policy(policy.to_owned()));
            continue;
        }
        for command in block.strip_prefix("console\n").unwrap().split("$ ").skip(1) {
            let (line, shown) = command.split_once('\n').unwrap();
            let shown = shown.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
            steps.push(Step::Command(line.to_owned(), shown));
        }
    }
    steps
}

/// A line without what differs from one hour to the next: times, numbers of processes, counts of packets, padding.
fn stable(line: &str) -> String {
    let rules = [
        (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\dZ", "TIME"),
        (r"\d+\.\d ms", "MS"),
        (r"\d+ +TIME +\d+s$", "N TIME AGE"),
        (r"\b\d+s ago", "AGE ago"),
        (r"\d+ (packets so far|connections?,)", "N $1"),
        (r"process \d+", "process N"),
        (r"sha256 [0-9a-f]+", "sha256 HASH"),
        (r"\d+ (allowed|dropped|would drop|not judged|packets in all)", "N $1"),
        (r"(\S)  +\d+$", "$1 N"),
        (r" +", " "),
    ];
    rules.iter().fold(line.to_owned(), |line, (pattern, with)| {
        Regex::new(pattern).unwrap().replace_all(&line, *with).into_owned()
    })
}

/// Each line shown is one of those that came, and in this order.
fn assert_shown(command: &str, shown: &[String], came: &str) {
    let mut lines = came.lines().map(stable);
    for line in shown {
        let wanted = stable(line);
        // The log has a time before each of its lines.
        let found = lines.any(|line| line.trim_end().ends_with(wanted.trim_end()));
        assert!(found, "`{command}` shows no (or no later) line `{line}`; it wrote:\n{came}");
    }
}

/// The exit codes that a reader may meet.
fn may_end_with(command: &str, shown: &[String]) -> &'static [i32] {
    match command.split(' ').nth(1) {
        Some("doctor") => &[0, 1, 4],
        Some("plan") => &[11],
        Some("ready") => &[13],
        _ if shown.iter().any(|line| line.starts_with("error[")) => &[3],
        _ => &[0],
    }
}

fn shell(host: &Host, etc: &Path, line: &str) -> lab::Finished {
    let path = format!("{}:{}", host.dir().display(), std::env::var("PATH").unwrap());
    let mut command = lab::cli("sh".as_ref(), host);
    command.args(["-c", line]).env("PATH", path).env("PACS_GUARD_POLICY", etc.join("policy.yaml"));
    lab::run(command, PATIENCE).unwrap()
}

/// Runs a part of this test on a host: sockets belong to the namespace of the thread that opens them.
fn on<T: Send + 'static>(host: &Host, part: impl FnOnce() -> T + Send + 'static) -> T {
    let netns = fs::File::open(Path::new("/run/netns").join(host.netns())).unwrap();
    let thread = std::thread::spawn(move || {
        nix::sched::setns(netns, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        part()
    });
    thread.join().unwrap()
}

fn reaches_the_archive(host: &Host) -> bool {
    on(host, || TcpStream::connect_timeout(&(ARCHIVE, PORT).into(), Duration::from_secs(2)).is_ok())
}

#[test]
fn each_step_runs_in_order_and_shows_what_is_written() {
    let mut lab = Lab::new().unwrap();
    let [archive, scanner, stranger] = ["archive", "scanner", "stranger"].map(|name| lab.host(name).unwrap());
    for (host, address) in [(&archive, ARCHIVE), (&scanner, SCANNER), (&stranger, STRANGER)] {
        host.sh(&format!("ip address add {address}/24 dev eth0")).unwrap();
    }
    archive.sh(&format!("ip link set eth0 down; ip link set eth0 name {CARD} up")).unwrap();
    archive
        .sh("echo 0 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding")
        .unwrap();
    std::os::unix::fs::symlink(BINARY, archive.dir().join("pacs-guard")).unwrap();
    let _listener = on(&archive, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap());
    lab::wait_for("the network", PATIENCE, || Ok(reaches_the_archive(&scanner))).unwrap();

    let etc: PathBuf = archive.dir().join("etc");
    let here = |text: &str| text.replace(FOLDER, etc.to_str().unwrap());
    let mut daemon = None;
    let mut commands = std::collections::BTreeSet::new();
    for step in steps() {
        let (line, shown) = match step {
            Step::Policy(text) => {
                fs::write(etc.join("policy.yaml"), text).unwrap();
                continue;
            }
            Step::Command(line, shown) => (line, shown),
        };
        let shown: Vec<String> = shown.iter().map(|line| here(line)).collect();
        commands.extend(
            line.strip_prefix("pacs-guard ").and_then(|rest| rest.split(' ').next()).map(str::to_owned),
        );
        if line == "pacs-guard run &" {
            let started = Daemon::start(BINARY.as_ref(), &archive, &etc.join("policy.yaml"), &[]).unwrap();
            assert_shown(&line, &shown, &started.log());
            daemon = Some(started);
            assert!(reaches_the_archive(&scanner) && reaches_the_archive(&stranger), "it refuses too early");
            stranger.sh(&format!("ping -c 1 -W 2 {ARCHIVE}")).unwrap();
            continue;
        }
        let done = shell(&archive, &etc, &here(&line));
        let code = done.status.code().unwrap();
        assert!(may_end_with(&line, &shown).contains(&code), "`{line}` ended with {code}: {}", done.text());
        assert_shown(&line, &shown, &format!("{}\n{}", done.stderr, done.stdout));
        if line.starts_with("pacs-guard apply") || line == "pacs-guard confirm" {
            assert!(reaches_the_archive(&scanner) && !reaches_the_archive(&stranger), "after `{line}`");
        }
        if line.starts_with("pacs-guard bypass --for") {
            assert!(reaches_the_archive(&stranger), "after `{line}`");
        }
    }
    assert!(daemon.is_some());
    for verb in
        ["doctor", "check", "explain", "status", "counters", "events", "plan", "apply", "confirm", "bypass"]
    {
        assert!(commands.contains(verb), "the first hour does not show `{verb}`");
    }
}
