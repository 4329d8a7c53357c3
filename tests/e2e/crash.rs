//! Crashes: a daemon killed in the middle of its reloads leaves one whole policy in force, and the next one starts.

use std::process::Command;

use pacs_guard::policy::hash_text;

use crate::{
    lab::{PATIENCE, run, wait_for},
    site::{DICOM, Site, policy},
    wire::{RawSocket, syn},
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
