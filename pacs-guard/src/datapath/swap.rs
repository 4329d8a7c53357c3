//! The swap: a new generation into the idle slot, then in force by one store.

use std::{fs, io, path::Path};

use aya::{
    maps::{Array, ArrayOfMaps, HashMap, IterableMap, Map, MapData},
    programs::Xdp,
};
use pacs_guard_common::abi::{
    Active, BULK_FLAGS, CELLS_PER_PAGE, FRONT_FLAGS, FRONT_PAGES, HEADER, Header, Page, SLOTS, Slots, Term,
};

use super::{
    BootTime, Datapath, DatapathError, Pins,
    load::{PROGRAM, Pages},
    pins::at,
};
use crate::image::{Image, Ledger, Record};

/// The generation in force, read from its pins.
pub struct InForce {
    /// Its contents.
    pub image: Image,
    /// When it ends by itself.
    pub until: Option<BootTime>,
}

/// Puts images in force, and borrows of a datapath only what that takes.
pub struct Swapper<'a> {
    pub(super) pins: Option<&'a Pins>,
    pub(super) policy: &'a mut ArrayOfMaps<MapData>,
    pub(super) bulk: &'a mut ArrayOfMaps<MapData>,
    pub(super) active: &'a mut Array<MapData, Active>,
    pub(super) grace: &'a mut ArrayOfMaps<MapData>,
    pub(super) ledger_map: &'a mut HashMap<MapData, u32, Record>,
    pub(super) ledger: &'a mut Ledger,
}

impl Datapath {
    /// The number of the generation that was put in force last; 0 where there is none.
    pub fn generation(&self) -> Result<u64, DatapathError> {
        let Some(pins) = &self.pins else { return Ok(0) };
        let slots = Slots::from_lanes(&self.active.get(&0, 0)?);
        let Some(generation) = Generation::open(pins, slots.active)? else { return Ok(0) };
        Ok(generation.header()?.generation)
    }

    /// Puts an image in force: see [`Swapper::swap`].
    pub fn swap(
        &mut self,
        image: &Image,
        ledger: Ledger,
        until: Option<BootTime>,
    ) -> Result<(), DatapathError> {
        self.still_pinned()?;
        self.split()?.1.swap(image, ledger, until)
    }

    /// The program apart from the maps that a swap changes, so that a frame can run while an image is swapped.
    pub(super) fn split(&mut self) -> Result<(&Xdp, Swapper<'_>), DatapathError> {
        let Self { pins, ebpf, policy, bulk, active, grace, ledger_map, ledger, .. } = self;
        let program = ebpf.program(PROGRAM).ok_or(DatapathError::Missing("program pacs_guard"))?;
        let pins = pins.as_ref();
        Ok((program.try_into()?, Swapper { pins, policy, bulk, active, grace, ledger_map, ledger }))
    }
}

impl Swapper<'_> {
    /// Puts an image in force; the ledger is the one that it was compiled with. At `until`, where there is one, the
    /// program itself puts the generation in force again that is so now, whether or not a daemon runs.
    ///
    /// The idle slot gets a new map, never an edited one, and that only once no program runs that could still
    /// look into it. Until the last line everything is as it was: whoever is killed before it leaves the old
    /// policy in force.
    pub fn swap(
        &mut self,
        image: &Image,
        ledger: Ledger,
        until: Option<BootTime>,
    ) -> Result<(), DatapathError> {
        for (index, record) in ledger.records(self.ledger.len()) {
            self.ledger_map.insert(index, record, 0)?;
        }
        *self.ledger = ledger;

        let lanes = self.active.get(&0, 0)?;
        let mut slots = Slots::from_lanes(&lanes);
        let in_force = Slots::in_force(&lanes, || BootTime::now().nanoseconds());
        let Term { end, fallback } = slots.term(slots.active);
        let used = |slot: u32| slot == slots.active || slot == in_force || end != 0 && slot == fallback;
        let idle = (slots.active + 1..).map(|slot| slot % SLOTS).find(|slot| !used(*slot));
        let next = idle.unwrap_or_default();
        let (front, bulk) = image.pages().split_at((FRONT_PAGES as usize).min(image.pages().len()));
        let front = write(front, FRONT_PAGES, FRONT_FLAGS)?;
        // Without a bulk the smallest one, so that the slot's old one goes.
        let bulk = write(bulk, bulk.len().max(1) as u32, BULK_FLAGS)?;
        if let Some(pins) = self.pins {
            pin_over(&pins.bulk(next), &bulk)?;
            pin_over(&pins.generation(next), &front)?;
        }
        self.wait_for_readers()?;
        self.bulk.set(next, bulk.map(), 0)?;
        self.policy.set(next, front.map(), 0)?;
        if let Some(term) = slots.terms.get_mut(next as usize) {
            *term = Term { end: until.map_or(0, BootTime::nanoseconds), fallback: in_force };
        }
        if let Some(unprotected) = slots.unprotected.get_mut(next as usize) {
            *unprotected = image.unprotected_tcp();
        }
        self.active.set(0, slots.to_lanes(), 0)?;
        slots.active = next;
        self.active.set(0, slots.to_lanes(), 0)?;
        Ok(())
    }

    /// Returns when every program has ended that may have read an older active slot or its terms.
    fn wait_for_readers(&mut self) -> Result<(), DatapathError> {
        let nothing: Array<MapData, u32> = Array::create(1, 0)?;
        Ok(self.grace.set(0, nothing.map(), 0)?)
    }
}

impl InForce {
    /// Reads the generation in force from its pins, without the daemon; `None` where there is none.
    pub fn read(pins: &Pins) -> Result<Option<Self>, DatapathError> {
        let Some((slot, until)) = read_slot(pins)? else { return Ok(None) };
        Ok(read_image(pins, slot)?.map(|image| Self { image, until }))
    }
}

/// The slot in force, and when it ends by itself; `None` where nothing is pinned.
pub(super) fn read_slot(pins: &Pins) -> Result<Option<(u32, Option<BootTime>)>, DatapathError> {
    let Some(active) = open_pin(pins, "ACTIVE")? else { return Ok(None) };
    let active: Array<_, Active> = active.try_into()?;
    let lanes = active.get(&0, 0)?;
    let slot = Slots::in_force(&lanes, || BootTime::now().nanoseconds());
    let Term { end, .. } = Slots::from_lanes(&lanes).term(slot);
    // The end of a generation that is in force again after another's end has passed with that one.
    Ok(Some((slot, BootTime::from_nanoseconds(end).filter(|end| *end > BootTime::now()))))
}

fn read_image(pins: &Pins, slot: u32) -> Result<Option<Image>, DatapathError> {
    let Some(generation) = Generation::open(pins, slot)? else { return Ok(None) };
    let pages = (0..generation.header()?.pages).map(|index| generation.page(index));
    Ok(Some(Image::from_pages(pages.collect::<Result<_, _>>()?)))
}

/// The pages in a slot, as the kernel holds them.
pub(super) struct Generation {
    front: Pages,
    /// Those that do not fit in there.
    bulk: Option<Pages>,
}

impl Generation {
    /// Opens what is pinned for a slot; `None` where nothing is.
    pub(super) fn open(pins: &Pins, slot: u32) -> Result<Option<Self>, DatapathError> {
        let Some(front) = open_pages(&pins.generation(slot))? else { return Ok(None) };
        Ok(Some(Self { front, bulk: open_pages(&pins.bulk(slot))? }))
    }

    /// The page with this index.
    pub(super) fn page(&self, index: u32) -> Result<Page, DatapathError> {
        Ok(match (index.checked_sub(FRONT_PAGES), &self.bulk) {
            (Some(behind), Some(bulk)) => bulk.get(&behind, 0)?,
            _ => self.front.get(&index, 0)?,
        })
    }

    /// The kernel memory that it takes, also where the image does not fill it.
    pub(super) fn bytes(&self) -> u64 {
        let pages = self.front.len() + self.bulk.as_ref().map_or(0, |bulk| bulk.len());
        u64::from(pages) * size_of::<Page>() as u64
    }

    fn header(&self) -> Result<Header, DatapathError> {
        let page = self.page(HEADER / CELLS_PER_PAGE)?;
        let (cells, _) = page.as_chunks();
        Ok(Header::from_cell(cells.get((HEADER % CELLS_PER_PAGE) as usize).unwrap_or(&[0; _])))
    }
}

/// The pages under a pin; `None` where nothing is pinned there.
fn open_pages(pin: &Path) -> Result<Option<Pages>, DatapathError> {
    if !pin.try_exists().map_err(at(pin))? {
        return Ok(None);
    }
    Ok(Some(Map::from_map_data(MapData::from_pin(pin)?)?.try_into()?))
}

/// Opens a pinned map; `None` where it is not pinned.
pub(super) fn open_pin(pins: &Pins, name: &str) -> Result<Option<Map>, DatapathError> {
    let pin = pins.map(name);
    // Not being allowed to look is no answer.
    if !pin.try_exists().map_err(at(&pin))? {
        return Ok(None);
    }
    Ok(Some(Map::from_map_data(MapData::from_pin(pin)?)?))
}

/// A new map with these pages, read back.
fn write(pages: &[Page], room: u32, flags: u32) -> Result<Pages, DatapathError> {
    let mut map = Pages::create(room, flags)?;
    for (index, page) in (0..).zip(pages) {
        map.set(index, page, 0)?;
    }
    for (index, written) in (0..).zip(pages) {
        let read: Page = map.get(&index, 0)?;
        if read != *written {
            return Err(DatapathError::ReadBack { page: index });
        }
    }
    Ok(map)
}

/// The slot is idle, so that for a moment it may have no pin.
fn pin_over(pin: &Path, pages: &Pages) -> Result<(), DatapathError> {
    match fs::remove_file(pin) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(at(pin)(why)),
        _ => {}
    }
    Ok(pages.map().pin(pin)?)
}
