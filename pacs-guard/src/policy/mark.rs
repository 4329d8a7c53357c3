//! A piece of a policy's text.

use serde_saphyr::Location;

/// Bytes from 0, line and column from 1. Small, for there may be a million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// First byte.
    pub(super) start: u32,
    /// Bytes; may be 0 where the parser knows only where it begins.
    pub(super) len: u32,
    /// Line, from 1.
    pub(super) line: u32,
    /// Column in characters, from 1.
    pub(super) column: u32,
    /// Which of the policy's files, from 0 in the order in which they are read.
    pub(super) file: u16,
}

impl Mark {
    /// The beginning of a file.
    pub(super) const fn top_of(file: u16) -> Self {
        Self { start: 0, len: 0, line: 1, column: 1, file }
    }

    /// The place right behind `text`.
    pub(super) fn end_of(text: &str) -> Self {
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let last = text.rsplit('\n').next().unwrap_or(text);
        Self {
            start: narrow(text.len()),
            len: 0,
            line: narrow(text.bytes().filter(|byte| *byte == b'\n').count()).saturating_add(1),
            column: narrow(last.chars().count()).saturating_add(1),
            file: 0,
        }
    }
}

impl From<Location> for Mark {
    fn from(location: Location) -> Self {
        let span = location.span();
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            // Out of every text where the reader doesn't know it; line and column then say where.
            start: span.byte_offset().map_or(u32::MAX, narrow),
            len: narrow(span.byte_len().unwrap_or(0)),
            line: narrow(location.line()),
            column: narrow(location.column()),
            file: 0,
        }
    }
}
