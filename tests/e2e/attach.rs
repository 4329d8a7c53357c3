//! Attaching: two daemons, and programs of others. Nobody's program is replaced, and nothing is left behind.

use std::fs;

use crate::{
    lab::{self, Host, PATIENCE},
    site::{BINARY, DICOM, Site, policy},
    wire::{Listener, connects, is_met_with_silence},
};

/// What `ip` says of the program on an interface: its number, name and tag.
fn program(host: &Host, interface: &str) -> String {
    let text = host.sh(&format!("ip link show {interface}")).unwrap();
    text.lines().find(|line| line.contains("prog/xdp")).unwrap_or_default().trim().to_owned()
}

/// Runs a second daemon on the archive, which must end by itself, with these paths of its own.
fn second(site: &Site, pins: &str, run: &str) -> lab::Finished {
    let mut command = lab::cli(BINARY.as_ref(), &site.pacs);
    command.args(["run", "--policy", "policy.yaml"]);
    command
        .env("PACS_GUARD_PIN_ROOT", site.pacs.pins().join(pins).components().collect::<std::path::PathBuf>());
    command.env("PACS_GUARD_RUN_DIR", site.pacs.dir().join(run));
    lab::run(command, PATIENCE).unwrap()
}

#[test]
fn a_second_daemon_changes_nothing() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let _daemon = site.guard(&[]);
    let (before, on_card) = (site.status(), program(&site.pacs, "eth0"));
    // Were it to get through, the stranger would get in.
    site.write(&policy("enforce", &[&site.stranger]));
    let tries = [
        ("the same pins", "", "run2", "another pacs-guard runs on"),
        ("other pins", "../pacs2", "run2", "eth0 already carries the XDP program `pacs_guard` (id "),
        ("the same pins and socket", "", "run", "another pacs-guard"),
    ];
    for (what, pins, run, words) in tries {
        let done = second(&site, pins, run);
        assert_eq!(done.status.code(), Some(1), "{what}: {}", done.text());
        assert!(done.stderr.contains(words), "{what}: {}", done.text());
        let after = site.status();
        assert_eq!(after["policy"], before["policy"], "{what}");
        assert_eq!(
            after["daemon"]["pid"], before["daemon"]["pid"],
            "{what}: the first daemon lost its socket"
        );
        assert_eq!(program(&site.pacs, "eth0"), on_card, "{what}");
    }
    connects(&site.modality, site.pacs.addr4(), DICOM);
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM), "the second policy is in force");
    assert!(!site.pacs.pins().with_file_name("pacs2").exists(), "the second daemon left pins");
}

#[test]
fn two_daemons_never_share_a_socket() {
    let site = Site::new();
    let _first = site.guard(&[]);
    let before = site.status();
    // Another interface, other pins: only the folder of the socket is the same.
    site.pacs.sh("ip link add eth1 type veth peer name eth2").unwrap();
    fs::write(
        site.pacs.dir().join("eth1.yaml"),
        policy("enforce", &[&site.stranger]).replace("eth0", "eth1"),
    )
    .unwrap();
    let mut command = lab::cli(BINARY.as_ref(), &site.pacs);
    command.args(["run", "--policy", "eth1.yaml"]);
    command.env("PACS_GUARD_PIN_ROOT", site.pacs.pins().with_file_name("pacs2"));
    let done = lab::run(command, PATIENCE).unwrap();
    assert_eq!(done.status.code(), Some(1), "{}", done.text());
    assert!(
        done.stderr.contains("another pacs-guard") && done.stderr.contains("control.sock"),
        "{}",
        done.stderr
    );
    assert_eq!(program(&site.pacs, "eth1"), "", "the second daemon left its program");
    assert!(!site.pacs.pins().with_file_name("pacs2").exists(), "the second daemon left pins");
    assert_eq!(site.status()["daemon"]["pid"], before["daemon"]["pid"]);
}

#[test]
fn another_program_is_named_and_never_replaced() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    // It pins its maps by their names: into a BPF file system that ends with this command.
    let mut other = site.pacs.command("unshare");
    other.args(["--mount", "sh", "-ec"]).arg(
        "mount -t bpf bpf /sys/fs/bpf
         ip link set dev eth0 xdp obj /usr/lib/*/bpf/xdpfilt_alw_udp.o sec xdp",
    );
    let done = lab::run(other, PATIENCE).unwrap();
    assert!(done.success(), "{}", done.text());
    let on_card = program(&site.pacs, "eth0");
    assert!(on_card.contains("xdpfilt_alw_udp"), "{on_card}");

    site.write(&policy("enforce", &[&site.modality]));
    for mode in ["native", "generic", "auto"] {
        let done = site.ask(&["run", "--policy", "policy.yaml", "--xdp-mode", mode]);
        assert_eq!(done.status.code(), Some(1), "{mode}: {}", done.text());
        for words in ["eth0", "`xdpfilt_alw_udp`", "never replaces it", "ip link set dev eth0 xdp off"] {
            assert!(done.stderr.contains(words), "{mode}: no {words:?} in: {}", done.stderr);
        }
        assert_eq!(program(&site.pacs, "eth0"), on_card, "{mode}");
    }
    assert!(!site.pacs.pins().exists(), "pins are left");

    // With the other one gone, as the message says, it starts.
    site.pacs.sh("ip link set dev eth0 xdp off").unwrap();
    let _daemon = site.start(&[]);
    assert_eq!(site.status()["interfaces"][0]["attached"], true);
}

#[test]
fn a_program_that_comes_to_a_new_interface_first_keeps_it() {
    let site = Site::new();
    let _daemon = site.guard(&[]);
    site.pacs.sh("ip link add eth1 type veth peer name eth2").unwrap();
    let elsewhere = site.pacs.pins().with_file_name("pacs2");
    let mut other = lab::cli(BINARY.as_ref(), &site.pacs);
    other.env("PACS_GUARD_PIN_ROOT", &elsewhere).env("PACS_GUARD_RUN_DIR", site.pacs.dir().join("run2"));
    other.args(["run", "--policy", "policy.yaml", "--interface", "eth1"]);
    let other = site.pacs.spawn("other", other).unwrap();
    lab::wait_for("the other daemon", PATIENCE, || Ok(other.log().contains("is in force"))).unwrap();
    let on_card = program(&site.pacs, "eth1");
    assert_ne!(on_card, "", "{}", other.log());

    site.write(&policy("enforce", &[&site.stranger]).replace("[eth0]", "[eth0, eth1]"));
    let done = site.ask(&["reload"]);
    assert_eq!(done.status.code(), Some(1), "{}", done.text());
    assert!(done.stderr.contains("eth1 already carries the XDP program `pacs_guard`"), "{}", done.stderr);
    assert_eq!(program(&site.pacs, "eth1"), on_card);
    assert_eq!(site.status()["generation"], 1, "the old policy stays in force");
}

#[test]
fn a_stopped_daemon_does_not_stop_the_status() {
    let site = Site::new();
    let mut daemon = site.guard(&[]);
    daemon.process().signal("STOP").unwrap();
    let mut status = lab::cli(BINARY.as_ref(), &site.pacs);
    status.args(["status", "--json"]);
    let done = lab::run(status, PATIENCE);
    daemon.process().signal("CONT").unwrap();
    let done = done.expect("the status waits for a daemon that does not answer");
    let status: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(status["state"], "enforcing");
}

#[test]
fn of_five_that_start_at_once_one_runs() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    site.write(&policy("enforce", &[&site.modality]));
    let mut daemons: Vec<_> = (0..5)
        .map(|number| {
            let mut command = lab::cli(BINARY.as_ref(), &site.pacs);
            command.env("PACS_GUARD_RUN_DIR", site.pacs.dir().join(format!("run{number}")));
            command.args(["run", "--policy", "policy.yaml"]);
            site.pacs.spawn(&format!("daemon{number}"), command).unwrap()
        })
        .collect();
    lab::wait_for("four of five to end", PATIENCE, || {
        let ended = daemons.iter_mut().filter_map(|daemon| daemon.ended().unwrap()).count();
        let in_force = daemons.iter().filter(|daemon| daemon.log().contains("is in force")).count();
        Ok(ended == 4 && in_force == 1)
    })
    .unwrap();
    for daemon in &mut daemons {
        if let Some(status) = daemon.ended().unwrap() {
            assert_eq!(status.code(), Some(1), "{}", daemon.log());
            let clear = ["another pacs-guard runs on", "eth0 already carries the XDP program `pacs_guard`"];
            assert!(clear.iter().any(|words| daemon.log().contains(words)), "{}", daemon.log());
        }
    }
    assert_eq!(site.status()["interfaces"][0]["attached"], true);
    connects(&site.modality, site.pacs.addr4(), DICOM);
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
}
