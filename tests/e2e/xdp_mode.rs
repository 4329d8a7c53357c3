//! XDP modes: native with jumbo frames, generic where it is asked for, and no silent way from one to the other.

use crate::{
    lab::{PATIENCE, ip, wait_for},
    site::{DICOM, Site, policy},
    wire::{RawSocket, syn},
};

/// A bridge has no native XDP.
fn with_bridge() -> Site {
    let site = Site::new();
    ip(&format!("-n {} link add br1 type bridge", site.pacs.netns())).unwrap();
    ip(&format!("-n {} link set br1 up", site.pacs.netns())).unwrap();
    site.write(&policy("enforce", &[&site.modality]).replace("[eth0]", "[br1]"));
    site
}

#[test]
fn native_takes_jumbo_frames() {
    let site = Site::new();
    let switch = site.lab.switch();
    for number in 1..=3 {
        ip(&format!("-n {switch} link set port{number} mtu 9000")).unwrap();
    }
    for host in [&site.pacs, &site.modality, &site.stranger] {
        ip(&format!("-n {} link set eth0 mtu 9000", host.netns())).unwrap();
    }
    ip(&format!("-n {switch} link set br0 mtu 9000")).unwrap();
    let _daemon = site.guard(&["--xdp-mode", "native"]);
    assert_eq!(site.status()["interfaces"][0]["mode"], "native");
    for address in [site.pacs.addr4().to_string(), site.pacs.addr6().to_string()] {
        site.stranger.sh(&format!("ping -q -M do -s 8900 -c 1 -W 10 {address}")).unwrap();
    }
    let (raw, pacs) = (RawSocket::open(&site.stranger), RawSocket::open(&site.pacs));
    let source = site.stranger.addr6().into();
    let mut frame = syn(raw.mac(), pacs.mac(), source, site.pacs.addr6().into(), DICOM);
    frame.resize(9000, 0);
    raw.send(&frame);
    wait_for("the jumbo frame to be refused", PATIENCE, || Ok(site.booked("not-in-segment") == 1)).unwrap();
}

#[test]
fn generic_is_shown_as_slow() {
    let site = Site::new();
    let daemon = site.guard(&["--xdp-mode", "generic"]);
    assert_eq!(site.status()["interfaces"][0]["mode"], "generic");
    let words = site.ask(&["status"]).stdout;
    assert!(words.contains("eth0  generic mode (slow)"), "{words}");
    assert!(daemon.log().contains("eth0: attached, generic mode"), "{}", daemon.log());
    // A start that asks for native keeps the link, and says that it is not what was asked for.
    drop(daemon);
    let daemon = site.start(&[]);
    assert!(daemon.log().contains("stays in generic mode"), "{}", daemon.log());
    assert_eq!(site.status()["interfaces"][0]["mode"], "generic");
}

#[test]
fn auto_is_native_where_it_can_be() {
    let site = Site::new();
    let daemon = site.guard(&["--xdp-mode", "auto"]);
    assert_eq!(site.status()["interfaces"][0]["mode"], "native");
    assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
}

#[test]
fn auto_falls_back_with_a_warning() {
    let site = with_bridge();
    let daemon = site.start(&["--xdp-mode", "auto"]);
    let log = daemon.log();
    let warned = log
        .lines()
        .any(|line| ["WARN", "br1", "no native XDP", "generic"].iter().all(|word| line.contains(word)));
    assert!(warned, "{log}");
    let status = site.status();
    assert_eq!(
        (&status["interfaces"][0]["name"], &status["interfaces"][0]["mode"]),
        (&"br1".into(), &"generic".into())
    );
}

#[test]
fn native_or_nothing() {
    let site = with_bridge();
    let policy_file = site.policy();
    let done = site.ask(&["run", "--policy", policy_file.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(1), "{}", done.text());
    for words in ["br1", "native XDP is not possible", "--xdp-mode generic"] {
        assert!(done.stderr.contains(words), "no {words:?} in: {}", done.stderr);
    }
    assert!(!site.pacs.sh("ip link show br1").unwrap().contains("xdp"));
    assert!(!site.pacs.pins().exists(), "pins are left");
    assert_eq!(site.ask(&["status"]).status.code(), Some(4));
}
