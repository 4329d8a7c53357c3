//! Whether a policy fits this host: refused before it cuts the host's own connections, and never on a way back.

use crate::{
    lab::Finished,
    site::{DICOM, Site, policy, write},
    wire::{Listener, connects, is_met_with_silence},
};

/// A host that forwards nothing, and gives the protected port to its own connections.
fn unfit() -> Site {
    let site = Site::new();
    site.pacs
        .sh("echo 0 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding")
        .unwrap();
    site.write(&policy("enforce", &[&site.modality]));
    site
}

fn give_out_the_port(site: &Site) {
    site.pacs.sh("echo 10000 20000 >/proc/sys/net/ipv4/ip_local_port_range").unwrap();
}

fn assert_refused(done: &Finished, exit: i32) {
    assert_eq!(done.status.code(), Some(exit), "{}", done.text());
    let fix = format!("sysctl -w net.ipv4.ip_local_reserved_ports={DICOM}");
    let own = format!("service dicom protects {DICOM}, within ip_local_port_range 10000-20000");
    for words in [fix, own] {
        assert!(done.text().contains(&words), "no {words:?} in: {}", done.text());
    }
}

#[test]
fn check_judges_the_file_alone_or_against_this_host() {
    let site = unfit();
    assert!(site.ask(&["check", "--host", "policy.yaml"]).success());
    give_out_the_port(&site);
    assert!(site.ask(&["check", "policy.yaml"]).success(), "the file alone is fine");
    assert_refused(&site.ask(&["check", "--host", "policy.yaml"]), 4);
    let json = site.json(&["check", "--host", "--json", "policy.yaml"]);
    assert_eq!(json["files"][0]["valid"], true);
    assert_eq!(json["files"][0]["host"][0]["id"], "port-in-local-range");
    assert_eq!(site.json(&["check", "--json", "policy.yaml"])["files"][0].get("host"), None);
    // What is only reported cuts nothing.
    site.write(&policy("audit", &[&site.modality]));
    assert_refused(&site.ask(&["check", "--host", "policy.yaml"]), 0);
    // A file that is bad as well is bad in the first place.
    assert_eq!(site.ask(&["check", "--host", "policy.yaml", "missing.yaml"]).status.code(), Some(3));
}

#[test]
fn a_first_start_refuses_what_would_cut_own_connections() {
    let site = unfit();
    give_out_the_port(&site);
    let done = site.ask(&["run", "--policy", "policy.yaml"]);
    assert_refused(&done, 4);
    assert!(done.stderr.contains("ALERT: NOT ENFORCING"), "{}", done.text());
    assert!(!site.pacs.pins().exists(), "pins are left");
    // In audit mode it starts, and says so.
    site.write(&policy("audit", &[&site.modality]));
    let daemon = site.start(&[]);
    assert!(daemon.log().contains("within ip_local_port_range"), "{}", daemon.log());
}

#[test]
fn a_change_is_refused_and_a_way_back_is_not() {
    let site = unfit();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let only_the_modality_gets_in = || {
        connects(&site.modality, site.pacs.addr4(), DICOM);
        assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM), "the stranger got in");
    };
    let fine = |args: &[&str]| {
        let done = site.ask(args);
        assert!(done.success(), "{args:?}: {}", done.text());
    };
    let mut daemon = site.start(&[]);
    write(&site.pacs.dir().join("other.yaml"), &policy("enforce", &[&site.stranger]));
    fine(&["apply", "other.yaml", "--confirm", "60s"]);
    give_out_the_port(&site);
    fine(&["rollback"]);
    only_the_modality_gets_in();

    assert_refused(&site.ask(&["apply", "other.yaml"]), 3);
    assert_eq!(site.json(&["apply", "other.yaml", "--json"])["result"], "unfit");
    only_the_modality_gets_in();
    // The same policy once more changes nothing, and what is wrong is still said.
    assert_refused(&site.ask(&["reload"]), 0);
    fine(&["bypass", "--for", "15m", "--reason", "drill"]);
    fine(&["bypass", "--end"]);
    only_the_modality_gets_in();
    daemon.kill().unwrap();
    let next = site.start(&[]);
    assert!(next.log().contains("within ip_local_port_range"), "{}", next.log());

    // A new file that does not fit is no reason to drop the last good policy at a start.
    drop(next);
    site.write(&policy("enforce", &[&site.stranger]));
    let next = site.start(&[]);
    assert!(next.log().contains("the last good policy"), "{}", next.log());
    only_the_modality_gets_in();

    site.pacs.sh(&format!("sysctl -w net.ipv4.ip_local_reserved_ports={DICOM}")).unwrap();
    fine(&["apply", "other.yaml"]);
    connects(&site.stranger, site.pacs.addr4(), DICOM);
}
