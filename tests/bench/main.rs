//! What a verdict costs, beside what else could give it. `cargo xtask bench verdict` runs it; needs root.

#[path = "../frames/build.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod build;
#[path = "../../pacs-guard-ebpf/src/bench/keys.rs"]
#[allow(dead_code, unreachable_pub, reason = "the XDP programs of the bench share it")]
mod keys;
mod load;
mod policy;
mod report;
mod rig;
mod swap;

use std::{env, fs, path::Path};

use anyhow::{Context, Result};
use load::Load;
use pacs_guard::datapath::Trial;
use report::{Figure, Report, Row};
use rig::{Contender, Rig};

const SIZES: [u64; 6] = [1, 100, 1_024, 16_384, 131_072, 1_048_576];
/// Contenders take turns so many times.
const ROUNDS: usize = 11;
const PACKETS: u32 = 100_000;

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    if words.iter().any(|word| word == "--swap") {
        return swap::run(&[10_000, 100_000, 1_000_000]);
    }
    let json = words.iter().any(|word| word == "--json");
    let most = words.iter().find_map(|word| word.parse().ok()).unwrap_or(u64::MAX);
    let mut report = Report {
        version: 1,
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
            .split('-')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned(),
        processor: processor()?,
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
    if let Some(folder) = words.iter().position(|word| word == "--record").and_then(|at| words.get(at + 1)) {
        let folder = Path::new(folder);
        for family in [4, 6] {
            fs::write(folder.join(format!("random-ipv{family}.svg")), report.chart(family))?;
        }
        fs::write(folder.join("verdicts.txt"), report.table())?;
        fs::write(folder.join("verdicts.json"), serde_json::to_string_pretty(&report)?)?;
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.table());
    }
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

/// The processor's name.
fn processor() -> Result<String> {
    let facts = fs::read_to_string("/proc/cpuinfo")?;
    let name = facts.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Ok(name.map_or("unknown", |(_, name)| name).to_owned())
}
