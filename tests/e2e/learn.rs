//! Learning, from a capture and from the program, and the inventory.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    time::Duration,
};

use dicom_ul::{
    Pdu,
    pdu::{AssociationRQ, PresentationContextProposed},
    write_pdu,
};
use etherparse::PacketBuilder;
use pcap_file::pcap::{PcapPacket, PcapWriter};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    lab::{self, Finished, Host, PATIENCE, wait_for},
    site::{BINARY, DICOM, Site, policy},
};

const ARCHIVE: [u8; 4] = [10, 20, 0, 1];

fn ask(folder: &Path, args: &[&str]) -> Finished {
    let mut command = Command::new(BINARY);
    command.current_dir(folder).env("PACS_GUARD_STATE_DIR", folder.join("state")).args(args);
    lab::run(command, PATIENCE).unwrap()
}

fn json(folder: &Path, args: &[&str]) -> Value {
    let done = ask(folder, args);
    serde_json::from_str(&done.stdout).unwrap_or_else(|why| panic!("{args:?}: {why}: {}", done.text()))
}

/// An A-ASSOCIATE-RQ as DICOM libraries send it.
fn request(calling: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let request = AssociationRQ {
        protocol_version: 1,
        calling_ae_title: calling.into(),
        called_ae_title: "ARCHIVE".into(),
        application_context_name: "1.2.840.10008.3.1.1.1".into(),
        presentation_contexts: vec![PresentationContextProposed {
            id: 1,
            abstract_syntax: "1.2.840.10008.1.1".into(),
            transfer_syntaxes: vec!["1.2.840.10008.1.2".into()],
        }],
        user_variables: vec![],
    };
    write_pdu(&mut bytes, &Pdu::AssociationRQ(request)).unwrap();
    bytes
}

/// A capture in which modalities associate, one splits its request over segments, and the archive answers.
fn capture(folder: &Path) {
    let mut writer = PcapWriter::new(File::create(folder.join("night.pcap")).unwrap()).unwrap();
    let mut second = 1_800_000_000;
    let mut frame = |from: [u8; 4], to: [u8; 4], ports: (u16, u16), syn: bool, payload: &[u8]| {
        let packet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).ipv4(from, to, 64);
        let packet = packet.tcp(ports.0, ports.1, 1, 1000);
        let packet = if syn { packet.syn() } else { packet.ack(1) };
        let mut bytes = Vec::new();
        packet.write(&mut bytes, payload).unwrap();
        second += 1;
        writer
            .write_packet(&PcapPacket::new(Duration::from_secs(second), bytes.len() as u32, &bytes))
            .unwrap();
    };
    for (host, title) in [(8, "CT1"), (9, "CT2"), (10, "MR1"), (11, "MR2")] {
        let from = [10, 20, 0, host];
        frame(from, ARCHIVE, (40_000, 104), true, &[]);
        frame(from, ARCHIVE, (40_000, 104), false, &request(title));
        frame(ARCHIVE, from, (104, 40_000), false, &[2, 0, 0, 0]);
    }
    let router = [10, 30, 0, 5];
    for title in ["WS1", "WS2"] {
        frame(router, ARCHIVE, (40_001, 104), true, &[]);
        frame(router, ARCHIVE, (40_001, 104), false, &request(title));
    }
    let split = request("HIDDEN");
    frame([10, 20, 0, 77], ARCHIVE, (40_002, 104), true, &[]);
    frame([10, 20, 0, 77], ARCHIVE, (40_002, 104), false, &split[..50]);
    frame([10, 20, 0, 77], ARCHIVE, (40_002, 104), false, &split[50..]);
    // Another port, and another host's DICOM.
    frame([10, 20, 0, 78], ARCHIVE, (40_003, 22), true, &[]);
    frame(ARCHIVE, [10, 20, 0, 8], (40_004, 104), true, &[]);
}

#[test]
fn a_capture_becomes_a_draft_that_passes_check() {
    let folder = TempDir::new().unwrap();
    capture(folder.path());
    let args = ["learn", "--from-pcap", "night.pcap", "--port", "104", "--host", "10.20.0.1"];
    let done = ask(folder.path(), &args);
    assert!(done.success(), "{}", done.text());
    println!("{}", done.stdout);
    for words in [
        "- 10.20.0.8/30\n",
        "#   as CT1, calling ARCHIVE",
        "- 10.20.0.77\n",
        "#   as WS2, calling ARCHIVE",
        "# 10.20.0.8: dicom port 104, 2 packets, 1 connection, 2027-01-15 08:00:01Z to 2027-01-15 08:00:02Z",
    ] {
        assert!(done.stdout.contains(words), "{words} is not in\n{}", done.stdout);
    }
    assert!(!done.stdout.contains("HIDDEN") && !done.stdout.contains("10.20.0.78"), "{}", done.stdout);
    fs::write(folder.path().join("draft.yaml"), &done.stdout).unwrap();
    let checked = ask(folder.path(), &["check", "draft.yaml"]);
    assert!(checked.success(), "{}", checked.text());
    // The whole of it again, by the draft's own services.
    let again = ask(folder.path(), &["learn", "--from-pcap", "night.pcap", "--policy", "draft.yaml"]);
    assert!(again.stdout.contains("10.20.0.1: dicom"), "without --host, the archive's own request counts");
    let seen = json(folder.path(), &[&args[..], &["--json"]].concat());
    assert_eq!(seen["seen"]["sightings"].as_array().unwrap().len(), 6, "{seen}");
    let done = ask(folder.path(), &["learn", "--from-pcap", "nowhere.pcap", "--port", "104"]);
    assert!(!done.success() && done.stderr.contains("nowhere.pcap"), "{}", done.text());
}

#[test]
fn what_is_configured_is_held_against_what_was_seen() {
    let folder = TempDir::new().unwrap();
    capture(folder.path());
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("orthanc.json", "{ // ours\n\"DicomModalities\": { \"ct\": [\"CT1\", \"10.20.0.8\", 104] } }");
    write("dcmqrscp.cfg", "HostTable BEGIN\nmr = (MR1, 10.20.0.200, 104)\nHostTable END\n");
    write("list.csv", "AE,Host,Port\nUS1,10.20.0.12,104\nCT2,10.20.0.9,104\n");
    for name in ["orthanc.json", "dcmqrscp.cfg", "list.csv"] {
        let done = ask(folder.path(), &["inventory", "import", name]);
        assert!(done.success() && done.stdout.starts_with("ok "), "{}", done.text());
    }
    // The same file once more takes its own place.
    ask(folder.path(), &["inventory", "import", "list.csv"]);
    let shown = ask(folder.path(), &["inventory"]);
    println!("{}", shown.stdout);
    assert_eq!(shown.stdout.lines().count(), 5, "{}", shown.stdout);

    let args = ["inventory", "diff", "--from-pcap", "night.pcap", "--port", "104", "--host", "10.20.0.1"];
    let done = ask(folder.path(), &args);
    println!("{}", done.stdout);
    assert_eq!(done.status.code(), Some(1));
    for words in [
        "never seen      US1 at 10.20.0.12:104 is configured",
        "new address     MR1 is configured at 10.20.0.200, and called from 10.20.0.10",
        "not configured  10.20.0.77 spoke to port 104 (no AE title seen)",
        "not configured  10.20.0.11 spoke to port 104 (as MR2)",
        "several AEs     10.30.0.5 is WS1, WS2: NAT, or a router?",
    ] {
        assert!(done.stdout.contains(words), "{words} is not in\n{}", done.stdout);
    }
    let found = json(folder.path(), &[&args[..], &["--json"]].concat());
    let kinds: Vec<_> = found["differences"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "not-configured").count(), 4, "{found}");

    write("bad.csv", "CT1,10.20.0.8,104\nCT2,10.20.0.9,0\n");
    let done = ask(folder.path(), &["inventory", "import", "bad.csv"]);
    assert!(!done.success() && done.stderr.contains("bad.csv:2: `0` is not a port"), "{}", done.text());
    assert_eq!(ask(folder.path(), &["inventory"]).stdout, shown.stdout, "nothing of a bad file is taken");
}

/// A C-ECHO from a host to the site's archive, under a title of its own.
fn echo(site: &Site, from: &Host, title: &str) -> bool {
    let mut command = from.command("echoscu");
    command.args(["-to", "5", "-aec", "ARCHIVE", "-aet", title]);
    command.arg(site.pacs.addr4().to_string()).arg(DICOM.to_string());
    lab::run(command, PATIENCE).unwrap().success()
}

/// The titles that were noted of a host.
fn noted(site: &Site, host: &Host) -> Vec<String> {
    let policy = site.policy();
    let seen = site.json(&["learn", "--json", "--policy", policy.to_str().unwrap()]);
    let of = |one: &&Value| one["source"] == host.addr4().to_string() && one["port"] == DICOM;
    let found = seen["seen"]["sightings"].as_array().unwrap().iter().find(of).cloned().unwrap_or_default();
    let titles = found["associations"].as_array().cloned().unwrap_or_default();
    titles.iter().map(|one| format!("{}>{}", one["calling"], one["called"]).replace('"', "")).collect()
}

#[test]
fn the_program_notes_titles_while_it_is_asked_to_and_over_the_daemons_death() {
    let site = Site::new();
    let mut command = site.pacs.command("storescp");
    command.arg(DICOM.to_string());
    let mut archive = site.pacs.spawn("storescp", command).unwrap();
    site.pacs.wait_listening(DICOM, &mut archive).unwrap();
    // Audit mode is when one learns: strangers pass and are reported.
    site.write(&policy("audit", &[&site.modality]));
    let mut daemon = site.start(&[]);
    assert!(echo(&site, &site.modality, "BEFORE"));
    assert_eq!(noted(&site, &site.modality), [""; 0], "nobody asked for it");

    let done = site.ask(&["learn", "--for", "7d"]);
    assert!(done.success() && done.stdout.contains("AE titles are noted until"), "{}", done.text());
    assert!(echo(&site, &site.modality, "CT1") && echo(&site, &site.stranger, "WHO"));
    assert_eq!(noted(&site, &site.modality), ["CT1>ARCHIVE"]);
    assert_eq!(noted(&site, &site.stranger), ["WHO>ARCHIVE"]);
    let until = site.status()["daemon"]["learning_until"].clone();
    assert!(until.is_string() && site.ask(&["status"]).stdout.contains("AE titles are noted until"));

    daemon.kill().unwrap();
    assert!(echo(&site, &site.modality, "CT2"));
    let mut daemon = site.start(&[]);
    assert_eq!(site.status()["daemon"]["learning_until"], until);
    assert!(echo(&site, &site.modality, "CT3"));
    assert_eq!(noted(&site, &site.modality), ["CT1>ARCHIVE", "CT2>ARCHIVE", "CT3>ARCHIVE"]);
    let done = site.ask(&["learn", "--policy", site.policy().to_str().unwrap()]);
    assert!(done.stdout.contains("#   as CT2, calling ARCHIVE"), "{}", done.text());
    fs::write(site.pacs.dir().join("draft.yaml"), &done.stdout).unwrap();
    let checked = site.ask(&["check", "draft.yaml"]);
    assert!(checked.success(), "{}", checked.text());

    assert!(site.ask(&["learn", "--stop"]).success());
    assert!(echo(&site, &site.modality, "AFTER"));
    assert_eq!(noted(&site, &site.modality).len(), 3, "it was stopped");

    // It ends by itself, and what was seen stays, over the pins' end too.
    assert!(site.ask(&["learn", "--for", "2s"]).success());
    assert!(echo(&site, &site.modality, "SHORT"));
    wait_for("learning to end", PATIENCE, || Ok(site.status()["daemon"]["learning_until"].is_null()))
        .unwrap();
    assert!(echo(&site, &site.modality, "LATE"));
    let last = noted(&site, &site.modality);
    assert!(last.contains(&"SHORT>ARCHIVE".into()) && !last.contains(&"LATE>ARCHIVE".into()), "{last:?}");
    assert!(daemon.stop().unwrap().success());
    assert!(site.ask(&["detach"]).success());
    assert_eq!(noted(&site, &site.modality), last);
    // Nobody is there to be asked.
    let done = site.ask(&["learn", "--for", "7d"]);
    assert!(!done.success() && done.stderr.contains("no daemon runs here"), "{}", done.text());
}
