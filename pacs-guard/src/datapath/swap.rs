//! The swap: a new generation into the idle slot, then in force by one store.

use std::{fs, io};

use aya::{
    maps::{Array, ArrayOfMaps, HashMap, IterableMap, Map, MapData},
    programs::Xdp,
};
use pacs_guard_common::abi::{PAGE_FLAGS, Page, SLOTS};

use super::{
    Datapath, DatapathError, Pins,
    load::{PROGRAM, Pages},
    pins::at,
};
use crate::image::{Image, Ledger, Record};

/// The generation in force, read from its pins.
pub struct InForce {
    /// Its slot.
    pub slot: u32,
    /// Its contents.
    pub image: Image,
}

/// Puts images in force, and borrows of a datapath only what that takes.
pub struct Swapper<'a> {
    pub(super) pins: Option<&'a Pins>,
    pub(super) policy: &'a mut ArrayOfMaps<MapData>,
    pub(super) active: &'a mut Array<MapData, u64>,
    pub(super) ledger_map: &'a mut HashMap<MapData, u32, Record>,
    pub(super) ledger: &'a mut Ledger,
}

impl Datapath {
    /// The number of the generation in force; 0 where there is none.
    pub fn generation(&self) -> Result<u64, DatapathError> {
        let in_force = self.pins.as_ref().map_or(Ok(None), InForce::read)?;
        Ok(in_force.and_then(|in_force| in_force.image.generation()).unwrap_or(0))
    }

    /// Puts an image in force: see [`Swapper::swap`].
    pub fn swap(&mut self, image: &Image, ledger: Ledger) -> Result<(), DatapathError> {
        self.still_pinned()?;
        self.split()?.1.swap(image, ledger)
    }

    /// The program apart from the maps that a swap changes, so that a frame can run while an image is swapped.
    pub(super) fn split(&mut self) -> Result<(&Xdp, Swapper<'_>), DatapathError> {
        let Self { pins, ebpf, policy, active, ledger_map, ledger, .. } = self;
        let program = ebpf.program(PROGRAM).ok_or(DatapathError::Missing("program pacs_guard"))?;
        Ok((program.try_into()?, Swapper { pins: pins.as_ref(), policy, active, ledger_map, ledger }))
    }
}

impl Swapper<'_> {
    /// Puts an image in force; the ledger is the one that it was compiled with.
    ///
    /// The idle slot gets a new map, never an edited one, and setting the slot waits until no program runs
    /// that could still hold what lay there. Until the last line everything is as it was: whoever is killed
    /// before it leaves the old policy in force.
    pub fn swap(&mut self, image: &Image, ledger: Ledger) -> Result<(), DatapathError> {
        for (index, record) in ledger.records(self.ledger.len()) {
            self.ledger_map.insert(index, record, 0)?;
        }
        *self.ledger = ledger;

        let next = (self.active_slot()? + 1) % SLOTS;
        let pages = fill(image)?;
        verify(&pages, image)?;
        if let Some(pins) = self.pins {
            pin_over(pins, next, &pages)?;
        }
        self.policy.set(next, pages.map(), 0)?;
        self.active.set(0, u64::from(next), 0)?;
        Ok(())
    }

    fn active_slot(&self) -> Result<u32, DatapathError> {
        Ok(self.active.get(&0, 0)? as u32)
    }
}

impl InForce {
    /// Reads the generation in force from its pins, without the daemon; `None` where there is none.
    pub fn read(pins: &Pins) -> Result<Option<Self>, DatapathError> {
        let Some(active) = open_pin(pins, "ACTIVE")? else { return Ok(None) };
        let active: Array<_, u64> = active.try_into()?;
        let slot = active.get(&0, 0)? as u32;
        let pin = pins.generation(slot);
        if !pin.exists() {
            return Ok(None);
        }
        let pages: Pages = Map::from_map_data(MapData::from_pin(pin)?)?.try_into()?;
        let image = Image::from_pages(pages.iter().collect::<Result<_, _>>()?);
        Ok(Some(Self { slot, image }))
    }
}

/// Opens a pinned map; `None` where it is not pinned.
pub(super) fn open_pin(pins: &Pins, name: &str) -> Result<Option<Map>, DatapathError> {
    let pin = pins.map(name);
    if !pin.exists() {
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
