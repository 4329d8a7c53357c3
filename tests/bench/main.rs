//! What a verdict costs, beside what else could give it, alone and on a wire. `cargo xtask bench` runs it; needs root.

#[path = "../frames/build.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod build;
mod drop;
mod flood;
#[path = "../../pacs-guard-ebpf/src/bench/keys.rs"]
#[allow(dead_code, unreachable_pub, reason = "the XDP programs of the bench share it")]
mod keys;
#[path = "../lab/mod.rs"]
mod lab;
mod load;
mod machine;
mod policy;
mod report;
mod rig;
mod swap;
mod wall;
mod wire;

use std::{env, fs, path::Path};

use anyhow::{Context, Result};
use load::Load;
use machine::Machine;
use pacs_guard::datapath::Trial;
use report::{Figure, Report, Row};
use rig::{Contender, Rig};
use serde::Serialize;

const SIZES: [u64; 6] = [1, 100, 1_024, 16_384, 131_072, 1_048_576];
/// Contenders take turns so many times.
const ROUNDS: usize = 11;
const PACKETS: u32 = 100_000;

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let has = |wanted: &str| words.iter().any(|word| word == wanted);
    if has("--swap") {
        return swap::run(&[10_000, 100_000, 1_000_000]);
    }
    let json = has("--json");
    let folder = words.iter().position(|word| word == "--record").and_then(|at| words.get(at + 1));
    let folder = folder.map(Path::new);
    if has("--drop") {
        let rates = drop::run()?;
        return tell("drop", json, folder, &rates.table(), &rates);
    }
    if has("--flood") {
        let throughput = flood::run()?;
        return tell("flood", json, folder, &throughput.table(), &throughput);
    }
    let most = words.iter().find_map(|word| word.parse().ok()).unwrap_or(u64::MAX);
    let mut report = Report {
        version: 1,
        machine: Machine::here()?,
        rounds: ROUNDS,
        packets_a_round: PACKETS,
        rows: Vec::new(),
    };
    let mut rig = Rig::new()?;
    for family in [4, 6] {
        let mut filled = 0;
        for count in SIZES.into_iter().filter(|size| *size <= most) {
            eprintln!("IPv{family}, {count} prefixes");
            let (image, ledger) = policy::image(count, family)?;
            rig.guard(Trial::new(&image, ledger)?)?;
            rig.fill(family, filled..count)?;
            filled = count;
            if count == 1 {
                for load in load::of_any_size().into_iter().filter(|load| load.family == family) {
                    report.rows.push(measure(&mut rig, &load, count)?);
                }
            }
            for load in load::of_size(family, count) {
                report.rows.push(measure(&mut rig, &load, count)?);
            }
        }
    }
    if let Some(folder) = folder {
        for family in [4, 6] {
            fs::write(folder.join(format!("random-ipv{family}.svg")), report.chart(family))?;
        }
    }
    tell("verdicts", json, folder, &report.table(), &report)
}

/// Prints a report, and keeps it in a folder where one is given.
fn tell(name: &str, json: bool, folder: Option<&Path>, table: &str, report: &impl Serialize) -> Result<()> {
    let machine = serde_json::to_string_pretty(report)?;
    if let Some(folder) = folder {
        fs::write(folder.join(format!("{name}.txt")), table)?;
        fs::write(folder.join(format!("{name}.json")), &machine)?;
    }
    println!("{}", if json { &machine } else { table.trim_end() });
    Ok(())
}

/// Measures all contenders in turn, round by round, and takes the floor of the same round from each.
fn measure(rig: &mut Rig, load: &Load, prefixes: u64) -> Result<Row> {
    let contenders: Vec<Contender> = rig
        .contenders()
        .into_iter()
        .filter(|contender| match contender {
            Contender::Trie | Contender::Hash => load.plain,
            // It knows exact addresses only, and here none: a size means nothing to it.
            Contender::XdpFilter => load.plain && prefixes == 1,
            Contender::Empty | Contender::Guard => true,
        })
        .collect();
    let mut rounds = vec![Vec::new(); contenders.len()];
    // The first round warms up.
    for round in 0..=ROUNDS {
        let mut floor = 0.0;
        for (contender, rounds) in contenders.iter().zip(&mut rounds) {
            let time = rig.run(*contender, load, PACKETS)?;
            if *contender == Contender::Empty {
                floor = time;
            }
            if round > 0 {
                rounds.push(if *contender == Contender::Empty { time } else { time - floor });
            }
        }
    }
    let mut figures =
        contenders.iter().zip(rounds).map(|(contender, rounds)| Figure::new(contender.name(), rounds));
    let floor = figures.next().context("the floor comes first")?;
    Ok(Row { load: load.name, family: load.family, prefixes, floor, figures: figures.collect() })
}
