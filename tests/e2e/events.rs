//! Events: who was refused, as it happens, and never more of them than the budget allows.

use std::{net::Ipv4Addr, time::Instant};

use pacs_guard_common::abi::EVENTS_PER_SOURCE;
use serde_json::Value;

use crate::{
    lab::{PATIENCE, wait_for},
    site::{DICOM, Site, policy},
    wire::{RawSocket, syn},
};

fn recent(site: &Site) -> Vec<Value> {
    let done = site.ask(&["events", "--recent", "--json"]);
    assert!(done.success(), "{}", done.text());
    done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Frames of strangers towards the archive, each from a source of its own.
struct Strangers {
    site: Site,
    raw: RawSocket,
    pacs: [u8; 6],
}

impl Strangers {
    fn new() -> Self {
        let site = Site::new();
        let (raw, pacs) = (RawSocket::open(&site.stranger), RawSocket::open(&site.pacs).mac());
        Self { site, raw, pacs }
    }

    fn send(&self, host: u8) {
        let source = Ipv4Addr::new(10, 99, 0, host);
        self.raw.send(&syn(self.raw.mac(), self.pacs, source.into(), self.site.pacs.addr4().into(), DICOM));
    }
}

#[test]
fn a_flood_is_bounded_and_the_rest_is_counted() {
    const FLOOD: u64 = 200;
    let strangers = Strangers::new();
    let site = &strangers.site;
    let _daemon = site.guard(&[]);
    let start = Instant::now();
    (0..FLOOD).for_each(|_| strangers.send(200));
    // A source may spend the budget of each second that the flood touches.
    let seconds = start.elapsed().as_secs() + 2;
    wait_for("every packet as an event or as suppressed", PATIENCE, || {
        let suppressed = site.status()["packets"]["events_suppressed"].as_u64().unwrap();
        let events = recent(site).len() as u64;
        assert!(events <= EVENTS_PER_SOURCE * seconds, "{events} events in {seconds} s");
        assert!(events + suppressed <= FLOOD, "{events} events and {suppressed} suppressed of {FLOOD}");
        Ok(events > 0 && events + suppressed == FLOOD)
    })
    .unwrap();
    assert_eq!(site.status()["packets"]["events_lost"], 0);
    assert_eq!(site.booked("not-in-segment"), FLOOD);

    // Another source still has its budget.
    strangers.send(201);
    wait_for("the event of the second source", PATIENCE, || {
        Ok(recent(site).iter().any(|event| event["source"] == "10.99.0.201"))
    })
    .unwrap();
}

#[test]
fn a_listener_hears_them_and_ends_after_its_count() {
    let strangers = Strangers::new();
    let site = &strangers.site;
    let daemon = site.guard(&[]);
    let mut listener = site.pacs.spawn("events", daemon.cli(&["events", "--json", "--count", "3"])).unwrap();
    for source in 100..103 {
        strangers.send(source);
        assert!(source == 102 || listener.ended().unwrap().is_none(), "it ended before its count");
    }
    assert!(listener.wait().unwrap().success(), "{}", listener.log());
    let events: Vec<Value> = listener.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 3);
    let keys: Vec<_> = events[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "time",
            "interface",
            "source",
            "source_port",
            "destination",
            "destination_port",
            "protocol",
            "verdict",
            "reason",
            "segment",
            "service",
            "generation"
        ]
    );
    for (event, source) in events.iter().zip(100..) {
        assert_eq!(event["source"], format!("10.99.0.{source}"));
        assert_eq!(event["destination"], site.pacs.addr4().to_string());
        assert_eq!(event["destination_port"], DICOM);
        assert_eq!(event["source_port"], 40_000);
        assert_eq!(event["protocol"], 6);
        assert_eq!(event["verdict"], "drop");
        assert_eq!(event["reason"], "not-in-segment");
        assert_eq!(event["segment"], Value::Null);
        assert_eq!(event["service"], "dicom");
        assert_eq!(event["generation"], 1);
        let time: jiff::Timestamp = event["time"].as_str().unwrap().parse().unwrap();
        assert!(time.duration_until(jiff::Timestamp::now()).as_secs() < 60, "{time} is long ago");
    }
    // Who comes later hears the kept ones.
    let late = site.ask(&["events", "--count", "2"]);
    assert_eq!(late.stdout.lines().count(), 2, "{}", late.text());
    assert!(late.stdout.contains("10.99.0.100 -> ") && late.stdout.contains("not-in-segment"));
}

#[test]
fn audit_reports_what_it_would_drop_and_the_generation() {
    let strangers = Strangers::new();
    let site = &strangers.site;
    site.write(&policy("audit", &[&site.modality]));
    let _daemon = site.start(&[]);
    assert!(site.ask(&["reload"]).success());
    strangers.send(150);
    wait_for("the event", PATIENCE, || Ok(!recent(site).is_empty())).unwrap();
    let event = &recent(site)[0];
    assert_eq!((&event["verdict"], &event["generation"]), (&Value::from("would-drop"), &Value::from(2)));
}

#[test]
fn nobody_to_ask_is_an_error() {
    let site = Site::new();
    let done = site.ask(&["events"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(done.stderr.contains("no daemon runs here"), "{}", done.stderr);
}

#[test]
fn the_program_itself_logs_where_it_is_asked_to() {
    let strangers = Strangers::new();
    let site = &strangers.site;
    let daemon = site.guard(&["--program-log"]);
    strangers.send(160);
    wait_for("the program's line", PATIENCE, || Ok(daemon.log().contains("refused: port 11112"))).unwrap();
    assert!(site.ask(&["detach"]).success());
    drop(daemon);
    let daemon = site.guard(&[]);
    strangers.send(161);
    wait_for("the event", PATIENCE, || Ok(!recent(site).is_empty())).unwrap();
    assert!(!daemon.log().contains("refused: port"), "{}", daemon.log());
}
