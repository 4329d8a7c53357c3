//! What ends by itself: segments with `until`, and drains. Real connections, with the daemon alive and dead.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv6Addr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    lab::{Daemon, Host, PATIENCE, wait_for},
    site::{DICOM, Site, policy, write},
    wire::{addresses, connects, is_met_with_silence, on},
};

/// How long nothing is waited for, where an answer comes in a millisecond.
const SILENCE: Duration = Duration::from_millis(400);

/// Says again whatever it hears, on every connection, until the process ends.
fn answer_on(host: &Host) {
    let listener = on(host, || TcpListener::bind((Ipv6Addr::UNSPECIFIED, DICOM)).unwrap());
    thread::spawn(move || {
        for mut peer in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut byte = [0];
                while peer.read_exact(&mut byte).is_ok() && peer.write_all(&byte).is_ok() {}
            });
        }
    });
}

/// A connection that stays.
struct Connection(TcpStream);

impl Connection {
    fn open(from: &Host, to: impl Into<IpAddr>) -> Self {
        let to = (to.into(), DICOM).into();
        Self(on(from, || TcpStream::connect_timeout(&to, PATIENCE).unwrap()))
    }

    /// Says a byte and hears it again.
    #[track_caller]
    fn goes_on(&mut self) {
        assert!(self.answers(PATIENCE), "the connection is cut");
    }

    #[track_caller]
    fn is_cut(&mut self) {
        assert!(!self.answers(SILENCE), "the connection goes on");
    }

    fn answers(&mut self, patience: Duration) -> bool {
        self.0.set_read_timeout(Some(patience)).unwrap();
        self.0.write_all(b"?").unwrap();
        match self.0.read_exact(&mut [0]) {
            Ok(()) => true,
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
            Err(why) => panic!("{why}"),
        }
    }
}

/// Both hosts are let in, and connected; `other.yaml` lets only the stranger in.
struct Scene {
    site: Site,
    daemon: Daemon,
    /// Over IPv4 and over IPv6.
    modality: [Connection; 2],
    stranger: Connection,
}

fn scene() -> Scene {
    let site = Site::new();
    answer_on(&site.pacs);
    site.write(&policy("enforce", &[&site.modality, &site.stranger]));
    let daemon = site.start(&[]);
    write(&site.pacs.dir().join("other.yaml"), &policy("enforce", &[&site.stranger]));
    let modality = addresses(&site.pacs).map(|to| Connection::open(&site.modality, to));
    let stranger = Connection::open(&site.stranger, site.pacs.addr4());
    Scene { site, daemon, modality, stranger }
}

impl Scene {
    fn apply(&self, args: &[&str]) -> String {
        let done = self.site.ask(&[&["apply", "other.yaml"], args].concat());
        assert!(done.success(), "{args:?}: {}", done.text());
        done.text()
    }

    #[track_caller]
    fn drains(&mut self) {
        self.modality.iter_mut().for_each(Connection::goes_on);
        self.stranger.goes_on();
        for to in addresses(&self.site.pacs) {
            assert!(is_met_with_silence(&self.site.modality, to, DICOM), "a new connection got in");
            connects(&self.site.stranger, to, DICOM);
        }
    }

    #[track_caller]
    fn has_drained(&mut self) {
        self.modality.iter_mut().for_each(Connection::is_cut);
        self.stranger.goes_on();
        assert!(is_met_with_silence(&self.site.modality, self.site.pacs.addr4(), DICOM));
        connects(&self.site.stranger, self.site.pacs.addr4(), DICOM);
    }

    fn draining(&self) -> Value {
        self.site.status()["draining"].clone()
    }

    fn end(&self) -> Timestamp {
        self.draining()[0]["until"].as_str().unwrap().parse().unwrap()
    }

    fn wait_until_it_has_drained(&self) {
        wait_for("the end of the drain", PATIENCE, || Ok(self.draining() == Value::Array(vec![]))).unwrap();
    }
}

#[test]
fn connections_drain_and_no_new_ones_begin() {
    let mut scene = scene();
    let refused = scene.site.ask(&["apply", "other.yaml"]);
    assert_eq!(refused.status.code(), Some(12));
    assert!(refused.stderr.contains("--drain"), "{}", refused.text());
    let told = scene.apply(&["--drain", "6s"]);
    assert!(told.contains("connections of modality to dicom (11112) go on for"), "{told}");
    scene.drains();
    let status = scene.site.ask(&["status"]).stdout;
    assert!(status.contains("draining") && status.contains("connections of modality to dicom"), "{status}");
    let counted = scene.site.booked("draining");
    assert!(counted >= 4, "{counted}");
    scene.wait_until_it_has_drained();
    scene.has_drained();
    let lost = scene.site.json(&["counters", "--json"]);
    for row in lost["counters"].as_array().unwrap() {
        let lost = row["verdict"] == "drop" && row["segment"] == "stranger" && row["packets"] != 0;
        assert!(!lost, "the stranger lost something: {row}");
    }
    let state = scene.site.pacs.dir().join("state/drain.json");
    wait_for("the daemon to see the end", PATIENCE, || Ok(!state.exists())).unwrap();
    assert!(scene.daemon.log().contains("the drain has ended"), "{}", scene.daemon.log());
}

#[test]
fn a_drain_ends_without_the_daemon() {
    let mut scene = scene();
    scene.apply(&["--drain", "5s"]);
    scene.daemon.kill().unwrap();
    scene.drains();
    scene.wait_until_it_has_drained();
    scene.has_drained();
}

#[test]
fn neither_a_restart_nor_a_reload_moves_the_end_of_a_drain() {
    let mut scene = scene();
    scene.apply(&["--drain", "8s"]);
    let end = scene.end();
    scene.daemon.kill().unwrap();
    let _next = scene.site.start(&[]);
    scene.drains();
    // Another policy that has nothing to do with it.
    let other = scene.site.pacs.dir().join("other.yaml");
    write(&other, &policy("enforce", &[&scene.site.stranger, &scene.site.pacs]));
    assert!(scene.site.ask(&["apply", "other.yaml"]).success(), "what drains is not cut by it");
    scene.drains();
    let moved = scene.end().duration_since(end);
    assert!(moved.abs() < SignedDuration::from_millis(500), "the end moved by {moved}");
    scene.wait_until_it_has_drained();
    scene.has_drained();
}

#[test]
fn whoever_is_let_in_again_has_left_the_drain() {
    let mut scene = scene();
    scene.apply(&["--drain", "1h"]);
    scene.drains();
    assert!(scene.site.ask(&["reload"]).success());
    assert_eq!(scene.draining(), Value::Array(vec![]));
    connects(&scene.site.modality, scene.site.pacs.addr4(), DICOM);
    scene.apply(&["--cut"]);
    scene.has_drained();
}

#[test]
fn a_drain_that_nobody_confirms_is_rolled_back() {
    let mut scene = scene();
    scene.apply(&["--drain", "1h", "--confirm", "4s"]);
    scene.drains();
    wait_for("the end", PATIENCE, || Ok(scene.site.status()["until"].is_null())).unwrap();
    scene.modality.iter_mut().for_each(Connection::goes_on);
    connects(&scene.site.modality, scene.site.pacs.addr4(), DICOM);
    wait_for("the daemon to see it", PATIENCE, || Ok(scene.draining() == Value::Array(vec![]))).unwrap();
}

#[test]
fn a_drain_that_is_confirmed_keeps_its_end() {
    let mut scene = scene();
    scene.apply(&["--drain", "6s", "--confirm", "1h"]);
    let end = scene.end();
    assert!(scene.site.ask(&["confirm"]).success());
    scene.drains();
    let moved = scene.end().duration_since(end);
    assert!(moved.abs() < SignedDuration::from_millis(500), "the end moved by {moved}");
    scene.wait_until_it_has_drained();
    scene.has_drained();
}

#[test]
fn a_bypass_keeps_a_drain_for_afterwards() {
    let mut scene = scene();
    scene.apply(&["--drain", "1h"]);
    assert!(scene.site.ask(&["bypass", "--for", "1h", "--reason", "drill"]).success());
    connects(&scene.site.modality, scene.site.pacs.addr4(), DICOM);
    assert!(scene.site.ask(&["bypass", "--end"]).success());
    scene.drains();
}

/// A drain tells sources and ports apart, and no destinations.
#[test]
fn what_cannot_drain_is_not_cut_unasked() {
    let site = Site::new();
    answer_on(&site.pacs);
    let text = policy("enforce", &[&site.modality]);
    let narrowed = format!("ports: [{DICOM}], addresses: [192.0.2.1]");
    site.write(&text.replacen(&format!("ports: [{DICOM}]"), &narrowed, 1));
    let _daemon = site.start(&[]);
    write(&site.pacs.dir().join("other.yaml"), &text);
    let mut stranger = Connection::open(&site.stranger, site.pacs.addr4());
    stranger.goes_on();
    let refused = site.ask(&["apply", "other.yaml", "--drain", "1h"]);
    assert_eq!(refused.status.code(), Some(12), "{}", refused.text());
    assert!(refused.stderr.contains("these can't drain"), "{}", refused.text());
    stranger.goes_on();
    assert!(site.ask(&["apply", "other.yaml", "--drain", "1h", "--cut"]).success());
    stranger.is_cut();
}

/// The site's policy, in which the modality's segment ends after some time.
fn ending(site: &Site, after: SignedDuration) -> String {
    let until = Timestamp::now() + after;
    let text = policy("enforce", &[&site.modality, &site.stranger]);
    text.replacen("services: [dicom] }", &format!("services: [dicom], until: {until} }}"), 1)
}

#[test]
fn a_segment_ends_without_the_daemon_and_no_other_one_notices() {
    let site = Site::new();
    answer_on(&site.pacs);
    site.write(&ending(&site, SignedDuration::from_secs(5)));
    let mut daemon = site.start(&[]);
    let mut modality = addresses(&site.pacs).map(|to| Connection::open(&site.modality, to));
    let mut stranger = Connection::open(&site.stranger, site.pacs.addr4());
    let status = site.ask(&["status"]).stdout;
    assert!(status.contains("modality ends in"), "{status}");
    let checked = site.ask(&["check", "policy.yaml"]).stdout;
    assert!(checked.contains("segment modality ends in"), "{checked}");
    wait_for("the warning", PATIENCE, || Ok(daemon.log().contains("segment modality ends in"))).unwrap();
    daemon.kill().unwrap();
    modality.iter_mut().for_each(Connection::goes_on);
    wait_for("the end", PATIENCE, || Ok(site.status()["ends"][0]["seconds_left"] == 0)).unwrap();
    wait_for("the end in words", PATIENCE, || Ok(site.ask(&["status"]).stdout.contains("modality ended")))
        .unwrap();
    modality.iter_mut().for_each(Connection::is_cut);
    assert!(is_met_with_silence(&site.modality, site.pacs.addr4(), DICOM), "the modality got in");
    stranger.goes_on();
    connects(&site.stranger, site.pacs.addr4(), DICOM);
    assert!(site.booked("not-in-segment") > 0);
    let source = site.modality.addr4().to_string();
    let told = site.ask(&["explain", "--live", &source, "11112"]).stdout;
    assert!(told.contains("segment modality would hold it, and ended at"), "{told}");
}

#[test]
fn the_daemon_tells_of_an_end_when_it_comes() {
    let site = Site::new();
    site.write(&ending(&site, SignedDuration::from_secs(3)));
    let daemon = site.start(&[]);
    wait_for("the end", PATIENCE, || Ok(daemon.log().contains("segment modality has ended"))).unwrap();
    let log = daemon.log();
    assert_eq!(log.matches("segment modality").count(), 2, "before and at the end, once each: {log}");
}
