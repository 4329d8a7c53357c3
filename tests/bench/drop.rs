//! Packets a second refused on a veth pair, one wall after the other in one run.

use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde::Serialize;

use crate::{
    Machine,
    lab::{PATIENCE, wait_for},
    report::Figure,
    wall::{Wall, Walls},
};

const ROUNDS: usize = 5;
const PACKETS: u32 = 2_000_000;
/// The generator comes first and the bare drop second: the others are measured against them.
const WALLS: [Wall; 8] = [
    Wall::Nobody,
    Wall::Bare,
    Wall::Guard,
    Wall::GuardMillion,
    Wall::Ingress,
    Wall::Prerouting,
    Wall::Input,
    Wall::Ipset,
];

/// One wall; spreads are the least and the greatest of the rounds.
#[derive(Debug, Serialize)]
struct Row {
    /// Millions a second.
    rate: Figure,
    /// Of the bare drop's rate in the same round, in percent.
    of_bare: Figure,
    /// Nanoseconds a packet over the generator's own in the same round.
    net: Figure,
    /// That, as a multiple of what the guard with 1,000 sources took in the same round.
    to_guard: Figure,
}

/// Everything, for machines.
#[derive(Debug, Serialize)]
pub(crate) struct Rates {
    version: u32,
    #[serde(flatten)]
    machine: Machine,
    rounds: usize,
    packets_a_round: u32,
    rows: Vec<Row>,
    /// Contenders that this machine lacks, and why.
    skipped: Vec<String>,
}

/// Measures all walls in turn, round by round.
pub(crate) fn run() -> Result<Rates> {
    let mut walls = Walls::new()?;
    let mut skipped = Vec::new();
    let mut rates: Vec<(Wall, Vec<f64>)> = Vec::new();
    // The first round warms up, and shows what is not to be had here.
    for wall in WALLS {
        match walls.behind(wall, |walls| read(walls, wall)) {
            Ok(_) => rates.push((wall, Vec::new())),
            Err(why) if matches!(wall, Wall::Ingress | Wall::Prerouting | Wall::Input | Wall::Ipset) => {
                eprintln!("WITHOUT {}: {why:#}", wall.name());
                skipped.push(format!("{}: {why:#}", wall.name()));
            }
            Err(why) => return Err(why.context(wall.name())),
        }
    }
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        for (wall, rates) in &mut rates {
            rates.push(walls.behind(*wall, |walls| read(walls, *wall)).context(wall.name())?);
        }
    }
    let of = |wall: Wall| {
        let found = rates.iter().find(|(each, _)| *each == wall);
        found.map(|(_, rates)| rates.clone()).context("a wall is missing")
    };
    let (alone, bare, guard) = (of(Wall::Nobody)?, of(Wall::Bare)?, of(Wall::Guard)?);
    let rows = rates.iter().map(|(wall, rates)| {
        let figure = |value: &dyn Fn(usize, f64) -> f64| {
            let values = rates.iter().enumerate().map(|(round, rate)| value(round, *rate));
            Figure::new(wall.name(), values.collect())
        };
        let net = |round: usize, rate: f64| 1e3 / rate - 1e3 / alone[round];
        Row {
            rate: figure(&|_, rate| rate),
            of_bare: figure(&|round, rate| 100.0 * rate / bare[round]),
            net: figure(&net),
            to_guard: figure(&|round, rate| net(round, rate) / net(round, guard[round])),
        }
    });
    Ok(Rates {
        version: 1,
        machine: Machine::here()?,
        rounds: ROUNDS,
        packets_a_round: PACKETS,
        rows: rows.collect(),
        skipped,
    })
}

/// Millions of packets a second. The wall's own counter must say that it refused each of them.
fn read(walls: &Walls, wall: Wall) -> Result<f64> {
    let before = walls.refused(wall)?;
    let (_, took) = walls.wire.generator()?.send(PACKETS, || false)?;
    if let Some(before) = before {
        let refused = || Ok::<_, anyhow::Error>(walls.refused(wall)?.unwrap_or_default() - before);
        // The last batch may still be under way.
        let all = wait_for("the last packets", PATIENCE / 10, || Ok(refused()? >= u64::from(PACKETS)));
        let refused = refused()?;
        ensure!(all.is_ok() && refused == u64::from(PACKETS), "it counted {refused} of {PACKETS} packets");
    }
    Ok(f64::from(PACKETS) / took.as_secs_f64() / 1e6)
}

impl Rates {
    pub(crate) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header(["wall", "Mpps", "% of the bare drop", "net ns a packet", "x pacs-guard, net"]);
        for (at, row) in self.rows.iter().enumerate() {
            let Figure { contender, p10, median, p90 } = &row.rate;
            let mut cells =
                vec![(*contender).to_owned(), format!("{median:.2} ({p10:.2}-{p90:.2})"), "-".to_owned()];
            if at > 0 {
                cells[2] = format!("{:.1}", row.of_bare.median);
                cells.push(format!("{:.0} ({:.0}-{:.0})", row.net.median, row.net.p10, row.net.p90));
                cells.push(format!("{:.1}", row.to_guard.median));
            }
            table.add_row(cells);
        }
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        let skipped: String = self.skipped.iter().map(|why| format!("without {why}\n")).collect();
        format!(
            "{table}\n\nMillions of packets a second from random refused sources, refused on a veth pair: median \
             (least-most) of {} rounds of {} packets, in turn. One thread generates live frames of 64 bytes, and the \
             receiving end runs on the same processor. Each wall's own counter was equal to what was sent. Net: over \
             the generator alone, whose frames no one takes.\n{skipped}{}\n",
            self.rounds, self.packets_a_round, self.machine
        )
    }
}
