//! Crashes: a daemon killed in the middle of its reloads leaves one whole policy in force, and the next one starts.

use std::process::Command;

use pacs_guard::policy::hash_text;

use crate::{
    lab::{Daemon, PATIENCE, run, wait_for},
    site::{DICOM, Site, policy},
    wire::{Listener, RawSocket, connects, syn},
};

/// Allowed and refused packets so far, by the segment that they are booked on.
fn booked(site: &Site, reason: &str, segment: Option<&str>) -> u64 {
    let counters = site.json(&["counters", "--json"]);
    let rows = counters["counters"].as_array().unwrap().iter();
    let rows = rows.filter(|row| row["reason"] == reason && row["segment"].as_str() == segment);
    rows.map(|row| row["packets"].as_u64().unwrap()).sum()
}

#[test]
fn twenty_kills_in_the_middle_of_reloads() {
    let site = Site::new();
    let hosts = [&site.modality, &site.stranger];
    let texts = hosts.map(|host| policy("enforce", &[host]));
    let raw = hosts.map(RawSocket::open);
    let pacs_mac = RawSocket::open(&site.pacs).mac();
    let frames = [0, 1].map(|which| {
        syn(raw[which].mac(), pacs_mac, hosts[which].addr4().into(), site.pacs.addr4().into(), DICOM)
    });
    site.write(&texts[0]);
    let (mut link, mut generation) = (None, 0);
    // Turns of a shell's loop between the signal and the kill. Steered towards the moment of the swap.
    let (mut spin, mut too_early, mut too_late) = (4000, 0, 0);
    for round in 0..20 {
        let mut daemon = site.start(&[]);
        let link = link.get_or_insert_with(|| site.link_id());
        assert_eq!(site.link_id(), *link, "the link was made anew");
        let next = (round + 1) % 2;
        site.write(&texts[next]);
        let pid = daemon.process().id();
        let mut shell = Command::new("bash");
        shell
            .arg("-c")
            .arg(format!("kill -HUP {pid}; for ((i = 0; i < {spin}; i++)); do :; done; kill -KILL {pid}"));
        assert!(run(shell, PATIENCE).unwrap().success());
        daemon.process().wait().unwrap();

        let status = site.status();
        assert_eq!(status["state"], "enforcing", "{status}");
        let now = status["generation"].as_u64().unwrap();
        assert!(now > generation, "generation {now} after {generation}");
        generation = now;
        let sha256 = status["policy"]["sha256"].as_str().unwrap().to_owned();
        let in_force =
            texts.iter().position(|text| hash_text(text) == sha256).expect("one of the two policies");
        if in_force == next {
            (spin, too_late) = (spin * 3 / 4, too_late + 1);
        } else {
            (spin, too_early) = (spin * 4 / 3, too_early + 1);
        }
        let name = Some(hosts[in_force].name());
        let before = (booked(&site, "allowed", name), booked(&site, "not-in-segment", None));
        raw[0].send(&frames[0]);
        raw[1].send(&frames[1]);
        wait_for("one packet allowed and one refused", PATIENCE, || {
            let after = (booked(&site, "allowed", name), booked(&site, "not-in-segment", None));
            assert!(after <= (before.0 + 1, before.1 + 1), "{before:?} became {after:?}");
            Ok(after == (before.0 + 1, before.1 + 1))
        })
        .unwrap();
    }
    println!("{too_early} kills before the swap, {too_late} after it; the last with {spin} turns");
    assert!(too_early > 0 && too_late > 0, "every kill was far from a swap: nothing was tried");
    let _daemon = site.start(&[]);
    assert!(site.ask(&["reload"]).success());
}

/// Attaches to a daemon, asks it for a reload, and kills it as it begins its n-th call of a kind; whether it died.
fn killed_at(site: &Site, daemon: &mut Daemon, call: &str, number: usize) -> bool {
    let pid = daemon.process().id().to_string();
    let generation = site.status()["generation"].as_u64();
    let inject = format!("inject={call}:signal=SIGKILL:when={number}");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "/dev/null", "-p", &pid, "-e", &format!("trace={call}"), "-e", &inject]);
    let mut strace = site.pacs.spawn("strace", strace).unwrap();
    wait_for("strace to attach", PATIENCE, || {
        assert!(strace.ended().unwrap().is_none(), "{}", strace.log());
        Ok(strace.log().contains("attached"))
    })
    .unwrap();
    daemon.process().signal("HUP").unwrap();
    let mut died = false;
    wait_for("the daemon to die or to be done", PATIENCE, || {
        died = daemon.process().ended()?.is_some();
        Ok(died
            || daemon.log().matches("is in force as generation").count() > 0 && {
                // What follows the swap may still kill it: the history comes before the log does.
                site.status()["generation"].as_u64() > generation
            })
    })
    .unwrap();
    strace.signal("INT").ok();
    strace.wait().unwrap();
    died
}

#[test]
fn a_kill_at_each_step_of_a_reload_leaves_one_whole_policy() {
    let site = Site::new();
    let _dicom = Listener::open(&site.pacs, DICOM);
    let hosts = [&site.modality, &site.stranger];
    let texts = hosts.map(|host| policy("enforce", &[host]));
    site.write(&texts[0]);
    let (mut link, mut kills, mut kept, mut swapped) = (None, 0, 0, 0);
    // Maps, pins and the store that is the swap; then the state folder.
    for call in ["bpf", "rename", "fsync", "fdatasync", "unlink"] {
        for number in 1.. {
            let mut daemon = site.start(&[]);
            let link = link.get_or_insert_with(|| site.link_id());
            assert_eq!(site.link_id(), *link, "the link was made anew");
            let old = site.status()["policy"]["sha256"].as_str().unwrap().to_owned();
            let next = usize::from(hash_text(&texts[0]) == old);
            site.write(&texts[next]);
            let died = killed_at(&site, &mut daemon, call, number);
            let status = site.status();
            assert_eq!(status["state"], "enforcing", "{call} {number}: {status}");
            let now = status["policy"]["sha256"].as_str().unwrap();
            let which =
                texts.iter().position(|text| hash_text(text) == now).expect("one of the two policies");
            connects(hosts[which], site.pacs.addr4(), DICOM);
            if !died {
                assert_eq!(which, next);
                break;
            }
            kills += 1;
            *if which == next { &mut swapped } else { &mut kept } += 1;
        }
    }
    println!("{kills} kills: {kept} before the swap, {swapped} after it");
    assert!(kept > 5 && swapped > 1, "{kept} kills before the swap and {swapped} after it");
    let _daemon = site.start(&[]);
    assert!(site.ask(&["reload"]).success());
}
