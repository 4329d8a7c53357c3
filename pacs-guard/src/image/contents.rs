//! An image: the pages of one generation, readable in user space as the kernel reads them.

use pacs_guard_common::{
    abi::{CELLS_PER_PAGE, Cell, Header, Page, TCP_PORTS, Unprotected},
    verdict::PolicyView,
};

use super::Card;
use crate::boot_time::BootTime;

/// The pages of one generation.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    pages: Vec<Page>,
}

impl Image {
    /// Takes pages that were read back from the kernel.
    pub const fn from_pages(pages: Vec<Page>) -> Self {
        Self { pages }
    }

    /// Fills whole pages with cells.
    pub(super) fn from_cells(cells: &[Cell]) -> Self {
        let pages = cells.chunks(CELLS_PER_PAGE as usize).map(|chunk| {
            let mut page = [0; _];
            page.iter_mut().zip(chunk.as_flattened()).for_each(|(slot, lane)| *slot = *lane);
            page
        });
        Self { pages: pages.collect() }
    }

    /// The pages, in order.
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// The size in bytes, as the kernel holds it.
    pub fn bytes(&self) -> usize {
        size_of_val(self.pages.as_slice())
    }

    /// The image as the kernel reads it at a time.
    pub const fn at(&self, time: BootTime) -> ImageAt<'_> {
        ImageAt { image: self, time }
    }

    /// The number of the generation.
    pub fn generation(&self) -> Option<u64> {
        Some(self.header()?.generation)
    }

    /// Whether a service is on a TCP port.
    pub fn protects_tcp(&self, port: u16) -> bool {
        protects_tcp(self, port)
    }

    /// The TCP ports that surely have no service.
    pub fn unprotected_tcp(&self) -> Unprotected {
        Unprotected::but((0..=u16::MAX).filter(|port| self.protects_tcp(*port)))
    }

    /// The card, where the image holds a whole one.
    pub fn card(&self) -> Option<Card> {
        card(self)
    }
}

/// Whether a service is on a TCP port.
pub(crate) fn protects_tcp(view: &impl PolicyView, port: u16) -> bool {
    view.port_service(TCP_PORTS, port).is_some_and(|service| service != 0)
}

/// The card, where the pages hold a whole one.
pub(crate) fn card(view: &impl PolicyView) -> Option<Card> {
    let Header { card, card_bytes, .. } = view.header()?;
    let lanes = (0..card_bytes.div_ceil(8)).map(|lane| view.lane(card.checked_mul(8)?.checked_add(lane)?));
    let bytes: Vec<u8> =
        lanes.collect::<Option<Vec<u64>>>()?.iter().flat_map(|lane| lane.to_le_bytes()).collect();
    serde_json::from_slice(bytes.get(..card_bytes as usize)?).ok()
}

impl PolicyView for Image {
    fn page(&self, index: u32) -> Option<&Page> {
        self.pages.get(index as usize)
    }

    fn now(&self) -> u64 {
        BootTime::now().nanoseconds()
    }
}

/// An image as the kernel reads it at one time.
#[derive(Clone, Copy)]
pub struct ImageAt<'a> {
    image: &'a Image,
    time: BootTime,
}

impl PolicyView for ImageAt<'_> {
    fn page(&self, index: u32) -> Option<&Page> {
        self.image.page(index)
    }

    fn now(&self) -> u64 {
        self.time.nanoseconds()
    }
}
