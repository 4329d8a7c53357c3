//! Bad input: a clear error, the right exit code, and nothing changed.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::{
    lab::{Finished, ip},
    site::{Site, ask_with_input, policy},
};

/// Runs a command that must fail so, say this, and leave the archive as it was.
fn refused(site: &Site, args: &[&str], exit: i32, words: &[&str]) -> Finished {
    let done = site.ask(args);
    assert_eq!(done.status.code(), Some(exit), "{args:?}: {}", done.text());
    for word in words {
        assert!(done.stderr.contains(word), "{args:?}: no {word:?} in: {}", done.stderr);
    }
    assert!(!done.text().contains("panicked"), "{args:?}: {}", done.text());
    assert_untouched(site);
    done
}

/// What a first start says that has no policy to put in force.
const ALERT: &str = "ALERT: NOT ENFORCING";

fn assert_untouched(site: &Site) {
    let links = site.pacs.sh("ip link show").unwrap();
    assert!(!links.contains("xdp"), "a program is left: {links}");
    assert!(!site.pacs.pins().exists(), "pins are left");
    assert!(!site.pacs.dir().join("run/control.sock").exists(), "the socket is left");
}

#[test]
fn interfaces_that_can_not_be_guarded() {
    let site = Site::new();
    site.write(&policy("enforce", &[&site.modality]));
    ip(&format!("-n {} tuntap add mode tun tun0", site.pacs.netns())).unwrap();
    let run = ["run", "--policy", "policy.yaml"];
    let with = |interfaces: &[&'static str]| -> Vec<&str> {
        run.into_iter().chain(interfaces.iter().flat_map(|name| ["--interface", *name])).collect()
    };
    refused(&site, &with(&["eth7"]), 1, &["there is no interface `eth7`", "lo", "eth0"]);
    refused(&site, &with(&["tun0"]), 1, &["tun0 has no Ethernet header"]);
    // All or none: the first one is fine.
    refused(&site, &with(&["eth0", "eth7"]), 1, &["`eth7`"]);
    refused(&site, &with(&["eth0", "tun0"]), 1, &["tun0"]);
    site.write(&policy("enforce", &[&site.modality]).replace("interfaces: [eth0]\n", ""));
    refused(&site, &run, 1, &["no interface to guard", "--interface"]);
}

#[test]
fn an_interface_that_fails_late_takes_the_first_one_along() {
    let site = Site::new();
    site.pacs.sh("ip link add br1 type bridge").unwrap();
    site.write(&policy("enforce", &[&site.modality]).replace("[eth0]", "[eth0, br1]"));
    refused(&site, &["run", "--policy", "policy.yaml"], 1, &["br1", "native XDP is not possible"]);
}

#[test]
fn pins_need_a_bpf_file_system() {
    let site = Site::new();
    site.write(&policy("enforce", &[&site.modality]));
    let elsewhere = site.pacs.dir().join("pins");
    let args = ["run", "--policy", "policy.yaml", "--pin-root", elsewhere.to_str().unwrap()];
    refused(&site, &args, 1, &["is not on a BPF file system", "mount -t bpf"]);
    assert!(!elsewhere.exists(), "folders are left on the wrong file system");
}

#[test]
fn a_socket_that_can_not_be_opened_changes_nothing() {
    let site = Site::new();
    site.write(&policy("enforce", &[&site.modality]));
    fs::write(site.pacs.dir().join("file"), "").unwrap();
    let args = ["run", "--policy", "policy.yaml", "--run-dir", "file"];
    refused(&site, &args, 1, &["file/control.sock"]);
}

#[test]
fn files_that_are_no_policy() {
    let site = Site::new();
    let dir = site.pacs.dir();
    site.pacs.sh("mkfifo fifo; mkdir folder; ln -s nowhere dangling").unwrap();
    fs::write(dir.join("open.yaml"), policy("enforce", &[&site.modality])).unwrap();
    fs::set_permissions(dir.join("open.yaml"), fs::Permissions::from_mode(0o666)).unwrap();
    // A sparse file over the budget of bytes.
    fs::File::create(dir.join("huge.yaml")).unwrap().set_len(65 << 20).unwrap();
    fs::write(dir.join("bomb.yaml"), bomb()).unwrap();
    let cases = [
        ("fifo", "FIFO"),
        ("folder", "no policy in this folder"),
        ("/dev/null", "character device"),
        ("dangling", "cannot be read"),
        ("missing.yaml", "cannot be read"),
        ("open.yaml", "every user of this host can write"),
        ("huge.yaml", "at most"),
        ("bomb.yaml", "budget"),
    ];
    for (file, words) in cases {
        for verb in [&["check", file][..], &["explain", "--policy", file, "10.0.0.1", "104"]] {
            refused(&site, verb, 3, &[words, file]);
        }
        refused(&site, &["run", "--policy", file], 4, &[words, file, ALERT]);
    }
}

/// A list of a thousand sources, said again and again.
fn bomb() -> String {
    let sources: String = (0..1000).map(|n| format!("10.{}.{}.0/24,", n / 256, n % 256)).collect();
    let first = format!("  s0: {{ sources: &all [{sources}], services: [dicom] }}\n");
    let others = (1..200).map(|n| format!("  s{n}: {{ sources: *all, services: [dicom] }}\n"));
    policy("audit", &[]) + &first + &others.collect::<String>()
}

#[test]
fn mistakes_in_a_policy() {
    let site = Site::new();
    let good = policy("enforce", &[&site.modality]);
    let peer = "peers:\n  - { name: CT1, address: 10.99.0.2, port: 104, ae_title: AN_AE_TITLE_OF_17 }\n";
    // What is wrong, the text, and line:column where it stands.
    let cases = [
        ("unknown key", format!("{good}intrefaces: [eth0]\n"), "9:1", "did you mean `interfaces`"),
        ("host bits", good.replace("10.99.0.2,", "10.99.0.2/24,"), "8:", "10.99.0.0/24"),
        ("`0` is not a port", good.replace("11112", "0"), "6:20", "1 to 65535"),
        ("is not an AE title", good.clone() + peer, "10:", "AN_AE_TITLE_OF_17"),
        ("DNS name", good.replace("10.99.0.2,", "ct1.example.org,"), "8:", "spoofed"),
    ];
    for (wrong, text, place, hint) in cases {
        site.write(&text);
        let place = format!("policy.yaml:{place}");
        refused(&site, &["check", "policy.yaml"], 3, &[wrong, &place, hint, "^"]);
        refused(&site, &["run", "--policy", "policy.yaml"], 4, &[wrong, &place, hint, "^", ALERT]);
        let json = site.json(&["check", "--json", "policy.yaml"]);
        assert_eq!(json["files"][0]["valid"], false);
        assert!(json["files"][0]["diagnostics"][0]["code"].as_str().unwrap().starts_with("PG"), "{json}");
    }
    site.write(&good);
    let done = site.ask(&["check", "policy.yaml"]);
    assert!(done.success() && done.stdout.contains("policy site protects 1 service"), "{}", done.text());
}

#[test]
fn wrong_command_lines() {
    let site = Site::new();
    let cases: [&[&str]; 12] = [
        &[],
        &["enforce"],
        &["run", "--xdp-mode", "offloaded"],
        &["check"],
        &["explain"],
        &["explain", "10.0.0.1"],
        &["explain", "10.0.0.1", "0"],
        &["explain", "ct1.example.org", "104"],
        &["explain", "10.0.0.1", "104", "--frame", "00"],
        &["events", "--recent", "--count", "1"],
        &["help", "enforce"],
        &["help", "PG9999"],
    ];
    for args in cases {
        refused(&site, args, 2, &["--help"]);
    }
    refused(&site, &["help", "PG9999"], 2, &["did you mean PG0999?"]);
    // And the same verb asked rightly.
    for (about, word) in [("run", "Usage: pacs-guard run"), ("pg0207", "has host bits set")] {
        let done = site.ask(&["help", about]);
        assert!(done.success() && done.stdout.contains(word), "{}", done.text());
    }
}

#[test]
fn frames_and_captures_that_are_none() {
    let site = Site::new();
    site.write(&policy("enforce", &[&site.modality]));
    let dir = site.pacs.dir();
    let explain = ["explain", "--policy", "policy.yaml"];
    let with = |args: &[&'static str]| -> Vec<&str> { explain.iter().chain(args).copied().collect() };
    refused(&site, &with(&["--frame", "0x12"]), 1, &["--frame", "`x` at character 2 is no hex digit"]);
    refused(&site, &with(&["--frame", "123"]), 1, &["odd number of hex digits"]);
    refused(&site, &with(&["--frame", "0011", "--kernel"]), 1, &["no frame under 14 bytes"]);
    refused(&site, &with(&["10.0.0.1", "104", "--to", "fd00::1"]), 1, &["not of one address family"]);
    let done = ask_with_input(&site.pacs, &with(&["--frame", "-"]), "00\n\nzz\n");
    assert_eq!(done.status.code(), Some(1));
    assert!(done.stderr.contains("line 3 of standard input"), "{}", done.text());

    fs::write(dir.join("text.pcap"), "this is no capture").unwrap();
    fs::write(dir.join("empty.pcap"), "").unwrap();
    // Link type 113 is what `tcpdump -i any` writes.
    fs::write(dir.join("any.pcap"), crate::explain::pcap(113, &[vec![0; 64]])).unwrap();
    let mut cut = crate::explain::pcap(1, &[vec![0; 64]]);
    cut.truncate(60);
    fs::write(dir.join("cut.pcap"), cut).unwrap();
    refused(&site, &with(&["--pcap", "text.pcap"]), 1, &["text.pcap", "no readable pcap"]);
    refused(&site, &with(&["--pcap", "empty.pcap"]), 1, &["empty.pcap"]);
    refused(&site, &with(&["--pcap", "missing.pcap"]), 1, &["missing.pcap", "No such file"]);
    refused(&site, &with(&["--pcap", "any.pcap"]), 1, &["any.pcap", "link type", "LINUX_SLL"]);
    refused(&site, &with(&["--pcap", "cut.pcap"]), 1, &["cut.pcap"]);
}
