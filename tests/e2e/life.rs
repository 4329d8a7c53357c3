//! Life of a daemon: killed, started again, ended, detached. Enforcement goes on until somebody ends it.

use std::fs;

use aya::maps::IterableMap;

use crate::{
    lab::{self, PATIENCE, wait_for},
    site::{BINARY, DICOM, Site, policy},
    wire::{Listener, connects, is_met_with_silence},
};

fn assert_enforced(site: &Site) {
    let to = site.pacs.addr4();
    connects(&site.modality, to, DICOM);
    assert!(is_met_with_silence(&site.stranger, to, DICOM), "the stranger got in");
}

fn assert_open(site: &Site) {
    connects(&site.modality, site.pacs.addr4(), DICOM);
    connects(&site.stranger, site.pacs.addr4(), DICOM);
    let link = site.pacs.sh("ip link show eth0").unwrap();
    assert!(!link.contains("xdp"), "a program is left: {link}");
    assert!(
        !site.pacs.pins().exists() || fs::read_dir(site.pacs.pins()).unwrap().count() == 0,
        "pins are left"
    );
}

#[test]
fn a_killed_daemon_changes_no_verdict_and_the_next_one_adopts() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let mut daemon = site.guard(&[]);
    assert_enforced(&site);
    let (link, refused) = (site.link_id(), site.booked("not-in-segment"));
    assert!(refused > 0);

    daemon.kill().unwrap();
    assert_enforced(&site);
    let status = site.status();
    assert_eq!(status["state"], "enforcing");
    assert_eq!(status["daemon"], serde_json::Value::Null);
    assert_eq!(status["policy"]["policy"], "site");
    assert_eq!(status["interfaces"][0]["attached"], true);
    let words = site.ask(&["status"]);
    assert!(words.success() && words.stdout.contains("not running"), "{}", words.text());
    let refused_alone = site.booked("not-in-segment");
    assert!(refused_alone > refused, "nobody counts while the daemon is dead");

    let daemon = site.start(&[]);
    assert_eq!(site.link_id(), link, "the link is another one: there was a gap");
    assert!(daemon.log().contains("adopted without a gap"), "{}", daemon.log());
    assert!(site.booked("not-in-segment") >= refused_alone, "a restart took counts away");
    assert!(site.status()["generation"].as_u64() > status["generation"].as_u64());
    assert_enforced(&site);
}

#[test]
fn an_ended_daemon_leaves_enforcement_on() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    for signal in ["TERM", "INT"] {
        let mut daemon = site.guard(&[]);
        daemon.process().signal(signal).unwrap();
        assert!(daemon.process().wait().unwrap().success(), "{}", daemon.log());
        assert!(daemon.log().contains("stays in force on eth0"), "{}", daemon.log());
        assert_enforced(&site);
    }
}

#[test]
fn a_daemon_that_is_told_to_detach_ends_enforcement() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let mut daemon = site.guard(&["--detach"]);
    assert_enforced(&site);
    assert!(daemon.stop().unwrap().success(), "{}", daemon.log());
    assert_open(&site);
    assert_eq!(site.ask(&["status"]).status.code(), Some(4));

    // Only a clean end detaches.
    let mut daemon = site.guard(&["--detach"]);
    daemon.kill().unwrap();
    assert_enforced(&site);
}

#[test]
fn detach_needs_no_daemon() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let mut daemon = site.guard(&[]);
    daemon.kill().unwrap();
    assert_enforced(&site);
    let done = site.ask(&["detach", "--json"]);
    assert!(done.success(), "{}", done.text());
    assert_eq!(serde_json::from_str::<serde_json::Value>(&done.stdout).unwrap()["detached"][0], "eth0");
    assert_open(&site);
    assert!(site.ask(&["detach"]).stdout.contains("nothing to detach"));
}

#[test]
fn detach_works_while_a_daemon_runs() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let mut daemon = site.guard(&[]);
    let done = site.ask(&["detach", "eth0"]);
    assert!(done.success() && done.stdout.contains("eth0"), "{}", done.text());
    connects(&site.stranger, site.pacs.addr4(), DICOM);
    assert_eq!(site.status()["state"], "not-enforcing");
    assert_eq!(site.ask(&["detach", "eth7"]).status.code(), Some(1));

    let done = site.ask(&["detach"]);
    assert!(done.success(), "{}", done.text());
    assert_open(&site);
    // It has nothing left to hold, and says so when it is asked to reload.
    let reload = site.ask(&["reload"]);
    assert_eq!(reload.status.code(), Some(1), "{}", reload.text());
    assert!(reload.stderr.contains("start pacs-guard again"), "{}", reload.stderr);
    assert_open(&site);
    assert!(daemon.stop().unwrap().success());
    let _daemon = site.guard(&[]);
    assert_enforced(&site);
}

#[test]
fn a_daemon_that_was_detached_leaves_the_next_one_alone() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let mut old = site.guard(&["--detach"]);
    assert!(site.ask(&["detach"]).success());
    let mut next = lab::cli(BINARY.as_ref(), &site.pacs);
    next.env("PACS_GUARD_RUN_DIR", site.pacs.dir().join("run2")).args(["run", "--policy", "policy.yaml"]);
    let next = site.pacs.spawn("next", next).unwrap();
    wait_for("the next daemon", PATIENCE, || Ok(next.log().contains("is in force"))).unwrap();
    next.signal("HUP").unwrap();
    wait_for("its second generation", PATIENCE, || Ok(site.status()["generation"] == 2)).unwrap();
    let policy_in_force = site.status()["policy"].clone();

    site.write(&policy("enforce", &[&site.stranger]));
    old.process().signal("HUP").unwrap();
    wait_for("the old daemon to say that it can't", PATIENCE, || Ok(old.log().contains("ERROR"))).unwrap();
    assert_eq!(site.status()["policy"], policy_in_force, "the status shows another daemon's policy");
    assert!(old.stop().unwrap().success(), "{}", old.log());
    assert_enforced(&site);
}

#[test]
fn a_start_that_fails_leaves_the_old_policy_in_force() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    site.guard(&[]).kill().unwrap();
    let before = site.status();
    let good = policy("enforce", &[&site.stranger]);
    let cases = [
        ("a bad policy", good.replace("version: 1", "version: 9"), 3, "stays so"),
        ("no such interface", good.replace("eth0", "eth7"), 1, "there is no interface `eth7`"),
        ("no native XDP", good.replace("[eth0]", "[eth0, br1]"), 1, "br1: native XDP is not possible"),
    ];
    site.pacs.sh("ip link add br1 type bridge").unwrap();
    for (what, text, exit, words) in cases {
        site.write(&text);
        // With a last good policy, a bad file would be no reason to fail.
        fs::remove_dir_all(site.pacs.dir().join("state")).ok();
        let done = site.ask(&["run", "--policy", "policy.yaml"]);
        assert_eq!(done.status.code(), Some(exit), "{what}: {}", done.text());
        assert!(done.stderr.contains(words), "{what}: {}", done.text());
        assert_eq!(site.status()["policy"], before["policy"], "{what}");
        assert_enforced(&site);
    }
}

#[test]
fn a_pin_that_is_another_map_is_never_adopted() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    site.guard(&[]).kill().unwrap();
    let counters = site.pins().join(format!("abi-{}/counters", pacs_guard_common::abi::ABI_VERSION));
    fs::remove_file(&counters).unwrap();
    let other = aya::maps::Array::<_, u64>::create(1, 0).unwrap();
    other.map().pin(&counters).unwrap();
    let done = site.ask(&["run", "--policy", "policy.yaml"]);
    assert_eq!(done.status.code(), Some(1), "{}", done.text());
    for words in ["counters", "PerCpuArray", "pacs-guard detach"] {
        assert!(done.stderr.contains(words), "no {words:?} in: {}", done.stderr);
    }
    assert_enforced(&site);
    assert!(site.ask(&["detach"]).success());
    assert_open(&site);
    let _daemon = site.guard(&[]);
    assert_enforced(&site);
}

#[test]
fn an_interface_that_is_named_twice_is_guarded_once() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let twice = ["--interface", "eth0", "--interface", "eth0"];
    site.guard(&twice).kill().unwrap();
    assert_enforced(&site);
    // And adopted once: a link that is taken for a dead one ends.
    site.guard(&twice).kill().unwrap();
    assert_enforced(&site);
}
