//! What else may befall a daemon: a full disk, a clock that jumps, pins of another version, changes all at once.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use pacs_guard::policy::hash_text;
use pacs_guard_common::abi::ABI_VERSION;
use serde_json::Value;

use crate::{
    lab::{self, Daemon, PATIENCE, wait_for},
    site::{BINARY, DICOM, Site, policy, write},
    wire::{Listener, connects, is_met_with_silence},
};

/// The program behind some lines of shell, which end in its place.
fn behind(site: &Site, shell: &str) -> PathBuf {
    let path = site.pacs.dir().join("behind");
    fs::write(&path, format!("#!/bin/sh\n{shell}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn start(site: &Site, program: &Path) -> Daemon {
    site.write(&policy("enforce", &[&site.modality]));
    Daemon::start(program, &site.pacs, &site.policy(), &[]).unwrap()
}

fn only_the_modality_gets_in(site: &Site) {
    connects(&site.modality, site.pacs.addr4(), DICOM);
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM), "the stranger got in");
}

fn in_force(site: &Site) -> String {
    site.status()["policy"]["sha256"].as_str().unwrap().to_owned()
}

#[test]
fn a_full_disk_forgets_a_policy_and_rollback_goes_one_back_and_not_two() {
    let site = Site::new();
    let state = site.pacs.dir().join("state");
    fs::create_dir_all(&state).unwrap();
    // A disk of its own, in a mount namespace that goes with the daemon.
    let program = behind(
        &site,
        &format!(
            "exec unshare -m --propagation private sh -c 'mount -t tmpfs -o size=256k none {0} && exec {BINARY} \"$@\"' sh \"$@\"",
            state.display()
        ),
    );
    let mut daemon = start(&site, &program);
    let pid = daemon.process().id().to_string();
    let inside = |line: &str| {
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &pid, "sh", "-c", line]);
        lab::run(command, PATIENCE).unwrap()
    };
    let texts =
        ["# first\n", "# second\n", "# third\n"].map(|mark| policy("enforce", &[&site.modality]) + mark);
    for text in &texts[..2] {
        site.write(text);
        assert!(site.ask(&["reload"]).success());
    }
    // The history ends with its page, so that one more entry needs another.
    let fill = format!("cd {}; truncate -s %4096 history.jsonl; cat /dev/zero > fill", state.display());
    assert!(!inside(&fill).success(), "the disk is not full");
    site.write(&texts[2]);
    let done = site.ask(&["reload"]);
    assert_eq!(done.status.code(), Some(1), "{}", done.text());
    assert!(
        done.stderr.contains("not remembered") && done.stderr.contains("No space left"),
        "{}",
        done.text()
    );
    assert_eq!(in_force(&site), hash_text(&texts[2]), "a full disk is no reason to refuse a good policy");

    site.ask(&["rollback"]);
    assert_eq!(in_force(&site), hash_text(&texts[1]), "it went too far");
    let _dicom = Listener::open(&site.pacs, DICOM);
    only_the_modality_gets_in(&site);
    assert!(inside(&format!("rm {}/fill", state.display())).success());
    assert!(site.ask(&["reload"]).success());
}

/// A clock that a file sets off by seconds, for whoever asks for the time of day.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *now) {
    long done = syscall(SYS_clock_gettime, id, now);
    int file = id == CLOCK_REALTIME ? open(getenv("JUMP"), O_RDONLY) : -1;
    if (file >= 0) {
        char text[32] = {0};
        if (read(file, text, sizeof text - 1) > 0) now->tv_sec += atol(text);
        close(file);
    }
    return (int)done;
}
"#;

#[test]
fn a_clock_that_jumps_a_year_moves_no_deadline() {
    const YEAR: i64 = 365 * 86_400;
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    fs::write(site.pacs.dir().join("jump.c"), CLOCK).unwrap();
    site.pacs.sh("cc -shared -fPIC -o jump.so jump.c").unwrap();
    let dir = site.pacs.dir().display().to_string();
    let program = behind(&site, &format!("LD_PRELOAD={dir}/jump.so JUMP={dir}/jump exec {BINARY} \"$@\""));
    let _daemon = start(&site, &program);
    write(&site.pacs.dir().join("other.yaml"), &policy("enforce", &[&site.stranger]));
    for years in [1, -1] {
        let jump = |seconds: i64| fs::write(site.pacs.dir().join("jump"), seconds.to_string()).unwrap();
        // Not before its time,
        assert!(site.ask(&["apply", "other.yaml", "--confirm", "60s"]).success());
        jump(years * YEAR);
        let refused = site.ask(&["reload"]);
        assert!(refused.stderr.contains("waits to be confirmed"), "{}", refused.text());
        assert!(site.ask(&["rollback"]).success());
        only_the_modality_gets_in(&site);
        // and not after it.
        jump(0);
        assert!(site.ask(&["apply", "other.yaml", "--confirm", "2s"]).success());
        jump(years * YEAR);
        wait_for("the end of what nobody confirmed", PATIENCE, || Ok(site.status()["until"].is_null()))
            .unwrap();
        only_the_modality_gets_in(&site);
        let last = |history: Value| history["entries"].as_array().unwrap().last().unwrap().clone();
        wait_for("the history", PATIENCE, || {
            Ok(last(site.json(&["history", "--json"]))["action"] == "rolled-back")
        })
        .unwrap();
        // The clock did jump.
        let at: jiff::Timestamp =
            last(site.json(&["history", "--json"]))["at"].as_str().unwrap().parse().unwrap();
        let off = at.as_second() - jiff::Timestamp::now().as_second();
        assert!((off - years * YEAR).abs() < 86_400, "{at}");
        jump(0);
    }
}

/// A control group whose memory has a limit, of either version of them.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    fn new(site: &Site, pid: u32, bytes: u64) -> Self {
        let first = Path::new("/sys/fs/cgroup/memory");
        let (root, limit) = if first.exists() {
            (first, "memory.limit_in_bytes")
        } else {
            (Path::new("/sys/fs/cgroup"), "memory.max")
        };
        let group = Self(root.join(site.lab.dir().file_name().unwrap()));
        fs::create_dir(&group.0).unwrap();
        fs::write(group.0.join(limit), bytes.to_string()).unwrap();
        fs::write(group.0.join("cgroup.procs"), pid.to_string()).unwrap();
        group
    }

    /// Processes that the kernel has killed in it.
    fn kills(&self) -> u64 {
        let text = ["memory.oom_control", "memory.events"].map(|name| fs::read_to_string(self.0.join(name)));
        let text = text.into_iter().flatten().collect::<String>();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap().parse().unwrap()
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // It stays where the daemon still lives, which the test then says anyway.
        fs::remove_dir(&self.0).ok();
    }
}

#[test]
fn a_daemon_that_runs_out_of_memory_leaves_the_policy_in_force() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let small = policy("enforce", &[&site.modality]);
    let mut large = small.clone() + "  many:\n    services: [dicom]\n    sources:\n";
    for host in 0..200_000_u32 {
        writeln!(large, "      - {}", std::net::Ipv4Addr::from_bits(0x0a00_0000 + 2 * host)).unwrap();
    }
    let mut daemon = site.guard(&[]);
    let group = MemoryGroup::new(&site, daemon.process().id(), 24 << 20);
    site.write(&large);
    daemon.process().signal("HUP").unwrap();
    let status = daemon.process().wait().unwrap();
    assert_eq!((status.signal(), group.kills()), (Some(9), 1), "{}", daemon.log());
    assert_eq!(in_force(&site), hash_text(&small));
    only_the_modality_gets_in(&site);
    let link = site.link_id();
    let _next = site.guard(&[]);
    assert_eq!(site.link_id(), link, "the link is another one: there was a gap");
    only_the_modality_gets_in(&site);
}

/// What an upgrade and a downgrade find: links that carry the program of a version with other maps.
#[test]
fn pins_of_another_layout_are_adopted_without_a_gap_and_then_removed() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    site.guard(&[]).kill().unwrap();
    let link = site.link_id();
    let ours = site.pins().join(format!("abi-{ABI_VERSION}"));
    for other in ["abi-0", "abi-999"] {
        let theirs = site.pins().join(other);
        fs::rename(&ours, &theirs).unwrap();
        only_the_modality_gets_in(&site);
        // A start that fails leaves the other version's policy in force.
        site.write(&policy("enforce", &[&site.stranger]).replace("[eth0]", "[eth0, eth7]"));
        assert_eq!(site.ask(&["run", "--policy", "policy.yaml"]).status.code(), Some(1));
        assert!(theirs.exists());
        only_the_modality_gets_in(&site);

        let mut daemon = site.guard(&[]);
        assert!(daemon.log().contains("adopted without a gap"), "{}", daemon.log());
        assert_eq!(site.link_id(), link, "the link is another one: there was a gap");
        assert!(ours.exists() && !theirs.exists(), "the maps of {other} are left");
        only_the_modality_gets_in(&site);
        daemon.kill().unwrap();
    }
}

#[test]
fn different_changes_at_once_each_hear_of_their_own() {
    let site = Site::new();
    let daemon = site.guard(&[]);
    let texts: BTreeMap<String, String> = (0..4)
        .map(|n| (format!("p{n}.yaml"), policy("audit", &[&site.modality]) + &format!("# {n}\n")))
        .collect();
    for (name, text) in &texts {
        write(&site.pacs.dir().join(name), &text.replace("name: site", &format!("name: {}", &name[..2])));
    }
    let ask = |args: &[&str]| {
        let mut command = daemon.cli(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut asked = Vec::new();
    for round in 0..24 {
        let name = format!("p{}.yaml", round % 4);
        asked.push((name[..2].to_owned(), ask(&["apply", "--json", "--cut", &name])));
        if round % 6 == 0 {
            asked.push(("site".to_owned(), ask(&["reload", "--json"])));
        }
    }
    let mut heard = BTreeMap::new();
    for (name, child) in asked {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["policy"], name.as_str(), "it hears of another one's change");
        heard.insert(report["generation"].as_u64().unwrap(), name);
    }
    assert_eq!(heard.keys().copied().collect::<Vec<_>>(), (2..=29).collect::<Vec<_>>());
    assert_eq!(site.status()["policy"]["policy"], heard[&29].as_str(), "the last one is in force");
}
