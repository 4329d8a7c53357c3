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

#[test]
fn filters_show_their_own_alone() {
    let strangers = Strangers::new();
    let site = &strangers.site;
    let _daemon = site.guard(&[]);
    (110..113).for_each(|source| strangers.send(source));
    wait_for("three events", PATIENCE, || Ok(recent(site).len() == 3)).unwrap();
    let shown = |filter: &[&str]| {
        let done = site.ask(&[&["events", "--recent"], filter].concat());
        assert!(done.success(), "{}", done.text());
        done.stdout.lines().count()
    };
    for (filter, lines) in [
        (["--source", "10.99.0.111"], 1),
        (["--source", "10.99.0.110/31"], 2),
        (["--source", "fd00::/8"], 0),
        (["--segment", "-"], 3),
        (["--segment", "modality"], 0),
        (["--service", "dicom"], 3),
        (["--service", "web"], 0),
        (["--reason", "not-in-segment"], 3),
        (["--reason", "unparsed-fragment"], 0),
    ] {
        assert_eq!(shown(&filter), lines, "{filter:?}");
    }
    assert_eq!(shown(&["--service", "dicom", "--source", "10.99.0.112"]), 1);
    for (wrong, words) in [
        (["--reason", "becuase"], "it is one of not-in-segment, service-not-allowed, unparsed-"),
        (["--source", "10.0.0.0/33"], "write an address or a network"),
    ] {
        let done = site.ask(&[&["events"], wrong.as_slice()].concat());
        assert_eq!(done.status.code(), Some(2));
        assert!(done.stderr.contains(words), "{}", done.stderr);
    }
}

#[test]
fn a_siem_takes_cef_and_hears_what_was_left_out() {
    let strangers = Strangers::new();
    let site = &strangers.site;
    let daemon = site.guard(&[]);
    let follow = ["events", "--format", "cef", "--heartbeat", "1s"];
    let listener = site.pacs.spawn("cef", daemon.cli(&follow)).unwrap();
    wait_for("a heartbeat", PATIENCE, || Ok(listener.log().contains("|heartbeat|"))).unwrap();
    (0..50).for_each(|_| strangers.send(120));
    let field = |line: &str, key: &str| -> u64 {
        let (_, rest) = line.split_once(&format!("{key}=")).unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    // Each packet is an event, or counted by one heartbeat.
    wait_for("every packet", PATIENCE, || {
        let log = listener.log();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let (beats, events): (Vec<_>, Vec<_>) =
            whole.lines().partition(|line| line.contains("|heartbeat|Events shown and left out|0|"));
        let suppressed: u64 = beats.iter().map(|beat| field(beat, "cn2")).sum();
        let counted: u64 = beats.iter().map(|beat| field(beat, "cnt")).sum();
        for event in &events {
            assert!(event.starts_with("CEF:0|pacs-guard|pacs-guard|"), "{event}");
            assert!(event.contains("|not-in-segment|Packet refused|5|rt="), "{event}");
            assert!(event.contains(" src=10.99.0.120 dst=10.99.0.1 "), "{event}");
            assert!(
                event.contains(" dpt=11112 proto=TCP act=drop ") && event.contains("cs2=dicom"),
                "{event}"
            );
        }
        assert!(events.len() as u64 + suppressed <= 50, "{log}");
        Ok(events.len() as u64 + suppressed == 50 && counted == events.len() as u64)
    })
    .unwrap();
    // People are told where there is something to tell.
    let text = site.pacs.spawn("text", daemon.cli(&["events", "--heartbeat", "1s"])).unwrap();
    wait_for("the first beat", PATIENCE, || Ok(text.log().contains(" events in 1 s ("))).unwrap();
    assert!(text.log().contains("0 missed here; 0 over the budget, 0 lost to a full ring"), "{}", text.log());
    let json = daemon.cli(&["events", "--json", "--heartbeat", "1s"]);
    let json = site.pacs.spawn("json", json).unwrap();
    wait_for("a heartbeat", PATIENCE, || Ok(json.log().contains("pacs-guard/events-heartbeat/1"))).unwrap();
}
