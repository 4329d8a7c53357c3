//! What the program keeps while it learns: who associated under which AE titles.

use super::SeenKey;
use crate::packet::{TITLE, Titles};

/// Associations that are kept. The one that was seen longest ago goes first, roughly.
pub const ASSOCIATIONS: u32 = 8192;

/// A source, what it asked for, and the titles that it gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AssociationKey {
    /// Who, and at which port.
    pub source: SeenKey,
    /// The AE titles, as sent.
    pub titles: Titles,
}

impl AssociationKey {
    /// Lanes of a packed key.
    pub const LANES: usize = SeenKey::LANES + 2 * TITLE / 8;

    /// Packs the key: the source, then the called and the calling title in the order of their bytes.
    #[inline(always)]
    pub const fn to_lanes(self) -> [u64; Self::LANES] {
        let [high, low, last] = self.source.to_lanes();
        let [called, called_end] = lanes(self.titles.called);
        let [calling, calling_end] = lanes(self.titles.calling);
        [high, low, last, called, called_end, calling, calling_end]
    }

    /// Reads a packed key; `None` where the lanes are not one.
    pub const fn from_lanes([high, low, last, c1, c2, g1, g2]: [u64; Self::LANES]) -> Option<Self> {
        let Some(source) = SeenKey::from_lanes([high, low, last]) else { return None };
        Some(Self { source, titles: Titles { called: title(c1, c2), calling: title(g1, g2) } })
    }
}

#[inline(always)]
const fn lanes(title: [u8; TITLE]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = title;
    [u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes([i, j, k, l, m, n, o, p])]
}

const fn title(first: u64, second: u64) -> [u8; TITLE] {
    let ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]) = (first.to_le_bytes(), second.to_le_bytes());
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Address, Family};

    #[test]
    fn keys_survive_packing() {
        let source =
            SeenKey { source: Address { family: Family::V4, high: 1, low: 0 }, port: 104, protocol: 6 };
        let titles = Titles { called: *b"ARCHIVE         ", calling: *b"CT1         1234" };
        let key = AssociationKey { source, titles };
        assert_eq!(AssociationKey::from_lanes(key.to_lanes()), Some(key));
    }
}
