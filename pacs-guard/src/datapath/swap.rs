//! The swap: a new generation into the idle slot, then in force by one store.

use std::{borrow::Borrow, fs, io};

use aya::{
    maps::{Array, ArrayOfMaps, HashMap, IterableMap, Map, MapData},
    programs::Xdp,
};
use pacs_guard_common::abi::{CELLS_PER_PAGE, HEADER, Header, PAGE_FLAGS, Page, SLOTS};

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
    pub(super) active: &'a mut Array<MapData, u64>,
    pub(super) terms: &'a mut Array<MapData, [u64; 2]>,
    pub(super) grace: &'a mut ArrayOfMaps<MapData>,
    pub(super) ledger_map: &'a mut HashMap<MapData, u32, Record>,
    pub(super) ledger: &'a mut Ledger,
}

impl Datapath {
    /// The number of the generation that was put in force last; 0 where there is none.
    pub fn generation(&self) -> Result<u64, DatapathError> {
        let Some(pins) = &self.pins else { return Ok(0) };
        let Some(pages) = open_pages(pins, self.active.get(&0, 0)? as u32)? else { return Ok(0) };
        // One page of what may be thousands.
        let page: Page = pages.get(&(HEADER / CELLS_PER_PAGE), 0)?;
        let (cells, _) = page.as_chunks();
        Ok(cells.get((HEADER % CELLS_PER_PAGE) as usize).map_or(0, |cell| Header::from_cell(cell).generation))
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
        let Self { pins, ebpf, policy, active, terms, grace, ledger_map, ledger, .. } = self;
        let program = ebpf.program(PROGRAM).ok_or(DatapathError::Missing("program pacs_guard"))?;
        let pins = pins.as_ref();
        Ok((program.try_into()?, Swapper { pins, policy, active, terms, grace, ledger_map, ledger }))
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

        let active = self.active.get(&0, 0)? as u32;
        let in_force = slot_in_force(active, self.terms)?;
        let [end, fallback] = self.terms.get(&active, 0)?;
        let used = |slot: u32| slot == active || slot == in_force || end != 0 && u64::from(slot) == fallback;
        let idle = (active + 1..).map(|slot| slot % SLOTS).find(|slot| !used(*slot));
        let next = idle.unwrap_or_default();
        let pages = fill(image)?;
        verify(&pages, image)?;
        if let Some(pins) = self.pins {
            pin_over(pins, next, &pages)?;
        }
        self.wait_for_readers()?;
        self.policy.set(next, pages.map(), 0)?;
        let end = until.map_or(0, BootTime::nanoseconds);
        self.terms.set(next, [end, u64::from(in_force)], 0)?;
        self.active.set(0, u64::from(next), 0)?;
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
    let (Some(active), Some(terms)) = (open_pin(pins, "ACTIVE")?, open_pin(pins, "TERMS")?) else {
        return Ok(None);
    };
    let (active, terms): (Array<_, u64>, Array<_, [u64; 2]>) = (active.try_into()?, terms.try_into()?);
    let slot = slot_in_force(active.get(&0, 0)? as u32, &terms)?;
    let [end, _] = terms.get(&slot, 0)?;
    // The end of a generation that is in force again after another's end has passed with that one.
    Ok(Some((slot, BootTime::from_nanoseconds(end).filter(|end| *end > BootTime::now()))))
}

/// The slot that the program uses now.
fn slot_in_force<T: Borrow<MapData>>(active: u32, terms: &Array<T, [u64; 2]>) -> Result<u32, DatapathError> {
    let [end, fallback] = terms.get(&active, 0)?;
    let ended = BootTime::from_nanoseconds(end).is_some_and(|end| end <= BootTime::now());
    Ok(if ended { fallback as u32 } else { active })
}

fn read_image(pins: &Pins, slot: u32) -> Result<Option<Image>, DatapathError> {
    let Some(pages) = open_pages(pins, slot)? else { return Ok(None) };
    Ok(Some(Image::from_pages(pages.iter().collect::<Result<_, _>>()?)))
}

/// The pages in a slot; `None` where nothing is pinned for it.
pub(super) fn open_pages(pins: &Pins, slot: u32) -> Result<Option<Pages>, DatapathError> {
    let pin = pins.generation(slot);
    if !pin.try_exists().map_err(at(&pin))? {
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

fn fill(image: &Image) -> Result<Pages, DatapathError> {
    let mut pages = Pages::create(image.pages().len() as u32, PAGE_FLAGS)?;
    for (index, page) in (0..).zip(image.pages()) {
        pages.set(index, page, 0)?;
    }
    Ok(pages)
}

fn verify(pages: &Pages, image: &Image) -> Result<(), DatapathError> {
    for (page, written) in (0..).zip(image.pages()) {
        let read: Page = pages.get(&page, 0)?;
        if read != *written {
            return Err(DatapathError::ReadBack { page });
        }
    }
    Ok(())
}

/// The slot is idle, so that for a moment it may have no pin.
fn pin_over(pins: &Pins, slot: u32, pages: &Pages) -> Result<(), DatapathError> {
    let pin = pins.generation(slot);
    match fs::remove_file(&pin) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(at(&pin)(why)),
        _ => {}
    }
    Ok(pages.map().pin(&pin)?)
}
