//! `restore`: after a boot the last good policy is in force before any daemon runs, and the daemon adopts it.

use crate::{
    site::{DICOM, Site, policy},
    wire::{Listener, connects, is_met_with_silence},
};

/// What a boot leaves: no pins, no daemon, and the state folder.
fn boot(site: &Site, mut daemon: crate::lab::Daemon) {
    daemon.kill().unwrap();
    assert!(site.ask(&["detach"]).success());
    assert_eq!(site.status()["state"], "not-enforcing");
}

fn assert_enforced(site: &Site) {
    connects(&site.modality, site.pacs.addr4(), DICOM);
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
}

#[test]
fn the_last_good_policy_comes_back_and_is_adopted() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let done = site.ask(&["restore"]);
    assert_eq!(done.status.code(), Some(4), "{}", done.text());
    assert!(done.stderr.contains("nothing to restore"), "{}", done.text());

    let daemon = site.guard(&[]);
    boot(&site, daemon);
    // Nobody looks at the file: a bad one, or a mount that is not there yet, is no obstacle.
    site.write("version: 7\n");
    let before = site.json(&["history", "--json"]);
    let done = site.ask(&["restore"]);
    assert!(done.success(), "{}", done.text());
    assert_eq!(site.status()["state"], "enforcing");
    assert_enforced(&site);
    assert_eq!(site.json(&["history", "--json"]), before, "a boot is no change of the policy");

    let link = site.link_id();
    site.write(&policy("enforce", &[&site.modality]));
    let daemon = site.start(&[]);
    assert!(daemon.log().contains("adopted without a gap"), "{}", daemon.log());
    assert_eq!(site.link_id(), link, "there was a gap");
    assert_enforced(&site);
    // Beside a daemon it changes nothing.
    let done = site.ask(&["restore"]);
    assert_eq!(done.status.code(), Some(1), "{}", done.text());
    assert_enforced(&site);
    assert!(site.ask(&["reload"]).success(), "the daemon has lost its socket");
}

#[test]
fn what_was_applied_by_hand_outlasts_a_boot() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let daemon = site.guard(&[]);
    let applied = site.pacs.dir().join("applied.yaml");
    crate::site::write(&applied, &policy("enforce", &[&site.modality, &site.stranger]));
    assert!(site.ask(&["apply", applied.to_str().unwrap()]).success());
    boot(&site, daemon);
    assert!(site.ask(&["restore"]).success());
    connects(&site.stranger, site.pacs.addr4(), DICOM);
    let _daemon = site.start(&[]);
    connects(&site.stranger, site.pacs.addr4(), DICOM);
}

#[test]
fn an_unconfirmed_policy_does_not_come_back() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let daemon = site.guard(&[]);
    let applied = site.pacs.dir().join("applied.yaml");
    crate::site::write(&applied, &policy("enforce", &[&site.stranger]));
    let done = site.ask(&["apply", applied.to_str().unwrap(), "--confirm", "1h"]);
    assert!(done.success(), "{}", done.text());
    boot(&site, daemon);
    assert!(site.ask(&["restore"]).success());
    assert_enforced(&site);
}

#[test]
fn an_interface_that_is_not_there_yet_is_said() {
    let site = Site::new();
    let daemon = site.guard(&[]);
    boot(&site, daemon);
    site.pacs.sh("ip link set eth0 down; ip link set eth0 name late0").unwrap();
    let done = site.ask(&["restore"]);
    assert_eq!(done.status.code(), Some(4), "{}", done.text());
    assert!(done.stderr.contains("eth0") && done.stderr.contains("nothing is enforced"), "{}", done.text());
    site.pacs.sh("ip link set late0 name eth0; ip link set eth0 up").unwrap();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let _daemon = site.start(&[]);
    assert_enforced(&site);
}
