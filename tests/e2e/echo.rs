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
        Ok(site.status()["daemon"]["peers"].as_array().unwrap().iter().all(|peer| !peer["answers"].is_null()))
    })
    .unwrap();
    let status = site.status();
    let peers = &status["daemon"]["peers"];
    assert_eq!(peers[0]["peer"], "CT1");
    assert_eq!(peers[0]["last"]["identity"]["implementation_version_name"], "OFFIS_DCMTK_367", "{peers}");
    assert!(peers[0]["last_success"].is_string() && peers[0]["baseline_since"].is_string(), "{peers}");
    assert_eq!((&peers[1]["peer"], &peers[1]["outcomes"]["refused"]), (&"gone".into(), &1.into()), "{peers}");
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

#[test]
fn a_peer_that_changes_is_told_until_it_is_accepted() {
    let site = Site::new();
    let spawn = |max_pdu: &str| {
        let mut command = site.modality.command("storescp");
        command.args(["-aet", "CT1", "-pdu", max_pdu, &DICOM.to_string()]);
        let mut peer = site.modality.spawn("storescp", command).unwrap();
        site.modality.wait_listening(DICOM, &mut peer).unwrap();
        peer
    };
    let heard = || {
        wait_for("the peer to be asked", PATIENCE, || {
            Ok(site.status()["daemon"]["peers"][0]["answers"] == true)
        })
        .unwrap();
        site.status()["daemon"]["peers"][0].clone()
    };
    let peers = format!(
        "peers:\n  - {{ name: CT1, address: {}, port: {DICOM}, ae_title: CT1, every: 10s }}\n",
        site.modality.addr4()
    );
    site.write(&(policy("enforce", &[&site.modality]) + &peers));
    let before = spawn("16384");
    let mut daemon = site.start(&[]);
    let peer = heard();
    assert_eq!(peer["drift"].as_array().unwrap().len(), 0, "{peer}");
    assert!(daemon.log().contains("peer CT1 is heard for the first time"), "{}", daemon.log());
    assert!(site.ask(&["peer", "accept", "CT1"]).stdout.contains("there is nothing to accept"));
    assert!(daemon.stop().unwrap().success());
    drop(before);

    let _after = spawn("32768");
    let mut daemon = site.start(&[]);
    let peer = heard();
    assert_eq!(
        (&peer["drift"][0]["was"], &peer["drift"][0]["is"]),
        (&"16384".into(), &"32768".into()),
        "{peer}"
    );
    let change = "maximum PDU length was 16384, is 32768";
    assert!(daemon.log().contains(change) && site.ask(&["status"]).stdout.contains(change));
    assert!(site.ask(&["peers"]).stdout.contains("1 change"), "{}", site.ask(&["peers"]).text());
    let done = site.ask(&["peer", "accept", "CT1"]);
    assert!(done.success() && done.stdout.contains(change), "{}", done.text());
    assert_eq!(site.status()["daemon"]["peers"][0]["drift"].as_array().unwrap().len(), 0);
    assert_eq!(site.ask(&["peer", "accept", "CT9"]).status.code(), Some(1));
    // Without a daemon, by hand.
    assert!(daemon.stop().unwrap().success());
    assert!(site.ask(&["peer", "accept", "CT1"]).stdout.contains("there is nothing to accept"));
}
