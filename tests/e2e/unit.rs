//! The systemd units: valid, as tight as their page says, and enough for the daemon.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    capabilities::{NOBODY, with},
    lab::{self, PATIENCE, wait_for},
    site::{BINARY, DICOM, Site, policy},
    wire::is_met_with_silence,
};

const UNITS: [&str; 2] = ["pacs-guard.service", "pacs-guard-early.service"];

fn unit_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd").join(name)
}

/// The words of a setting, in all its lines.
fn setting(unit: &str, name: &str) -> Vec<String> {
    let text = fs::read_to_string(unit_path(unit)).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

fn analyze(args: &[&str]) -> lab::Finished {
    let mut command = Command::new("systemd-analyze");
    command.args(args);
    lab::run(command, PATIENCE).expect("systemd-analyze is missing: `cargo xtask setup` installs it")
}

#[test]
fn they_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    for unit in UNITS {
        let text = fs::read_to_string(unit_path(unit)).unwrap();
        let copy = folder.path().join(unit);
        fs::write(&copy, text.replace("=/usr/bin/pacs-guard ", &format!("={BINARY} "))).unwrap();
        let done = analyze(&["verify", "--man=no", copy.to_str().unwrap()]);
        assert!(done.success() && done.text().is_empty(), "{unit}: {}", done.text());
    }
}

#[test]
fn they_are_as_tight_as_the_page_says() {
    let page = fs::read_to_string(unit_path("../../docs/operations.md")).unwrap();
    for unit in UNITS {
        // In tenths: under 2.0.
        let path = unit_path(unit);
        let done = analyze(&["security", "--offline=yes", "--threshold=19", path.to_str().unwrap()]);
        assert!(done.success(), "{unit}: {}", done.text());
        // Another version rates by another scale.
        if !analyze(&["--version"]).stdout.starts_with("systemd 252 ") {
            continue;
        }
        let line = done.stdout.lines().find(|line| line.contains("Overall exposure level")).unwrap();
        let score = line.split_whitespace().find(|word| word.parse::<f32>().is_ok()).unwrap();
        assert!(page.contains(&format!("`{unit}`: {score}")), "docs/operations.md has no `{unit}`: {score}");
    }
}

#[test]
fn both_units_have_the_same_walls() {
    let walls = |unit| {
        let text = fs::read_to_string(unit_path(unit)).unwrap();
        let walls = text.lines().skip_while(|line| !line.starts_with("CapabilityBoundingSet"));
        walls.take_while(|line| !line.starts_with("[Install]")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(walls(UNITS[0]), walls(UNITS[1]));
}

/// System calls of a filter's words, as systemd itself expands them.
fn expand(words: &[String], into: &mut BTreeSet<String>, add: bool) {
    for word in words {
        if word.starts_with('@') {
            let done = analyze(&["syscall-filter", word]);
            assert!(done.success(), "{}", done.text());
            let inner = done.stdout.lines().skip(1).map(str::trim);
            let inner = inner.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned);
            expand(&inner.collect::<Vec<_>>(), into, add);
        } else if add {
            into.insert(word.clone());
        } else {
            into.remove(word);
        }
    }
}

/// Every system call that the unit's filter allows.
fn allowed() -> BTreeSet<String> {
    let text = fs::read_to_string(unit_path(UNITS[0])).unwrap();
    let mut allowed = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (words, add) = line.strip_prefix('~').map_or((line, true), |words| (words, false));
        expand(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), &mut allowed, add);
    }
    allowed
}

/// Needs no systemd to run: each system call of a daemon's life is held against the unit's filter.
#[test]
fn the_daemon_lives_within_them() {
    let site = Site::new();
    fs::create_dir(site.pacs.pins()).unwrap();
    for folder in [site.pacs.pins(), site.pacs.dir()] {
        chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let capabilities: Vec<String> = setting(UNITS[0], "AmbientCapabilities");
    assert_eq!(capabilities, setting(UNITS[0], "CapabilityBoundingSet"));
    let needed: String =
        capabilities.iter().map(|name| name.replacen("CAP_", ",+", 1).to_ascii_lowercase()).collect();
    let needed = format!("-all{needed}");
    let privileges = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--no-new-privs",
        &format!("--inh-caps={needed}"),
        &format!("--ambient-caps={needed}"),
        &format!("--bounding-set={needed}"),
    ];
    let peer = format!(
        "peers: [{{ name: CT1, address: {}, port: {DICOM}, ae_title: CT1, every: 10s }}]\n",
        site.modality.addr4()
    );
    site.write(&(policy("enforce", &[&site.modality]) + &peer));
    let run = ["run", "--policy", "policy.yaml", "--web", "127.0.0.1:9105"];
    let inner = with(&site.pacs, &privileges, &run);
    let mut command = site.pacs.command("strace");
    command.args(["-f", "-o", "trace", "-e", "signal=none"]).arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut daemon = site.pacs.spawn("pacs-guard", command).expect("strace is missing: `cargo xtask setup`");
    wait_for("the policy to be in force", PATIENCE, || {
        assert!(daemon.ended().unwrap().is_none(), "it ended: {}", daemon.log());
        Ok(daemon.log().contains("is in force"))
    })
    .unwrap();
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
    for args in
        [&["reload"][..], &["bypass", "--for", "1m", "--reason", "test"], &["bypass", "--end"], &["status"]]
    {
        assert!(site.ask(args).success(), "{args:?}: {}", daemon.log());
    }
    wait_for("the peer to be asked", PATIENCE, || Ok(daemon.log().contains("CT1"))).unwrap();
    assert!(
        site.pacs.sh("curl -sf http://127.0.0.1:9104/metrics").unwrap().contains("pacs_guard_enforcing 1")
    );
    let page = site.pacs.sh("curl -sf http://127.0.0.1:9105/state").unwrap();
    assert!(page.contains("\"action\":\"bypass-ended\"") && page.contains("\"outcome\":\"drop\""), "{page}");
    let pid = site.status()["daemon"]["pid"].to_string();
    site.pacs.sh(&format!("kill -TERM {pid}")).unwrap();
    assert!(daemon.wait().unwrap().success(), "{}", daemon.log());

    let trace = fs::read_to_string(site.pacs.dir().join("trace")).unwrap();
    // What comes before is setpriv's.
    let (_, own) = trace.split_once("/pacs-guard\", [").unwrap();
    let calls = own.lines().skip(1).filter_map(|line| {
        let call = line.split_once(' ')?.1.trim_start();
        let name = call.strip_prefix("<... ").unwrap_or(call);
        let end = name.find(|byte: char| !byte.is_ascii_alphanumeric() && byte != '_')?;
        let name = &name[..end];
        (name.starts_with(|first: char| first.is_ascii_lowercase())).then(|| name.to_owned())
    });
    let calls: BTreeSet<String> = calls.collect();
    assert!(calls.contains("bpf") && calls.contains("sendto") && calls.len() > 30, "{calls:?}");
    let allowed = allowed();
    let refused: Vec<_> = calls.iter().filter(|call| !allowed.contains(*call)).collect();
    assert!(refused.is_empty(), "the filter would refuse {refused:?}");
    let families = setting(UNITS[0], "RestrictAddressFamilies");
    for socket in own.split(" socket(").skip(1) {
        let family = socket.split(',').next().unwrap().to_owned();
        assert!(families.contains(&family), "the unit refuses sockets of {family}");
    }
    assert!(!own.contains("PROT_WRITE|PROT_EXEC"), "MemoryDenyWriteExecute= refuses that");
}
