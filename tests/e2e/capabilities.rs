//! Capabilities: three are enough, and without them the error names what is missing.

use std::{fs, os::unix::fs::chown, path::Path};

use crate::{
    lab::{self, Host, PATIENCE, Process, wait_for},
    site::{BINARY, DICOM, Site, policy},
    wire::{Listener, connects, is_met_with_silence},
};

pub(crate) const NOBODY: u32 = 65_534;
const NEEDED: &str = "-all,+bpf,+net_admin,+perfmon";

/// `setpriv PRIVILEGES… pacs-guard ARGS…` on a host, with a copy of the program that every user can reach.
pub(crate) fn with(host: &Host, privileges: &[&str], args: &[&str]) -> std::process::Command {
    let copy = host.dir().join("pacs-guard");
    if !copy.exists() {
        fs::copy(BINARY, &copy).unwrap();
    }
    let mut command = lab::cli(Path::new("setpriv"), host);
    command.args(privileges).arg(copy).args(args);
    command
}

fn finished(site: &Site, privileges: &[&str], args: &[&str]) -> lab::Finished {
    lab::run(with(&site.pacs, privileges, args), PATIENCE).unwrap()
}

fn start(site: &Site, privileges: &[&str]) -> Process {
    let command = with(&site.pacs, privileges, &["run", "--policy", "policy.yaml"]);
    let mut daemon = site.pacs.spawn("pacs-guard", command).unwrap();
    wait_for("the policy to be in force", PATIENCE, || {
        assert!(daemon.ended().unwrap().is_none(), "it ended: {}", daemon.log());
        Ok(daemon.log().contains("is in force"))
    })
    .unwrap();
    daemon
}

fn assert_nothing_is_left(site: &Site) {
    assert!(!site.pacs.sh("ip link show eth0").unwrap().contains("xdp"));
    assert!(!site.pacs.pins().exists(), "pins are left");
}

#[test]
fn what_is_missing_is_named() {
    let site = Site::new();
    site.write(&policy("enforce", &[&site.modality]));
    let run = ["run", "--policy", "policy.yaml"];
    let all = ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"];
    let cases: [(&[&str], &[&str]); 4] = [
        (&["--bounding-set=-all", "--inh-caps=-all"], &all),
        (&["--reuid=65534", "--clear-groups"], &all),
        (&["--bounding-set=-all,+bpf,+net_admin"], &["CAP_PERFMON"]),
        (&["--bounding-set=-all,+perfmon,+net_admin"], &["CAP_BPF"]),
    ];
    for (privileges, missing) in cases {
        let done = finished(&site, privileges, &run);
        assert_eq!(done.status.code(), Some(1), "{privileges:?}: {}", done.text());
        let words = format!("missing: {}", missing.join(", "));
        assert!(done.stderr.contains(&words), "{privileges:?}: {}", done.text());
        assert_nothing_is_left(&site);
    }
    let done = finished(
        &site,
        &["--bounding-set=-all"],
        &["explain", "--kernel", "--policy", "policy.yaml", "10.99.0.2", "11112"],
    );
    assert!(done.stderr.contains("missing: CAP_BPF"), "{}", done.text());
}

fn assert_daily_work(site: &Site, privileges: &[&str]) {
    let _dicom = Listener::open(&site.pacs, DICOM);
    site.write(&policy("enforce", &[&site.modality]));
    let mut daemon = start(site, privileges);
    connects(&site.modality, site.pacs.addr4(), DICOM);
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
    let (stranger, port) = (site.stranger.addr4().to_string(), DICOM.to_string());
    let live = ["explain", "--live", &stranger, &port];
    let works = [&["status"][..], &["counters"], &["events", "--recent"], &["reload"], &["ready"], &live];
    for args in works {
        let done = finished(site, privileges, args);
        assert!(done.success(), "{args:?}: {}\n{}", done.text(), daemon.log());
    }
    assert!(!daemon.log().contains("not known"), "{}", daemon.log());
    daemon.kill().unwrap();
    let mut daemon = start(site, privileges);
    assert!(daemon.log().contains("adopted"), "{}", daemon.log());
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
    daemon.signal("TERM").unwrap();
    assert!(daemon.wait().unwrap().success(), "{}", daemon.log());
    let done = finished(site, privileges, &["detach"]);
    assert!(done.success(), "{}", done.text());
    assert!(!site.pacs.sh("ip link show eth0").unwrap().contains("xdp"));
}

#[test]
fn three_are_enough_for_root() {
    let site = Site::new();
    assert_daily_work(&site, &[&format!("--bounding-set={NEEDED}")]);
}

#[test]
fn three_are_enough_for_another_user() {
    let site = Site::new();
    // What an installation would prepare: folders that belong to the daemon's user.
    fs::create_dir(site.pacs.pins()).unwrap();
    for folder in [site.pacs.pins(), site.pacs.dir()] {
        chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let privileges = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        &format!("--inh-caps={NEEDED}"),
        &format!("--ambient-caps={NEEDED}"),
        &format!("--bounding-set={NEEDED}"),
    ];
    assert_daily_work(&site, &privileges);
}
