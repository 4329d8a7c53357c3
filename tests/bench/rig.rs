//! The rig: the generator of sources, and whichever program stands behind it.

use std::{collections::BTreeMap, ops::Range, path::Path};

use anyhow::{Context, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, TestRun, TestRunOptions,
    maps::{Array, HashMap, LpmTrie, MapData, PerCpuArray, ProgramArray, lpm_trie::Key},
    programs::{ProgramFd, Xdp},
};
use pacs_guard::datapath::Trial;
use pacs_guard_common::verdict::Verdict;

use crate::{
    keys::{Prefix, STRANGER4, STRANGER6, address4, address6},
    load::{Load, Sources},
};

/// The bench's own programs, compiled beside the XDP program.
pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench.bpf.o"));

/// xdp-filter's own object, of the Debian package xdp-tools: refuses what its map of addresses does not hold.
const XDP_FILTER: &str = "/usr/lib/x86_64-linux-gnu/bpf/xdpfilt_dny_ip.o";

/// A program that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contender {
    /// A program that passes everything: the floor.
    Empty,
    Guard,
    /// The kernel's longest-prefix trie behind the guard's parser.
    Trie,
    /// A hash look-up for each prefix length behind the guard's parser.
    Hash,
    /// xdp-filter with nothing in its maps.
    XdpFilter,
}

impl Contender {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Guard => "pacs-guard",
            Self::Trie => "LPM trie",
            Self::Hash => "hash a length",
            Self::XdpFilter => "xdp-filter",
        }
    }

    /// Whether it takes frames of several buffers, which the generator before it then must take too.
    const fn frags(self) -> bool {
        !matches!(self, Self::XdpFilter)
    }
}

pub(crate) struct Rig {
    ebpf: Ebpf,
    sources: Array<MapData, [u64; 4]>,
    frags: ProgramArray<MapData>,
    single: ProgramArray<MapData>,
    outcomes: PerCpuArray<MapData, [u64; 4]>,
    programs: BTreeMap<Contender, ProgramFd>,
    trial: Option<Trial>,
    trie4: LpmTrie<MapData, [u8; 4], u32>,
    trie6: LpmTrie<MapData, [u8; 16], u32>,
    hash4: HashMap<MapData, [u32; 2], u32>,
    hash6: HashMap<MapData, [u64; 3], u32>,
    _xdp_filter: Option<Ebpf>,
}

impl Rig {
    pub(crate) fn new() -> Result<Self> {
        let mut ebpf = EbpfLoader::new().load(OBJECT)?;
        for name in ["generate_frags", "generate_single", "empty", "empty_frags", "lpm", "hash"] {
            let program: &mut Xdp = ebpf.program_mut(name).context(name)?.try_into()?;
            program.load()?;
        }
        let fd = |name: &'static str| -> Result<ProgramFd> {
            let program: &Xdp = ebpf.program(name).context(name)?.try_into()?;
            Ok(program.fd()?.try_clone()?)
        };
        let mut programs = BTreeMap::from([
            (Contender::Empty, fd("empty_frags")?),
            (Contender::Trie, fd("lpm")?),
            (Contender::Hash, fd("hash")?),
        ]);
        let xdp_filter = match xdp_filter() {
            Ok((ebpf, program)) => {
                programs.insert(Contender::XdpFilter, program);
                Some(ebpf)
            }
            Err(why) => {
                eprintln!("without xdp-filter (Debian: xdp-tools): {why:#}");
                None
            }
        };
        let mut take = |name: &'static str| ebpf.take_map(name).context(name);
        Ok(Self {
            sources: take("SOURCES")?.try_into()?,
            frags: take("JUDGE_FRAGS")?.try_into()?,
            single: take("JUDGE")?.try_into()?,
            outcomes: take("OUTCOMES")?.try_into()?,
            trie4: take("LPM4")?.try_into()?,
            trie6: take("LPM6")?.try_into()?,
            hash4: take("HASH4")?.try_into()?,
            hash6: take("HASH6")?.try_into()?,
            programs,
            trial: None,
            _xdp_filter: xdp_filter,
            ebpf,
        })
    }

    pub(crate) fn contenders(&self) -> Vec<Contender> {
        self.programs.keys().copied().collect()
    }

    /// Takes the guard with another policy in force.
    pub(crate) fn guard(&mut self, mut trial: Trial) -> Result<()> {
        self.programs.insert(Contender::Guard, trial.split()?.0.program()?.try_clone()?);
        self.trial = Some(trial);
        Ok(())
    }

    /// Gives trie and hash the prefixes with the numbers of a range.
    pub(crate) fn fill(&mut self, family: u8, numbers: Range<u64>) -> Result<()> {
        for number in numbers {
            if family == 4 {
                let Prefix { high, length, .. } = address4(number, 0);
                self.trie4.insert(&Key::new(length, (high as u32).to_be_bytes()), 1, 0)?;
                self.hash4.insert([length, high as u32], 1, 0)?;
            } else {
                let Prefix { high, low, length } = address6(number, 0);
                let bytes = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
                self.trie6.insert(&Key::new(length, bytes), 1, 0)?;
                self.hash6.insert([u64::from(length), high, low], 1, 0)?;
            }
        }
        Ok(())
    }

    /// Runs so many packets through a contender; nanoseconds a packet, the generator's own included.
    ///
    /// Its own counters must say that it judged each of them, and as the load expects.
    pub(crate) fn run(&mut self, contender: Contender, load: &Load, packets: u32) -> Result<f64> {
        let program = self.programs.get(&contender).context("it is not loaded")?;
        let name = if contender.frags() {
            self.frags.set(0, program, 0)?;
            "generate_frags"
        } else {
            self.single.set(0, program, 0)?;
            "generate_single"
        };
        let (count, hot) = match load.sources {
            Sources::AsWritten => (0, 0),
            Sources::Hot(count) => (count, 1),
            Sources::Random(count) => (count, 0),
        };
        let family = if count == 0 { 0 } else { u64::from(load.family) };
        let stranger = if load.family == 4 { STRANGER4 } else { STRANGER6 };
        self.sources.set(0, [count, family, if load.stranger { stranger } else { 0 }, hot], 0)?;
        let before = self.counted(contender)?;
        let generator: &Xdp = self.ebpf.program(name).context(name)?.try_into()?;
        let options = TestRunOptions { data_in: Some(&load.frame), repeat: packets, ..TestRunOptions::new() };
        let result = generator.test_run(options)?;
        ensure!(result.return_value != 0, "the generator reached no program");
        if let (Some(before), Some(after)) = (before, self.counted(contender)?) {
            let moved = [0, 1, 2].map(|outcome| after[outcome] - before[outcome]);
            let mut expected = [0; 3];
            expected[load.outcome] = u64::from(packets);
            ensure!(
                moved == expected,
                "{}: {} counted {moved:?}, not {expected:?}",
                load.name,
                contender.name()
            );
        }
        Ok(result.duration.as_nanos() as f64)
    }

    /// Packets that a contender counted as passed unjudged, allowed and dropped; `None` where it counts none.
    fn counted(&self, contender: Contender) -> Result<Option<[u64; 3]>> {
        Ok(match contender {
            Contender::Empty | Contender::XdpFilter => None,
            Contender::Trie | Contender::Hash => {
                let sum = |outcome: usize, cpus: &[[u64; 4]]| cpus.iter().map(|cpu| cpu[outcome]).sum();
                let cpus = self.outcomes.get(&0, 0)?;
                Some([0, 1, 2].map(|outcome| sum(outcome, &cpus)))
            }
            Contender::Guard => {
                let counters = self.trial.as_ref().context("no policy")?.counters()?;
                let mut sums = [0; 3];
                for (_, booking, packets) in counters.entries() {
                    match booking.verdict {
                        Verdict::Pass => sums[0] += packets,
                        Verdict::Allow => sums[1] += packets,
                        Verdict::Drop | Verdict::WouldDrop => sums[2] += packets,
                    }
                }
                Some(sums)
            }
        })
    }
}

/// Loads xdp-filter's object, its maps pinned for as long as that takes.
fn xdp_filter() -> Result<(Ebpf, ProgramFd)> {
    let pins = Path::new("/sys/fs/bpf/pg-bench-xdp-filter");
    std::fs::create_dir_all(pins)?;
    let loaded = EbpfLoader::new().default_map_pin_directory(pins).load_file(XDP_FILTER);
    std::fs::remove_dir_all(pins)?;
    let mut ebpf = loaded?;
    let (_, program) = ebpf.programs_mut().next().context("no program in it")?;
    let program: &mut Xdp = program.try_into()?;
    program.load()?;
    let fd = program.fd()?.try_clone()?;
    Ok((ebpf, fd))
}
