//! What an allowed peer's C-STORE keeps while refused sources flood the same interface.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, anyhow, ensure};
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde::Serialize;

use crate::{
    Machine,
    load::TO4,
    report::Figure,
    wall::{Wall, Walls},
};

const ROUNDS: usize = 3;
/// The bare drop comes first: what the flood's own use of the processor leaves.
const WALLS: [Wall; 4] = [Wall::Sieve, Wall::Guard, Wall::Ingress, Wall::Open];
/// One image's pixels: 2048 by 2048, 16 bits.
const PIXELS: usize = 2048 * 2048 * 2;
const IMAGES: usize = 16;
/// A transfer that the flood starves is ended then, and what was stored until then counts.
const SECONDS: u32 = 5;
const IMAGE: &str = "
(0008,0016) UI =SecondaryCaptureImageStorage
(0008,0018) UI [1.2.826.0.1.3680043.2.1143.1]
(0010,0010) PN [Bench^Flood]
(0020,000d) UI [1.2.826.0.1.3680043.2.1143.2]
(0020,000e) UI [1.2.826.0.1.3680043.2.1143.3]
(0028,0002) US 1
(0028,0004) CS [MONOCHROME2]
(0028,0010) US 2048
(0028,0011) US 2048
(0028,0100) US 16
(0028,0101) US 16
(0028,0102) US 15
(0028,0103) US 0
(7fe0,0010) OW =pixels.raw
";

/// One wall; spreads are the least and the greatest of the rounds.
#[derive(Debug, Serialize)]
struct Row {
    /// MB a second (10^6 bytes of pixels), without the flood.
    quiet: Figure,
    /// The same under the flood.
    flooded: Figure,
    /// Of the quiet rate behind the same wall in the same round, in percent.
    of_quiet: Figure,
    /// Of the rate that the flood left behind the bare drop in the same round, in percent.
    of_left: Figure,
    /// Millions of packets a second of the flood meanwhile, as sent.
    flood: Figure,
    /// Of those the wall refused by its own count, in percent; the rest found the interface's queue full.
    refused: Option<Figure>,
}

/// Everything, for machines.
#[derive(Debug, Serialize)]
pub(crate) struct Throughput {
    version: u32,
    #[serde(flatten)]
    machine: Machine,
    rounds: usize,
    images: usize,
    image_bytes: usize,
    rows: Vec<Row>,
    /// Contenders that this machine lacks, and why.
    skipped: Vec<String>,
}

/// What one turn of a wall gave.
#[derive(Clone, Copy)]
struct Turn {
    quiet: f64,
    flooded: f64,
    flood: f64,
    refused: Option<f64>,
}

/// Measures all walls in turn, round by round.
pub(crate) fn run() -> Result<Throughput> {
    let mut walls = Walls::new()?;
    let wire = &walls.wire;
    fs::write(wire.sender.dir().join("pixels.raw"), pixels())?;
    fs::write(wire.sender.dir().join("image.dump"), IMAGE)?;
    wire.sender.sh("dump2dcm +te image.dump image.dcm")?;
    // A process for each association: one that the flood cut off must not keep the next one waiting.
    let mut archive = wire.receiver.command("storescp");
    archive.args(["-aet", "PACS", "-pdu", "131072", "--ignore", "--fork", "--disable-host-lookup", "104"]);
    let mut archive = wire.receiver.spawn("storescp", archive)?;
    wire.receiver.wait_listening(104, &mut archive)?;
    let mut skipped = Vec::new();
    let mut turns: Vec<(Wall, Vec<Turn>)> = Vec::new();
    for wall in WALLS {
        match walls.behind(wall, quiet) {
            Ok(_) => turns.push((wall, Vec::new())),
            Err(why) if wall == Wall::Ingress => {
                eprintln!("WITHOUT {}: {why:#}", wall.name());
                skipped.push(format!("{}: {why:#}", wall.name()));
            }
            Err(why) => return Err(why.context(wall.name())),
        }
    }
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        for (wall, turns) in &mut turns {
            turns.push(walls.behind(*wall, |walls| turn(walls, *wall)).context(wall.name())?);
        }
    }
    let left = turns.first().map(|(_, turns)| turns.clone()).context("no wall")?;
    let rows = turns.iter().map(|(wall, turns)| {
        let figure =
            |value: &dyn Fn(&Turn) -> f64| Figure::new(wall.name(), turns.iter().map(value).collect());
        let of_left = turns.iter().zip(&left).map(|(turn, left)| 100.0 * turn.flooded / left.flooded);
        let refused: Option<Vec<f64>> = turns.iter().map(|turn| turn.refused).collect();
        Row {
            quiet: figure(&|turn| turn.quiet),
            flooded: figure(&|turn| turn.flooded),
            of_quiet: figure(&|turn| 100.0 * turn.flooded / turn.quiet),
            of_left: Figure::new(wall.name(), of_left.collect()),
            flood: figure(&|turn| turn.flood),
            refused: refused.map(|refused| Figure::new(wall.name(), refused)),
        }
    });
    let rows = rows.collect();
    Ok(Throughput {
        version: 1,
        machine: Machine::here()?,
        rounds: ROUNDS,
        images: IMAGES,
        image_bytes: PIXELS,
        rows,
        skipped,
    })
}

/// Stores quietly, and then under the flood.
fn turn(walls: &Walls, wall: Wall) -> Result<Turn> {
    /// Packets between two looks whether it is over.
    const STRETCH: u32 = 500_000;
    let quiet = quiet(walls)?;
    let generator = walls.wire.generator()?;
    let before = walls.refused(wall)?;
    let (begun, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (flooded, flood) = thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let done = generator.send(STRETCH, || {
                begun.store(true, Ordering::Relaxed);
                !over.load(Ordering::Relaxed)
            });
            begun.store(true, Ordering::Relaxed);
            done
        });
        while !begun.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        let flooded = store(walls);
        over.store(true, Ordering::Relaxed);
        (flooded, flood.join())
    });
    let (times, took) = flood.map_err(|_| anyhow!("the flood ended early"))??;
    let sent = f64::from(times) * f64::from(STRETCH);
    let refused = match before {
        Some(before) => Some((walls.refused(wall)?.unwrap_or_default() - before) as f64),
        None => None,
    };
    ensure!(refused.is_none_or(|refused| refused > 0.0), "it refused nothing of the flood");
    let share = refused.map(|refused| 100.0 * refused / sent);
    Ok(Turn { quiet, flooded: flooded?.rate, flood: sent / took.as_secs_f64() / 1e6, refused: share })
}

/// What a transfer came to.
struct Stored {
    all: bool,
    /// MB a second of pixels.
    rate: f64,
    said: String,
}

/// MB a second without the flood, where every image must get through.
fn quiet(walls: &Walls) -> Result<f64> {
    let Stored { all, rate, said } = store(walls)?;
    ensure!(all, "storescu stored not all of its images within {SECONDS} s: {}", said.trim());
    Ok(rate)
}

/// Sends images to the archive. A flood may keep some of them, or all, from it.
fn store(walls: &Walls) -> Result<Stored> {
    let mut scu = walls.wire.sender.command("timeout");
    // DCMTK's own switch against Nagle's algorithm: else each image waits 60 ms for an acknowledgement, and the
    // processor, which the flood takes, is idle.
    scu.env("TCP_NODELAY", "1");
    scu.arg(SECONDS.to_string()).args(["storescu", "-v", "-to", "5", "-aec", "PACS", "-pdu", "131072"]);
    scu.args(["--repeat", &IMAGES.to_string()]).arg(TO4.to_string()).args(["104", "image.dcm"]);
    let start = Instant::now();
    let done = scu.output()?;
    let took = start.elapsed();
    let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let stored = said.matches("Received Store Response (Success)").count();
    Ok(Stored { all: stored == IMAGES, rate: (stored * PIXELS) as f64 / took.as_secs_f64() / 1e6, said })
}

/// Noise (xorshift64*, Vigna), so that nothing on the way could shorten it.
fn pixels() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    };
    (0..PIXELS / 8).flat_map(|_| next()).collect()
}

impl Throughput {
    pub(crate) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header([
            "wall",
            "quiet MB/s",
            "flooded MB/s",
            "% of quiet",
            "% of what is left",
            "flood Mpps",
        ]);
        for row in &self.rows {
            let spread =
                |figure: &Figure| format!("{:.0} ({:.0}-{:.0})", figure.median, figure.p10, figure.p90);
            table.add_row([
                row.quiet.contender.to_owned(),
                spread(&row.quiet),
                spread(&row.flooded),
                spread(&row.of_quiet),
                spread(&row.of_left),
                format!("{:.2}", row.flood.median),
            ]);
        }
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        let skipped: String = self.skipped.iter().map(|why| format!("without {why}\n")).collect();
        format!(
            "{table}\n\nA C-STORE of {} images of {:.1} MB (storescu to storescp) from an allowed peer, quiet and while \
             one thread floods the same interface with SYNs from random refused sources as fast as it can: median \
             (least-most) of {} rounds, walls in turn. What is left: the rate behind the bare drop under its flood, \
             which is what the flood's own use of the processor leaves.\n{skipped}{}\n",
            self.images,
            self.image_bytes as f64 / 1e6,
            self.rounds,
            self.machine
        )
    }
}
