//! From audit to enforcement: `ready` says when, and `apply --enforce` does it.

use std::fs;

use serde_json::Value;

use crate::{
    lab::{Daemon, PATIENCE, wait_for},
    site::{DICOM, Site, policy},
    wire::{Listener, connects, is_met_with_silence},
};

const NOT_READY: Option<i32> = Some(13);

/// A site in audit mode, with an archive that answers.
fn audit() -> (Site, Daemon, Listener) {
    let site = Site::new();
    let dicom = Listener::open(&site.pacs, DICOM);
    site.write(&policy("audit", &[&site.modality]));
    let daemon = site.start(&[]);
    (site, daemon, dicom)
}

fn ready(site: &Site, after: &str) -> Option<i32> {
    site.ask(&["ready", "--ready-after", after]).status.code()
}

fn wait_until_ready(site: &Site) {
    wait_for("a second without a would-drop", PATIENCE, || Ok(ready(site, "1s") == Some(0))).unwrap();
}

/// The row of sources in no segment.
fn strangers(site: &Site) -> Value {
    let answer = site.json(&["ready", "--json"]);
    let rows = answer["readiness"]["rows"].as_array().unwrap();
    rows.iter().find(|row| row["reason"] == "not-in-segment").unwrap().clone()
}

#[test]
fn what_would_have_been_refused_is_named_and_not_enforced() {
    let (site, _daemon, _dicom) = audit();
    let fresh = site.ask(&["ready"]);
    assert_eq!(fresh.status.code(), NOT_READY, "a day is not over: {}", fresh.text());
    assert!(fresh.stdout.starts_with("NOT READY YET: it takes 1d without a gap"), "{}", fresh.stdout);
    connects(&site.modality, site.pacs.addr4(), DICOM);
    wait_until_ready(&site);

    connects(&site.stranger, site.pacs.addr4(), DICOM);
    assert_eq!(ready(&site, "1s"), NOT_READY, "the counter grew a moment ago");
    let found = site.ask(&["ready", "--ready-after", "1h"]);
    assert_eq!(found.status.code(), NOT_READY);
    assert!(found.stdout.starts_with("NOT READY: in the last 1h something"), "{}", found.stdout);
    assert!(found.stdout.contains(&site.stranger.addr4().to_string()), "{}", found.stdout);
    assert!(!found.stdout.contains(&site.modality.addr4().to_string()), "{}", found.stdout);
    let json = site.json(&["ready", "--ready-after", "1h", "--json"]);
    assert_eq!((&json["schema"], &json["state"]), (&"pacs-guard/ready/1".into(), &"not-ready".into()));
    assert_eq!(json["sources"].as_array().unwrap().len(), 1, "{json}");
    assert!(strangers(&site)["would_drops"].as_u64() > Some(0));

    let refused = site.ask(&["apply", "--enforce", "--ready-after", "1h"]);
    assert_eq!(refused.status.code(), NOT_READY, "{}", refused.text());
    assert!(refused.stdout.contains(&site.stranger.addr4().to_string()), "{}", refused.text());
    assert_eq!(site.status()["state"], "audit");
    connects(&site.stranger, site.pacs.addr4(), DICOM);
}

#[test]
fn what_is_ready_is_enforced_and_stays_so_until_the_file_is_taken() {
    let (site, mut daemon, _dicom) = audit();
    let written = fs::read_to_string(site.policy()).unwrap();
    wait_until_ready(&site);
    let done = site.ask(&["apply", "--enforce", "--ready-after", "1s"]);
    assert!(done.success(), "{}", done.text());
    assert!(done.stdout.contains("write `mode: enforce` there"), "{}", done.text());
    let enforced = |site: &Site| {
        connects(&site.modality, site.pacs.addr4(), DICOM);
        assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
        let status = site.status();
        assert_eq!((&status["state"], &status["policy"]["enforced"]), (&"enforcing".into(), &true.into()));
        assert_eq!(status["daemon"]["file_differs"], true, "the file still says audit");
    };
    enforced(&site);
    assert_eq!(fs::read_to_string(site.policy()).unwrap(), written, "the file is not written to");
    assert!(site.ask(&["status"]).stdout.contains("enforced by hand"));
    let again = site.ask(&["apply", "--enforce"]);
    assert!(again.success() && again.stdout.starts_with("ENFORCED"), "{}", again.text());
    assert_eq!(ready(&site, "1d"), Some(0));

    daemon.kill().unwrap();
    let _next = site.start(&[]);
    enforced(&site);
    let reload = site.ask(&["reload"]);
    assert!(reload.stderr.contains("enforced by hand is not any more"), "{}", reload.text());
    assert_eq!(site.status()["state"], "audit");
}

#[test]
fn there_is_a_way_back() {
    let (site, _daemon, _dicom) = audit();
    wait_until_ready(&site);
    assert!(site.ask(&["apply", "--enforce", "--ready-after", "1s", "--confirm", "3s"]).success());
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
    wait_for("the end", PATIENCE, || Ok(site.status()["state"] == "audit")).unwrap();
    connects(&site.stranger, site.pacs.addr4(), DICOM);
    wait_for("the daemon to settle it", PATIENCE, || Ok(ready(&site, "1s") == Some(0))).unwrap();
    assert!(site.ask(&["apply", "--enforce", "--ready-after", "1s", "--confirm", "60s"]).success());
    assert!(site.ask(&["confirm"]).success());
    assert_eq!(site.status()["state"], "enforcing");
    assert!(site.ask(&["rollback"]).success());
    assert_eq!(site.status()["state"], "audit");
}

#[test]
fn what_came_while_no_daemon_ran_counts() {
    let (site, mut daemon, _dicom) = audit();
    wait_until_ready(&site);
    let since = site.json(&["ready", "--json"])["readiness"]["since"].clone();
    daemon.kill().unwrap();
    connects(&site.stranger, site.pacs.addr4(), DICOM);
    let mut daemon = site.start(&[]);
    assert_eq!(ready(&site, "1h"), NOT_READY);
    let row = strangers(&site);
    assert!(row["would_drops"].as_u64() > Some(0) && row["last"].is_string(), "{row}");

    daemon.kill().unwrap();
    let daemon = site.start(&[]);
    // Each answer reckons times anew from the clock since boot.
    let time = |time: &Value| time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let same = |one: &Value, other: &Value| time(one).duration_since(time(other)).abs().as_millis() < 100;
    let answer = site.json(&["ready", "--json"]);
    assert!(same(&answer["readiness"]["since"], &since), "a restart begins no other watch: {answer}");
    let again = strangers(&site);
    assert_eq!(again["would_drops"], row["would_drops"]);
    assert!(same(&again["last"], &row["last"]), "{again} {row}");

    // What was not judged was not watched.
    drop(daemon);
    assert!(site.ask(&["detach"]).success());
    let _last = site.start(&[]);
    assert_eq!(strangers(&site)["last"], Value::Null);
    assert!(site.json(&["ready", "--json"])["readiness"]["watched_seconds"].as_u64() < Some(5));
}

#[test]
fn another_policy_is_watched_anew_and_one_that_may_not_be_enforced_is_refused() {
    let (site, _daemon, _dicom) = audit();
    connects(&site.stranger, site.pacs.addr4(), DICOM);
    assert_eq!(ready(&site, "1s"), NOT_READY);
    site.write(
        &policy("audit", &[&site.modality]).replace("segments:", "  nobody: { ports: [8042] }\nsegments:"),
    );
    assert!(site.ask(&["reload"]).success());
    assert_eq!(strangers(&site)["would_drops"], 0);
    wait_until_ready(&site);
    let refused = site.ask(&["apply", "--enforce", "--ready-after", "1s"]);
    assert_eq!(refused.status.code(), Some(3), "{}", refused.text());
    assert!(refused.stderr.contains("nobody"), "{}", refused.text());
    assert_eq!(site.status()["state"], "audit");
}
