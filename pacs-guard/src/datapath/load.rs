//! The load: the object into the kernel, on pinned maps where there are any.

use std::{fs::File, path::Path};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, ArrayOfMaps, HashMap, IterableMap, Map, MapData, MapType, PerCpuArray},
    programs::Xdp,
};
use caps::{CapSet, Capability};
use nix::fcntl::Flock;
use pacs_guard_common::abi::{
    ASSOCIATIONS, Active, AssociationKey, BUDGET_BUCKETS, COUNTER_PAGES, CounterId, CounterPage,
    EVENT_RING_BYTES, MAX_INTERFACES, Page, SEEN_ENTRIES, SLOTS, SeenKey, SeenValue,
};

use super::{
    DatapathError, EventStream, Pins,
    kernel_version::refused,
    learning::{LEARNING, TITLES},
    log::ProgramLog,
    seen::SEEN_MAPS,
};
use crate::image::{Ledger, Record};

pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/pacs-guard.bpf.o"));
pub(super) const PROGRAM: &str = "pacs_guard";

/// What a pinned map must look like before it is adopted: the loader itself never compares.
struct Layout {
    name: &'static str,
    kind: MapType,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

const fn layout(name: &'static str, kind: MapType, value_size: u32, max_entries: u32) -> Layout {
    Layout { name, kind, key_size: 4, value_size, max_entries }
}

const fn seen(name: &'static str) -> Layout {
    let value = size_of::<[u64; SeenValue::LANES]>() as u32;
    let key = size_of::<[u64; SeenKey::LANES]>() as u32;
    Layout { key_size: key, ..layout(name, MapType::LruHash, value, SEEN_ENTRIES) }
}

const LEDGER: &str = "LEDGER";
const LAYOUTS: [Layout; 13] = [
    layout("POLICY", MapType::ArrayOfMaps, 4, SLOTS),
    layout("BULK", MapType::ArrayOfMaps, 4, SLOTS),
    layout("ACTIVE", MapType::Array, size_of::<Active>() as u32, 1),
    layout("GRACE", MapType::ArrayOfMaps, 4, 1),
    layout("COUNTERS", MapType::PerCpuArray, size_of::<CounterPage>() as u32, COUNTER_PAGES),
    layout("BUDGETS", MapType::Array, 8, BUDGET_BUCKETS),
    Layout { key_size: 0, ..layout("EVENTS", MapType::RingBuf, 0, EVENT_RING_BYTES) },
    layout("ANSWERING", MapType::Hash, 8, MAX_INTERFACES),
    seen(SEEN_MAPS[0]),
    seen(SEEN_MAPS[1]),
    layout(LEARNING, MapType::Array, 8, 1),
    Layout {
        key_size: size_of::<[u64; AssociationKey::LANES]>() as u32,
        ..layout(TITLES, MapType::LruHash, 8, ASSOCIATIONS)
    },
    layout(LEDGER, MapType::Hash, Ledger::RECORD_BYTES as u32, LEDGER_ENTRIES),
];
const LEDGER_ENTRIES: u32 = CounterId::END.number();
/// `BPF_F_NO_PREALLOC`: the ledger takes memory for what it holds only.
const LEDGER_FLAGS: u32 = 1;

/// How much the program tells through aya-log. Off, the verifier takes the log calls out of the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing.
    #[default]
    Off,
    /// A line for each refused packet.
    Debug,
}

impl LogLevel {
    const fn number(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::Debug => aya_log::Level::Debug as u8,
        }
    }
}

/// The loaded program and its maps.
pub struct Datapath {
    pub(super) pins: Option<Pins>,
    pub(super) ebpf: Ebpf,
    pub(super) policy: ArrayOfMaps<MapData>,
    pub(super) bulk: ArrayOfMaps<MapData>,
    pub(super) active: Array<MapData, Active>,
    pub(super) grace: ArrayOfMaps<MapData>,
    pub(super) counters: PerCpuArray<MapData, CounterPage>,
    pub(super) answering: HashMap<MapData, u32, [u8; 8]>,
    pub(super) ledger_map: HashMap<MapData, u32, Record>,
    pub(super) ledger: Ledger,
    pub(super) lock: Option<Flock<File>>,
}

/// Pages of one generation.
pub(super) type Pages = Array<MapData, Page>;

impl Datapath {
    /// Loads the program on the maps pinned here, or on new ones that it pins. Attaches nothing.
    ///
    /// # Errors
    /// Where the caller may not, where another daemon holds the pins, or where a pinned map is not one of
    /// this layout. Links and maps that are pinned stay as they are.
    pub fn open(pins: Pins, log: LogLevel) -> Result<Self, DatapathError> {
        may_use_bpf()?;
        pins.create()?;
        let lock = pins.lock()?;
        for layout in &LAYOUTS {
            layout.check(&pins.map(layout.name))?;
        }
        Self::load(Some(pins), log, Some(lock))
    }

    /// Loads the program on maps of its own, pinned nowhere: for trials.
    pub fn unpinned() -> Result<Self, DatapathError> {
        may_use_bpf()?;
        Self::load(None, LogLevel::Off, None)
    }

    fn load(pins: Option<Pins>, log: LogLevel, lock: Option<Flock<File>>) -> Result<Self, DatapathError> {
        let level = log.number();
        let mut loader = EbpfLoader::new();
        loader.override_global(aya_log::LEVEL, &level, true);
        if let Some(pins) = &pins {
            for layout in LAYOUTS.iter().filter(|layout| layout.name != LEDGER) {
                loader.map_pin_path(layout.name, pins.map(layout.name));
            }
        }
        let mut ebpf = loader.load(OBJECT).map_err(refused)?;
        program(&mut ebpf)?.load().map_err(refused)?;
        let ledger_map = open_ledger(pins.as_ref())?;
        let ledger = read_ledger(&ledger_map)?;
        Ok(Self {
            policy: take(&mut ebpf, "POLICY")?.try_into()?,
            bulk: take(&mut ebpf, "BULK")?.try_into()?,
            active: take(&mut ebpf, "ACTIVE")?.try_into()?,
            grace: take(&mut ebpf, "GRACE")?.try_into()?,
            counters: take(&mut ebpf, "COUNTERS")?.try_into()?,
            answering: take(&mut ebpf, "ANSWERING")?.try_into()?,
            ledger_map,
            ledger,
            pins,
            ebpf,
            lock,
        })
    }

    /// Takes the stream of events; it has one reader.
    pub fn take_events(&mut self) -> Result<EventStream, DatapathError> {
        Ok(EventStream::new(take(&mut self.ebpf, "EVENTS")?.try_into()?))
    }

    /// Takes the program's own log; `None` where it was loaded without.
    pub fn take_log(&mut self) -> Option<ProgramLog> {
        ProgramLog::new(&mut self.ebpf)
    }

    /// The ledger of counters, as the kernel holds it.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The program.
    pub(super) fn program(&mut self) -> Result<&mut Xdp, DatapathError> {
        program(&mut self.ebpf)
    }
}

/// The program in a loaded object.
pub(super) fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp, DatapathError> {
    let program = ebpf.program_mut(PROGRAM).ok_or(DatapathError::Missing("program pacs_guard"))?;
    Ok(program.try_into()?)
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, DatapathError> {
    ebpf.take_map(name).ok_or(DatapathError::Missing(name))
}

impl Layout {
    /// Refuses a pin that is another map than this one.
    fn check(&self, pin: &Path) -> Result<(), DatapathError> {
        if !pin.exists() {
            return Ok(());
        }
        let info = MapData::from_pin(pin)?.info()?;
        let found = (info.map_type()?, info.key_size(), info.value_size(), info.max_entries());
        let needed = (self.kind, self.key_size, self.value_size, self.max_entries);
        if found == needed {
            return Ok(());
        }
        let words = |(kind, key, value, entries): (MapType, u32, u32, u32)| {
            format!("type {kind:?}, key {key} B, value {value} B, {entries} entries")
        };
        Err(DatapathError::ForeignPin { path: pin.to_owned(), found: words(found), needed: words(needed) })
    }
}

/// The ledger is user space's alone, so it is no part of the object.
fn open_ledger(pins: Option<&Pins>) -> Result<HashMap<MapData, u32, Record>, DatapathError> {
    let pin = pins.map(|pins| pins.map(LEDGER));
    match pin {
        Some(pin) if pin.exists() => Ok(Map::from_map_data(MapData::from_pin(&pin)?)?.try_into()?),
        pin => {
            let ledger = HashMap::create(LEDGER_ENTRIES, LEDGER_FLAGS)?;
            if let Some(pin) = pin {
                ledger.map().pin(&pin)?;
            }
            Ok(ledger)
        }
    }
}

/// Reads the records back, in the order of their counters.
pub(super) fn read_ledger(map: &HashMap<MapData, u32, Record>) -> Result<Ledger, DatapathError> {
    let mut records: Vec<(u32, Record)> = map.iter().collect::<Result<_, _>>()?;
    records.sort_unstable_by_key(|(index, _)| *index);
    if records.iter().zip(0..).any(|((index, _), expected)| *index != expected) {
        return Err(DatapathError::Ledger);
    }
    Ledger::from_records(records.into_iter().map(|(_, record)| record)).ok_or(DatapathError::Ledger)
}

/// Names what the caller lacks, instead of a bare EPERM from the middle of a load.
pub fn may_use_bpf() -> Result<(), DatapathError> {
    let missing = missing_capabilities();
    if missing.is_empty() { Ok(()) } else { Err(DatapathError::NoPermission(missing.join(", "))) }
}

/// The capabilities that enforcement needs and the caller lacks.
pub fn missing_capabilities() -> Vec<String> {
    const NEEDED: [Capability; 3] = [Capability::CAP_BPF, Capability::CAP_NET_ADMIN, Capability::CAP_PERFMON];
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    // Before Linux 5.8 there was only the one that is all of them.
    if has(Capability::CAP_SYS_ADMIN) && has(Capability::CAP_NET_ADMIN) {
        return Vec::new();
    }
    let missing = NEEDED.into_iter().filter(|capability| !has(*capability));
    missing.map(|capability| capability.to_string()).collect()
}
