//! Reload: the file that is there decides, whole or not at all, and each asker hears the truth.

use std::{
    collections::BTreeSet,
    fs,
    process::{Child, Stdio},
};

use pacs_guard::policy::hash_text;
use serde_json::Value;

use crate::{
    lab::{self, Daemon, PATIENCE, ip, wait_for},
    site::{DICOM, Site, policy},
    wire::{Listener, connects, is_met_with_silence},
};

fn assert_only_the_modality_gets_in(site: &Site) {
    connects(&site.modality, site.pacs.addr4(), DICOM);
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM), "the stranger got in");
}

fn assert_only_the_stranger_gets_in(site: &Site) {
    connects(&site.stranger, site.pacs.addr4(), DICOM);
    assert!(is_met_with_silence(&site.modality, site.pacs.addr4(), DICOM), "the modality got in");
}

/// Starts so many `reload --json` at once.
fn reloads(daemon: &Daemon, count: usize) -> Vec<Child> {
    let start = |_| {
        let mut command = daemon.cli(&["reload", "--json"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    (0..count).map(start).collect()
}

#[test]
fn by_verb_and_by_signal() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let mut daemon = site.guard(&[]);
    assert_only_the_modality_gets_in(&site);

    site.write(&policy("enforce", &[&site.stranger]));
    assert_eq!(site.status()["daemon"]["file_differs"], true);
    let done = site.ask(&["reload"]);
    assert!(done.success() && done.stdout.contains("generation 2"), "{}", done.text());
    assert_only_the_stranger_gets_in(&site);

    site.write(&policy("enforce", &[&site.modality]));
    daemon.process().signal("HUP").unwrap();
    wait_for("the third generation", PATIENCE, || Ok(site.status()["generation"] == 3)).unwrap();
    assert_only_the_modality_gets_in(&site);
    let status = site.status();
    assert_eq!(status["daemon"]["last_change"]["result"], "loaded");
    assert_eq!(status["daemon"]["file_differs"], false);
}

#[test]
fn a_bad_file_changes_nothing() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let mut daemon = site.guard(&[]);
    let before = site.status();
    // Valid up to the last line, where host bits are set.
    site.write(&format!(
        "{}  typo: {{ sources: [10.99.0.7/24], services: [dicom] }}\n",
        policy("enforce", &[&site.stranger])
    ));
    let done = site.ask(&["reload"]);
    assert_eq!(done.status.code(), Some(3), "{}", done.text());
    for part in ["policy.yaml:9:", "10.99.0.7/24", "^^^^", "host bits", "the old one stays in force"] {
        assert!(done.stderr.contains(part), "no {part:?} in:\n{}", done.stderr);
    }
    let json: Value = serde_json::from_str(&site.ask(&["reload", "--json"]).stdout).unwrap();
    assert_eq!(json["result"], "invalid");
    assert_eq!(json["diagnostics"][0]["line"], 9, "{json}");
    daemon.process().signal("HUP").unwrap();
    wait_for("the daemon to log it", PATIENCE, || {
        Ok(daemon.log().matches("the old one stays in force").count() >= 3)
    })
    .unwrap();
    let after = site.status();
    assert_eq!(after["policy"], before["policy"]);
    assert_eq!(after["generation"], before["generation"]);
    assert_eq!(after["daemon"]["last_change"]["result"], "invalid");
    assert_only_the_modality_gets_in(&site);
}

#[test]
fn parts_of_a_policy_count_together() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let _daemon = site.guard(&[]);
    let before = site.status();
    let parts = site.pacs.dir().join("policies.d");
    fs::create_dir(&parts).unwrap();
    let part = format!(
        "version: 1\nsegments:\n  visitor: {{ sources: [{}], services: [dicom] }}\n",
        site.stranger.addr4()
    );

    // One bad file refuses all, and the one in force stays.
    fs::write(parts.join("10-visitor.yaml"), part.replace("dicom", "dicm")).unwrap();
    let done = site.ask(&["reload"]);
    assert_eq!(done.status.code(), Some(3), "{}", done.text());
    assert!(done.stderr.contains("policies.d/10-visitor.yaml:3:"), "{}", done.stderr);
    assert_eq!(site.status()["policy"], before["policy"]);
    assert_only_the_modality_gets_in(&site);

    fs::write(parts.join("10-visitor.yaml"), &part).unwrap();
    assert_eq!(site.status()["daemon"]["file_differs"], true);
    let done = site.ask(&["reload"]);
    assert!(done.success(), "{}", done.text());
    let after = site.status();
    assert_eq!(after["daemon"]["file_differs"], false);
    assert_eq!(after["policy"]["segments"], 2);
    connects(&site.stranger, site.pacs.addr4(), DICOM);

    fs::write(parts.join("10-visitor.yaml"), format!("{part}#\n")).unwrap();
    assert_eq!(site.status()["daemon"]["file_differs"], true);
}

#[test]
fn fifty_at_once_each_hear_of_their_own() {
    let site = Site::new();
    let mut daemon = site.guard(&[]);
    let files = format!("/proc/{}/fd", daemon.process().id());
    let open_files = || std::fs::read_dir(&files).unwrap().count();
    let before = open_files();
    let mut generations = BTreeSet::new();
    for child in reloads(&daemon, 50) {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["result"], "loaded");
        generations.insert(report["generation"].as_u64().unwrap());
    }
    assert_eq!(generations, (2..=51).collect(), "each reload is a generation of its own");
    assert_eq!(site.status()["generation"], 51);
    // Nothing of fifty generations stays open; the connections of those who asked close a moment later.
    wait_for("the daemon to close what it opened", PATIENCE, || Ok(open_files() <= before)).unwrap();

    site.write("version: 1\n");
    for child in reloads(&daemon, 10) {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["result"], "invalid");
    }
    assert_eq!(site.status()["generation"], 51);
}

#[test]
fn a_storm_of_signals_ends_with_the_last_file() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let daemon = site.guard(&[]);
    let pid = site.status()["daemon"]["pid"].to_string();
    let files = [policy("enforce", &[&site.modality]), policy("enforce", &[&site.stranger])];
    let mut storm = std::process::Command::new("bash");
    storm.arg("-c").arg(format!("for i in {{1..500}}; do kill -HUP {pid}; done"));
    let mut storm = storm.spawn().unwrap();
    for file in files.iter().cycle().take(101) {
        site.write(file);
    }
    assert!(storm.wait().unwrap().success());
    // A file that nobody has read yet, and one signal for it.
    site.write(&format!("# the last\n{}", files[1]));
    lab::run(
        {
            let mut kill = std::process::Command::new("kill");
            kill.args(["-HUP", &pid]);
            kill
        },
        PATIENCE,
    )
    .unwrap();
    let last = hash_text(&format!("# the last\n{}", files[1]));
    wait_for("the last file", PATIENCE, || Ok(site.status()["policy"]["sha256"] == *last)).unwrap();
    assert_only_the_stranger_gets_in(&site);
    assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
}

#[test]
fn an_interface_that_the_new_policy_names_comes_under_guard() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let _daemon = site.guard(&[]);
    let (pacs, stranger) = (site.pacs.netns(), site.stranger.netns());
    ip(&format!("-n {pacs} link add eth1 type veth peer name eth1 netns {stranger}")).unwrap();
    for (netns, number) in [(pacs, 1), (stranger, 2)] {
        ip(&format!("-n {netns} address add 10.98.0.{number}/24 dev eth1")).unwrap();
        ip(&format!("-n {netns} link set eth1 up")).unwrap();
    }
    let to = std::net::Ipv4Addr::new(10, 98, 0, 1);
    connects(&site.stranger, to, DICOM);

    site.write(&policy("enforce", &[&site.modality]).replace("[eth0]", "[eth0, eth1]"));
    let done = site.ask(&["reload"]);
    assert!(done.success(), "{}", done.text());
    assert!(is_met_with_silence(&site.stranger, to, DICOM), "eth1 is open");
    let names: Vec<_> =
        site.status()["interfaces"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["eth0", "eth1"]);

    // One that is not there leaves everything as it was.
    site.write(&policy("enforce", &[&site.stranger]).replace("[eth0]", "[eth0, eth7]"));
    let done = site.ask(&["reload"]);
    assert_eq!(done.status.code(), Some(1), "{}", done.text());
    assert!(done.stderr.contains("`eth7`") && done.stderr.contains("not replaced"), "{}", done.stderr);
    assert_only_the_modality_gets_in(&site);

    // One that is no longer named stays under guard, and the asker hears how to end that.
    site.write(&policy("enforce", &[&site.modality]));
    let done = site.ask(&["reload"]);
    assert!(done.stderr.contains("pacs-guard detach eth1"), "{}", done.text());
    assert!(is_met_with_silence(&site.stranger, to, DICOM));
    assert!(site.ask(&["detach", "eth1"]).success());
    connects(&site.stranger, to, DICOM);
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM), "eth0 has lost its guard");
}

#[test]
fn what_lost_its_guard_gets_it_back() {
    let site = Site::new();
    let _daemon = site.guard(&[]);
    let assert_guarded = || {
        let done = site.ask(&["reload"]);
        assert!(done.success(), "{}", done.text());
        assert_eq!(site.status()["state"], "enforcing");
        assert!(site.pacs.sh("ip link show eth0").unwrap().contains("xdp"));
    };
    assert!(site.ask(&["detach", "eth0"]).success());
    assert_eq!(site.ask(&["status"]).status.code(), Some(4));
    assert_guarded();

    // The card goes, and another one comes under its name.
    site.pacs.sh("ip link delete eth0; ip link add eth0 type veth peer name eth9").unwrap();
    assert_eq!(site.ask(&["status"]).status.code(), Some(4));
    assert_guarded();
    let done = site.ask(&["reload"]);
    assert!(done.success() && done.stderr.is_empty(), "{}", done.text());

    // What is left of the card that went is told until it is forgotten.
    let status = site.status();
    let lost: Vec<_> =
        status["interfaces"].as_array().unwrap().iter().filter(|one| one["attached"] == false).collect();
    assert_eq!(lost.len(), 1, "{status}");
    let name = format!("index-{}", lost[0]["index"]);
    let done = site.ask(&["check-nagios"]);
    assert!(done.status.code() == Some(2) && done.stdout.contains(&name), "{}", done.text());
    assert!(site.ask(&["detach", &name]).success());
    assert!(!site.ask(&["detach", &name]).success());
    assert_eq!(site.ask(&["check-nagios"]).status.code(), Some(0));
    assert_guarded();
}
