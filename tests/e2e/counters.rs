//! Counters: exact to the packet, over reloads and restarts of the daemon.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::{
    lab::{PATIENCE, wait_for},
    site::{DICOM, Site, policy},
    wire::{RawSocket, syn},
};

/// Frames that are sent before anybody looks: less than a veth holds for a busy reader.
const BATCH: u64 = 50;
const BATCHES: u64 = 40;

#[test]
fn exact_over_reloads_and_restarts() {
    let site = Site::new();
    let mut daemon = site.guard(&[]);
    let (pacs, stranger) = (RawSocket::open(&site.pacs), RawSocket::open(&site.stranger));
    let frame = |source: &crate::lab::Host, port| {
        syn(stranger.mac(), pacs.mac(), source.addr4().into(), site.pacs.addr4().into(), port)
    };
    // A frame with the modality's address is the modality's, as the README says.
    let frames = [
        ("not-in-segment", frame(&site.stranger, DICOM)),
        ("allowed", frame(&site.modality, DICOM)),
        ("not-protected", frame(&site.stranger, 8042)),
    ];
    for (reason, _) in &frames {
        assert_eq!(site.booked(reason), 0);
    }
    let sending = AtomicBool::new(true);
    let (mut reloads, mut restarts) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for batch in 1..=BATCHES {
                (0..BATCH).for_each(|_| frames.iter().for_each(|(_, frame)| stranger.send(frame)));
                for (reason, _) in &frames {
                    wait_for(&format!("batch {batch} of {reason}"), PATIENCE, || {
                        let packets = site.booked(reason);
                        assert!(packets <= batch * BATCH, "{reason}: {packets} of {}", batch * BATCH);
                        Ok(packets == batch * BATCH)
                    })
                    .unwrap();
                }
            }
            sending.store(false, Ordering::SeqCst);
        });
        while sending.load(Ordering::SeqCst) || reloads < 10 || restarts < 2 {
            // Only the name and the number of sources change: every policy judges these frames alike.
            let more = format!("  more{}: {{ sources: [192.0.2.0/24], services: [dicom] }}\n", reloads % 5);
            site.write(&(policy("enforce", &[&site.modality]) + &more));
            assert!(site.ask(&["reload"]).success());
            reloads += 1;
            if reloads % 5 == 0 && restarts < 2 {
                daemon.kill().unwrap();
                daemon = site.start(&[]);
                restarts += 1;
            }
        }
    });
    for (reason, _) in &frames {
        assert_eq!(
            site.booked(reason),
            BATCH * BATCHES,
            "{reason}, after {reloads} reloads, {restarts} restarts"
        );
    }
}

#[test]
fn for_people_and_machines_alike() {
    let site = Site::new();
    assert_eq!(site.ask(&["counters"]).status.code(), Some(4), "nothing is counted yet");
    let _daemon = site.guard(&[]);
    let (pacs, stranger) = (RawSocket::open(&site.pacs), RawSocket::open(&site.stranger));
    let frame =
        syn(stranger.mac(), pacs.mac(), site.stranger.addr6().into(), site.pacs.addr6().into(), DICOM);
    (0..1234 % 100).for_each(|_| stranger.send(&frame));
    wait_for("34 packets", PATIENCE, || Ok(site.booked("not-in-segment") == 34)).unwrap();

    let counters = site.json(&["counters", "--json"]);
    assert_eq!(counters["schema"], "pacs-guard/counters/1");
    let rows = counters["counters"].as_array().unwrap();
    let row = rows.iter().find(|row| row["reason"] == "not-in-segment").unwrap();
    assert_eq!(row["verdict"], "drop");
    assert_eq!(row["service"], "dicom");
    assert_eq!(row["segment"], Value::Null);
    let words = site.ask(&["counters"]).stdout;
    let line = words.lines().find(|line| line.contains("not-in-segment")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["drop", "not-in-segment", "-", "dicom", "34"]);
    assert!(!words.contains("service-not-allowed"), "a counter at zero is shown without --all:\n{words}");
    assert!(site.ask(&["counters", "--all"]).stdout.contains("modality"));
    assert_eq!(site.status()["packets"]["dropped"], 34);
}
