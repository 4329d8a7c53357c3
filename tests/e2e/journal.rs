//! The journal: a real journald, with folders of its own, takes the daemon's words and its entries, or does not.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::Value;

use crate::{
    lab::{Daemon, PATIENCE, Process, wait_for},
    mounts::Mounts,
    site::{BINARY, DICOM, Site, policy},
    wire::{Listener, RawSocket, connects, is_met_with_silence, syn},
};

const JOURNALD: &str = "/lib/systemd/systemd-journald";

/// Keeps what it gets in /run/log, and asks nobody else.
const SETTINGS: &str = "[Journal]
Storage=volatile
ReadKMsg=no
Audit=no
ForwardToSyslog=no
ForwardToWall=no
";

/// A site where journald runs, and a daemon whose standard error is the journal's stream, as with systemd.
struct Journal {
    site: Site,
    mounts: Mounts,
    journald: Process,
}

impl Journal {
    fn new() -> Self {
        let site = Site::new();
        let settings = site.pacs.dir().join("journald.conf");
        fs::write(&settings, SETTINGS).unwrap();
        let mounts = Mounts::new(
            &site.pacs,
            &format!(
                "mount -t tmpfs none /run/systemd\nmkdir /run/systemd/journal\nmount -t tmpfs none /run/log\n\
                 mkdir /run/log/journal\nmount --bind {} /etc/systemd/journald.conf",
                settings.display()
            ),
        );
        let journald = journald(&mounts);
        Self { site, mounts, journald }
    }

    /// Starts `pacs-guard run` with the policy that is there.
    fn daemon(&self) -> Daemon {
        let script = |name: &str, lines: &str| {
            let path = self.site.pacs.dir().join(name);
            fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        // systemd gives the stream a buffer of 8 MiB, and a test would have to fill that.
        let small = "socket.socket(fileno=2).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)";
        let service = script(
            "service",
            &format!(
                "python3 -c 'import socket; {small}'\n\
                 export JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2)\nexec {BINARY} \"$@\""
            ),
        );
        let path = script(
            "as-a-service",
            &format!(
                "exec {} systemd-cat --identifier pacs-guard {} \"$@\"",
                self.mounts.enter(),
                service.display()
            ),
        );
        Daemon::start(&path, &self.site.pacs, &self.site.policy(), &[]).unwrap()
    }

    /// The entries that match, the oldest first.
    fn entries(&self, matches: &str) -> Vec<Value> {
        let done = self
            .mounts
            .run("journalctl", &["--directory", "/run/log/journal", "--output", "json", "--quiet", matches]);
        assert!(done.stderr.is_empty(), "{}", done.stderr);
        done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn of_source(&self, source: &str) -> Vec<Value> {
        self.entries(&format!("PACS_GUARD_SOURCE={source}"))
    }

    /// Waits for a line of the daemon with these words; its entry.
    fn told(&self, words: &str) -> Value {
        let find = || {
            let entries = self.entries("SYSLOG_IDENTIFIER=pacs-guard");
            entries
                .into_iter()
                .find(|entry| entry["MESSAGE"].as_str().is_some_and(|text| text.contains(words)))
        };
        wait_for(&format!("`{words}` in the journal"), PATIENCE, || Ok(find().is_some())).unwrap();
        find().unwrap()
    }
}

fn journald(mounts: &Mounts) -> Process {
    let mut journald = mounts.spawn("journald", mounts.command(JOURNALD));
    wait_for("journald to listen", PATIENCE, || {
        assert!(journald.ended().unwrap().is_none(), "{}", journald.log());
        Ok(mounts.run("test", &["-S", "/run/systemd/journal/socket"]).success())
    })
    .unwrap();
    journald
}

/// The fields that the page names.
fn documented() -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, part) = page.split_once("- **The journal**").unwrap();
    let (part, _) = part.split_once("\n\n").unwrap();
    let words = part.split('`').skip(1).step_by(2).flat_map(|words| words.split(['=', ' ']));
    // `PACS_GUARD_VERDICT`, `_REASON` and so on.
    let names = words.filter_map(|word| word.strip_prefix("PACS_GUARD").unwrap_or(word).strip_prefix('_'));
    names.map(|name| format!("PACS_GUARD_{name}")).collect()
}

#[test]
fn each_documented_field_is_in_an_entry_and_a_change_is_told_with_its_priority() {
    let journal = Journal::new();
    let site = &journal.site;
    let narrow = policy("enforce", &[&site.modality])
        .replace("services:\n", "services:\n  web: { ports: [8042] }\n")
        .replace("services: [dicom]", "services: [web]")
        + "  other: { sources: [192.0.2.1], services: [dicom] }\n";
    site.write(&narrow);
    let _daemon = journal.daemon();
    let raw = [&site.modality, &site.stranger].map(RawSocket::open);
    let pacs = RawSocket::open(&site.pacs).mac();
    let index = site.pacs.sh("ip -o link show eth0 | cut -d: -f1").unwrap();
    let mut fields = BTreeSet::new();
    for (raw, host) in raw.iter().zip([&site.modality, &site.stranger]) {
        for (source, destination) in
            [(host.addr4().into(), site.pacs.addr4().into()), (host.addr6().into(), site.pacs.addr6().into())]
        {
            raw.send(&syn(raw.mac(), pacs, source, destination, DICOM));
            let source = source.to_string();
            wait_for("the entry", PATIENCE, || Ok(!journal.of_source(&source).is_empty())).unwrap();
            let entries = journal.of_source(&source);
            assert_eq!(entries.len(), 1, "{entries:?}");
            let entry = entries[0].as_object().unwrap();
            let inside = host.name() == "modality";
            let reason = if inside { "service-not-allowed" } else { "not-in-segment" };
            let expected = [
                ("MESSAGE", Some(format!("drop: {source} to port {DICOM}, {reason}"))),
                ("PRIORITY", Some("5".into())),
                ("SYSLOG_IDENTIFIER", Some("pacs-guard".into())),
                ("PACS_GUARD_VERDICT", Some("drop".into())),
                ("PACS_GUARD_REASON", Some(reason.into())),
                ("PACS_GUARD_SOURCE", Some(source.clone())),
                ("PACS_GUARD_SOURCE_PORT", Some("40000".into())),
                ("PACS_GUARD_DESTINATION", Some(destination.to_string())),
                ("PACS_GUARD_DESTINATION_PORT", Some(DICOM.to_string())),
                ("PACS_GUARD_PROTOCOL", Some("6".into())),
                ("PACS_GUARD_SEGMENT", inside.then(|| "modality".into())),
                ("PACS_GUARD_SERVICE", Some("dicom".into())),
                ("PACS_GUARD_GENERATION", Some("1".into())),
                ("PACS_GUARD_INTERFACE", Some(index.trim().to_owned())),
                ("PACS_GUARD_LEFT_OUT", None),
            ];
            for (name, value) in expected {
                assert_eq!(entry.get(name).and_then(Value::as_str), value.as_deref(), "{name}: {entry:?}");
            }
            fields.extend(entry.keys().filter(|name| name.starts_with("PACS_GUARD_")).cloned());
        }
    }
    // The next test sees that one.
    fields.insert("PACS_GUARD_LEFT_OUT".into());
    assert_eq!(fields, documented());

    assert_eq!(journal.told("policy site is in force (")["PRIORITY"], "6");
    site.write(&(narrow + "# another\n"));
    assert!(site.ask(&["reload"]).success());
    assert_eq!(journal.told("policy site is in force as generation 2")["PRIORITY"], "6");
    site.write("version: 1\n");
    assert_eq!(site.ask(&["reload"]).status.code(), Some(3));
    assert_eq!(journal.told("the policy is invalid; the old one stays in force")["PRIORITY"], "3");
}

#[test]
fn a_journal_that_hangs_or_goes_costs_entries_and_nothing_else() {
    let mut journal = Journal::new();
    let site = &journal.site;
    site.write(&policy("enforce", &[&site.modality]));
    let _daemon = journal.daemon();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let (raw, pacs) = (RawSocket::open(&site.stranger), RawSocket::open(&site.pacs).mac());
    let refused = |host: u8| {
        let source = [10, 99, 0, host].into();
        raw.send(&syn(raw.mac(), pacs, source, site.pacs.addr4().into(), DICOM));
    };
    let left_out = || site.status()["daemon"]["journal_left_out"].as_u64().unwrap();
    let works = || {
        connects(&site.modality, site.pacs.addr4(), DICOM);
        assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM), "the stranger got in");
    };
    works();
    assert_eq!(left_out(), 0);

    journal.journald.signal("STOP").unwrap();
    // Its queue takes some (unix(7), max_dgram_qlen).
    let queue: u32 = fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap().trim().parse().unwrap();
    assert!(queue < 600, "a queue of {queue} takes more than the journal's budget");
    let mut host = 100;
    wait_for("an event that made no entry", PATIENCE, || {
        refused(host);
        host = if host < 250 { host + 1 } else { 100 };
        Ok(left_out() > 0)
    })
    .unwrap();
    // Far more words than the stream has room for, and each change is answered.
    let unknown: String = (0..100).map(|n| format!("unknown-{n}: {}\n", "x".repeat(60))).collect();
    site.write(&(policy("enforce", &[&site.modality]) + &unknown));
    let mut words = 0;
    while words < 1 << 19 {
        let done = site.ask(&["reload"]);
        assert_eq!(done.status.code(), Some(3), "{}", done.text());
        words += done.stderr.len();
    }
    works();

    journal.journald.signal("CONT").unwrap();
    let missing = left_out();
    wait_for("the entry that tells of it", PATIENCE, || {
        refused(251);
        Ok(journal.of_source("10.99.0.251").iter().any(|entry| entry["PACS_GUARD_LEFT_OUT"].is_string()))
    })
    .unwrap();
    let told: u64 = journal
        .entries("PACS_GUARD_VERDICT=drop")
        .iter()
        .filter_map(|entry| entry["PACS_GUARD_LEFT_OUT"].as_str()?.parse::<u64>().ok())
        .sum();
    assert!(told >= missing && told <= left_out(), "{missing} left out, {told} told, {} now", left_out());
    site.write(&(policy("enforce", &[&site.modality]) + "# well again\n"));
    assert!(site.ask(&["reload"]).success());
    assert_eq!(journal.told("entries of this log are missing here")["PRIORITY"], "4");
    journal.told("is in force as generation 2");

    // Another journald takes its place: the stream of words is broken, and entries go on.
    journal.journald.kill().unwrap();
    let missing = left_out();
    refused(252);
    wait_for("one more that made no entry", PATIENCE, || Ok(left_out() > missing)).unwrap();
    assert!(site.ask(&["reload"]).success());
    works();
    journal.mounts.run("rm", &["/run/systemd/journal/socket"]);
    let journald = journald(&journal.mounts);
    wait_for("the entry in the new one", PATIENCE, || {
        refused(253);
        Ok(!journal.of_source("10.99.0.253").is_empty())
    })
    .unwrap();
    drop(journald);
}

#[test]
fn a_log_that_nobody_reads_any_more_is_no_failure() {
    let site = Site::new();
    let path = site.pacs.dir().join("unread");
    fs::write(&path, format!("#!/bin/bash\nexec {BINARY} \"$@\" 2> >(:)\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    site.write(&policy("enforce", &[&site.modality]));
    let mut daemon = Daemon::start(&path, &site.pacs, &site.policy(), &[]).unwrap();
    for _ in 0..3 {
        assert!(site.ask(&["reload"]).success());
    }
    assert_eq!(site.status()["generation"], 4);
    assert!(daemon.stop().unwrap().success());
}
