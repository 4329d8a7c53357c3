//! Scheduled C-ECHO: the daemon asks the policy's peers, and its status says what they answered.

use std::fs;

use crate::{
    lab::{PATIENCE, wait_for},
    site::{DICOM, Site, policy},
};

#[test]
fn the_status_shows_what_a_peer_answered() {
    let site = Site::new();
    let mut command = site.modality.command("storescp");
    command.args(["-aet", "CT1", &DICOM.to_string()]);
    let mut peer = site.modality.spawn("storescp", command).unwrap();
    site.modality.wait_listening(DICOM, &mut peer).unwrap();
    let peers = format!(
        "peers:\n  - {{ name: CT1, address: {0}, port: {DICOM}, ae_title: CT1, every: 10s }}\n  \
         - {{ name: gone, address: {0}, port: 9, ae_title: GONE, every: 10s }}\n",
        site.modality.addr4()
    );
    site.write(&(policy("enforce", &[&site.modality]) + &peers));
    let mut daemon = site.start(&[]);
    wait_for("both peers in the status", PATIENCE, || {
        Ok(site.status()["daemon"]["echo"].as_array().unwrap().len() == 2)
    })
    .unwrap();
    let status = site.status();
    let echo = &status["daemon"]["echo"];
    assert_eq!(echo[0]["peer"], "CT1");
    assert_eq!(echo[0]["identity"]["implementation_version_name"], "OFFIS_DCMTK_367", "{echo}");
    assert_eq!(
        (&echo[1]["peer"], &echo[1]["failure"]["kind"]),
        (&"gone".into(), &"refused".into()),
        "{echo}"
    );
    let words = site.ask(&["status"]).stdout;
    assert!(words.contains("CT1  answers") && words.contains("gone  fails"), "{words}");

    // By hand, and without a daemon.
    assert!(daemon.stop().unwrap().success());
    let policy_file = site.policy();
    let file = policy_file.to_str().unwrap();
    let done = site.ask(&["echo", "--policy", file, "CT1"]);
    assert!(done.success() && done.stdout.contains("CT1"), "{}", done.text());
    let done = site.ask(&["echo", "--policy", file, "--json"]);
    assert_eq!(done.status.code(), Some(1), "one of the two does not answer");
    let reports: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(reports["reports"].as_array().unwrap().len(), 2);
    let done = site.ask(&["echo", "--policy", file, "CT9"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(done.stderr.contains("CT9") && done.stderr.contains("CT1, gone"), "{}", done.stderr);
    assert!(fs::exists(site.pins()).unwrap(), "enforcement is still on");
}
