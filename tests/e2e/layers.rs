//! `explain --live SRC PORT`: what came of a source, and which layer is likely at fault.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener},
    thread,
};

use serde_json::Value;

use crate::{
    lab::Host,
    site::{DICOM, Site, policy},
    wire::{Listener, connects, is_met_with_silence, on},
};

/// The port on which the modality itself takes associations.
const PEER: u16 = 104;

fn explained(site: &Site, source: &Host, more: &[&str]) -> Value {
    let (source, port) = (source.addr4().to_string(), DICOM.to_string());
    site.json(&[&["explain", "--live", "--json", &source, &port], more].concat())["live"].clone()
}

fn layer(site: &Site, source: &Host) -> String {
    explained(site, source, &[])["likely"]["layer"].as_str().unwrap().to_owned()
}

/// A DICOM peer that takes no association: called AE title not recognised (PS3.8 section 9.3.4).
fn rejects_every_title(host: &Host) {
    let listener = on(host, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, PEER)).unwrap());
    thread::spawn(move || {
        for peer in listener.incoming() {
            let mut peer = peer.unwrap();
            let read = peer.read(&mut [0; 4096]).unwrap();
            assert!(read > 0, "it asks first");
            peer.write_all(&[3, 0, 0, 0, 0, 4, 0, 1, 1, 7]).unwrap();
        }
    });
}

#[test]
fn from_the_policy_to_the_archive() {
    let site = Site::new();
    let mut daemon = site.guard(&[]);
    assert_eq!(layer(&site, &site.stranger), "policy");
    assert_eq!(layer(&site, &site.modality), "listener");
    let _dicom = Listener::open(&site.pacs, DICOM);
    assert_eq!(layer(&site, &site.modality), "network");
    connects(&site.modality, site.pacs.addr4(), DICOM);
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
    // All of it is known without the daemon.
    daemon.kill().unwrap();
    let live = explained(&site, &site.modality, &[]);
    assert_eq!((&live["likely"]["layer"], &live["listens"]), (&"association".into(), &true.into()), "{live}");
    assert_eq!((&live["seen"][0]["connections"], &live["seen"][0]["outcome"]), (&1.into(), &"allow".into()));
    assert!(live["in_force_since"].is_string());
    let refused = explained(&site, &site.stranger, &[]);
    assert_eq!(refused["likely"]["layer"], "policy");
    assert_eq!(refused["seen"][0]["outcome"], "drop");
    assert!(refused["seen"][0]["connections"].as_u64() > Some(0), "{refused}");

    let (source, port) = (site.modality.addr4().to_string(), DICOM.to_string());
    let words = site.ask(&["explain", "--live", &source, &port]);
    let text = &words.stdout;
    for part in
        ["policy.yaml:8)", "in force since", "let in   1 connection, first", "not asked: the policy names"]
    {
        assert!(text.contains(part), "{part} is not in {}", words.text());
    }
    assert!(text.contains("likely   packets pass, the last connection began"), "{}", words.text());
}

#[test]
fn a_peer_of_the_policy_is_asked_as_it_is_named_there() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    rejects_every_title(&site.modality);
    let peers = format!(
        "peers:\n  - {{ name: CT1, address: {}, port: {PEER}, ae_title: CT1 }}\n",
        site.modality.addr4()
    );
    site.write(&(policy("enforce", &[&site.modality]) + &peers));
    let _daemon = site.start(&[]);
    connects(&site.modality, site.pacs.addr4(), DICOM);
    let live = explained(&site, &site.modality, &[]);
    assert_eq!(
        (&live["echo"][0]["peer"], &live["likely"]["layer"]),
        (&"CT1".into(), &"peer-title".into()),
        "{live}"
    );
    assert!(live["likely"]["words"].as_str().unwrap().starts_with("the peer refuses our AE title"), "{live}");
}

#[test]
fn nobody_else_is_asked_unless_somebody_says_so() {
    let site = Site::new();
    let dicom = Listener::open(&site.pacs, DICOM);
    let peer = Listener::open(&site.modality, PEER);
    let _daemon = site.guard(&[]);
    connects(&site.modality, site.pacs.addr4(), DICOM);
    dicom.accepts(1);
    let live = explained(&site, &site.modality, &[]);
    assert_eq!((&live["echo"], peer.accepted()), (&Value::Array(vec![]), 0), "{live}");
    assert!(live["not_asked"].as_str().unwrap().contains("--echo"), "{live}");
    let live = explained(&site, &site.modality, &["--echo", &PEER.to_string()]);
    assert_eq!(live["echo"].as_array().unwrap().len(), 1);
    assert_eq!(live["likely"]["layer"], "peer", "it greets as SSH does: {live}");
    peer.accepts(1);
}
