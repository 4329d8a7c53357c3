//! `plan` says what would change and whom it would cut, and `apply` cuts nobody unasked.

use std::net::{Ipv6Addr, TcpListener, TcpStream};

use serde_json::Value;

use crate::{
    lab::{PATIENCE, wait_for},
    site::{DICOM, Site, policy, write},
    wire::{Listener, connects, is_met_with_silence, on},
};

fn planned(site: &Site) -> Option<i32> {
    site.ask(&["plan", "other.yaml"]).status.code()
}

#[test]
fn the_exit_code_says_what_kind_of_change_it_is() {
    let site = Site::new();
    let _daemon = site.guard(&[]);
    let other = site.pacs.dir().join("other.yaml");
    let same = policy("enforce", &[&site.modality]);
    write(&other, &same);
    assert_eq!(planned(&site), Some(0));
    write(&other, &policy("enforce", &[&site.modality, &site.stranger]));
    assert_eq!(planned(&site), Some(10), "it only widens");
    write(&other, &policy("enforce", &[&site.stranger]));
    assert_eq!(planned(&site), Some(11), "it narrows, and nobody is connected");
    write(&other, &same.replace("version: 1", "version: 2"));
    assert_eq!(planned(&site), Some(3));
}

#[test]
fn a_live_connection_is_named_and_not_cut_unasked() {
    let site = Site::new();
    // It never accepts, and so never ends a connection either.
    let _dicom = on(&site.pacs, || TcpListener::bind((Ipv6Addr::UNSPECIFIED, DICOM)).unwrap());
    let _daemon = site.guard(&[]);
    connects(&site.modality, site.pacs.addr6(), DICOM);
    write(&site.pacs.dir().join("other.yaml"), &policy("enforce", &[&site.stranger]));
    let connection = on(&site.modality, || TcpStream::connect((site.pacs.addr4(), DICOM)).unwrap());
    // The archive's end is there a moment later than the modality's.
    let planned = || site.json(&["plan", "other.yaml", "--json"]);
    wait_for("one connection to be there, and one to be gone", PATIENCE, || {
        Ok(planned()["cuts"].as_array().map(Vec::len) == Some(1))
    })
    .unwrap();
    assert_eq!(site.ask(&["plan", "other.yaml"]).status.code(), Some(12));
    let modality = connection.local_addr().unwrap().to_string();
    let plan = site.json(&["plan", "other.yaml", "--json"]);
    assert_eq!(plan["cuts"][0]["peer"], modality.as_str());
    assert_eq!(plan["cuts"][0]["because"]["reason"], "not-in-segment");
    assert_eq!(plan["cuts"][0]["loses"], "modality");
    assert_eq!(plan["cuts"][0]["connections"], 1);
    assert_eq!(plan["cuts"][0]["packets"], 2, "a SYN and an ACK: {plan}");
    assert!(plan["cuts"][0]["last"].is_string());
    let lost = plan["lost"].as_array().unwrap();
    assert_eq!(lost.len(), 1, "what is cut is told once: {plan}");
    assert_eq!(lost[0]["source"], site.modality.addr6().to_string());

    let refused = site.ask(&["apply", "other.yaml"]);
    assert_eq!(refused.status.code(), Some(12));
    assert!(refused.stdout.contains(&modality), "{}", refused.text());
    assert!(refused.stdout.contains(&lost[0]["source"].to_string().replace('"', "")), "{}", refused.text());
    connects(&site.modality, site.pacs.addr4(), DICOM);
    assert!(site.ask(&["apply", "other.yaml", "--cut"]).success());
    connects(&site.stranger, site.pacs.addr4(), DICOM);
}

#[test]
fn a_source_lately_seen_is_named_though_nobody_is_connected() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let mut daemon = site.guard(&[]);
    connects(&site.modality, site.pacs.addr4(), DICOM);
    connects(&site.modality, site.pacs.addr4(), DICOM);
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
    // The kernel remembers, not the daemon.
    daemon.kill().unwrap();
    let other = site.pacs.dir().join("other.yaml");
    write(
        &other,
        &policy("enforce", &[])
            .replace("segments:", "segments:\n  far: { sources: [192.0.2.7], services: [dicom] }"),
    );
    wait_for("the connections to end", PATIENCE, || Ok(planned(&site) == Some(11))).unwrap();
    let plan = site.json(&["plan", "other.yaml", "--json"]);
    assert_eq!(plan["cuts"], Value::Array(vec![]));
    let lost = plan["lost"].as_array().unwrap();
    assert_eq!(lost.len(), 1, "the stranger loses nothing: {plan}");
    assert_eq!(lost[0]["source"], site.modality.addr4().to_string());
    assert_eq!((&lost[0]["port"], &lost[0]["connections"]), (&Value::from(DICOM), &Value::from(2)));
    assert_eq!(
        (&lost[0]["loses"], &lost[0]["because"]["reason"]),
        (&"modality".into(), &"not-in-segment".into())
    );
    let words = site.ask(&["plan", "other.yaml"]).stdout;
    assert!(words.contains("1 source lately seen would get in no more"), "{words}");
    assert!(words.contains("2 connections, loses segment modality"), "{words}");
}

#[test]
fn who_is_let_in_by_audit_alone_is_lost_by_enforcing() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    site.write(&policy("audit", &[&site.modality]));
    let _daemon = site.start(&[]);
    connects(&site.stranger, site.pacs.addr4(), DICOM);
    write(&site.pacs.dir().join("other.yaml"), &policy("enforce", &[&site.modality]));
    wait_for("the connection to end", PATIENCE, || Ok(planned(&site) == Some(11))).unwrap();
    let lost = &site.json(&["plan", "other.yaml", "--json"])["lost"];
    assert_eq!(lost.as_array().map(Vec::len), Some(1), "{lost}");
    assert_eq!(lost[0]["source"], site.stranger.addr4().to_string());
    assert_eq!(lost[0]["loses"], Value::Null);
}
