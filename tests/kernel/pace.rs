//! The short form of the bench: ratios with wide margins, and never times, for nobody knows what else runs here.

use std::{fmt::Write, time::Duration};

use pacs_guard::datapath::Runner;

use crate::{
    bench::Bench,
    frames::build::{ACK, IPV4, TCP, V4, ethernet, tcp},
};

const FRAMES: u32 = 20_000;
const ROUNDS: usize = 9;

/// A policy with so many hosts besides the one that asks.
fn policy(hosts: u32) -> String {
    let mut text = String::from(
        "version: 1\nname: pace\ninterfaces: [eth0]\nmode: enforce\nservices: { dicom: { ports: [104] } }\nsegments:\n",
    );
    text.push_str(
        "  one: { services: [dicom], sources: [10.0.0.1] }\n  many:\n    services: [dicom]\n    sources:\n",
    );
    for host in 1..=hosts {
        let [a, b, c, d] = (0x0a00_0001 + 2 * host).to_be_bytes();
        writeln!(text, "      - {a}.{b}.{c}.{d}").unwrap();
    }
    text
}

fn frame(port: u16) -> Vec<u8> {
    let (from, to) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let segment = tcp(std::net::IpAddr::V4(from), std::net::IpAddr::V4(to), port, ACK);
    ethernet(&[], IPV4, &V4::new(from, to, TCP).packet(&segment))
}

/// The least disturbed round.
fn cost(runner: Runner<'_>, port: u16) -> Duration {
    (0..ROUNDS).map(|_| runner.cost(&frame(port), FRAMES).unwrap()).min().unwrap()
}

#[test]
fn a_verdict_costs_the_same_whatever_the_policy_holds() {
    let (mut small, mut large) = (Bench::new(&policy(1)), Bench::new(&policy(20_000)));
    let (small, large) = (small.trial.split().unwrap().0, large.trial.split().unwrap().0);
    assert!(!small.drops(&frame(104), 1).unwrap() && !large.drops(&frame(104), 1).unwrap());
    let [one, many, other] = [cost(small, 104), cost(large, 104), cost(large, 22)];
    println!("one host {one:?}, 20,000 {many:?}, another port {other:?}");
    assert!(many < one * 3, "allowed: {one:?} with one host, {many:?} with 20,000");
    assert!(other < many, "another port {other:?}, and allowed {many:?}");
}
