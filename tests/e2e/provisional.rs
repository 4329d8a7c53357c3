//! What is in force for a while only: `apply --confirm` and `bypass`, with the daemon alive and dead.

use crate::{
    lab::{Daemon, Finished, PATIENCE, wait_for},
    site::{DICOM, Site, policy, write},
    wire::{Listener, connects, is_met_with_silence},
};

/// A site with a policy in force, and another file that lets the stranger in instead of the modality.
fn site() -> (Site, Daemon, Listener) {
    let site = Site::new();
    let dicom = Listener::open(&site.pacs, DICOM);
    let daemon = site.guard(&[]);
    write(&site.pacs.dir().join("other.yaml"), &policy("enforce", &[&site.stranger]));
    (site, daemon, dicom)
}

fn asked(site: &Site, args: &[&str]) -> Finished {
    let done = site.ask(args);
    assert!(done.success(), "{args:?}: {}", done.text());
    done
}

fn apply(site: &Site, time: &str) {
    asked(site, &["apply", "other.yaml", "--confirm", time]);
}

fn only_the_modality_is_let_in(site: &Site) {
    connects(&site.modality, site.pacs.addr4(), DICOM);
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM), "the stranger got in");
}

fn only_the_stranger_is_let_in(site: &Site) {
    connects(&site.stranger, site.pacs.addr4(), DICOM);
    assert!(is_met_with_silence(&site.modality, site.pacs.addr4(), DICOM), "the modality got in");
}

fn wait_until_it_has_ended(site: &Site) {
    wait_for("the end", PATIENCE, || Ok(site.status()["until"].is_null())).unwrap();
}

fn actions(site: &Site) -> Vec<String> {
    let history = site.json(&["history", "--json"]);
    let entries = history["entries"].as_array().unwrap();
    entries.iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_nobody_confirms_is_rolled_back() {
    let (site, _daemon, _dicom) = site();
    apply(&site, "3s");
    only_the_stranger_is_let_in(&site);
    let refused = site.ask(&["reload"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("waits to be confirmed"), "{}", refused.text());
    wait_until_it_has_ended(&site);
    only_the_modality_is_let_in(&site);
    wait_for("the history", PATIENCE, || Ok(actions(&site) == ["start", "apply-unconfirmed", "rolled-back"]))
        .unwrap();
}

#[test]
fn what_is_confirmed_stays() {
    let (site, _daemon, _dicom) = site();
    apply(&site, "60s");
    assert!(site.status()["until"].is_string());
    asked(&site, &["confirm"]);
    assert!(site.status()["until"].is_null());
    only_the_stranger_is_let_in(&site);
    assert_eq!(site.ask(&["confirm"]).status.code(), Some(1), "there is nothing left to confirm");
    asked(&site, &["rollback"]);
    only_the_modality_is_let_in(&site);
    assert_eq!(actions(&site), ["start", "apply-unconfirmed", "confirm", "rollback"]);
}

#[test]
fn a_rollback_needs_no_waiting() {
    let (site, _daemon, _dicom) = site();
    apply(&site, "60s");
    asked(&site, &["rollback"]);
    only_the_modality_is_let_in(&site);
    assert!(site.status()["until"].is_null());
}

#[test]
fn a_dead_daemon_misses_no_deadline() {
    let (site, mut daemon, _dicom) = site();
    apply(&site, "3s");
    daemon.kill().unwrap();
    only_the_stranger_is_let_in(&site);
    wait_until_it_has_ended(&site);
    only_the_modality_is_let_in(&site);
    let _next = site.start(&[]);
    only_the_modality_is_let_in(&site);
    assert_eq!(actions(&site), ["start", "apply-unconfirmed", "rolled-back"]);
}

#[test]
fn the_next_daemon_goes_on_waiting() {
    let (site, mut daemon, _dicom) = site();
    apply(&site, "60s");
    daemon.kill().unwrap();
    // The configured file, which a start reads otherwise, still lets the modality in.
    let _next = site.start(&[]);
    assert!(site.status()["until"].is_string());
    only_the_stranger_is_let_in(&site);
    asked(&site, &["confirm"]);
    only_the_stranger_is_let_in(&site);
}

#[test]
fn a_bypass_refuses_nothing_and_ends_without_the_daemon() {
    let (site, mut daemon, _dicom) = site();
    asked(&site, &["bypass", "--for", "4s", "--reason", "the archive can't be reached"]);
    let status = site.ask(&["status"]);
    assert!(status.stdout.starts_with("BYPASS"), "{}", status.text());
    assert!(status.stdout.contains("the archive can't be reached"), "{}", status.text());
    daemon.kill().unwrap();
    connects(&site.stranger, site.pacs.addr4(), DICOM);
    wait_until_it_has_ended(&site);
    only_the_modality_is_let_in(&site);
    assert!(site.ask(&["status"]).stdout.starts_with("ENFORCING"));
}

#[test]
fn a_bypass_ends_when_asked() {
    let (site, _daemon, _dicom) = site();
    let blunt = site.ask(&["bypass", "--for", "15m"]);
    assert_eq!(blunt.status.code(), Some(2), "a bypass needs a reason: {}", blunt.text());
    asked(&site, &["bypass", "--for", "15m", "--reason", "drill"]);
    asked(&site, &["bypass", "--end"]);
    only_the_modality_is_let_in(&site);
    assert_eq!(actions(&site), ["start", "bypass", "bypass-ended"]);
}

#[test]
fn a_bad_file_at_the_start_means_the_last_good_policy() {
    let (site, mut daemon, _dicom) = site();
    daemon.kill().unwrap();
    assert!(site.ask(&["detach"]).success());
    site.write("version: 1\nname: [");
    let next = site.start(&[]);
    only_the_modality_is_let_in(&site);
    let log = next.log();
    assert!(log.contains("last good policy"), "{log}");
    assert_eq!(actions(&site), ["start", "last-good"]);
}

#[test]
fn no_missing_interface_stands_between_a_policy_and_its_bypass() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    site.pacs.sh("ip link add spare type veth peer name spare1").unwrap();
    site.write(&policy("enforce", &[&site.modality]).replace("[eth0]", "[eth0, spare]"));
    let _daemon = site.start(&[]);
    site.pacs.sh("ip link del spare").unwrap();
    let done = site.ask(&["bypass", "--for", "15m", "--reason", "drill"]);
    assert!(done.stderr.contains("there is no interface `spare`"), "{}", done.text());
    connects(&site.stranger, site.pacs.addr4(), DICOM);
    site.ask(&["bypass", "--end"]);
    only_the_modality_is_let_in(&site);
}

#[test]
fn what_was_rolled_back_does_not_come_back_with_a_restart() {
    let (site, mut daemon, _dicom) = site();
    // The configured file itself is the one that is tried.
    site.write(&policy("enforce", &[&site.stranger]));
    asked(&site, &["apply", "policy.yaml", "--confirm", "60s"]);
    asked(&site, &["rollback"]);
    daemon.kill().unwrap();
    let next = site.start(&[]);
    only_the_modality_is_let_in(&site);
    assert!(next.log().contains("`pacs-guard reload` takes the file"), "{}", next.log());
    asked(&site, &["reload"]);
    only_the_stranger_is_let_in(&site);
}

#[test]
fn what_was_applied_outlives_a_crash() {
    let (site, mut daemon, _dicom) = site();
    asked(&site, &["apply", "other.yaml"]);
    daemon.kill().unwrap();
    let mut daemon = site.start(&[]);
    only_the_stranger_is_let_in(&site);
    daemon.kill().unwrap();
    // A file that was edited since is what the next start takes.
    site.write(&(policy("enforce", &[&site.modality]) + "# edited\n"));
    let _last = site.start(&[]);
    only_the_modality_is_let_in(&site);
}

#[test]
fn a_state_folder_that_makes_no_sense_stops_no_start() {
    let (site, mut daemon, _dicom) = site();
    daemon.kill().unwrap();
    let state = site.pacs.dir().join("state");
    std::fs::write(state.join("provisional.json"), "{").unwrap();
    let next = site.start(&[]);
    only_the_modality_is_let_in(&site);
    assert!(next.log().contains("not known any more"), "{}", next.log());
    assert!(!state.join("provisional.json").exists());
}
