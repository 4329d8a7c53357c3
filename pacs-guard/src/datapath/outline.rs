//! The outline of the generation in force: what names it, and none of its search trees.

use std::collections::BTreeMap;

use pacs_guard_common::{
    abi::{CELLS_PER_PAGE, HEADER, Header, LANES_PER_CELL, Page},
    verdict::PolicyView,
};

use super::{
    BootTime, DatapathError, Pins,
    swap::{Generation, read_slot},
};
use crate::image::{self, Card};

/// A few pages of the generation in force, however large it is: for whoever asks often.
#[derive(Clone, Debug)]
pub struct Outline {
    /// When it ends by itself.
    pub until: Option<BootTime>,
    /// The kernel memory that it takes, in bytes.
    pub bytes: u64,
    /// Boxed, or a node of the map would be as large as eleven pages.
    pages: BTreeMap<u32, Box<Page>>,
}

impl Outline {
    /// Reads the outline of what is in force from its pins, without the daemon; `None` where there is nothing.
    pub fn read(pins: &Pins) -> Result<Option<Self>, DatapathError> {
        let Some((slot, until)) = read_slot(pins)? else { return Ok(None) };
        let Some(generation) = Generation::open(pins, slot)? else { return Ok(None) };
        let mut this = Self { until, bytes: generation.bytes(), pages: BTreeMap::new() };
        // The TCP port table, and the header behind it.
        for index in 0..=HEADER / CELLS_PER_PAGE {
            this.pages.insert(index, Box::new(generation.page(index)?));
        }
        if let Some(Header { card, card_bytes, pages, .. }) = this.header() {
            let end = card.saturating_add(card_bytes.div_ceil(LANES_PER_CELL * 8));
            for index in card / CELLS_PER_PAGE..=(end / CELLS_PER_PAGE).min(pages.saturating_sub(1)) {
                this.pages.insert(index, Box::new(generation.page(index)?));
            }
        }
        Ok(Some(this))
    }

    /// The number of the generation.
    pub fn generation(&self) -> Option<u64> {
        Some(self.header()?.generation)
    }

    /// The card, where there is a whole one.
    pub fn card(&self) -> Option<Card> {
        image::card(self)
    }

    /// Whether a service is on a TCP port.
    pub fn protects_tcp(&self, port: u16) -> bool {
        image::protects_tcp(self, port)
    }
}

impl PolicyView for Outline {
    fn page(&self, index: u32) -> Option<&Page> {
        self.pages.get(&index).map(|page| &**page)
    }

    fn now(&self) -> u64 {
        BootTime::now().nanoseconds()
    }
}
