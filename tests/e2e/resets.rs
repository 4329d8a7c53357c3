//! Resets: a refused connection is answered at once where the policy says so, and nobody else's is.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    process::Command,
};

use crate::{
    lab::{Host, PATIENCE, run},
    site::{DICOM, Site, policy},
    wire::{Listener, addresses, connects, is_met_with_silence, on},
};

/// A policy whose refusals of some sources are answered.
fn answering(site: &Site, to: &Host) -> String {
    let answer = format!("on_refuse: reset, reset_to: [{}, \"{}\"] }}", to.addr4(), to.addr6());
    policy("enforce", &[&site.modality]).replace(&format!("[{DICOM}] }}"), &format!("[{DICOM}], {answer}"))
}

/// A veth loses what XDP sends back, unless its other end has an XDP program too. This one passes everything.
fn take_answers(site: &Site) {
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--net=/run/netns/{}", site.lab.switch()))
        .args(["unshare", "--mount", "sh", "-ec"])
        .arg(
            "mount -t bpf bpf /sys/fs/bpf
         ip link set dev port1 xdp obj /usr/lib/*/bpf/xdpfilt_alw_udp.o sec xdp",
        );
    let done = run(command, PATIENCE).unwrap();
    assert!(done.success(), "{}", done.text());
}

fn refused_connections_are_answered(mode: &str) {
    let mut site = Site::new();
    let other = site.lab.host("other").unwrap();
    let dicom = Listener::open(&site.pacs, DICOM);
    take_answers(&site);
    // Where the card takes VLAN tags off, nobody is answered.
    site.pacs.sh("ethtool -K eth0 rxvlan off rx-vlan-stag-hw-parse off").unwrap();
    site.write(&answering(&site, &site.stranger));
    let _daemon = site.start(&["--xdp-mode", mode]);
    for address in addresses(&site.pacs) {
        let to = SocketAddr::new(address, DICOM);
        let refusal = on(&site.stranger, || TcpStream::connect_timeout(&to, PATIENCE).unwrap_err());
        assert_eq!(refusal.kind(), ErrorKind::ConnectionRefused, "{to}: {refusal}");
        assert!(
            is_met_with_silence(&other, address, DICOM),
            "one that the policy does not name was answered"
        );
        connects(&site.modality, address, DICOM);
    }
    // Only the modality gets in.
    dicom.accepts(2);
    assert!(site.booked("not-in-segment") >= 4, "an answered refusal is a refusal");

    // A reload without the answer ends it.
    site.write(&policy("enforce", &[&site.modality]));
    assert!(site.ask(&["reload"]).success());
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
}

#[test]
fn a_card_that_hides_tags_stays_silent_and_says_so() {
    let site = Site::new();
    site.write(&answering(&site, &site.stranger));
    let daemon = site.start(&[]);
    let warned = daemon.log().lines().any(|line| line.contains("WARN") && line.contains("stays silent"));
    assert!(warned, "{}", daemon.log());
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
    assert_eq!(site.json(&["counters", "--json"])["resets_sent"], 0);
}

#[test]
fn refused_connections_are_answered_native() {
    refused_connections_are_answered("native");
}

#[test]
fn refused_connections_are_answered_generic() {
    refused_connections_are_answered("generic");
}
