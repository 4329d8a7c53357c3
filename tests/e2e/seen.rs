//! Sources lately seen: kept by the kernel, apart for the allowed and the refused, over the daemon's death.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use pacs_guard::{control::Client, seen::SeenRecord};
use pacs_guard_common::abi::SEEN_ENTRIES;

use crate::{
    lab::{Host, PATIENCE, wait_for},
    site::{DICOM, Site, policy},
    wire::{Listener, RawSocket, addresses, connects, greeting, is_met_with_silence, on, syn},
};

/// What the daemon answers to `GET seen`.
fn seen(site: &Site) -> Vec<SeenRecord> {
    let socket = site.pacs.dir().join("run/control.sock");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Client::connect(&socket).await.unwrap().seen().await.unwrap() })
}

fn of(site: &Site, source: impl Into<IpAddr>, port: u16) -> Vec<SeenRecord> {
    let source = source.into();
    seen(site).into_iter().filter(|seen| (seen.source, seen.port) == (source, port)).collect()
}

fn the_one(site: &Site, source: &Host) -> SeenRecord {
    let mut found = of(site, source.addr4(), DICOM);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn each_source_with_its_connections_and_over_a_restart() {
    let site = Site::new();
    let dicom = Listener::open(&site.pacs, DICOM);
    let mut daemon = site.guard(&[]);
    assert!(seen(&site).is_empty(), "nobody came yet: {:?}", seen(&site));
    for address in addresses(&site.pacs) {
        // A whole conversation is one connection, however many packets it has.
        assert_eq!(greeting(&site.modality, address, DICOM), Listener::GREETING);
        assert!(is_met_with_silence(&site.stranger, address, DICOM));
    }
    connects(&site.modality, site.pacs.addr4(), DICOM);
    dicom.accepts(3);

    let modality = the_one(&site, &site.modality);
    assert_eq!((modality.connections, modality.outcome.as_str()), (2, "allow"));
    assert_eq!(modality.segment.as_deref(), Some("modality"));
    assert_eq!((modality.service.as_deref(), modality.protocol), (Some("dicom"), 6));
    assert!(modality.first < modality.last);
    assert!(modality.last.duration_until(jiff::Timestamp::now()).as_secs() < 60);
    let stranger = the_one(&site, &site.stranger);
    assert_eq!((stranger.outcome.as_str(), stranger.reason.as_str()), ("drop", "not-in-segment"));
    assert!(stranger.connections >= 1 && stranger.segment.is_none());
    assert_eq!(of(&site, site.modality.addr6(), DICOM)[0].outcome, "allow");
    assert_eq!(of(&site, site.stranger.addr6(), DICOM)[0].outcome, "drop");

    daemon.kill().unwrap();
    connects(&site.modality, site.pacs.addr4(), DICOM);
    let _next = site.start(&[]);
    let after = the_one(&site, &site.modality);
    assert_eq!(after.connections, 3);
    // Each answer reckons it anew from the clock since boot.
    assert!(after.first.duration_since(modality.first).abs().as_millis() < 100, "{after:?}");
}

#[test]
fn udp_is_kept_too_and_what_is_not_protected_never() {
    let site = Site::new();
    let _ssh = Listener::open(&site.pacs, 22);
    site.write(
        &policy("enforce", &[&site.modality])
            .replace("segments:", "  syslog: { ports: [514], transport: udp }\nsegments:")
            .replace("services: [dicom] }", "services: [dicom, syslog] }"),
    );
    let _daemon = site.start(&[]);
    connects(&site.stranger, site.pacs.addr4(), 22);
    on(&site.modality, || {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        socket.send_to(b"?", (site.pacs.addr4(), 514)).unwrap();
    });
    wait_for("the datagram", PATIENCE, || Ok(!of(&site, site.modality.addr4(), 514).is_empty())).unwrap();
    let found = seen(&site);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].protocol, found[0].outcome.as_str()), (17, "allow"));
}

#[test]
fn they_are_bounded_and_a_crowd_of_one_kind_pushes_out_none_of_the_other() {
    const CROWD: u32 = 2 * SEEN_ENTRIES;
    let site = Site::new();
    let text = policy("enforce", &[&site.modality]);
    site.write(&(text + "  crowd: { sources: [10.128.0.0/10], services: [dicom] }\n"));
    let _daemon = site.start(&[]);
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
    let (pacs, raw) = (RawSocket::open(&site.pacs).mac(), RawSocket::open(&site.modality));
    let first = u32::from(Ipv4Addr::new(10, 128, 0, 1));
    let send = |number: u32| {
        let source = Ipv4Addr::from_bits(first + number);
        raw.send(&syn(raw.mac(), pacs, source.into(), site.pacs.addr4().into(), DICOM));
    };
    (0..CROWD).for_each(send);
    wait_for("the last of the crowd", PATIENCE, || {
        send(CROWD - 1);
        Ok(!of(&site, Ipv4Addr::from_bits(first + CROWD - 1), DICOM).is_empty())
    })
    .unwrap();
    let allowed = seen(&site).iter().filter(|seen| seen.outcome == "allow").count();
    assert!((SEEN_ENTRIES as usize / 2..=SEEN_ENTRIES as usize).contains(&allowed), "{allowed} are kept");
    println!("{allowed} of {CROWD} are kept");
    assert_eq!(the_one(&site, &site.stranger).outcome, "drop");
}
